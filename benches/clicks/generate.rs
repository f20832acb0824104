//! Makes batches as workers do: names first, counts by link, details of some of the clicks, and visits.

use carom::clicks::{Batch, Detail, LinkCount, LinkName, VISIT_CLASSES, Visit, VisitClass};
use fastrand::Rng;

use crate::truth::Truth;
use crate::world::World;

const DAY_S: u64 = 24 * 60 * 60;
const MINUTES: usize = 24 * 60;

/// So many links a worker remembers to have named.
const NAMES_TOLD: usize = 64 * 1024;

/// So many clicks of a link are kept with their details in a batch before fewer of it are.
const ALL_OF_A_LINK: u32 = 8;

/// How many clicks come when.
pub(crate) struct Plan {
    /// Midnight in UTC, in seconds since 1970.
    pub(crate) from_s: u64,
    pub(crate) days: u64,
    pub(crate) clicks: u64,
    /// Minutes of a batch.
    pub(crate) minutes: usize,
    /// What part of all is clicked before each day, and before each minute of a day.
    before_day: Vec<f64>,
    before_minute: Vec<f64>,
}

impl Plan {
    /// The days before today. Three times as much is clicked at noon as at midnight, and less on Sundays.
    pub(crate) fn new(now_s: u64, days: u64, clicks: u64, minutes: usize) -> Self {
        let from_s = (now_s / DAY_S - days) * DAY_S;
        let day = |day: u64| if (from_s / DAY_S + day + 4).is_multiple_of(7) { 0.6 } else { 1.0 };
        let minute = |minute: usize| 1.0 - 0.5 * (minute as f64 / MINUTES as f64 * std::f64::consts::TAU).cos();
        let (before_day, before_minute) = (parts((0..days).map(day)), parts((0..MINUTES).map(minute)));
        Plan { from_s, days, clicks, minutes, before_day, before_minute }
    }

    pub(crate) fn to_s(&self) -> u64 {
        self.from_s + self.days * DAY_S
    }

    /// Clicks before a minute of a day.
    fn before(&self, day: usize, minute: usize) -> u64 {
        let part =
            self.before_day[day] + (self.before_day[day + 1] - self.before_day[day]) * self.before_minute[minute];
        (part * self.clicks as f64).round() as u64
    }
}

/// What part of the sum comes before each, and 1.
fn parts(weights: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let all: f64 = weights.clone().sum();
    let mut before = 0.0;
    let mut parts = vec![0.0];
    for weight in weights {
        before += weight;
        parts.push(before / all);
    }
    if let Some(last) = parts.last_mut() {
        *last = 1.0;
    }
    parts
}

/// What a worker remembers.
struct Worker {
    /// The id of the link that was named last of those that share a place.
    told: Vec<u64>,
    /// By link, some of who clicked on it last.
    marks: Vec<u16>,
    /// One in two to the power of this is kept because of all links together.
    power: u32,
}

/// Makes the batches of a plan, and keeps account of what is in them.
pub(crate) struct Generator<'a> {
    world: &'a World,
    plan: &'a Plan,
    details_max: usize,
    random: Rng,
    workers: Vec<Worker>,
    at: (usize, usize),
    made: u64,
    /// The clicks of a batch, each as a link and a class.
    clicks: Vec<u64>,
    pub(crate) details: u64,
}

impl<'a> Generator<'a> {
    /// The batches of so many workers, with about so many details each at most.
    pub(crate) fn new(world: &'a World, plan: &'a Plan, workers: usize, details_max: usize) -> Self {
        let worker = || Worker { told: vec![0; NAMES_TOLD], marks: vec![0; world.links as usize], power: 0 };
        Generator {
            world,
            plan,
            details_max,
            random: Rng::with_seed(0xca40),
            workers: (0..workers).map(|_| worker()).collect(),
            at: (0, 0),
            made: 0,
            clicks: Vec::new(),
            details: 0,
        }
    }

    /// The number of the day that the next batch is of.
    pub(crate) fn day(&self) -> usize {
        self.at.0
    }

    /// The process begins again: its workers know nothing.
    pub(crate) fn restart(&mut self) {
        for worker in &mut self.workers {
            worker.told.fill(0);
            worker.marks.fill(0);
        }
    }

