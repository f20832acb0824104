//! Links that are to be forgotten, on their way through the journal into the statistics.

use std::mem::take;

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;

use crate::clicks::batch::WindowId;
use crate::clicks::stats::StatsError;
use crate::limits::CLICK_FORGETS;

/// Somebody waits for a link to be forgotten. Dropped, it tells them that the threads have ended.
#[derive(Debug)]
pub(super) struct Forget {
    pub(super) link: u64,
    /// The entry of the journal up to which it is; known once it is durable there.
    pub(super) until: WindowId,
    done: Sender<Result<(), StatsError>>,
}

impl Forget {
    pub(super) fn answer(self, answer: Result<(), StatsError>) {
        // Who asked may have gone.
        let _ = self.done.send(answer);
    }
}

/// Answers all of them with an error.
pub(super) fn refuse(forgets: &mut Vec<Forget>, error: &str) {
    forgets.drain(..).for_each(|forget| forget.answer(Err(StatsError::Journal(error.to_owned()))));
}

pub(super) fn closed() -> StatsError {
    StatsError::Journal("it is closed".to_owned())
}

#[derive(Debug, Default)]
pub(super) struct Forgets(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_closed: bool,
    /// They are to be written.
    asked: Vec<Forget>,
    /// They are durable in the journal.
    written: Vec<Forget>,
}

impl Forgets {
    /// Asks for a link to be forgotten; what tells when it is.
    ///
    /// # Errors
    /// If there is trouble already, so that not many wait until it is over; or if many wait without.
    pub(super) fn ask(
        &self,
        link: u64,
        trouble: Option<String>,
    ) -> Result<Receiver<Result<(), StatsError>>, StatsError> {
        if let Some(trouble) = trouble {
            return Err(StatsError::Journal(trouble));
        }
        let mut state = self.0.lock();
        if state.is_closed {
            return Err(closed());
        }
        if state.asked.len() >= CLICK_FORGETS {
            let reason = format!("{CLICK_FORGETS} links wait to be forgotten; try again when they are");
            return Err(StatsError::Journal(reason));
        }
        let (done, told) = crossbeam_channel::bounded(1);
        state.asked.push(Forget { link, until: WindowId::default(), done });
        Ok(told)
    }

    pub(super) fn take_asked(&self) -> Vec<Forget> {
        take(&mut self.0.lock().asked)
    }

    /// They stand in the journal, at this entry at the latest.
    pub(super) fn written(&self, forgets: &mut Vec<Forget>, until: WindowId) {
        let forgets = forgets.drain(..).map(|forget| Forget { until, ..forget });
        let mut state = self.0.lock();
        if state.is_closed {
            // Nobody takes them: they are told by being dropped.
            return forgets.for_each(drop);
        }
        state.written.extend(forgets);
    }

    pub(super) fn take_written(&self) -> Vec<Forget> {
        take(&mut self.0.lock().written)
    }

    /// Nobody forgets anything any more.
    pub(super) fn close(&self) {
        *self.0.lock() = State { is_closed: true, ..State::default() };
    }
}
