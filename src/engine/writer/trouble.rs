//! What goes wrong while changes are written, and how it ends.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, Writer};
use crate::config::Durability;
use crate::engine::applier::Applier;
use crate::engine::health::Health;
use crate::engine::recover::{self, Recovery, SetAside};
use crate::engine::requests::SubmitError;
use crate::limits::PAUSE_MS;
use crate::log::LogError;
use crate::store::StoreError;

/// Why no change is accepted.
pub(super) enum Trouble {
    /// The disk is full.
    Full(String),
    /// The store lacks what the log has.
    Behind(String),
    /// Nothing is written any more (I9).
    Closed(String),
}

impl Writer {
    /// How long the writer may wait for a request: for ever, if it has nothing else to do.
    pub(super) fn patience(&self) -> Option<Duration> {
        let has_to_do = match self.trouble {
            Some(Trouble::Full(_) | Trouble::Behind(_)) => true,
            Some(Trouble::Closed(_)) => false,
            None => self.is_unsynced(),
        };
        has_to_do.then(|| Duration::from_millis(PAUSE_MS).saturating_sub(self.since_looked()))
    }

    pub(super) fn since_looked(&self) -> Duration {
        (self.ground.instant)().saturating_duration_since(self.looked)
    }

    pub(super) fn is_unsynced(&self) -> bool {
        self.ground.durability == Durability::Os && self.log.durable() + 1 < self.log.next_sequence()
    }

    /// Does what is due without being asked for.
    pub(in crate::engine) fn look_after_itself(&mut self) {
        self.do_what_is_due();
        // After it: what takes long and fails is not begun again at once.
        self.looked = (self.ground.instant)();
    }

    fn do_what_is_due(&mut self) {
        match self.trouble {
            Some(Trouble::Full(_)) => self.look_for_room(),
            Some(Trouble::Behind(_)) => {
                if self.ground.room_to_reopen().is_ok() {
                    let _ = self.reopen_store();
                }
            }
            Some(Trouble::Closed(_)) => {}
            None => self.sync_behind(),
        }
    }

    /// Syncs what was acknowledged without that.
    pub(in crate::engine) fn sync_behind(&mut self) {
        if self.trouble.is_none()
            && self.is_unsynced()
            && let Err(error) = self.log.sync()
        {
            self.log_failed(&error);
        }
    }

    pub(super) fn check_open(&self) -> Result<(), SubmitError> {
        match &self.trouble {
            None => Ok(()),
            Some(Trouble::Full(reason) | Trouble::Behind(reason)) => {
                Err(SubmitError::Paused { reason: reason.clone() })
            }
            Some(Trouble::Closed(reason)) => Err(SubmitError::Closed { reason: reason.clone() }),
        }
    }

    /// Pauses when the disk gets full, and goes on when there is room again.
    pub(super) fn look_for_room(&mut self) {
        let room = match self.ground.room_is_left() {
            Err(reason) => Err(reason),
            // Also what the log needs for its next record.
            Ok(()) => match self.log.make_room(0) {
                Err(error) if !error.is_full() => return drop(self.log_failed(&error)),
                room => room.map_err(|error| error.to_string()),
            },
        };
        match (room, &self.trouble) {
            (Err(reason), _) => self.pause_until_room(reason),
            (Ok(()), Some(Trouble::Full(_))) => self.set_trouble(None),
            (Ok(()), _) => {}
        }
    }

    /// Takes note of an error of the log: pauses, or makes an end of writing.
    pub(super) fn log_failed(&mut self, error: &LogError) -> SubmitError {
        let reason = error.to_string();
        if error.is_full() {
            self.pause_until_room(reason.clone());
            return SubmitError::Paused { reason };
        }
        self.close(reason)
    }