    /// The next batch, and how many clicks are in it; None at the end. The workers take turns.
    pub(crate) fn next(&mut self, truth: &mut Truth) -> Option<(Batch, u64)> {
        let (day, minute) = self.at;
        if day as u64 == self.plan.days {
            return None;
        }
        let next = (minute + self.plan.minutes).min(MINUTES);
        let count = self.plan.before(day, next) - self.plan.before(day, minute);
        let start_s = self.plan.from_s + day as u64 * DAY_S + minute as u64 * 60;
        let batch = self.batch(day, start_s, (next - minute) as u64 * 60_000, count, truth);
        self.at = if next == MINUTES { (day + 1, 0) } else { (day, next) };
        if next == MINUTES {
            truth.end_day();
        }
        Some((batch, count))
    }

    fn batch(&mut self, day: usize, time_s: u64, length_ms: u64, count: u64, truth: &mut Truth) -> Batch {
        let Generator { world, workers, random, clicks, .. } = self;
        clicks.clear();
        clicks.extend((0..count).map(|_| {
            let class = match random.u8(..) {
                0..205 => VisitClass::Human,
                205..236 => VisitClass::Bot,
                236..244 => VisitClass::Preview,
                _ => VisitClass::Head,
            };
            world.draw_link(random) << 2 | class as u64
        }));
        clicks.sort_unstable();
        let place = self.made as usize % workers.len();
        let worker = &mut workers[place];
        self.made += 1;

        let mut batch = Batch { time_s, ..Batch::default() };
        for clicks in clicks.chunk_by(|one, other| one >> 2 == other >> 2) {
            let link = clicks[0] >> 2;
            let id = World::id(link);
            let mut counts = [0; VISIT_CLASSES];
            let watchers = truth.watchers(world, link);
            for (nth, click) in clicks.iter().enumerate() {
                let class = VisitClass::ALL[(click & 3) as usize];
                counts[class as usize] += 1;
                if class == VisitClass::Head {
                    continue;
                }
                let person = world.draw_person(random);
                let visitor = World::visitor(person, day as u64);
                let (habits, referrer) = (world.habits(person), world.draw_referrer(link, random));
                if class == VisitClass::Human {
                    truth.visit(watchers, person, habits, referrer);
                    let mark = ((visitor.0 >> 16) as u16).max(1);
                    if std::mem::replace(&mut worker.marks[link as usize], mark) != mark {
                        batch.visits.push(Visit { link: id, visitor });
                    }
                }
                let Some(weight) = worker.weight(nth as u32 + 1, random) else { continue };
                let detail = Detail {
                    link: id,
                    time_ms: time_s * 1_000 + random.u64(..length_ms),
                    class,
                    weight,
                    referrer: world.referrer(referrer).into(),
                    country: habits.country(),
                    device: habits.device(),
                    language: habits.language(),
                    visitor: Some(visitor),
                };
                worker.keep(&mut batch.details, detail, self.details_max, random);
            }
            let told = &mut worker.told[id as usize % NAMES_TOLD];
            if *told != id {
                *told = id;
                batch.names.push(LinkName { link: id, key: world.key(link).into_bytes().into() });
            }
            batch.counts.push(LinkCount { link: id, counts });
            truth.count(world, day, link, counts);
        }
        worker.power = worker.power.saturating_sub(1);
        self.details += batch.details.len() as u64;
        batch
    }
}

/// How a worker chooses whose details it keeps.
impl Worker {
    fn weight(&self, nth: u32, random: &mut Rng) -> Option<u32> {
        let power = self.power + nth.div_ceil(ALL_OF_A_LINK).next_power_of_two().ilog2();
        (random.u32(..) & ((1 << power) - 1) == 0).then_some(1 << power)
    }

    fn keep(&mut self, details: &mut Vec<Detail>, detail: Detail, details_max: usize, random: &mut Rng) {
        details.push(detail);
        if details.len() >= details_max {
            self.power += 1;
            details.retain_mut(|detail| {
                detail.weight *= 2;
                random.bool()
            });
        }
    }
}
