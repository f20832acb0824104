//! Counting clicks as a whole: who tells who clicks, and what becomes of what workers record.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::batch::{Entry, WindowId};
use super::intake::Source;
use super::pipeline::{ClicksError, ClicksStatus, Consumer, Handle, Pipeline, PipelineConfig, tell_on_stderr};
use super::recorder::Recorder;
use super::rollups::{LinkTags, Rollups, RollupsConfig};
use super::stats::{Stats, StatsError};
use super::visiting::{Keep, VisitConfig, VisitError, Visiting};
use crate::log::disk::Disk;

/// How clicks are counted.
#[derive(Debug, Clone)]
pub struct ClicksConfig {
    /// How they are told apart, and what is kept of them.
    pub visits: VisitConfig,
    /// Where they lie, how long, and what they may take.
    pub rollups: RollupsConfig,
    /// How often something is done with them.
    pub pipeline: PipelineConfig,
}

impl ClicksConfig {
    /// With everything as usual, in this directory.
    pub fn new(dir: PathBuf) -> Self {
        ClicksConfig {
            visits: VisitConfig::default(),
            rollups: RollupsConfig::new(dir.clone()),
            pipeline: PipelineConfig::new(dir),
        }
    }
}

/// Why clicks can't be counted.
#[derive(Debug, thiserror::Error)]
pub enum CountingError {
    /// It can't be told who clicks.
    #[error(transparent)]
    Visit(#[from] VisitError),
    /// What was counted can't be read or written.
    #[error(transparent)]
    Clicks(#[from] ClicksError),
}

/// What the threads of a process share to count clicks and to ask for them.
pub struct Clicks {
    visiting: Arc<Visiting>,
    keep: Keep,
    pipeline: Handle,
    stats: Stats,
}

/// The counting of clicks together with its threads. Closing ends them.
pub struct OwnedClicks {
    clicks: Arc<Clicks>,
    pipeline: Pipeline,
}

impl OwnedClicks {
    /// Opens what was counted, and starts the threads that count on. What hinders nothing is said on stderr.
    ///
    /// # Errors
    /// If a file that is named can't be read, what was counted can't be read, or a thread can't be started.
    pub fn open(config: &ClicksConfig, disk: Arc<dyn Disk>, tags: Arc<dyn LinkTags>) -> Result<Self, CountingError> {
        let dir = &config.rollups.dir;
        let (visiting, notes) = Visiting::open(&config.visits, dir)?;
        notes.iter().for_each(|note| tell(note));
        let visiting = Arc::new(visiting);
        let (mut rollups, stats) = Rollups::open(config.rollups.clone(), tags).map_err(ClicksError::from)?;
        rollups.take_notes().iter().for_each(|note| tell(note));
        let consumer = LookedAfter { rollups, visiting: Arc::clone(&visiting) };
        let pipeline = Pipeline::start(config.pipeline.clone(), disk, consumer, Box::new(tell_on_stderr))?;
        stats.set_forget(pipeline.forget_hook());
        let clicks = Clicks { visiting, keep: config.visits.keep, pipeline: pipeline.handle(), stats };
        Ok(OwnedClicks { clicks: Arc::new(clicks), pipeline })
    }

    /// To share with other threads.
    pub fn clicks(&self) -> &Arc<Clicks> {
        &self.clicks
    }

    /// Makes durable what was handed over before, brings it into the statistics, and ends the threads. What is handed
    /// over later is lost, so the workers are to end before.
    ///
    /// # Errors
    /// If it can't be made durable; or not brought into the statistics: then the next start does that.
    pub fn close(self) -> Result<(), ClicksError> {
        self.pipeline.close()
    }
}

impl Clicks {
    /// What a worker records clicks with.
    pub fn recorder(&self) -> Recorder {
        let source = matches!(self.keep, Keep::Details | Keep::Counts).then(|| self.source());
        Recorder::new(Arc::clone(&self.visiting), source)
    }

    /// Where a worker hands over what it counts. Each has one of its own.
    pub fn source(&self) -> Source {
        self.pipeline.source()
    }

    /// Answers questions about what was counted.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What is kept of clicks.
    pub fn keep(&self) -> Keep {
        self.keep
    }

    /// How it stands; cheap to ask.
    pub fn status(&self) -> ClicksStatus {
        self.pipeline.status()
    }
}

/// The rollups, and beside them what else is to be done now and then.
struct LookedAfter {
    rollups: Rollups,
    visiting: Arc<Visiting>,
}

impl Consumer for LookedAfter {
    fn position(&self) -> WindowId {
        self.rollups.position()
    }

    fn highest(&self) -> WindowId {
        self.rollups.highest()
    }

    fn take_late_clicks(&mut self) -> u64 {
        self.rollups.take_late_clicks()
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), StatsError> {
        self.rollups.apply(entry)
    }

    fn is_flush_due(&self) -> bool {
        self.rollups.is_flush_due()
    }

    fn flush(&mut self) -> Result<WindowId, StatsError> {
        self.rollups.flush()
    }

    fn maintain(&mut self, now_s: u64) -> Result<(), StatsError> {
        self.visiting.look_after().iter().for_each(|note| tell(note));
        let maintained = self.rollups.maintain(now_s);
        self.rollups.take_notes().iter().for_each(|note| tell(note));
        maintained
    }
}

/// Says it on stderr; where that is closed, nobody hears it.
fn tell(note: &str) {
    let _ = writeln!(std::io::stderr(), "carom: {note}");
}
