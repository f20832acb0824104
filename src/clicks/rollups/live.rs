//! What the thread that counts shares with those who ask.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::RwLock;

use super::super::batch::Detail;
use super::super::stats::Event;
use super::delta::Generation;
use super::months::Months;

/// How many events are kept for the live feed.
pub(super) const EVENTS: usize = 1_024;

/// Everything that is asked.
pub(crate) struct Shared {
    pub(crate) months: Months,
    /// Held to read while the rows of one month are read, so that what is merged meanwhile is met once. Locked before
    /// anything of `months`.
    pub(crate) live: RwLock<Live>,
    pub(crate) events: RwLock<Events>,
}

/// What is not in the stores yet, or in part.
#[derive(Default)]
pub(crate) struct Live {
    /// What is counted now.
    pub(super) current: Layer,
    /// What is being merged.
    pub(super) flushing: Option<Layer>,
}

/// A generation, and what of it is in the stores.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) generation: Arc<Generation>,
    pub(super) merged: HashMap<u16, Merged>,
}

/// What of one month is in the store.
pub(super) enum Merged {
    /// Keys up to this one.
    UpTo(Vec<u8>),
    /// All.
    All,
}

impl Layer {
    /// Whether it is in the row of this key.
    pub(super) fn is_merged(&self, month: u16, key: &[u8]) -> bool {
        match self.merged.get(&month) {
            None => false,
            Some(Merged::UpTo(last)) => key <= last.as_slice(),
            Some(Merged::All) => true,
        }
    }
}

impl Live {
    pub(super) fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.flushing.iter().chain([&self.current])
    }
}

/// The newest events.
#[derive(Default)]
pub(crate) struct Events {
    ring: VecDeque<Event>,
    /// The number of the newest.
    last: u64,
}

impl Events {
    pub(super) fn push(&mut self, key: &[u8], detail: &Detail) {
        self.last += 1;
        if self.ring.len() == EVENTS {
            self.ring.pop_front();
        }
        let key = String::from_utf8_lossy(key).into();
        self.ring.push_back(Event { number: self.last, key, detail: detail.clone() });
    }

    /// Drops those of a link.
    pub(super) fn forget(&mut self, link: u64) {
        self.ring.retain(|event| event.detail.link != link);
    }

    pub(crate) fn after(&self, number: u64, limit: usize) -> Vec<Event> {
        let first = self.ring.partition_point(|event| event.number <= number);
        self.ring.iter().skip(first).take(limit).cloned().collect()
    }
}
