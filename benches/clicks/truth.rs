//! What was really clicked, told apart from what is measured.

use std::collections::BTreeSet;

use carom::clicks::{Counts, Subject, VISIT_CLASSES, VisitClass};
use fastrand::Rng;

use crate::world::{Habits, TAGS, World, values};

/// Links whose counts are kept by day.
const SAMPLES: usize = 1_000;

/// Everything that is known exactly.
pub(crate) struct Truth {
    days: usize,
    /// By link, over all days.
    pub(crate) links: Vec<[u32; VISIT_CLASSES]>,
    pub(crate) all: ByDay,
    pub(crate) hosts: Vec<ByDay>,
    pub(crate) tags: Vec<ByDay>,
    /// Some links, by day.
    pub(crate) samples: Vec<(u64, ByDay)>,
    pub(crate) watched: Vec<Watched>,
    /// Days of links with clicks: with 1, 2 or 3, 4 to 10, and more.
    pub(crate) link_days: [u64; 4],
    /// By link: its place in `samples` plus 1, or 0.
    sample_of: Vec<u16>,
    today: Vec<u32>,
}

/// Counts by day.
pub(crate) struct ByDay(pub(crate) Vec<Counts>);

impl ByDay {
    fn new(days: usize) -> Self {
        ByDay(vec![Counts::default(); days])
    }

    pub(crate) fn sum(&self) -> Counts {
        let mut sum = Counts::default();
        self.0.iter().for_each(|day| sum.add(day));
        sum
    }
}

/// Something of which it is known who clicked, and from where.
pub(crate) struct Watched {
    pub(crate) name: &'static str,
    pub(crate) subject: Subject,
    kind: Kind,
    /// By dimension and place in the table of its values, the clicks by people.
    pub(crate) values: [Vec<u64>; 4],
    /// People by day.
    pub(crate) people: Vec<u64>,
    /// A bit for each person who clicked today.
    seen: Vec<u64>,
}

#[derive(Clone, Copy)]
enum Kind {
    All,
    Host(usize),
    Tag(usize),
    Link(u64),
}

/// Which of those that are watched a link belongs to, a bit each.
#[derive(Clone, Copy)]
pub(crate) struct Watchers(u8);

impl Truth {
    pub(crate) fn new(world: &World, days: usize) -> Self {
        let mut random = Rng::with_seed(11);
        let mut chosen: BTreeSet<u64> = (0..10.min(world.links)).map(|rank| world.link_of_rank(rank)).collect();
        while chosen.len() < SAMPLES.min(world.links as usize / 2) {
            // Half of them by popularity, half any.
            let link = if random.bool() { world.draw_link(&mut random) } else { random.u64(..world.links) };
            chosen.insert(link);
        }
        let mut sample_of = vec![0; world.links as usize];
        let samples = chosen.into_iter().enumerate().map(|(place, link)| {
            sample_of[link as usize] = place as u16 + 1;
            (link, ByDay::new(days))
        });
        let samples = samples.collect();
        let links = [0, world.links / 1_000, world.links / 3].map(|rank| world.link_of_rank(rank));
        let kinds = [
            ("a hot link", Kind::Link(links[0])),
            ("a middle link", Kind::Link(links[1])),
            ("a cold link", Kind::Link(links[2])),
            ("a host", Kind::Host(1)),
            ("a tag", Kind::Tag(1)),
            ("all", Kind::All),
        ];
        Truth {
            days,
            links: vec![[0; VISIT_CLASSES]; world.links as usize],
            all: ByDay::new(days),
            hosts: (0..world.hosts).map(|_| ByDay::new(days)).collect(),
            tags: (0..TAGS).map(|_| ByDay::new(days)).collect(),
            samples,
            watched: kinds.into_iter().map(|(name, kind)| Watched::new(name, kind, world)).collect(),
            link_days: [0; 4],
            sample_of,
            today: vec![0; world.links as usize],
        }
    }

