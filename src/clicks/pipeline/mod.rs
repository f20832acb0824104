//! What becomes of clicks once a worker has counted them: two threads, with the journal between them.
//!
//! - `carom-clicks` makes durable what workers hand over, five times a second. What is in its way is told once.
//! - `carom-rollups` reads the journal from where the rollups stand, which after a crash is what was not flushed, and
//!   else what came a moment ago; flushes now and then; and has journal deleted that is not needed any more.
//!
//! A redirect waits for neither (I7).

mod forget;
mod journaling;
mod rolling;
mod status;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::batch::{Entry, WindowId};
use super::intake::{Intake, Source};
use super::journal::{Journal, JournalConfig, JournalError, JournalReader};
use super::stats::{Forget, StatsError};
use crate::limits::CLICK_SYNC_MS;
use crate::log::disk::Disk;
use forget::Forgets;
use journaling::Journaling;
use rolling::Rolling;
use status::SharedStatus;

pub use status::ClicksStatus;

/// The journal, in the directory of the clicks.
const JOURNAL: &str = "journal";

/// What brings clicks into the statistics.
pub(in crate::clicks) trait Consumer: Send {
    /// The last entry before which all is durable.
    fn position(&self) -> WindowId;

    /// The last entry of which anything is known, which may be behind the position: new ones get ids behind it.
    fn highest(&self) -> WindowId;

    /// Clicks that came too late to be counted, since it was asked last.
    fn take_late_clicks(&mut self) -> u64 {
        0
    }

    /// Takes an entry; they come in order, and one that was taken before is passed over.
    ///
    /// # Errors
    /// Then nothing of it counts, and it is given again.
    fn apply(&mut self, entry: &Entry) -> Result<(), StatsError>;

    /// Whether it holds so much in memory that it wants to be flushed.
    fn is_flush_due(&self) -> bool;

    /// Makes durable what was applied; its position after that.
    ///
    /// # Errors
    /// Then it is tried again later.
    fn flush(&mut self) -> Result<WindowId, StatsError>;

    /// A small step of what is to be done now and then; `now_s` is in seconds since 1970.
    ///
    /// # Errors
    /// Then it is tried again later.
    fn maintain(&mut self, now_s: u64) -> Result<(), StatsError>;
}

/// Why clicks can't be counted.
#[derive(Debug, thiserror::Error)]
pub enum ClicksError {
    /// The journal can't be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The statistics can't be read or written.
    #[error(transparent)]
    Stats(#[from] StatsError),
    /// A thread can't be started.
    #[error("starting the thread {0}: {1}{hint}", hint = crate::log::hint(.1))]
    Thread(&'static str, std::io::Error),
    /// A thread has panicked. What it had made durable stays.
    #[error("the thread {0} panicked")]
    Panicked(&'static str),
}

/// Where the clicks lie, and how often something is done with them.
#[derive(Debug, Clone)]
pub struct PipelineConfig {
    /// The directory of the clicks.
    pub dir: PathBuf,
    /// How often clicks are made durable.
    pub sync_interval: Duration,
    /// How often the statistics are flushed, if nothing asks for it sooner.
    pub flush_interval: Duration,
    /// After so many bytes of journal they are flushed, too.
    pub flush_bytes: u64,
    /// How often they are maintained.
    pub maintain_interval: Duration,
}

impl PipelineConfig {
    /// Clicks in this directory, with everything else as usual.
    pub fn new(dir: PathBuf) -> Self {
        PipelineConfig {
            dir,
            sync_interval: Duration::from_millis(CLICK_SYNC_MS),
            flush_interval: Duration::from_secs(5 * 60),
            flush_bytes: 128 * 1024 * 1024,
            maintain_interval: Duration::from_secs(60),
        }
    }
}

/// What is told of: the first error, and the first success after errors.
#[derive(Debug)]
pub(super) enum Told {
    JournalFails(String),
    JournalWorks,
    StatisticsFail(String),
    StatisticsWork,
    /// A thread has panicked.
    Panicked(String),
}

pub(super) type Tell = Box<dyn Fn(Told) + Send + Sync>;

/// Says it on stderr.
pub(super) fn tell_on_stderr(told: Told) {
    let mut stderr = std::io::stderr();
    // Where stderr is closed, `eprintln!` would panic.
    let _ = match told {
        Told::JournalFails(error) => writeln!(
            stderr,
            "carom: clicks can't be made durable: {error}. They are counted on in memory, at coarser times when they \
             get many, and written when that is over; if carom ends before, they are lost. Redirects go on"
        ),
        Told::JournalWorks => writeln!(stderr, "carom: clicks are made durable again"),
        Told::StatisticsFail(error) => writeln!(
            stderr,
            "carom: clicks can't be brought into the statistics: {error}. They are kept in the journal until that is \
             over. Redirects go on"
        ),
        Told::StatisticsWork => writeln!(stderr, "carom: clicks are brought into the statistics again"),
        Told::Panicked(error) => writeln!(stderr, "carom: {error}. Redirects go on; start carom again to count clicks"),
    };
}

/// What the threads share with those who ask.
struct Shared {
    intake: Intake,
    status: SharedStatus,
    forgets: Forgets,
    /// The journal is to be closed.
    is_stopping: AtomicBool,
    /// Nothing more comes into the journal.
    has_journal_ended: AtomicBool,
    wake_journal: Sender<()>,
    wake_rollups: Sender<()>,
    tell: Tell,
}

/// Wakes a thread, unless it was woken already.
fn wake(thread: &Sender<()>) {
    let _ = thread.try_send(());
}

/// The two threads.
pub(super) struct Pipeline {
    shared: Arc<Shared>,
    journal: Option<JoinHandle<Result<(), ClicksError>>>,
    rollups: Option<JoinHandle<Result<(), ClicksError>>>,
}

const JOURNAL_THREAD: &str = "carom-clicks";
const ROLLUPS_THREAD: &str = "carom-rollups";

impl Pipeline {
    /// Opens the journal, and starts the threads.
    ///
    /// # Errors
    /// If the journal can't be read, is damaged or of another version, or a thread can't be started.
    pub(super) fn start(
        config: PipelineConfig,
        disk: Arc<dyn Disk>,
        consumer: impl Consumer + 'static,
        tell: Tell,
    ) -> Result<Self, ClicksError> {
        let position = consumer.position();
        let journal = Journal::open(disk, JournalConfig::new(config.dir.join(JOURNAL)), consumer.highest())?;
        let reader = JournalReader::new(&journal, position);
        let (wake_journal, journal_woken) = crossbeam_channel::bounded(1);
        let (wake_rollups, rollups_woken) = crossbeam_channel::bounded(1);
        let shared = Arc::new(Shared {
            intake: Intake::default(),
            status: SharedStatus::default(),
            forgets: Forgets::default(),
            is_stopping: AtomicBool::new(false),
            has_journal_ended: AtomicBool::new(false),
            wake_journal,
            wake_rollups,
            tell,
        });
        let mut pipeline = Pipeline { shared: Arc::clone(&shared), journal: None, rollups: None };
        let rolling = Rolling::new(Arc::clone(&shared), reader, consumer, journal.durable().boot, &config);
        pipeline.rollups = Some(spawn(ROLLUPS_THREAD, &shared, move || rolling.run(&rollups_woken))?);
        let journaling = Journaling::new(Arc::clone(&shared), journal, config.sync_interval);
        pipeline.journal = Some(spawn(JOURNAL_THREAD, &shared, move || journaling.run(&journal_woken))?);
        Ok(pipeline)
    }

    /// The same for those who count and ask.
    pub(super) fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared))
    }

