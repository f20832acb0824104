//! The thread that makes clicks durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::forget::{Forget, refuse};
use super::{ClicksError, Shared, Told, wake};
use crate::clicks::journal::{Journal, JournalError};
use crate::clock::unix_time_ms;

/// While it fails, it is tried less and less often, down to once in this many times the interval.
const PAUSES_MAX: u32 = 60;

pub(super) struct Journaling {
    shared: Arc<Shared>,
    journal: Journal,
    interval: Duration,
    /// Until when nothing is tried, because it failed; and for how long that is.
    rest: Option<(Instant, Duration)>,
    /// They are to be told when they are in the journal.
    forgets: Vec<Forget>,
}

impl Journaling {
    pub(super) fn new(shared: Arc<Shared>, journal: Journal, interval: Duration) -> Self {
        Journaling { shared, journal, interval, rest: None, forgets: Vec::new() }
    }

    /// Runs until it is told to stop, and once more after that.
    pub(super) fn run(mut self, woken: &Receiver<()>) -> Result<(), ClicksError> {
        loop {
            // Woken or not, there may be something.
            let _ = woken.recv_timeout(self.interval);
            let is_stopping = self.shared.is_stopping.load(Ordering::Acquire);
            self.collect();
            if is_stopping {
                // A file that fails is given up; another one may do.
                let synced = self.sync().or_else(|_| self.sync());
                return Ok(synced?);
            }
            let is_resting = self.rest.is_some_and(|(until, _)| Instant::now() < until);
            if !is_resting || !self.forgets.is_empty() {
                // It was told.
                let _ = self.sync();
            }
        }
    }

    fn collect(&mut self) {
        // Asked for first: what was counted before is then collected before.
        let forgets = self.shared.forgets.take_asked();
        let squeezed = self.shared.intake.collect(|batch| {
            self.shared.status.took(&batch);
            self.journal.put(batch);
        });
        self.shared.status.squeezed(squeezed);
        forgets.iter().for_each(|forget| self.journal.forget(forget.link));
        self.forgets.extend(forgets);
        self.shared.status.squeezed(self.journal.take_squeezed());
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        let before = self.journal.durable();
        let synced = self.journal.sync();
        let trouble = synced.as_ref().err().map(ToString::to_string);
        match &trouble {
            None => {
                self.rest = None;
                self.shared.forgets.written(&mut self.forgets, self.journal.durable());
            }
            Some(trouble) => {
                let pause = self.rest.map_or(self.interval, |(_, pause)| (pause * 2).min(self.interval * PAUSES_MAX));
                self.rest = Some((Instant::now() + pause, pause));
                refuse(&mut self.forgets, trouble);
            }
        }
        self.shared.status.journal(|status| {
            status.windows = self.journal.entries();
            status.journal_bytes = self.journal.bytes();
            status.waiting = self.journal.waiting() as u64;
            if trouble.is_none() {
                status.synced_at_ms = unix_time_ms();
            }
        });
        if self.shared.status.set_journal_trouble(trouble.clone()) {
            (self.shared.tell)(trouble.map_or(Told::JournalWorks, Told::JournalFails));
        }
        if self.journal.durable() > before {
            wake(&self.shared.wake_rollups);
        }
        synced
    }
}
