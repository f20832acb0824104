//! The threads, with a consumer in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{ClicksError, Consumer, Pipeline, PipelineConfig, Told};
use crate::clicks::batch::{Batch, Entry, LinkCount, WindowId};
use crate::clicks::stats::StatsError;
use crate::log::disk::Disk;
use crate::log::disk::simulated::SimulatedDisk;

/// What is known of the statistics; it outlives the pipeline, as a disk does.
#[derive(Debug, Default)]
struct Known {
    applied: State,
    flushed: State,
    maintained: u64,
    is_failing: bool,
    panics: bool,
}

#[derive(Debug, Clone, Default)]
struct State {
    position: WindowId,
    clicks: BTreeMap<u64, u64>,
}

#[derive(Debug, Clone, Default)]
struct InMemory(Arc<Mutex<Known>>);

impl InMemory {
    /// What another process finds.
    fn restarted(&self) -> Self {
        let flushed = self.0.lock().flushed.clone();
        InMemory(Arc::new(Mutex::new(Known { applied: flushed.clone(), flushed, ..Known::default() })))
    }

    fn flushed(&self) -> BTreeMap<u64, u64> {
        self.0.lock().flushed.clicks.clone()
    }

    fn applied(&self, link: u64) -> u64 {
        self.0.lock().applied.clicks.get(&link).copied().unwrap_or(0)
    }
}

impl Consumer for InMemory {
    fn position(&self) -> WindowId {
        self.0.lock().flushed.position
    }

    fn highest(&self) -> WindowId {
        self.position()
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), StatsError> {
        let known = &mut *self.0.lock();
        if known.is_failing {
            return Err(StatsError::Journal("it fails".to_owned()));
        }
        assert!(!known.panics, "as the test wants it");
        assert!(entry.id() > known.applied.position);
        known.applied.position = entry.id();
        match entry {
            Entry::Window(window) => {
                for count in &window.batch.counts {
                    *known.applied.clicks.entry(count.link).or_default() += u64::from(count.counts[0]);
                }
            }
            Entry::Forget { link, .. } => _ = known.applied.clicks.remove(link),
        }
        Ok(())
    }

    fn is_flush_due(&self) -> bool {
        false
    }

    fn flush(&mut self) -> Result<WindowId, StatsError> {
        let known = &mut *self.0.lock();
        known.flushed = known.applied.clone();
        Ok(known.flushed.position)
    }

    fn maintain(&mut self, now_s: u64) -> Result<(), StatsError> {
        assert!(now_s > 1_600_000_000);
        self.0.lock().maintained += 1;
        Ok(())
    }
}

fn config() -> PipelineConfig {
    let millisecond = Duration::from_millis(1);
    let config = PipelineConfig::new("/clicks".into());
    PipelineConfig { sync_interval: millisecond, maintain_interval: millisecond, ..config }
}

fn start(disk: &SimulatedDisk, consumer: &InMemory) -> Result<Pipeline, ClicksError> {
    Pipeline::start(config(), Arc::new(disk.clone()), consumer.clone(), Box::new(|_| {}))
}

fn click(link: u64) -> Batch {
    Batch { time_s: 1_767_225_600, counts: vec![LinkCount { link, counts: [1, 0, 0, 0] }], ..Batch::default() }
}

