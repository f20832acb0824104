//! Snapshots that are taken while changes go on, and the cut of the log behind them.

use std::sync::Arc;

use crossbeam_channel::bounded;

use super::Driver;
use super::requests::Answer;
use crate::engine::TakeError;
use crate::engine::requests::Request;
use crate::engine::snapshot::{Begun, Taking};

impl Driver {
    pub(super) fn snapshot(&mut self) {
        let answer = self.group_and(|running| {
            let (reply, answer): (_, Answer<Begun>) = bounded(1);
            running.requests.send(Request::SnapshotBegin { is_backup: false, reply }).expect("the queue is there");
            answer
        });
        let Some(Ok(Ok(begun))) = answer.map(|answer| answer.try_recv()) else { return };
        // Nothing of the log is in doubt when a snapshot begins.
        self.world.all_is_durable();
        let entries = self.world.place.content().entries;
        let ground = Arc::clone(&self.world.ground);
        let (sequence, steps, is_abandoned) = (begun.sequence(), self.rng.usize(2..40), self.rng.u8(0..8) == 0);
        self.trace(|| format!("a snapshot of {sequence} begins"));
        let mut changes = 0;
        let taken = ground.snapshots.add(sequence, |file| {
            let mut taking = Taking::new(begun, file)?;
            loop {
                if is_abandoned && self.rng.u8(0..4) == 0 {
                    return Err(TakeError::GivenUp("for this test".to_owned()));
                }
                if self.rng.bool() && !self.world.disk.is_down() {
                    changes += 1;
                    self.step(true);
                }
                if !taking.step(steps)? {
                    return taking.finish();
                }
            }
        });
        self.trace(|| format!("the snapshot of {sequence}: {:?}", taken.as_ref().map(|manifest| manifest.entries)));
        match taken {
            Ok(_) if self.world.disk.is_down() => {}
            Ok(_) => {
                self.world.seen.count(if changes > 1 { "a snapshot while changes went on" } else { "a snapshot" });
                self.world.check_snapshot(sequence, &entries);
                if self.rng.u8(0..4) > 0 {
                    self.cut();
                }
            }
            Err(TakeError::GivenUp(reason)) if reason == "for this test" => {
                self.world.seen.count("a snapshot given up")
            }
            Err(TakeError::GivenUp(_)) => self.world.seen.count("a snapshot of a store that failed"),
            Err(error) => {
                assert!(self.is_armed || self.has_limit, "no snapshot without a cause: {error}");
                let what = if self.world.disk.is_down() { "a crash within a snapshot" } else { "a failed snapshot" };
                self.world.seen.count(what);
            }
        }
    }

    /// Removes old snapshots and what of the log nobody needs any more.
    pub(super) fn cut(&mut self) {
        let ground = Arc::clone(&self.world.ground);
        let before = match ground.snapshots.retain(ground.snapshots_kept) {
            Ok(Some(before)) => before,
            Ok(None) | Err(_) => return,
        };
        let answer = self.group_and(|running| {
            let (reply, answer) = bounded(1);
            running.requests.send(Request::CutLog { before, reply }).expect("the queue is there");
            answer
        });
        let Some(Ok(Ok(removed))) = answer.map(|answer: Answer<u64>| answer.try_recv()) else { return };
        self.trace(|| format!("{removed} segments cut below {before}"));
        if removed > 0 {
            self.world.seen.count("the log cut");
        }
        if self.world.is_ready() {
            self.world.check_rebuilt();
        }
    }
}
