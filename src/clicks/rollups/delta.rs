//! What was counted and is not in the stores yet.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashTable};

use super::super::batch::{Counts, LinkCount, VISIT_CLASSES};
use super::super::stats::Subject;
use super::row::{DIMENSIONS, OF_ALL, OF_GROUP, OF_LINK, Parts, Row, counts_u64};

/// Deltas of links lie in chunks of so many, so that none moves when more come.
const CHUNK: usize = 4_096;

/// About what a link takes: its delta and its place in the table.
const LINK_BYTES: usize = size_of::<LinkDelta>() + 10;

/// About what a row beside it takes.
const ROW_BYTES: usize = size_of::<Row>() + 32;

/// A slot in memory.
const SLOT_BYTES: usize = size_of::<(u16, Counts)>();

/// No minute, and no visitor.
const NO_MINUTE: u16 = u16::MAX;
const NO_VISITOR: u64 = u64::MAX;

/// No host: the link has no name.
pub(super) const NO_HOST: u32 = u32::MAX;

/// All that came between two flushes.
#[derive(Default)]
pub(super) struct Generation {
    pub(super) days: BTreeMap<u16, DayDelta>,
    pub(super) hosts: Interner<Box<[u8]>>,
    pub(super) tags: Interner<Box<str>>,
    /// Sets of tags, by number.
    pub(super) tag_sets: Interner<Box<[u32]>>,
    /// About what it takes in memory.
    pub(super) bytes: usize,
}

/// Things by number, each once.
pub(super) struct Interner<T> {
    numbers: HashMap<T, u32, ahash::RandomState>,
    things: Vec<T>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Interner { numbers: HashMap::default(), things: Vec::new() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Interner<T> {
    /// The number of a thing, and whether it is new.
    pub(super) fn number<Q>(&mut self, thing: &Q) -> (u32, bool)
    where
        Q: Eq + std::hash::Hash + ?Sized,
        T: std::borrow::Borrow<Q> + for<'a> From<&'a Q>,
    {
        if let Some(number) = self.numbers.get(thing) {
            return (*number, false);
        }
        let number = u32::try_from(self.things.len()).expect("memory ends before");
        self.things.push(thing.into());
        self.numbers.insert(thing.into(), number);
        (number, true)
    }

    pub(super) fn find<Q>(&self, thing: &Q) -> Option<u32>
    where
        Q: Eq + std::hash::Hash + ?Sized,
        T: std::borrow::Borrow<Q>,
    {
        self.numbers.get(thing).copied()
    }

    pub(super) fn get(&self, number: u32) -> &T {
        &self.things[number as usize]
    }
}

/// One day of it.
#[derive(Default)]
pub(super) struct DayDelta {
    table: HashTable<u32>,
    chunks: Vec<Vec<LinkDelta>>,
    hasher: ahash::RandomState,
    pub(super) all: Row,
    /// By the number of the host.
    pub(super) hosts: Vec<Option<Box<Row>>>,
    /// By the number of the tag.
    pub(super) tags: Vec<Option<Box<Row>>>,
}

/// One link on one day. Most have one click, which fits here.
pub(super) struct LinkDelta {
    pub(super) link: u64,
    visitor: u64,
    more: Option<Box<Row>>,
    counts: [u32; VISIT_CLASSES],
    pub(super) host: u32,
    /// The number of its set of tags.
    pub(super) tags: u32,
    /// Of the first detail: its referrer and weight, 0 if there is none.
    referrer: u32,
    weight: u32,
    minute: u16,
    country: u16,
    language: u16,
    device: u8,
}

impl Generation {
    /// What is known of a subject on a day, in some of its parts; without the links that were clicked most.
    pub(super) fn row(&self, subject: &Subject, day: u16, parts: Parts) -> Option<Row> {
        let delta = self.days.get(&day)?;
        let group = |rows: &[Option<Box<Row>>], number: Option<u32>| {
            rows.get(number? as usize)?.as_ref().map(|row| row.parts(parts))
        };
        match subject {
            Subject::All => Some(delta.all.parts(parts)),
            Subject::Host(host) => group(&delta.hosts, self.hosts.find(host.as_bytes())),
            Subject::Tag(tag) => group(&delta.tags, self.tags.find(tag.as_str())),
            Subject::Link(link) => delta.find(*link).map(|link| link.row(parts)),
        }
    }

    /// Whether a link counts under a subject.
    pub(super) fn is_under(&self, delta: &LinkDelta, subject: &Group) -> bool {
        match subject {
            Group::All => true,
            Group::Host(host) => delta.host == *host,
            Group::Tag(tag) => self.tag_sets.get(delta.tags).contains(tag),
        }
    }

    /// A subject by the numbers of this generation. None if nothing was counted under it.
    pub(super) fn group(&self, subject: &Subject) -> Option<Group> {
        match subject {
            Subject::All => Some(Group::All),
            Subject::Host(host) => self.hosts.find(host.as_bytes()).map(Group::Host),
            Subject::Tag(tag) => self.tags.find(tag.as_str()).map(Group::Tag),
            Subject::Link(_) => None,
        }
    }
}

/// All links, or those of a host or tag, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    All,
    Host(u32),
    Tag(u32),
}

impl DayDelta {
    fn at(&self, place: u32) -> &LinkDelta {
        &self.chunks[place as usize / CHUNK][place as usize % CHUNK]
    }

    /// Where the delta of a link stands.
    pub(super) fn place(&self, link: u64) -> Option<u32> {
        let hash = self.hasher.hash_one(link);
        self.table.find(hash, |place| self.at(*place).link == link).copied()
    }

    fn find(&self, link: u64) -> Option<&LinkDelta> {
        self.place(link).map(|place| self.at(place))
    }

