//! What the admin plane did not do as it was asked, counted since the start.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counts. Each only rises.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    unauthorized: AtomicU64,
    forbidden: AtomicU64,
    rate_limited: AtomicU64,
    unavailable: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Refused {
    /// Requests without a token that holds: 401.
    pub(crate) unauthorized: u64,
    /// Requests that their token does not allow: 403.
    pub(crate) forbidden: u64,
    /// Requests over a rate: 429.
    pub(crate) rate_limited: u64,
    /// Requests that were not possible just then, or took too long: 503.
    pub(crate) unavailable: u64,
    /// Idle connections that were closed to make room for others.
    pub(crate) closed: u64,
    /// Connections that were closed at once, since their address had its share.
    pub(crate) refused: u64,
}

impl Refusals {
    /// Counts an answer by its status, if it is one of those that are counted.
    pub(crate) fn answered(&self, status: u16) {
        let count = match status {
            401 => &self.unauthorized,
            403 => &self.forbidden,
            429 => &self.rate_limited,
            503 => &self.unavailable,
            _ => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an idle connection that was closed to make room.
    pub(crate) fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was closed at once.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts of the moment.
    pub(crate) fn get(&self) -> Refused {
        let Refusals { unauthorized, forbidden, rate_limited, unavailable, closed, refused } = self;
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Refused {
            unauthorized: get(unauthorized),
            forbidden: get(forbidden),
            rate_limited: get(rate_limited),
            unavailable: get(unavailable),
            closed: get(closed),
            refused: get(refused),
        }
    }
}
