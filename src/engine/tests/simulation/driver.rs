//! What is done, at random.

mod filter;
mod requests;
mod snapshots;

use fastrand::Rng;

use super::world::{Flip, Running, World};
use crate::cache::{CachedLink, Stamp};
use crate::engine::Recovery;
use crate::engine::health::Health;
use crate::engine::read;
use crate::engine::tests::key;
use crate::link::{Command, SetId, StoredEntry};
use crate::log::OperationId;

/// A reader that read the store, and has not yet brought that to the cache.
struct Fill {
    hash: u64,
    stamp: Stamp,
    link: CachedLink,
}

pub(super) struct Driver {
    rng: Rng,
    pub(super) world: World,
    is_traced: bool,
    weights: Vec<u32>,
    keys: Vec<String>,
    /// The names that operations were given, and what they were.
    operations: Vec<(OperationId, Vec<Command>)>,
    open_sets: Vec<SetId>,
    fills: Vec<Fill>,
    building: Option<filter::Building>,
    /// Faults that were set since the start, and may still come.
    is_armed: bool,
    has_limit: bool,
    /// Nothing goes wrong any more.
    is_calm: bool,
    newest_segment: u64,
}

type Step = fn(&mut Driver);

/// What there is to do, how often, and whether it may be done while a snapshot is taken.
const STEPS: [(Step, u32, bool); 20] = [
    (Driver::group, 40, true),
    (Driver::look_after_itself, 4, true),
    (Driver::wait, 4, true),
    (Driver::begin_fill, 6, true),
    (Driver::build_filter, 6, true),
    (Driver::snapshot, 5, false),
    (Driver::cut, 2, false),
    (Driver::close, 2, false),
    (Driver::kill, 2, false),
    (Driver::lose_power, 3, false),
    (Driver::arm_crash, 4, true),
    (Driver::arm_sync, 1, true),
    (Driver::arm_write, 1, true),
    (Driver::arm_read, 1, true),
    (Driver::arm_full, 3, true),
    (Driver::fill_disk, 3, true),
    (Driver::make_room, 3, true),
    (Driver::flip, 2, true),
    (Driver::arm_store, 3, true),
    (Driver::delete_store, 1, false),
];

impl Driver {
    pub(super) fn new(seed: u64, is_traced: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let world = World::new(&mut rng);
        let weights = STEPS.iter().map(|&(_, weight, _)| weight * [0, 1, 1, 3][rng.usize(0..4)]).collect();
        let paths = rng.usize(2..40);
        let forms = ["", "?q", "?q=2"];
        let keys = (0..paths).flat_map(|path| forms.map(|form| format!("/k{path}{form}")));
        let keys = keys.chain(["h.example/a".to_owned(), "h.example/a?x".to_owned()]).collect();
        let mut driver = Driver {
            rng,
            world,
            is_traced,
            weights,
            keys,
            operations: Vec::new(),
            open_sets: Vec::new(),
            fills: Vec::new(),
            building: None,
            is_armed: false,
            has_limit: false,
            is_calm: false,
            newest_segment: 1,
        };
        driver.weights[0] = 40;
        driver
    }

    fn trace(&self, what: impl FnOnce() -> String) {
        if self.is_traced {
            println!("{:>8} {}", self.world.disk.calls(), what());
        }
    }

    pub(super) fn run(&mut self) {
        let steps = self.rng.usize(10..60);
        for _ in 0..steps {
            self.come_up();
            if matches!(self.world.health(), Some(Health::Closed { .. })) && self.rng.u8(0..3) == 0 {
                // Nothing but a new start changes anything any more.
                let loses_power = self.rng.bool();
                self.end(loses_power, true);
                self.come_up();
            }
            self.step(false);
        }
        self.calm();
        self.is_calm = true;
        self.come_up();
        let loses_power = self.rng.bool();
        self.end(loses_power, true);
        self.come_up();
        self.group();
        assert!(self.world.is_ready(), "without any fault: {:?}", self.world.health());
    }

    fn step(&mut self, is_within: bool) {
        let weight = |index: usize| if is_within && !STEPS[index].2 { 0 } else { self.weights[index] };
        let mut chosen = self.rng.u32(0..(0..STEPS.len()).map(weight).sum());
        let index = (0..STEPS.len()).find(|&index| {
            let is_it = chosen < weight(index);
            chosen = chosen.wrapping_sub(weight(index));
            is_it
        });
        STEPS[index.expect("one is chosen")].0(self);
        self.look_around();
    }

    /// Counts what can be seen from outside.
    fn look_around(&mut self) {
        let newest = self.world.segments().last().copied().unwrap_or_default();
        if newest > self.newest_segment {
            self.newest_segment = newest;
            self.world.seen.count("a segment begun");
        }
    }