    pub(super) fn at_mut(&mut self, place: u32) -> &mut LinkDelta {
        &mut self.chunks[place as usize / CHUNK][place as usize % CHUNK]
    }

    /// Begins the delta of a link that has none; where it stands.
    pub(super) fn begin(&mut self, link: u64, host: u32, tags: u32) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.chunks.last_mut().expect("one was pushed");
        chunk.push(LinkDelta::new(link, host, tags));
        let place = (self.chunks.len() - 1) * CHUNK + self.chunks[self.chunks.len() - 1].len() - 1;
        let place = u32::try_from(place).expect("memory ends before");
        let (hasher, chunks) = (&self.hasher, &self.chunks);
        let hash = |place: &u32| hasher.hash_one(chunks[*place as usize / CHUNK][*place as usize % CHUNK].link);
        self.table.insert_unique(hasher.hash_one(link), place, hash);
        place
    }

    /// The deltas of links, in no order.
    pub(super) fn links(&self) -> impl Iterator<Item = &LinkDelta> {
        self.chunks.iter().flatten()
    }

    pub(super) fn link_at(&self, place: u32) -> &LinkDelta {
        self.at(place)
    }

    /// The row of a host or tag. What more it takes in memory is added to `bytes`.
    pub(super) fn group<'a>(rows: &'a mut Vec<Option<Box<Row>>>, number: u32, bytes: &mut usize) -> &'a mut Row {
        let number = number as usize;
        if rows.len() <= number {
            rows.resize_with(number + 1, || None);
        }
        rows[number].get_or_insert_with(|| {
            *bytes += ROW_BYTES;
            Box::default()
        })
    }
}

/// What one link takes at least.
pub(super) const fn link_bytes() -> usize {
    LINK_BYTES
}

impl LinkDelta {
    fn new(link: u64, host: u32, tags: u32) -> Self {
        LinkDelta {
            link,
            visitor: NO_VISITOR,
            more: None,
            counts: [0; VISIT_CLASSES],
            host,
            tags,
            referrer: 0,
            weight: 0,
            minute: NO_MINUTE,
            country: 0,
            language: 0,
            device: 0,
        }
    }

    fn more(&mut self, bytes: &mut usize) -> &mut Row {
        self.more.get_or_insert_with(|| {
            *bytes += ROW_BYTES;
            Box::default()
        })
    }

    /// Counts clicks in a minute of the day.
    pub(super) fn count(&mut self, minute: u16, more: &LinkCount, bytes: &mut usize) {
        if self.minute == NO_MINUTE {
            self.minute = minute;
        }
        if self.minute == minute {
            let mut sum = self.counts;
            let fits = sum.iter_mut().zip(more.counts).all(|(sum, more)| {
                let checked = sum.checked_add(more);
                *sum = checked.unwrap_or(*sum);
                checked.is_some()
            });
            if fits {
                self.counts = sum;
                return;
            }
        }
        if self.more(bytes).count(minute, &counts_u64(&more.counts)) {
            *bytes += SLOT_BYTES;
        }
    }

    /// Takes in a visitor.
    pub(super) fn visit(&mut self, visitor: u64, bytes: &mut usize) {
        if self.visitor == NO_VISITOR {
            self.visitor = visitor;
        } else if self.visitor != visitor {
            *bytes += self.more(bytes).visitor(visitor, &OF_LINK);
        }
    }

    /// Takes in what is known of a click by a person.
    pub(super) fn detail(&mut self, values: [u64; DIMENSIONS], weight: u32, bytes: &mut usize) {
        let [referrer, country, device, language] = values;
        let inline = (u32::try_from(referrer), u16::try_from(country), u8::try_from(device), u16::try_from(language));
        if let (0, (Ok(referrer), Ok(country), Ok(device), Ok(language))) = (self.weight, inline) {
            (self.referrer, self.country, self.device, self.language) = (referrer, country, device, language);
            self.weight = weight;
        } else {
            *bytes += self.more(bytes).detail(values, u64::from(weight), 1, &OF_LINK);
        }
    }

    /// How often it was clicked, by all classes.
    pub(super) fn clicks(&self) -> u64 {
        let inline: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        inline + self.more.as_ref().map_or(0, |more| more.counts.sum())
    }

    /// It as a row.
    pub(super) fn row(&self, parts: Parts) -> Row {
        let mut row = self.more.as_ref().map_or_else(Row::default, |more| more.parts(parts));
        if self.minute != NO_MINUTE {
            row.count(self.minute, &counts_u64(&self.counts));
        }
        if parts.visitors && self.visitor != NO_VISITOR {
            row.visitor(self.visitor, &OF_LINK);
        }
        if parts.details && self.weight > 0 {
            let values =
                [u64::from(self.referrer), u64::from(self.country), u64::from(self.device), u64::from(self.language)];
            row.detail(values, u64::from(self.weight), 1, &OF_LINK);
        }
        row
    }
}

/// Counts under the row of all, a host or a tag.
pub(super) fn count_group(row: &mut Row, minute: u16, counts: &Counts, bytes: &mut usize) {
    if row.count(minute, counts) {
        *bytes += SLOT_BYTES;
    }
}

/// Takes a visitor into the row of a host or tag.
pub(super) fn visit_group(row: &mut Row, visitor: u64, bytes: &mut usize) {
    *bytes += row.visitor(visitor, &OF_GROUP);
}

/// Takes a click by a person into the row of all, or of a host or tag.
pub(super) fn detail_group(row: &mut Row, values: [u64; DIMENSIONS], weight: u32, is_all: bool, bytes: &mut usize) {
    *bytes += row.detail(values, u64::from(weight), 1, if is_all { &OF_ALL } else { &OF_GROUP });
}
