//! What is measured. Each step runs in a process of its own, so that its memory is its own.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use carom::engine::{Engine, EngineConfig, OwnedEngine};
use carom::link::{Command, Precondition};
use carom::log::disk::{Access, Disk, FileWriter, RealDisk};
use carom::store::StoreKind;
use serde_json::{Value, json};

use crate::links::{self, Order};
use crate::process::{disk_bytes, peak_resident_bytes, resident_bytes};

fn config(store: StoreKind, data: &Path) -> EngineConfig {
    // Redirects are not what is measured: a small cache, so that what is resident is the write path's.
    EngineConfig { cache_bytes: 16 << 20, store: Some(store), ..EngineConfig::new(data.to_owned()) }
}

fn open(store: StoreKind, data: &Path) -> Result<OwnedEngine> {
    Ok(OwnedEngine::open(&config(store, data))?.0)
}

/// Appends of 512 bytes to a preallocated file, each followed by fdatasync: what the disk itself can do.
fn syncs_per_second(data: &Path, time: Duration) -> Result<f64> {
    const BYTES: u64 = 16 << 20;
    let path = data.join("sync-probe");
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    file.write_all_at(&vec![1; BYTES as usize], 0)?;
    file.sync_all()?;
    let start = Instant::now();
    let mut syncs = 0;
    while start.elapsed() < time {
        file.write_all_at(&[2; 512], syncs * 512 % BYTES)?;
        file.sync_data()?;
        syncs += 1;
    }
    let rate = syncs as f64 / start.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// Creates by so many writers at once, each of which waits for its acknowledgement before the next.
fn creates_per_second(engine: &Engine, writers: u64, time: Duration, next: &AtomicU64) -> Result<f64> {
    let (stop, created) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let command = Command {
                            key: links::key(number.wrapping_mul(0x9e37_79b9) % (1 << 32), 1 << 32),
                            action: links::action(number, 0),
                            precondition: Precondition::Absent,
                        };
                        engine.submit(None, vec![command])?;
                        created.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().try_for_each(|thread| thread.join().expect("a writer does not panic"))
    })?;
    Ok(created.into_inner() as f64 / start.elapsed().as_secs_f64())
}

/// Single durable creates beside the disk's own rate, in turns.
pub(crate) fn creates(store: StoreKind, data: &Path, rounds: u64, seconds: u64) -> Result<Value> {
    let owned = open(store, data)?;
    let (time, next) = (Duration::from_secs(seconds), AtomicU64::new(0));
    let mut measured = Vec::new();
    for _ in 0..rounds {
        let syncs = syncs_per_second(data, time)?;
        let one = creates_per_second(owned.engine(), 1, time, &next)?;
        let many = creates_per_second(owned.engine(), 64, time, &next)?;
        measured.push(json!({ "syncs": syncs, "one_writer": one, "many_writers": many }));
    }
    owned.close()?;
    Ok(json!({ "rounds": measured, "peak_resident_bytes": peak_resident_bytes()? }))
}

/// Many links as one set.
pub(crate) fn import(store: StoreKind, data: &Path, links: u64, order: Order) -> Result<Value> {
    let owned = open(store, data)?;
    let start = Instant::now();
    let mut set = owned.engine().begin_set()?;
    for place in 0..links {
        let number = links::number_at(order, place, links);
        set.add(links::key(number, links), links::action(number, 0))?;
    }
    let written = start.elapsed();
    let summary = set.commit()?.outcome;
    let acknowledged = start.elapsed();
    ensure!(summary.created == links, "{} links were created", summary.created);
    owned.close()?;
    let closed = start.elapsed();
    Ok(json!({
        "written_s": written.as_secs_f64(),
        "acknowledged_s": acknowledged.as_secs_f64(),
        "closed_s": closed.as_secs_f64(),
        "links_per_s": links as f64 / acknowledged.as_secs_f64(),
        "peak_resident_bytes": peak_resident_bytes()?,
    }))
}