    /// Starts again, if nothing runs, until that succeeds.
    fn come_up(&mut self) {
        if self.world.disk.is_down() {
            self.world.seen.count("a crash within a call");
            let loses_power = self.rng.u8(0..3) > 0;
            self.end(loses_power, true);
        }
        let mut attempt = 0;
        while self.world.running.is_none() {
            attempt += 1;
            let flip = self.prepare_start(attempt);
            let result = self.world.start();
            if self.world.disk.is_down() {
                self.world.seen.count("a crash within a start");
                self.trace(|| "went down while starting".to_owned());
                let loses_power = self.rng.u8(0..3) > 0;
                self.end(loses_power, true);
                continue;
            }
            match result {
                Ok(report) => {
                    self.trace(|| format!("started: {report:?}"));
                    self.count_report(&report);
                    if let Some(flip) = &flip {
                        self.world.check_passed(flip);
                    }
                    self.world.check_start();
                }
                Err(error) => {
                    self.trace(|| format!("not started: {error}"));
                    match flip {
                        Some(flip) => self.world.check_refused(&flip, &error),
                        None => assert!(self.is_armed || self.has_limit, "a start refused without a cause: {error}"),
                    }
                    self.end(false, true);
                }
            }
        }
    }

    fn count_report(&mut self, report: &Recovery) {
        let seen = &mut self.world.seen;
        let facts = [
            (report.torn.is_some(), "a torn tail cut off"),
            (report.set_aside.is_some(), "a store set aside"),
            (report.set_aside.as_ref().is_some_and(|aside| aside.reason.contains("ahead")), "a store ahead of the log"),
            (!report.unreadable.is_empty(), "a start past an unreadable snapshot"),
            (report.loaded_entries > 0, "a snapshot loaded by a start"),
            (report.applied_records > 0, "records applied by a start"),
        ];
        facts.into_iter().filter(|(is_so, _)| *is_so).for_each(|(_, what)| seen.count(what));
    }

    /// What may go wrong in a start. In the end one must succeed.
    fn prepare_start(&mut self, attempt: u32) -> Option<Flip> {
        self.world.wait(1);
        if self.is_calm || attempt > 4 {
            self.calm();
            return None;
        }
        match self.rng.u8(0..16) {
            0..4 => {
                self.is_armed = true;
                self.world.disk.crash_in(self.rng.u64(1..60));
                None
            }
            4 => {
                self.arm_read();
                None
            }
            5 => {
                self.arm_write();
                self.arm_sync();
                None
            }
            6..8 => {
                self.arm_store();
                None
            }
            8 => {
                self.is_armed = true;
                self.world.place.refuse(1);
                None
            }
            9 if !self.world.segments().is_empty() => {
                self.world.place.damage();
                None
            }
            10 => {
                self.delete_store();
                None
            }
            11..14 if !self.is_armed && !self.has_limit => {
                let flip = self.world.flip(&mut self.rng);
                self.trace(|| "a bit is flipped".to_owned());
                flip
            }
            _ => None,
        }
    }

    /// Takes back all faults that are still to come.
    fn calm(&mut self) {
        if self.is_armed && self.world.running.is_some() {
            self.end(false, true);
        }
        self.world.place.heal();
        self.world.disk.set_capacity(None);
        (self.is_armed, self.has_limit) = (false, false);
    }

    fn end(&mut self, loses_power: bool, is_crash: bool) {
        let what = if loses_power { "the power is lost" } else { "the process ends" };
        self.trace(|| what.to_owned());
        self.fills.clear();
        self.building = None;
        self.open_sets.clear();
        if loses_power && self.rng.u8(0..8) == 0 {
            self.world.place.lose();
        }
        self.world.end(is_crash.then_some(&mut self.rng), loses_power);
        // What waits for its time is taken back by that; what lasts, stays.
        self.is_armed = false;
    }

    fn kill(&mut self) {
        self.world.seen.count("a killed process");
        self.end(false, true);
    }

    fn lose_power(&mut self) {
        self.world.seen.count("a loss of power");
        self.end(true, true);
    }

    fn close(&mut self) {
        if let Some(Running { writer, .. }) = &mut self.world.running {
            writer.sync_behind();
            if self.world.disk.is_down() {
                return;
            }
            if self.world.is_ready() {
                self.world.since.synced = self.world.state.sequence;
                self.world.seen.count("a closed engine");
            }
            self.end(false, false);
        }
    }

    fn delete_store(&mut self) {
        if self.world.running.is_some() {
            self.end(false, true);
        }
        if !self.world.segments().is_empty() {
            self.trace(|| "the store is deleted".to_owned());
            self.world.place.lose();
        }
    }

    fn arm_crash(&mut self) {
        self.is_armed = true;
        let calls = self.rng.u64(1..30);
        self.trace(|| format!("goes down in call {calls}"));
        if self.rng.u8(0..4) == 0 {
            self.world.place.crash_in(calls);
        } else {
            self.world.disk.crash_in(calls);
        }
    }

    fn arm_sync(&mut self) {
        if !self.world.syncs_fail {
            return;
        }
        self.is_armed = true;
        self.trace(|| "a sync will fail".to_owned());
        self.world.disk.fail_sync_in(self.rng.u64(1..6));
    }

    fn arm_write(&mut self) {
        self.is_armed = true;
        self.trace(|| "a write will fail".to_owned());
        self.world.disk.fail_write_in(self.rng.u64(1..8));
    }

