//! Random windows, flushes, crashes, failures and deletions: everything is counted exactly once.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::batch::{
    Batch, Country, Counts, Detail, Device, Language, LinkCount, Visit, VisitClass, Visitor, Window, WindowId,
};
use super::super::super::stats::{Dimension, Stats, Subject, TimeRange};
use super::super::calendar::{DAY_S, day_of};
use super::super::{Rollups, RollupsConfig};
use super::store::Files;
use super::{config, host_of, name, open, tags_of};
use crate::clicks::Entry;

/// 2026-10-30, so that some days lie in October and some in November.
const START_S: u64 = 1_793_318_400;
const DAYS: u64 = 5;
const LINKS: u64 = 30;

/// What was counted of one subject.
#[derive(Default)]
struct Known {
    minutes: BTreeMap<u64, Counts>,
    visitors: BTreeSet<(u16, u64)>,
    referrers: BTreeMap<(u16, String), u64>,
}

#[derive(Default)]
struct Model {
    known: BTreeMap<String, (Subject, Known)>,
}

impl Model {
    fn each(&mut self, link: u64, mut change: impl FnMut(&mut Known)) {
        let mut subjects = vec![Subject::All, Subject::Host(host_of(link)), Subject::Link(link)];
        subjects.extend(tags_of(link).into_iter().map(Subject::Tag));
        for subject in subjects {
            change(&mut self.known.entry(format!("{subject:?}")).or_insert((subject, Known::default())).1);
        }
    }

    fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Window(Window { batch, .. }) => {
                let (day, minute) = (day_of(batch.time_s), batch.time_s / 60 * 60);
                for count in &batch.counts {
                    let counts = Counts(count.counts.map(u64::from));
                    self.each(count.link, |known| known.minutes.entry(minute).or_default().add(&counts));
                }
                for visit in &batch.visits {
                    self.each(visit.link, |known| _ = known.visitors.insert((day, visit.visitor.0)));
                }
                for detail in batch.details.iter().filter(|detail| detail.class == VisitClass::Human) {
                    let key = (day, detail.referrer.to_string());
                    self.each(detail.link, |known| {
                        *known.referrers.entry(key.clone()).or_default() += u64::from(detail.weight);
                    });
                }
            }
            Entry::Forget { link, .. } => drop(self.known.remove(&format!("{:?}", Subject::Link(*link)))),
        }
    }

    /// What is asked of a range that begins and ends with days is exactly this.
    fn check(&self, stats: &Stats, random: &mut fastrand::Rng, has_minutes: bool, is_named: bool) {
        let ends = [random.u64(..=DAYS), random.u64(..=DAYS)].map(|day| START_S + day * DAY_S);
        let mut range = TimeRange { from_s: ends[0].min(ends[1]), to_s: ends[0].max(ends[1]) };
        if !has_minutes {
            // What is kept by months is counted where they begin.
            range = TimeRange { from_s: START_S - 30 * DAY_S, to_s: START_S + 30 * DAY_S };
        }
        for (subject, known) in self.known.values() {
            let counted = |range: TimeRange| {
                let mut sum = Counts::default();
                known.minutes.range(range.from_s..range.to_s).for_each(|(_, counts)| sum.add(counts));
                sum
            };
            assert_eq!(stats.totals(subject, range).unwrap().0, counted(range), "{subject:?}");
            let days = |day: u16| (day_of(range.from_s)..day_of(range.to_s)).contains(&day);
            let visitors = known.visitors.iter().filter(|(day, _)| days(*day)).count();
            let estimate = stats.uniques(subject, range).unwrap().estimate;
            if has_minutes {
                assert_eq!(estimate, visitors as f64, "{subject:?}");
            } else {
                // Whoever comes late, once the days are a month, is not recognised.
                assert!(estimate >= visitors as f64, "{subject:?}");
            }
            let mut referrers: BTreeMap<String, u64> = BTreeMap::new();
            for ((_, text), weight) in known.referrers.iter().filter(|((day, _), _)| days(*day)) {
                *referrers.entry(text.clone()).or_default() += weight;
            }
            let found = stats.breakdown(subject, Dimension::Referrer, range, 1_000).unwrap();
            let total: u64 = referrers.values().sum();
            assert_eq!((found.total, found.error), (total, 0));
            if !is_named {
                continue;
            }
            let shares: BTreeMap<String, u64> =
                found.shares.into_iter().map(|share| (share.value, share.clicks)).collect();
            assert_eq!(shares, referrers, "{subject:?}");
        }
        if has_minutes {
            range.from_s += random.u64(..DAY_S);
            let step_s = 60 * random.u64(1..2_000);
            let times: Vec<u64> = (0..20).map(|step| range.from_s / 60 * 60 + step * step_s).collect();
            for (subject, known) in self.known.values() {
                let series = stats.series(subject, &times).unwrap();
                for (point, times) in series.points.iter().zip(times.windows(2)) {
                    let mut sum = Counts::default();
                    known.minutes.range(times[0]..times[1]).for_each(|(_, counts)| sum.add(counts));
                    assert_eq!((point.start_s, point.counts), (times[0], sum), "{subject:?}");
                }
            }
        }
        if is_named {
            self.check_top(stats);
        }
    }

    fn check_top(&self, stats: &Stats) {
        let range = TimeRange { from_s: START_S - 30 * DAY_S, to_s: START_S + DAYS * DAY_S };
        let mut expected: Vec<(u64, u64)> = Vec::new();
        for (subject, known) in self.known.values() {
            if let Subject::Link(link) = subject {
                expected.push((known.minutes.values().map(Counts::sum).sum(), *link));
            }
        }
        expected.retain(|(clicks, _)| *clicks > 0);
        expected.sort_unstable_by_key(|(clicks, link)| (std::cmp::Reverse(*clicks), *link));
        let top = stats.top(&Subject::All, range, 5).unwrap();
        let found: Vec<(u64, u64)> = top.iter().map(|link| (link.clicks, link.link)).collect();
        assert_eq!(found, expected[..expected.len().min(5)]);
    }
}