    pub(super) fn pause_until_room(&mut self, reason: String) {
        let begins = self.trouble.is_none();
        self.set_trouble(Some(Trouble::Full(reason)));
        if begins && let Some(applier) = &self.applier {
            // While there still may be room: sled can't read what it could not write out. If that fails, the next
            // write fails as well, and is where it is seen to; here a group may be under way.
            let _ = applier.store().flush();
        }
    }

    /// Accepts nothing any more: what log or store hold now is not certain (I9).
    pub(super) fn close(&mut self, reason: String) -> SubmitError {
        if !matches!(self.trouble, Some(Trouble::Closed(_))) {
            self.set_trouble(Some(Trouble::Closed(reason)));
        }
        self.check_open().expect_err("there is trouble")
    }

    /// Brings the store up to the log again after it failed. Why not, if that can't be done now.
    pub(super) fn store_failed(&mut self, failure: &Failure) -> Option<String> {
        let reason = failure.reason();
        // It may have applied a part of a record, and more than the store took.
        self.applier.take().iter().for_each(Applier::stop_snapshot);
        match failure {
            Failure::Store(StoreError::Io(_) | StoreError::Backend(_)) => {
                if let Err(room) = self.ground.room_to_reopen() {
                    let reason = format!("{reason}. It is opened again when there is room: {room}");
                    self.set_trouble(Some(Trouble::Behind(reason.clone())));
                    return Some(reason);
                }
                self.set_trouble(Some(Trouble::Behind(reason.clone())));
                self.reopen_store().is_err().then_some(reason)
            }
            // Opening it again would not help.
            _ => {
                self.close(reason.clone());
                Some(reason)
            }
        }
    }

    /// Opens the store again and applies what it lacks. Reads of it wait meanwhile.
    pub(super) fn reopen_store(&mut self) -> Result<(), String> {
        // What it has applied and not brought to the store is in the log.
        self.applier.take().iter().for_each(Applier::stop_snapshot);
        let broken = "the store failed while it was being written".to_owned();
        self.open_sets.values_mut().for_each(|reason| *reason = Some(broken.clone()));
        // It does not know what is applied from the log, and who builds it reads the store that is to be closed.
        self.views.filter.suspend();
        let (ground, log) = (&self.ground, &self.log);
        let reopened = self.slot.replace(|| {
            let (applier, report) = recover::reopen(ground, log).map_err(|error| error.to_string())?;
            Ok((Arc::clone(applier.store()), (applier, report)))
        });
        match reopened {
            Ok((mut applier, report)) => {
                say_what_was_found(&report);
                // What was changed before the failure and what was applied again now: nobody knows which is cached.
                self.views.cache.clear();
                applier.attach(Arc::clone(&self.views));
                self.applier = Some(applier);
                self.set_trouble(None);
                Ok(())
            }
            Err(reason) => {
                self.set_trouble(Some(Trouble::Behind(reason.clone())));
                Err(reason)
            }
        }
    }

    pub(super) fn set_trouble(&mut self, trouble: Option<Trouble>) {
        if matches!(self.trouble, Some(Trouble::Closed(_))) {
            // For good, whatever else happens while the group is finished.
            return;
        }
        self.trouble = trouble;
        self.health.set(match &self.trouble {
            None => Health::Ready,
            Some(Trouble::Full(reason) | Trouble::Behind(reason)) => Health::Paused { reason: reason.clone() },
            Some(Trouble::Closed(reason)) => Health::Closed { reason: reason.clone() },
        });
    }
}

/// Says on stderr what was wrong with the store and the snapshots that another was built from.
fn say_what_was_found(report: &Recovery) {
    let aside = report.set_aside.iter().map(|aside| {
        let SetAside { path, reason } = aside;
        format!("the store could not be used: {reason}. Another was built. The old one is now {}", path.display())
    });
    for text in aside.chain(report.unreadable.iter().map(|error| format!("a snapshot could not be read: {error}"))) {
        // Where stderr is closed, `eprintln!` would panic.
        let _ = writeln!(std::io::stderr(), "carom: WARNING: {text}");
    }
}
