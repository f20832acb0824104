//! What one worker hands over at a time: the clicks of about half a second.

use super::text::SharedText;

/// Who asks, and by which method: each click is counted under one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum VisitClass {
    /// A GET of someone who is not known to be a program.
    Human = 0,
    /// A GET of a crawler, monitor or other program.
    Bot = 1,
    /// A GET of a program that shows a preview of a link, such as those of messengers.
    Preview = 2,
    /// A HEAD, whoever asks.
    Head = 3,
}

/// How many classes there are.
pub const VISIT_CLASSES: usize = 4;

impl VisitClass {
    /// All, in the order of their numbers.
    pub const ALL: [VisitClass; VISIT_CLASSES] =
        [VisitClass::Human, VisitClass::Bot, VisitClass::Preview, VisitClass::Head];

    /// Its name in statistics.
    pub fn name(self) -> &'static str {
        match self {
            VisitClass::Human => "human",
            VisitClass::Bot => "bot",
            VisitClass::Preview => "preview",
            VisitClass::Head => "head",
        }
    }
}

/// How often something was clicked, by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts(pub [u64; VISIT_CLASSES]);

impl Counts {
    /// Of one class.
    pub fn of(&self, class: VisitClass) -> u64 {
        self.0[class as usize]
    }

    /// Of all classes.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Adds others.
    pub fn add(&mut self, other: &Counts) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }
}

/// How often a link was clicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkCount {
    /// The id of the link.
    pub link: u64,
    /// By class.
    pub counts: [u32; VISIT_CLASSES],
}

/// The key of a link that is named by its id elsewhere in this batch or a later one of the same process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkName {
    /// The id of the link.
    pub link: u64,
    /// Its canonical key, `host/path?query`.
    pub key: Box<[u8]>,
}

/// On what a link was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Device {
    /// Not known.
    #[default]
    Unknown = 0,
    /// A computer.
    Desktop = 1,
    /// A phone.
    Phone = 2,
    /// A tablet.
    Tablet = 3,
    /// A television, game console, car, watch or other thing.
    Other = 4,
}

/// A country, as its two letters of ISO 3166-1, or two zeros where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Country(pub [u8; 2]);

/// A language: the two or three letters of the primary subtag (RFC 5646 §2.1), lower-case, zeros behind them; three zeros
/// where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Language(pub [u8; 3]);

/// Who clicked: 40 bits of a keyed hash, whose key is thrown away at the end of the UTC day. Within a day the same
/// visitor has the same number; across days nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Visitor(pub u64);

impl Visitor {
    /// How many bits it has.
    pub const BITS: u32 = 40;

    /// Some of it, never 0, by which a cache entry remembers who clicked last.
    pub(crate) fn mark(self) -> u16 {
        ((self.0 >> 16) as u16).max(1)
    }
}

/// What is known of one click. It stands for `weight` clicks on the same link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// The id of the link.
    pub link: u64,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Never [`VisitClass::Head`].
    pub class: VisitClass,
    /// For how many clicks it stands, at least 1: the inverse of the probability with which it was kept.
    pub weight: u32,
    /// The host of the referring page (RFC 9110 §10.1.3), lower-case, at most 253 bytes; empty where it is not said.
    pub referrer: SharedText,
    /// From where.
    pub country: Country,
    /// On what.
    pub device: Device,
    /// In which language.
    pub language: Language,
    /// By whom. None where it is not known.
    pub visitor: Option<Visitor>,
}

/// That a person opened a link: kept before anything is sampled, once or more for the same two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Visit {
    /// The id of the link.
    pub link: u64,
    /// By whom.
    pub visitor: Visitor,
}

/// The clicks of one worker in about half a second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// When the time that it covers began, in seconds since 1970: all of it counts as of then.
    pub time_s: u64,
    /// Links that are named by their id, each at least once in a process before its id is used.
    pub names: Vec<LinkName>,
    /// Exact counts; a link may occur more than once.
    pub counts: Vec<LinkCount>,
    /// Details of some of the clicks.
    pub details: Vec<Detail>,
    /// Visits by people.
    pub visits: Vec<Visit>,
}

impl Batch {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.counts.is_empty() && self.details.is_empty() && self.visits.is_empty()
    }
}

/// Which batch of a process: batches are written down in this order, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WindowId {
    /// Which start of the process, from 1.
    pub boot: u64,
    /// Which batch since then, from 1.
    pub number: u64,
}

/// A batch as it stands in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Which one.
    pub id: WindowId,
    /// What is in it.
    pub batch: Batch,
}

/// What stands in the journal, in the order of its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Clicks were counted.
    Window(Window),
    /// All that was counted of a link until then is to be deleted.
    Forget {
        /// Which entry.
        id: WindowId,
        /// The id of the link.
        link: u64,
    },
}

impl Entry {
    /// Which one.
    pub fn id(&self) -> WindowId {
        match self {
            Entry::Window(window) => window.id,
            Entry::Forget { id, .. } => *id,
        }
    }
}
