//! The thread that saves once a second.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::{Uses, UsesError};
use crate::limits::USES_SAVE_MS;

/// While saving fails, it is tried less and less often, down to once in this many times the interval: each try may write
/// the whole file.
const PAUSES_MAX: u32 = 60;

/// What is worth to be told, beside that saving fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsesNews {
    /// Saving works again.
    SavedAgain,
    /// A click was refused because as many links are counted as can be. Told once.
    Full,
}

/// The thread that saves [`Uses`] once a second, and when it is stopped.
pub struct UsesSaver {
    /// Dropped to stop the thread.
    stop: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<Result<(), UsesError>>>,
}

impl UsesSaver {
    /// Starts the thread. `tell` hears the first error, the first success after errors, and that no more links are
    /// counted.
    ///
    /// # Errors
    /// If the thread can't be started.
    pub fn start(uses: Arc<Uses>, tell: impl FnMut(Result<UsesNews, UsesError>) + Send + 'static) -> io::Result<Self> {
        UsesSaver::start_with(uses, Duration::from_millis(USES_SAVE_MS), tell)
    }

    pub(super) fn start_with(
        uses: Arc<Uses>,
        interval: Duration,
        tell: impl FnMut(Result<UsesNews, UsesError>) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let thread = std::thread::Builder::new().name("carom-uses".to_owned());
        let thread = thread.spawn(move || run(&uses, interval, &stopped, tell))?;
        Ok(UsesSaver { stop: Some(stop), thread: Some(thread) })
    }

    /// Saves once more, and ends. To be called when nothing is counted any more.
    ///
    /// Dropping does the same and keeps silent about errors.
    ///
    /// # Errors
    /// Of this last save.
    pub fn stop(mut self) -> Result<(), UsesError> {
        drop(self.stop.take());
        let thread = self.thread.take().expect("the thread is there until the end");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for UsesSaver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Nobody is left to hear of it.
            drop(thread.join());
        }
    }
}

fn run(
    uses: &Uses,
    interval: Duration,
    stopped: &Receiver<Infallible>,
    mut tell: impl FnMut(Result<UsesNews, UsesError>),
) -> Result<(), UsesError> {
    let mut pause = interval;
    let (mut is_failing, mut is_full) = (false, false);
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(pause) {
        let saved = uses.save();
        pause = if saved.is_ok() { interval } else { (pause * 2).min(interval * PAUSES_MAX) };
        if saved.is_err() != is_failing {
            is_failing = !is_failing;
            tell(saved.map(|()| UsesNews::SavedAgain));
        }
        if !is_full && uses.refused() > 0 {
            is_full = true;
            tell(Ok(UsesNews::Full));
        }
    }
    uses.save()
}