/// A start on what is there, with reads of random links after it.
pub(crate) fn start(store: StoreKind, data: &Path, links: u64, reads: u64) -> Result<Value> {
    let start = Instant::now();
    let (owned, recovery) = OwnedEngine::open(&config(store, data))?;
    let opened = start.elapsed();
    let resident = resident_bytes()?;
    let start = Instant::now();
    for read in 0..reads {
        let key = links::key(read.wrapping_mul(0x9e37_79b9_7f4a_7c15) % links, links);
        ensure!(owned.engine().stored_entry(key.as_str())?.link.is_some(), "{key} is missing");
    }
    let read = start.elapsed();
    owned.close()?;
    Ok(json!({
        "open_s": opened.as_secs_f64(),
        "loaded_entries": recovery.loaded_entries,
        "applied_records": recovery.applied_records,
        "resident_bytes": resident,
        "peak_resident_bytes": peak_resident_bytes()?,
        "reads_per_s": reads as f64 / read.as_secs_f64(),
    }))
}

/// A snapshot into the directory that a start builds from, while one writer goes on; the longest that it waited.
pub(crate) fn snapshot(store: StoreKind, data: &Path) -> Result<Value> {
    let owned = open(store, data)?;
    let engine = owned.engine();
    let dir = data.join("snapshots");
    std::fs::create_dir_all(&dir)?;
    let path = dir.join("taken");
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(1 << 40));
    let probe = |time: Duration| -> Result<Duration> {
        let (start, mut longest) = (Instant::now(), Duration::ZERO);
        while start.elapsed() < time && !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let key = links::key(number % (1 << 20), 1 << 20);
            let command = Command { key, action: links::action(number, number), precondition: Precondition::None };
            let begun = Instant::now();
            engine.submit(None, vec![command])?;
            longest = longest.max(begun.elapsed());
        }
        Ok(longest)
    };
    let before = probe(Duration::from_secs(3))?;
    let (manifest, time, bytes, during) = std::thread::scope(|scope| -> Result<_> {
        let probing = scope.spawn(|| probe(Duration::from_secs(3_600)));
        let start = Instant::now();
        let mut out = FileWriter::new(RealDisk.open(&path, Access::Create)?);
        let manifest = engine.backup(&mut out);
        out.file().sync()?;
        let time = start.elapsed();
        stop.store(true, Ordering::Relaxed);
        let during = probing.join().expect("it does not panic")?;
        Ok((manifest?, time, out.file().bytes()?, during))
    })?;
    std::fs::rename(&path, dir.join(format!("{:020}.snapshot", manifest.header.sequence)))?;
    owned.close()?;
    Ok(json!({
        "seconds": time.as_secs_f64(),
        "bytes": bytes,
        "entries": manifest.entries,
        "longest_change_before_ms": before.as_secs_f64() * 1e3,
        "longest_change_during_ms": during.as_secs_f64() * 1e3,
        "peak_resident_bytes": peak_resident_bytes()?,
    }))
}

/// What the store takes on the disk, beside its keys and values.
pub(crate) fn disk(store: StoreKind, data: &Path, links: u64) -> Result<Value> {
    let path = data.join("store");
    let mut raw_bytes = 0;
    {
        let store = carom::store::open(Some(store), &path, 2 << 20).context("opening the store")?;
        store.scan(&[], &mut |key, value| {
            raw_bytes += (key.len() + value.len()) as u64;
            std::ops::ControlFlow::Continue(())
        })?;
    }
    let disk_bytes = disk_bytes(&path)?;
    Ok(json!({
        "disk_bytes": disk_bytes,
        "raw_bytes": raw_bytes,
        "disk_over_raw": disk_bytes as f64 / raw_bytes as f64,
        "raw_bytes_per_link": raw_bytes as f64 / links as f64,
    }))
}
