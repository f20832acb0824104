//! The filter of all keys: it knows of most keys that no link has, without the store.
//!
//! # Why it never hides a link (I5)
//!
//! One thread builds a filter: it registers an empty one, then scans the store, adds what it finds, and makes it the
//! filter of the moment. The writer, for each key it changes: applies the change to the store; adds the key to the
//! filter of the moment *and* to the one that is registered; acknowledges. Take a key that was acknowledged, and a
//! request that begins after that:
//!
//! - *The filter it looks at was made the one of the moment before the writer added the key.* Then the writer added
//!   it there. Bits are never taken out again.
//! - *It was made so later, and registered before the writer added.* The same.
//! - *It was registered after the writer added.* Then the change was in the store before the scan began, which found it.
//!
//! Registering, adding and replacing are under one lock; readers, which take none, see by a number that the filter of
//! the moment is another one. What was changed without a writer that adds, such as records that are applied
//! again from the log, the filter does not know: then it is [suspended](SharedFilter::suspend), which answers
//! "perhaps" to everything, and another is built.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::bloom::BlockedBloom;

/// The fewest keys that a filter is made for: as many as fit into few pages.
const KEYS_MIN: u64 = 16 * 1024;

/// Once so many keys have gone of a filter, as a part of those that it is made for, another is built without them.
const REMOVED_DIVISOR: u64 = 4;

/// A filter that is made for more than so many times the keys that there are is built again for as many as there are:
/// a store may think that it has far more than it has.
const OVERSIZE: u64 = 4;

/// The filter that all threads share.
#[derive(Default)]
pub struct SharedFilter {
    state: Mutex<State>,
    /// Notified when another filter may have to be built.
    changed: Condvar,
    generation: Padded,
    answers: Mutex<Answers>,
}

/// A number on cache lines of its own: what is beside it is written (I4).
#[derive(Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

#[derive(Default)]
struct State {
    /// The filter of the moment. Without one every key may be there.
    current: Option<Counted>,
    /// The one that is being built.
    registered: Option<(Counted, Arc<AtomicBool>)>,
    is_suspended: bool,
    is_closed: bool,
    /// Somebody waits until another has to be built.
    is_awaited: bool,
    /// Why the last one could not be built.
    trouble: Option<String>,
}

struct Counted {
    bloom: Arc<BlockedBloom>,
    /// The keys that are in it.
    keys: u64,
    /// How often a key that is in it has gone.
    removed: u64,
    /// How many keys the store had when it was read for this.
    found: u64,
}

impl Counted {
    fn new(bloom: Arc<BlockedBloom>) -> Self {
        Counted { bloom, keys: 0, removed: 0, found: 0 }
    }

    fn add(&mut self, hash: u64) {
        self.keys += u64::from(self.bloom.add(hash));
    }

    fn note_removed(&mut self, hash: u64) {
        self.removed += u64::from(self.bloom.may_hold(hash));
    }

    fn present(&self) -> u64 {
        self.keys.saturating_sub(self.removed)
    }

    /// For how many keys another is to be made. Not for fewer than were found: a key that goes and comes again, and goes
    /// again, counts as gone each time, and a filter that is too small says nothing.
    fn wanted(&self) -> u64 {
        self.present().max(self.found)
    }

    fn is_spent(&self) -> bool {
        let capacity = self.bloom.capacity();
        let is_oversized = capacity > KEYS_MIN && capacity / OVERSIZE > self.present();
        self.keys > capacity || self.removed > capacity / REMOVED_DIVISOR || is_oversized
    }
}

impl State {
    fn is_due(&self) -> bool {
        !self.is_suspended && self.current.as_ref().is_none_or(Counted::is_spent)
    }
}

/// What the filters of single threads have answered.
#[derive(Default)]
struct Answers {
    held: Vec<Arc<Padded>>,
    /// By those that are no more.
    of_ended: u64,
}

/// How the filter stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterStatus {
    /// Whether it answers: it was built.
    pub is_ready: bool,
    /// How many keys it holds, about.
    pub keys: u64,
    /// What it takes in memory, in bytes.
    pub bytes: usize,
    /// How many lookups it has answered: no such key.
    pub answered: u64,
    /// Why it could not be built, if it could not.
    pub trouble: Option<String>,
}