    /// What deletes all that is known of a link, and returns when that is durable.
    pub(super) fn forget_hook(&self) -> Forget {
        let shared = Arc::clone(&self.shared);
        Box::new(move |link| {
            let done = shared.forgets.ask(link, shared.status.journal_trouble())?;
            wake(&shared.wake_journal);
            // They are dropped when the threads end.
            done.recv().unwrap_or_else(|_| Err(forget::closed()))
        })
    }

    /// Makes durable what was handed over before, brings it into the statistics, and ends the threads. What is handed over
    /// later is lost.
    ///
    /// # Errors
    /// If it can't be made durable, or not brought into the statistics; then the next start does.
    pub(super) fn close(mut self) -> Result<(), ClicksError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), ClicksError> {
        self.shared.is_stopping.store(true, Ordering::Release);
        wake(&self.shared.wake_journal);
        let journal = join(self.journal.take(), JOURNAL_THREAD);
        self.shared.has_journal_ended.store(true, Ordering::Release);
        wake(&self.shared.wake_rollups);
        let rollups = join(self.rollups.take(), ROLLUPS_THREAD);
        self.shared.forgets.close();
        journal.and(rollups)
    }
}

/// What is shared of the threads.
pub(super) struct Handle(Arc<Shared>);

impl Handle {
    /// Where a worker hands over what it counts.
    pub(super) fn source(&self) -> Source {
        self.0.intake.source()
    }

    /// How it stands.
    pub(super) fn status(&self) -> ClicksStatus {
        self.0.status.get()
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // Nobody is left to hear of it; after `close` there is nothing to do.
        drop(self.end());
    }
}

fn join(thread: Option<JoinHandle<Result<(), ClicksError>>>, name: &'static str) -> Result<(), ClicksError> {
    let Some(thread) = thread else { return Ok(()) };
    thread.join().unwrap_or(Err(ClicksError::Panicked(name)))
}

fn spawn(
    name: &'static str,
    shared: &Arc<Shared>,
    body: impl FnOnce() -> Result<(), ClicksError> + Send + 'static,
) -> Result<JoinHandle<Result<(), ClicksError>>, ClicksError> {
    let panics = Panics { name, shared: Arc::clone(shared) };
    let thread = std::thread::Builder::new().name(name.to_owned());
    let body = move || {
        let _panics = panics;
        body()
    };
    thread.spawn(body).map_err(|error| ClicksError::Thread(name, error))
}

/// Tells, when it is dropped by a panic, that a thread has ended before its time.
struct Panics {
    name: &'static str,
    shared: Arc<Shared>,
}

impl Drop for Panics {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let error = ClicksError::Panicked(self.name).to_string();
        self.shared.status.set_panic(error.clone());
        self.shared.forgets.close();
        (self.shared.tell)(Told::Panicked(error));
    }
}