struct Run {
    random: fastrand::Rng,
    files: Files,
    config: RollupsConfig,
    journal: Vec<Entry>,
    model: Model,
    next: WindowId,
    named: BTreeSet<u64>,
    forgotten: BTreeSet<u64>,
    /// The last flush did not fail, so that names are where they are looked for.
    is_named: bool,
}

impl Run {
    fn window(&mut self) -> Entry {
        let random = &mut self.random;
        let link = |random: &mut fastrand::Rng| random.u64(..LINKS).min(random.u64(..LINKS));
        let day = if random.u8(..4) == 0 { random.u64(..DAYS) } else { DAYS * self.next.number.min(99) / 100 };
        let mut batch = Batch { time_s: START_S + day * DAY_S + random.u64(..DAY_S), ..Batch::default() };
        for _ in 0..random.usize(..12) {
            let mut counts = [0; 4];
            counts[random.usize(..4).min(random.usize(..4))] = random.u32(1..5);
            batch.counts.push(LinkCount { link: link(random), counts });
        }
        for _ in 0..random.usize(..4) {
            batch.visits.push(Visit { link: link(random), visitor: Visitor(random.u64(..30)) });
            batch.details.push(Detail {
                link: link(random),
                time_ms: batch.time_s * 1_000,
                class: VisitClass::ALL[random.usize(..3)],
                weight: random.u32(1..4),
                referrer: ["", "a.example", "b.example", "c.example"][random.usize(..4)].into(),
                country: Country(*b"DE"),
                device: Device::Phone,
                language: Language::default(),
                visitor: None,
            });
        }
        batch.counts.retain(|count| !self.forgotten.contains(&count.link));
        batch.details.retain(|detail| !self.forgotten.contains(&detail.link));
        batch.visits.retain(|visit| !self.forgotten.contains(&visit.link));
        let links = batch.counts.iter().map(|count| count.link);
        let links = links.chain(batch.details.iter().map(|detail| detail.link));
        let links = links.chain(batch.visits.iter().map(|visit| visit.link));
        batch.names = links.filter(|link| self.named.insert(*link)).map(name).collect();
        Entry::Window(Window { id: self.next, batch })
    }