/// A filter that is being built.
pub struct FilterBuild {
    bloom: Arc<BlockedBloom>,
    is_cancelled: Arc<AtomicBool>,
}

impl FilterBuild {
    /// Adds the keys of these hashes. Any thread may; some at a time are faster.
    pub fn add(&self, hashes: &[u64]) {
        self.bloom.add_all(hashes);
    }

    /// Set once nobody wants the filter any more.
    pub fn is_cancelled(&self) -> &AtomicBool {
        &self.is_cancelled
    }
}

impl SharedFilter {
    /// What the writer adds the keys of changes to, after it applied them to the store and before it acknowledges
    /// them. None if there is no filter, and nothing to be done.
    pub fn additions(&self) -> Option<Additions<'_>> {
        let state = self.state.lock();
        (state.current.is_some() || state.registered.is_some()).then(|| Additions { filter: self, state })
    }

    /// Has every key be taken for one that may be there until [`resume`](Self::resume), and then until another filter
    /// is built; one that is being built is cancelled.
    pub fn suspend(&self) {
        let mut state = self.state.lock();
        state.is_suspended = true;
        state.current = None;
        cancel(&mut state);
        self.generation.0.fetch_add(1, Release);
    }

    /// Lets a filter be built again.
    pub fn resume(&self) {
        self.state.lock().is_suspended = false;
        self.changed.notify_all();
    }

    /// Whether it is [suspended](Self::suspend), so that none is built.
    pub fn is_suspended(&self) -> bool {
        self.state.lock().is_suspended
    }

    /// Ends the waiting and building for good.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        cancel(&mut state);
        self.changed.notify_all();
    }

    /// Waits until a filter has to be built, and it is so late. None once it is [closed](Self::close); else how many keys
    /// there may be now, if that is known.
    pub fn wait_until_due(&self, not_before: Instant) -> Option<Option<u64>> {
        let mut state = self.state.lock();
        while !state.is_closed {
            if !state.is_due() {
                state.is_awaited = true;
                self.changed.wait(&mut state);
                state.is_awaited = false;
            } else if Instant::now() < not_before {
                self.changed.wait_until(&mut state, not_before);
            } else {
                return Some(state.current.as_ref().map(Counted::wanted));
            }
        }
        None
    }

    /// Registers an empty filter for so many keys. Every key that was in the store before this call is then to be added
    /// to it by the caller. None if none is wanted just now.
    pub fn begin(&self, keys: u64) -> Option<FilterBuild> {
        let bloom = Arc::new(BlockedBloom::with_capacity(keys.max(KEYS_MIN)));
        let mut state = self.state.lock();
        if state.is_suspended || state.is_closed {
            return None;
        }
        cancel(&mut state);
        let is_cancelled = Arc::new(AtomicBool::new(false));
        state.registered = Some((Counted::new(Arc::clone(&bloom)), Arc::clone(&is_cancelled)));
        Some(FilterBuild { bloom, is_cancelled })
    }

    /// Makes a filter the one of the moment to which so many keys were added; or does not, and returns false, if it was
    /// cancelled.
    pub fn publish(&self, build: &FilterBuild, keys: u64) -> bool {
        let mut state = self.state.lock();
        let registered = state.registered.take_if(|(registered, _)| Arc::ptr_eq(&registered.bloom, &build.bloom));
        let Some((mut counted, _)) = registered else { return false };
        counted.keys += keys;
        counted.found = keys;
        state.current = Some(counted);
        state.trouble = None;
        self.generation.0.fetch_add(1, Release);
        true
    }

    /// Gives up a filter that could not be built. Whether that is news.
    pub fn fail(&self, build: &FilterBuild, reason: String) -> bool {
        let mut state = self.state.lock();
        state.registered.take_if(|(registered, _)| Arc::ptr_eq(&registered.bloom, &build.bloom));
        state.trouble.replace(reason).is_none()
    }

    /// How it stands.
    pub fn status(&self) -> FilterStatus {
        let answered = {
            let answers = self.answers.lock();
            answers.held.iter().fold(answers.of_ended, |sum, held| sum + held.0.load(Relaxed))
        };
        let state = self.state.lock();
        let blooms = [state.current.as_ref(), state.registered.as_ref().map(|(counted, _)| counted)];
        FilterStatus {
            is_ready: state.current.is_some(),
            keys: state.current.as_ref().map_or(0, Counted::present),
            bytes: blooms.iter().flatten().map(|counted| counted.bloom.bytes()).sum(),
            answered,
            trouble: state.trouble.clone(),
        }
    }

    fn generation(&self) -> u64 {
        // Acquire: who sees the number of a filter gets that one or a newer one.
        self.generation.0.load(Acquire)
    }

    fn current(&self) -> Option<Arc<BlockedBloom>> {
        self.state.lock().current.as_ref().map(|current| Arc::clone(&current.bloom))
    }
}

