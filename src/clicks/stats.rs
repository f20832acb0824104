//! What can be asked of the clicks that were counted.

mod export;
mod query;
mod top;

use std::sync::{Arc, OnceLock};

use super::batch::{Counts, Detail};
use super::rollups::live::Shared;

/// Of what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Of all links.
    All,
    /// Of the links on a host, by its canonical name; `*` is the host of links that answer on any.
    Host(String),
    /// Of the links that had a tag when they were clicked.
    Tag(String),
    /// Of one link, by its id.
    Link(u64),
}

/// A range of time, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// The first second.
    pub from_s: u64,
    /// The first second that is not in it any more.
    pub to_s: u64,
}

/// By what clicks are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Dimension {
    /// The host of the referring page; empty where it is not said.
    Referrer = 0,
    /// Two letters of ISO 3166-1; empty where it is not known.
    Country = 1,
    /// `desktop`, `phone`, `tablet`, `other`, or empty where it is not known.
    Device = 2,
    /// The primary subtag of a language; empty where it is not known.
    Language = 3,
}

/// How fine the counts are that an answer was made of, the coarsest of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Granularity {
    /// Minutes.
    Minute,
    /// Quarters of an hour.
    Quarter,
    /// Days in UTC.
    Day,
    /// Months in UTC.
    Month,
}

/// Counts of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// When it begins, in seconds since 1970.
    pub start_s: u64,
    /// How often.
    pub counts: Counts,
}

/// Counts over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// One for each step that was asked for, also where nothing was counted.
    pub points: Vec<Point>,
    /// What was kept no finer is counted wholly in the step in which it begins.
    pub granularity: Granularity,
}

/// One value of a dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The value, as [`Dimension`] says.
    pub value: String,
    /// How many clicks by people, from the details that were kept and their weights.
    pub clicks: u64,
}

/// The most frequent values of a dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breakdown {
    /// The most frequent first.
    pub shares: Vec<Share>,
    /// The clicks of all values, also of those that are not among them.
    pub total: u64,
    /// Each number of clicks is at most this much too low or too high because only the frequent values are kept;
    /// sampling comes on top.
    pub error: u64,
    /// How many details it is made of.
    pub details: u64,
    /// The sum of the squares of their weights, Σw². Where clicks were sampled, a share `p` of the `total`, Σw, is within
    /// 1.96·√(p·(1-p)·(Σw²-Σw))/Σw with 95 % (Horvitz and Thompson, 1952); that is 0 where none was left out.
    pub squares: u64,
    /// The range it is about: the asked one, widened to what values are kept by.
    pub range: TimeRange,
}

/// A link that was clicked often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopLink {
    /// Its id.
    pub link: u64,
    /// Its canonical key.
    pub key: String,
    /// How often, by all classes.
    pub clicks: u64,
    /// The number is at most so much too high.
    pub error: u64,
}

/// How many different people there were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uniques {
    /// The estimate: those of each UTC day, added up, for a visitor can't be recognised on another day.
    pub estimate: f64,
    /// 95 % of the time not fewer.
    pub lower: f64,
    /// 95 % of the time not more.
    pub upper: f64,
    /// The range it is about: the asked one, widened to what visitors are kept by.
    pub range: TimeRange,
}

/// An event of the live feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number; they rise by one.
    pub number: u64,
    /// The key of the link.
    pub key: Box<str>,
    /// What is known of the click.
    pub detail: Detail,
}

/// A row of an export: the counts of one link in one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRow {
    /// The id of the link.
    pub link: u64,
    /// Its canonical key.
    pub key: String,
    /// When the slot begins, in seconds since 1970.
    pub start_s: u64,
    /// How long it is.
    pub granularity: Granularity,
    /// How often.
    pub counts: Counts,
}

/// Why something can't be asked or done.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// The store of the clicks can't be read or written.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// A row is not as it was written (I8).
    #[error("the clicks of {month}: {reason}")]
    Damaged {
        /// In which month's directory.
        month: String,
        /// What is wrong.
        reason: String,
    },
    /// The journal can't be written.
    #[error("the journal of clicks: {0}")]
    Journal(String),
}

/// Deletes all that is kept of the clicks of one link, and returns when that is durable.
pub type Forget = Box<dyn Fn(u64) -> Result<(), StatsError> + Send + Sync>;

/// Answers questions about what was counted. What was counted up to about a second ago is in it.
pub struct Stats {
    shared: Arc<Shared>,
    forget: OnceLock<Forget>,
}

impl Stats {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Stats { shared, forget: OnceLock::new() }
    }

    /// Says who deletes what is kept of a link: whoever writes the journal, for that must be in it. Only the first one
    /// who is said is asked.
    pub fn set_forget(&self, forget: Forget) {
        let _ = self.forget.set(forget);
    }

    /// Deletes all that is kept of the clicks of one link. What was counted of its host, its tags and all links stays.
    /// Durable when it returns.
    ///
    /// # Errors
    /// If it can't be made durable.
    pub fn forget(&self, link: u64) -> Result<(), StatsError> {
        match self.forget.get() {
            Some(forget) => forget(link),
            None => Err(StatsError::Journal("nobody writes it, so nothing can be deleted; start carom".to_owned())),
        }
    }

    /// The events behind this number that are still known, the oldest first. 0 is before all.
    pub fn events_after(&self, number: u64, limit: usize) -> Vec<Event> {
        self.shared.events.read().after(number, limit)
    }
}
