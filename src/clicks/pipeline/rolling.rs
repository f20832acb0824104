//! The thread that brings clicks from the journal into the statistics.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::forget::{Forget, refuse};
use super::{ClicksError, Consumer, PipelineConfig, Shared, Told};
use crate::clicks::batch::{Entry, WindowId};
use crate::clicks::journal::JournalReader;
use crate::clock::unix_time_ms;

/// While it fails, it is tried less and less often, down to once in this many times the interval.
const PAUSES_MAX: u32 = 60;

/// After so many entries, or an interval, it is looked what else is to be done.
const ENTRIES_AT_ONCE: usize = 256;

pub(super) struct Rolling<C> {
    shared: Arc<Shared>,
    reader: JournalReader,
    consumer: C,
    /// Which start of the process this is.
    boot: u64,
    interval: Duration,
    flush_interval: Duration,
    flush_bytes: u64,
    maintain_interval: Duration,
    /// Was read, and could not be applied.
    held: Option<Entry>,
    /// The last entry that was applied since the start, and whether it was flushed.
    applied: WindowId,
    is_flushed: bool,
    flushed_at: Instant,
    /// How much of the journal was read by then, in bytes.
    flushed_bytes: u64,
    maintained_at: Instant,
    /// What was in the way the last time.
    maintain_trouble: Option<String>,
    forgets: Vec<Forget>,
}

impl<C: Consumer> Rolling<C> {
    pub(super) fn new(
        shared: Arc<Shared>,
        reader: JournalReader,
        consumer: C,
        boot: u64,
        config: &PipelineConfig,
    ) -> Self {
        Rolling {
            shared,
            reader,
            applied: consumer.position(),
            consumer,
            boot,
            interval: config.sync_interval,
            flush_interval: config.flush_interval,
            flush_bytes: config.flush_bytes,
            maintain_interval: config.maintain_interval,
            held: None,
            is_flushed: true,
            flushed_at: Instant::now(),
            flushed_bytes: 0,
            maintained_at: Instant::now(),
            maintain_trouble: None,
            forgets: Vec::new(),
        }
    }

    /// Runs until the journal has ended and all of it is in the statistics, or it fails then.
    pub(super) fn run(mut self, woken: &Receiver<()>) -> Result<(), ClicksError> {
        // What a crash left is read at once.
        let (mut pause, mut is_failing) = (Duration::ZERO, false);
        loop {
            self.wait(pause, is_failing, woken);
            let is_ending = self.shared.has_journal_ended.load(Ordering::Acquire);
            let turned = self.turn(is_ending);
            let trouble = turned.as_ref().err().map(ToString::to_string);
            pause = match &trouble {
                None => self.interval,
                Some(trouble) => {
                    // Also those that wait behind what can't be applied.
                    self.forgets.extend(self.shared.forgets.take_written());
                    refuse(&mut self.forgets, trouble);
                    (pause * 2).clamp(self.interval, self.interval * PAUSES_MAX)
                }
            };
            let trouble = trouble.or_else(|| self.maintain_trouble.clone());
            if self.shared.status.set_statistics_trouble(trouble.clone()) {
                (self.shared.tell)(trouble.map_or(Told::StatisticsWork, Told::StatisticsFail));
            }
            if is_ending {
                return turned;
            }
            is_failing = turned.is_err();
        }
    }

    /// Waits until it is woken, or so long. While it fails, only the end wakes it.
    fn wait(&self, pause: Duration, is_failing: bool, woken: &Receiver<()>) {
        let until = Instant::now() + pause;
        while woken.recv_deadline(until).is_ok() {
            if !is_failing || self.shared.has_journal_ended.load(Ordering::Acquire) {
                return;
            }
        }
    }

    fn turn(&mut self, is_ending: bool) -> Result<(), ClicksError> {
        // It may not have come to that before.
        if self.consumer.is_flush_due() {
            self.flush()?;
        }
        loop {
            let has_more = self.apply()?;
            self.look_after(is_ending && !has_more)?;
            if !has_more {
                return Ok(());
            }
        }
    }

    /// Applies what is in the journal, as much as may be before something else is looked after; whether there is more.
    fn apply(&mut self) -> Result<bool, ClicksError> {
        let start = Instant::now();
        for _ in 0..ENTRIES_AT_ONCE {
            let Some(entry) = self.next()? else { return Ok(false) };
            if let Err(error) = self.consumer.apply(&entry) {
                self.held = Some(entry);
                return Err(error.into());
            }
            self.applied = entry.id();
            self.is_flushed = false;
            self.shared.status.applied(u64::from(entry.id().boot == self.boot));
            if self.consumer.is_flush_due() {
                self.flush()?;
            }
            if start.elapsed() >= self.interval {
                break;
            }
        }
        Ok(true)
    }

    /// Does what is to be done now and then.
    fn look_after(&mut self, is_ending: bool) -> Result<(), ClicksError> {
        self.shared.status.late(self.consumer.take_late_clicks());
        self.forgets.extend(self.shared.forgets.take_written());
        let is_forgotten = self.forgets.iter().any(|forget| forget.until <= self.applied);
        let is_due = is_ending
            || self.flushed_at.elapsed() >= self.flush_interval
            || self.reader.read_bytes() - self.flushed_bytes >= self.flush_bytes
            || is_forgotten;
        if is_due && !self.is_flushed {
            self.flush()?;
        }
        for forget in std::mem::take(&mut self.forgets) {
            if forget.until <= self.applied {
                forget.answer(Ok(()));
            } else {
                self.forgets.push(forget);
            }
        }
        if self.maintained_at.elapsed() >= self.maintain_interval {
            self.maintained_at = Instant::now();
            // What is in its way is in nobody else's.
            let maintained = self.consumer.maintain(unix_time_ms() / 1_000);
            self.maintain_trouble = maintained.err().map(|error| error.to_string());
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Entry>, ClicksError> {
        match self.held.take() {
            Some(entry) => Ok(Some(entry)),
            None => Ok(self.reader.next()?),
        }
    }

    fn flush(&mut self) -> Result<(), ClicksError> {
        let position = self.consumer.flush()?;
        self.is_flushed = true;
        self.flushed_at = Instant::now();
        self.flushed_bytes = self.reader.read_bytes();
        self.shared.status.flushed();
        Ok(self.reader.remove_before(position)?)
    }
}