    /// Some clicks on a link.
    pub(crate) fn count(&mut self, world: &World, day: usize, link: u64, counts: [u32; VISIT_CLASSES]) {
        let more = Counts(counts.map(u64::from));
        self.links[link as usize].iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        self.today[link as usize] += counts.iter().sum::<u32>();
        self.all.0[day].add(&more);
        self.hosts[world.host_of(link)].0[day].add(&more);
        for tag in World::tags_of(link) {
            self.tags[tag].0[day].add(&more);
        }
        if let Some(place) = self.sample_of[link as usize].checked_sub(1) {
            self.samples[usize::from(place)].1.0[day].add(&more);
        }
    }

    /// Who watches a link.
    pub(crate) fn watchers(&self, world: &World, link: u64) -> Watchers {
        let is_of = |watched: &Watched| match watched.kind {
            Kind::All => true,
            Kind::Host(host) => world.host_of(link) == host,
            Kind::Tag(tag) => World::tags_of(link).any(|other| other == tag),
            Kind::Link(other) => link == other,
        };
        let bits = self.watched.iter().enumerate().map(|(place, watched)| u8::from(is_of(watched)) << place);
        Watchers(bits.sum())
    }

    /// A click by a person.
    pub(crate) fn visit(&mut self, watchers: Watchers, person: u64, habits: Habits, referrer: Option<usize>) {
        let places = [referrer.map_or(0, |number| number + 1), habits.country, habits.device, habits.language];
        for (bit, watched) in self.watched.iter_mut().enumerate() {
            if watchers.0 >> bit & 1 == 1 {
                watched.values.iter_mut().zip(places).for_each(|(values, place)| values[place] += 1);
                watched.seen[person as usize / 64] |= 1 << (person % 64);
            }
        }
    }

    /// The day is over.
    pub(crate) fn end_day(&mut self) {
        for clicks in &mut self.today {
            match std::mem::take(clicks) {
                0 => {}
                1 => self.link_days[0] += 1,
                2 | 3 => self.link_days[1] += 1,
                4..=10 => self.link_days[2] += 1,
                _ => self.link_days[3] += 1,
            }
        }
        for watched in &mut self.watched {
            watched.people.push(watched.seen.iter().map(|bits| u64::from(bits.count_ones())).sum());
            watched.seen.fill(0);
        }
    }

    pub(crate) fn days(&self) -> usize {
        self.days
    }

    /// Clicks of all kinds.
    pub(crate) fn clicks(&self) -> u64 {
        self.all.sum().sum()
    }

    /// The links with most clicks, and how many, the most popular first.
    pub(crate) fn top(&self, limit: usize) -> Vec<(u64, u64)> {
        let mut links: Vec<(u64, u64)> = self
            .links
            .iter()
            .zip(0..)
            .map(|(counts, link)| (link, counts.iter().map(|&c| u64::from(c)).sum()))
            .collect();
        links.sort_by_key(|&(link, clicks)| (std::cmp::Reverse(clicks), link));
        links.truncate(limit);
        links
    }
}

impl Watched {
    fn new(name: &'static str, kind: Kind, world: &World) -> Self {
        let subject = match kind {
            Kind::All => Subject::All,
            Kind::Host(host) => Subject::Host(World::host_name(host)),
            Kind::Tag(tag) => Subject::Tag(World::tag_name(tag)),
            Kind::Link(link) => Subject::Link(World::id(link)),
        };
        Watched {
            name,
            subject,
            kind,
            values: values(world).map(|values| vec![0; values.len()]),
            people: Vec::new(),
            seen: vec![0; world.people as usize / 64 + 1],
        }
    }

    /// Clicks by people.
    pub(crate) fn visits(&self, truth: &Truth) -> u64 {
        let counts = match self.kind {
            Kind::All => truth.all.sum(),
            Kind::Host(host) => truth.hosts[host].sum(),
            Kind::Tag(tag) => truth.tags[tag].sum(),
            Kind::Link(link) => Counts(truth.links[link as usize].map(u64::from)),
        };
        counts.of(VisitClass::Human)
    }
}