/// Waits for what another thread does soon.
fn wait_for(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "it does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The power is lost. What the threads do after that does not reach the disk.
fn crash(disk: &SimulatedDisk, pipeline: Pipeline) {
    disk.crash_in(1);
    while !disk.is_down() {
        let _ = disk.free_bytes(Path::new("/"));
    }
    drop(pipeline);
    disk.crash();
}

#[test]
fn clicks_come_into_the_statistics_by_themselves_and_are_flushed_at_the_end() {
    let (disk, consumer) = (SimulatedDisk::new(0), InMemory::default());
    let pipeline = start(&disk, &consumer).unwrap();
    let source = pipeline.shared.intake.source();
    source.put(click(1));
    source.put(click(1));
    wait_for(|| consumer.applied(1) == 2 && consumer.0.lock().maintained > 1);
    assert!(consumer.flushed().is_empty());
    wait_for(|| pipeline.shared.status.get().lag_windows == 0);
    let status = pipeline.shared.status.get();
    assert_eq!((status.windows, status.counts, status.trouble), (2, 2, None));
    assert!(status.synced_at_ms > 0 && status.journal_bytes > 64);
    source.put(click(2));
    pipeline.close().unwrap();
    assert_eq!(consumer.flushed(), BTreeMap::from([(1, 2), (2, 1)]));
}

#[test]
fn what_was_not_flushed_at_a_crash_is_read_again_and_once() {
    let disk = SimulatedDisk::new(0);
    let mut consumer = InMemory::default();
    for run in 1..=5 {
        let pipeline = start(&disk, &consumer).unwrap();
        let source = pipeline.shared.intake.source();
        (0..20).for_each(|_| source.put(click(1)));
        wait_for(|| consumer.applied(1) == run * 20);
        // Nothing that the threads do from now on reaches the disk, or those after them.
        let left = consumer.restarted();
        crash(&disk, pipeline);
        consumer = left;
    }
    let pipeline = start(&disk, &consumer).unwrap();
    pipeline.close().unwrap();
    assert_eq!(consumer.flushed(), BTreeMap::from([(1, 100)]));
}

#[test]
fn a_forgotten_link_is_forgotten_for_good_when_that_returns() {
    let (disk, consumer) = (SimulatedDisk::new(0), InMemory::default());
    let pipeline = start(&disk, &consumer).unwrap();
    let source = pipeline.shared.intake.source();
    source.put(click(1));
    source.put(click(2));
    let forget = pipeline.forget_hook();
    forget(1).unwrap();
    assert_eq!(consumer.flushed(), BTreeMap::from([(2, 1)]));
    let left = consumer.restarted();
    crash(&disk, pipeline);
    assert!(forget(2).unwrap_err().to_string().contains("closed"));
    let pipeline = start(&disk, &left).unwrap();
    pipeline.close().unwrap();
    assert_eq!(left.flushed(), BTreeMap::from([(2, 1)]));
}

#[test]
fn trouble_is_told_once_and_when_it_is_over_nothing_was_lost() {
    let (disk, consumer) = (SimulatedDisk::new(0), InMemory::default());
    let (tell, told) = crossbeam_channel::unbounded();
    let tell = Box::new(move |trouble| tell.send(trouble).expect("the test listens"));
    let pipeline = Pipeline::start(config(), Arc::new(disk.clone()), consumer.clone(), tell).unwrap();
    let (source, forget) = (pipeline.shared.intake.source(), pipeline.forget_hook());

    disk.set_capacity(Some(0));
    source.put(click(1));
    let Told::JournalFails(error) = told.recv().unwrap() else { panic!("it is the journal that fails") };
    assert!(error.contains("/clicks/journal") && error.contains("Free some space"), "{error}");
    assert!(pipeline.shared.status.get().trouble.is_some_and(|trouble| trouble.contains("Free some space")));
    assert!(forget(1).unwrap_err().to_string().contains("Free some space"));
    let calls = disk.calls();
    wait_for(|| disk.calls() > calls + 10);
    source.put(click(1));
    disk.set_capacity(None);
    assert!(matches!(told.recv().unwrap(), Told::JournalWorks));
    wait_for(|| consumer.applied(1) == 2);

    consumer.0.lock().is_failing = true;
    source.put(click(1));
    let Told::StatisticsFail(error) = told.recv().unwrap() else { panic!("it is the statistics that fail") };
    assert!(error.contains("it fails"), "{error}");
    assert!(forget(9).unwrap_err().to_string().contains("it fails"));
    source.put(click(1));
    consumer.0.lock().is_failing = false;
    assert!(matches!(told.recv().unwrap(), Told::StatisticsWork));
    wait_for(|| consumer.applied(1) == 4);
    assert!(told.is_empty());

    disk.set_capacity(Some(0));
    source.put(click(1));
    assert!(matches!(pipeline.close(), Err(ClicksError::Journal(_))));
    assert_eq!(consumer.flushed(), BTreeMap::from([(1, 4)]));
}

#[test]
fn a_damaged_journal_is_refused_with_its_place() {
    let (disk, consumer) = (SimulatedDisk::new(0), InMemory::default());
    for _ in 0..2 {
        let pipeline = start(&disk, &consumer.restarted()).unwrap();
        pipeline.shared.intake.source().put(click(1));
        pipeline.close().unwrap();
    }
    disk.flip_bit_at(Path::new("/clicks/journal/0000000000000002.clicks"), 33, 0);
    let error = start(&disk, &consumer).err().unwrap().to_string();
    assert!(error.contains("0000000000000002.clicks is damaged at offset 0"), "{error}");
}

#[test]
fn a_thread_that_panics_is_told_and_nobody_waits_for_it() {
    let (disk, consumer) = (SimulatedDisk::new(0), InMemory::default());
    let (tell, told) = crossbeam_channel::unbounded();
    let tell = Box::new(move |trouble| tell.send(trouble).expect("the test listens"));
    let pipeline = Pipeline::start(config(), Arc::new(disk.clone()), consumer.clone(), tell).unwrap();
    consumer.0.lock().panics = true;
    pipeline.shared.intake.source().put(click(1));
    // Asked before and after.
    assert!(pipeline.forget_hook()(1).is_err());
    let Told::Panicked(error) = told.recv().unwrap() else { panic!("it is a thread that ended") };
    assert!(error.contains("carom-rollups"), "{error}");
    assert_eq!(pipeline.shared.status.get().trouble, Some(error.clone()));
    assert!(pipeline.forget_hook()(1).unwrap_err().to_string().contains(&error));
    assert!(matches!(pipeline.close(), Err(ClicksError::Panicked(_))));
}