    fn check(&mut self, stats: &Stats, has_minutes: bool) {
        self.model.check(stats, &mut self.random, has_minutes, self.is_named);
    }

    fn put(&mut self, forgets: bool) {
        self.next.number += 1;
        let entry = if forgets || self.random.u8(..60) == 0 {
            let link = self.random.u64(..LINKS);
            self.forgotten.insert(link);
            Entry::Forget { id: self.next, link }
        } else {
            self.window()
        };
        self.model.apply(&entry);
        self.journal.push(entry);
    }

    /// Some of what was not durable is lost, and the rest is opened again.
    fn crash(&mut self, rollups: Rollups, stats: Stats) -> (Rollups, Stats) {
        drop((rollups, stats));
        self.files.crash(&mut self.random);
        let (mut rollups, stats) = open(&self.files, &self.config);
        let position = rollups.position();
        // Nobody needs again what is durable.
        self.journal.retain(|entry| entry.id() > position);
        if self.random.bool() {
            self.next = WindowId { boot: self.next.boot + 1, number: 0 };
        }
        self.is_named = true;
        // The old process named them to the old workers.
        self.named.clear();
        self.catch_up(&mut rollups);
        (rollups, stats)
    }

    /// What stands in the journal behind what was taken in. While a store fails it is tried again.
    fn catch_up(&mut self, rollups: &mut Rollups) {
        for entry in &self.journal {
            let mut tries = 0;
            while let Err(error) = rollups.apply(entry) {
                tries += 1;
                assert!(tries < 5, "{error}");
                self.files.fail_after(None);
            }
        }
    }
}

fn run(seed: u64, coarser: bool) {
    println!("seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir);
    (config.minutes_days, config.quarters_days, config.days_days) = (1, 2, 3);
    let files = Files::default();
    let mut run = Run {
        random: fastrand::Rng::with_seed(seed),
        files: files.clone(),
        config,
        journal: Vec::new(),
        model: Model::default(),
        next: WindowId { boot: 1, number: 0 },
        named: BTreeSet::new(),
        forgotten: BTreeSet::new(),
        is_named: true,
    };
    let (mut rollups, mut stats) = open(&files, &run.config);
    for _ in 0..120 {
        match run.random.u8(..20) {
            0 => (rollups, stats) = run.crash(rollups, stats),
            8 if run.random.bool() => {
                run.put(true);
                files.fail_after(Some(run.random.usize(..12)));
                let done = rollups.apply(run.journal.last().unwrap());
                files.fail_after(None);
                if done.is_err() && run.random.bool() {
                    (rollups, stats) = run.crash(rollups, stats);
                } else {
                    run.catch_up(&mut rollups);
                }
            }
            1..4 => {
                if run.random.u8(..3) == 0 {
                    files.fail_after(Some(run.random.usize(..20)));
                }
                run.is_named = rollups.flush().is_ok();
                if run.random.bool() {
                    run.check(&stats, !coarser);
                }
                files.fail_after(None);
            }
            4 if coarser => rollups.maintain(START_S + run.random.u64(..10) * DAY_S).unwrap(),
            5..8 => run.check(&stats, !coarser),
            _ => {
                run.put(false);
                run.catch_up(&mut rollups);
            }
        }
    }
    run.check(&stats, !coarser);
    for link in &run.forgotten {
        let range = TimeRange { from_s: 0, to_s: u64::MAX };
        assert_eq!(stats.totals(&Subject::Link(*link), range).unwrap().0, Counts::default());
    }
}

#[test]
fn everything_is_counted_exactly_once_whatever_crashes() {
    for seed in 0..12 {
        run(seed, false);
    }
}

#[test]
fn what_gets_coarser_keeps_its_totals() {
    for seed in 100..108 {
        run(seed, true);
    }
}