fn cancel(state: &mut State) {
    if let Some((_, is_cancelled)) = state.registered.take() {
        is_cancelled.store(true, Relaxed);
    }
}

/// The keys of some changes on their way into the filter.
pub struct Additions<'a> {
    filter: &'a SharedFilter,
    state: MutexGuard<'a, State>,
}

impl Additions<'_> {
    /// Takes note that there is an entry of this hash.
    pub fn add(&mut self, hash: u64) {
        let State { current, registered, .. } = &mut *self.state;
        current.iter_mut().for_each(|current| current.add(hash));
        registered.iter_mut().for_each(|(registered, _)| registered.add(hash));
    }

    /// Takes note that the entry of this hash has gone, if there was one: its key stays in the filter, and helps nobody.
    pub fn note_removed(&mut self, hash: u64) {
        let State { current, registered, .. } = &mut *self.state;
        current.iter_mut().for_each(|current| current.note_removed(hash));
        registered.iter_mut().for_each(|(registered, _)| registered.note_removed(hash));
    }
}

impl Drop for Additions<'_> {
    fn drop(&mut self) {
        if self.state.is_awaited && self.state.is_due() {
            self.filter.changed.notify_all();
        }
    }
}

/// The filter as one thread holds it.
pub struct HeldFilter {
    shared: Arc<SharedFilter>,
    generation: u64,
    held: Option<Arc<BlockedBloom>>,
    answered: Arc<Padded>,
}

impl HeldFilter {
    /// A way to the filter for one thread.
    pub fn new(shared: Arc<SharedFilter>) -> Self {
        let answered = Arc::<Padded>::default();
        shared.answers.lock().held.push(Arc::clone(&answered));
        // The number first: a filter that comes in between is then taken once more.
        let generation = shared.generation();
        let held = shared.current();
        HeldFilter { shared, generation, held, answered }
    }

    /// Whether no entry has the key of this hash. If not, one may have.
    pub fn rules_out(&mut self, hash: u64) -> bool {
        self.renew();
        let is_absent = self.held.as_ref().is_some_and(|bloom| !bloom.may_hold(hash));
        if is_absent {
            // I4: only this thread writes there, and others read it when somebody asks how the filter stands.
            self.answered.0.store(self.answered.0.load(Relaxed) + 1, Relaxed);
        }
        is_absent
    }

    /// Takes the filter of the moment for the one before, which goes once no thread holds it any more. Cheap if there is no
    /// other. Who asks does this as well; it is for threads that may not ask for long.
    pub fn renew(&mut self) {
        let generation = self.shared.generation();
        if generation != self.generation {
            self.take(generation);
        }
    }

    #[cold]
    fn take(&mut self, generation: u64) {
        self.held = self.shared.current();
        self.generation = generation;
    }
}

impl Drop for HeldFilter {
    fn drop(&mut self) {
        let mut answers = self.shared.answers.lock();
        answers.of_ended += self.answered.0.load(Relaxed);
        answers.held.retain(|held| !Arc::ptr_eq(held, &self.answered));
    }
}

#[cfg(test)]
mod tests;