    fn arm_full(&mut self) {
        self.is_armed = true;
        self.trace(|| "a write will find no room".to_owned());
        self.world.disk.fill_in(self.rng.u64(1..8));
    }

    fn arm_read(&mut self) {
        self.is_armed = true;
        self.trace(|| "a read will fail".to_owned());
        self.world.disk.fail_read_in(self.rng.u64(1..8));
    }

    fn arm_store(&mut self) {
        self.is_armed = true;
        self.trace(|| "the store will fail".to_owned());
        self.world.place.fail_in(self.rng.u64(1..60));
        if self.rng.bool() {
            self.world.place.refuse(self.rng.u32(0..3));
        }
    }

    fn fill_disk(&mut self) {
        let room = if self.rng.bool() { self.rng.u64(0..3_000) } else { self.rng.u64(0..40_000) };
        self.trace(|| format!("the disk has {room} bytes left"));
        self.world.set_room(Some(room));
        self.has_limit = true;
    }

    fn make_room(&mut self) {
        let was_full = self.has_limit && matches!(self.world.health(), Some(Health::Paused { .. }));
        self.trace(|| "the disk has room again".to_owned());
        self.world.set_room(None);
        self.has_limit = false;
        if was_full && !self.is_armed && self.rng.bool() {
            self.look_after_itself();
            assert_eq!(self.world.health(), Some(Health::Ready), "there is room again");
            self.world.seen.count("a full disk that got room again");
        }
    }

    fn wait(&mut self) {
        let ms = match self.rng.u8(0..4) {
            0 => crate::limits::OPERATION_MEMORY_MS + self.rng.u64(0..2 * 3_600_000),
            1 => self.rng.u64(0..12 * 3_600_000),
            _ => self.rng.u64(0..5_000),
        };
        self.trace(|| format!("{ms} ms pass"));
        self.world.wait(ms);
    }

    fn look_after_itself(&mut self) {
        self.world.wait(1_000);
        self.trace(|| "the writer looks after itself".to_owned());
        if let Some(running) = &mut self.world.running {
            let was_behind = matches!(running.health.get(), Health::Paused { .. });
            running.writer.look_after_itself();
            if self.world.is_ready() {
                if was_behind {
                    self.world.seen.count("trouble that ended by itself");
                }
                self.settle(Vec::new());
            }
        }
    }

    fn flip(&mut self) {
        if self.world.disk.is_down() {
            return;
        }
        if let Some(flip) = self.world.flip(&mut self.rng) {
            let is_ready = self.world.is_ready();
            // A writer that is closed may have left a torn record behind the last.
            if is_ready {
                self.world.check_found(&flip, Some(self.world.state.sequence));
            }
            self.world.unflip(&flip);
        }
    }

    /// Reads the store, as a reader does whom the cache could not answer.
    fn begin_fill(&mut self) {
        let Some(running) = &self.world.running else { return };
        let Ok(store) = running.slot.get() else { return };
        for _ in 0..self.rng.usize(1..8) {
            let key = key(self.rng.choice(&self.keys).expect("there are keys"));
            let key = key.as_str().as_bytes();
            let hash = running.views.cache.hash(key);
            let stamp = running.views.cache.stamp(hash);
            let Ok(entry) = read::stored_entry(store.as_ref(), key) else { return };
            self.fills.push(Fill { hash, stamp, link: read::cached_link(key, &entry) });
        }
        if self.rng.bool() {
            self.finish_fills();
        }
    }

    fn finish_fills(&mut self) {
        let Some(running) = &self.world.running else { return };
        for Fill { hash, stamp, link } in self.fills.drain(..) {
            if !running.views.cache.fill(hash, stamp, link) {
                self.world.seen.count("a late reader's link not cached");
            }
        }
    }

    /// What is cached must be what the model says, and nothing that is there be ruled out.
    fn check_cache(&mut self) {
        self.finish_fills();
        if self.rng.bool() {
            self.finish_filter();
        }
        let Some(mut filter) = self.filter() else { return };
        let Some(running) = &self.world.running else { return };
        for text in &self.keys {
            let key = key(text);
            let links = &self.world.state.links;
            let with_query = links.values().filter(|link| link.key.has_query() && link.key.path_key() == key.as_str());
            let entry = StoredEntry { link: links.get(key.as_str()).cloned(), query_links: with_query.count() as u64 };
            let expected = read::cached_link(key.as_str().as_bytes(), &entry);
            let hash = running.views.cache.hash(key.as_str().as_bytes());
            if filter.rules_out(hash) {
                assert_eq!(entry, StoredEntry::default(), "{text} is ruled out");
                self.world.seen.count("a key ruled out");
            }
            if let Some(cached) = running.views.cache.get(hash, key.as_str().as_bytes()) {
                let both = [&cached, &expected].map(|link| (link.link(), link.has_query_links()));
                assert_eq!(both[0], both[1], "what is cached of {text}");
                self.world.seen.count("a cached link compared");
            }
        }
    }
}
