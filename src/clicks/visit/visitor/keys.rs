//! A new key each day, and the old one destroyed.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::{DAY_S, DayKey, KEY_BYTES, VisitorKeyError, file};

/// How long after a failed save the next one is tried, in seconds.
const RETRY_S: u64 = 60;

/// The key of the day, for all threads.
///
/// Whoever needs it takes it with [`VisitorKeys::current`], which waits for no disk; some thread that may wait calls
/// [`VisitorKeys::save_if_changed`] now and then. Until it does, the key of the day before is still on the disk, and a
/// crash makes visitors of the new day count once more.
pub struct VisitorKeys {
    /// Where the file is.
    dir: PathBuf,
    state: Mutex<State>,
    /// One save at a time.
    saving: Mutex<()>,
}

struct State {
    key: DayKey,
    /// Whether it is durable.
    is_saved: bool,
    /// When it could not be made so, in seconds since 1970.
    failed_s: Option<u64>,
}

impl VisitorKeys {
    /// The key of today in this directory, or a new one, which is made durable at once. The directory is created if it is
    /// missing.
    ///
    /// With it what went wrong with the file; it is to be told, and hinders nothing.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn open(dir: &Path, now_s: u64) -> Result<(Self, Vec<VisitorKeyError>), VisitorKeyError> {
        let day = now_s / DAY_S;
        let mut notes = Vec::new();
        let kept = file::read(dir).unwrap_or_else(|error| {
            notes.push(error);
            None
        });
        let state = match kept.filter(|kept| holds(kept.day, day)) {
            Some(key) => State { key, is_saved: true, failed_s: None },
            None => {
                let mut key = [0; KEY_BYTES];
                getrandom::fill(&mut key)?;
                State { key: DayKey { day, key }, is_saved: false, failed_s: None }
            }
        };
        let keys = VisitorKeys { dir: dir.to_owned(), state: Mutex::new(state), saving: Mutex::new(()) };
        notes.extend(keys.save_if_changed(now_s).and_then(Result::err));
        Ok((keys, notes))
    }

    /// Destroys the key in this directory, if there is one.
    ///
    /// # Errors
    /// If it can't be.
    pub fn remove(dir: &Path) -> Result<(), VisitorKeyError> {
        file::remove(dir)
    }

    /// The key of the day. If the day is over, a new one, and the old one is gone from here.
    ///
    /// If the clock goes back by a day, which it seems to do when threads read it around midnight, the newest key stays.
    /// If it goes back by more, it was wrong before: a new key is made, so that none is used for longer than its day.
    pub fn current(&self, now_s: u64) -> DayKey {
        let day = now_s / DAY_S;
        let mut state = self.state.lock();
        if !holds(state.key.day, day) {
            let key = next(&state.key.key, getrandom::fill);
            *state = State { key: DayKey { day, key }, is_saved: false, failed_s: None };
        }
        state.key.clone()
    }

    /// Makes the key durable in place of the one before, if it is not yet. None if there is nothing to do, or the last try
    /// failed less than a minute ago. It waits for the disk, and nobody waits for it.
    ///
    /// # Errors
    /// If it can't be. The key in memory is used all the same.
    pub fn save_if_changed(&self, now_s: u64) -> Option<Result<(), VisitorKeyError>> {
        let _saving = self.saving.lock();
        let key = {
            let state = self.state.lock();
            let failed_lately = state.failed_s.is_some_and(|failed_s| now_s.abs_diff(failed_s) < RETRY_S);
            if state.is_saved || failed_lately {
                return None;
            }
            state.key.clone()
        };
        let saved = file::write(&self.dir, &key);
        let mut state = self.state.lock();
        state.failed_s = saved.is_err().then_some(now_s);
        // Meanwhile a day may have begun.
        state.is_saved = saved.is_ok() && state.key == key;
        Some(saved)
    }
}

/// Whether a key of one day is to be used on another: on its own, and on the one before.
fn holds(key_day: u64, day: u64) -> bool {
    key_day == day || key_day == day + 1
}

/// A key to follow this one. Should there be no randomness, which a system that runs does not know, it is made of the old
/// one, so that it is not known to who learns it later and not the old one.
fn next(old: &[u8; KEY_BYTES], random: impl FnOnce(&mut [u8]) -> Result<(), getrandom::Error>) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    match random(&mut key) {
        Ok(()) => key,
        Err(_) => blake3::derive_key("carom 2026 the key of visitors of the next day", old),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_key_is_another_with_and_without_randomness() {
        let old = [7; KEY_BYTES];
        let random = next(&old, |key| {
            key.fill(9);
            Ok(())
        });
        assert_eq!(random, [9; KEY_BYTES]);
        let derived = next(&old, |_| Err(getrandom::Error::UNSUPPORTED));
        assert_ne!(derived, old);
        assert_ne!(derived, next(&derived, |_| Err(getrandom::Error::UNSUPPORTED)));
    }
}
