//! Counters. What goes over a limit is counted (I6), and nothing that is counted costs a shared write on the
//! hit path (I4): each worker counts for itself and publishes once a second.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Connections accepted.
    Connections,
    /// Connections refused with 503, since there were too many.
    ConnectionsRefused,
    /// Accepts that the operating system refused, such as for want of file descriptors.
    AcceptErrors,
    /// Requests answered with a redirect, as a link says.
    Redirects,
    /// Requests answered with 410, as a link says.
    Gone,
    /// Requests that no link answers, and no fallback: answered with 404, or sent where the host has that said.
    NotFound,
    /// Requests that no link answers, sent to the fallback of their host.
    Fallback,
    /// Requests for a link whose time has not come, answered as if it were not there.
    Scheduled,
    /// Requests for a link that was switched off, answered as if it were not there.
    Disabled,
    /// Requests for a link whose time is over.
    Expired,
    /// Requests for a link whose clicks are used up.
    UsedUp,
    /// Requests refused for their method, with 405 or 501.
    MethodsRefused,
    /// What was no request, and answered with 400, 414, 431, 501 or 505.
    Rejected,
    /// Lookups that needed the store; a request has eight at most.
    Misses,
    /// Requests answered with 503, since too many waited for the store.
    Overloaded,
    /// Requests answered with 500, since the store could not be read.
    StoreErrors,
    /// Connections closed that were idle too long.
    IdleTimeouts,
    /// Requests that did not arrive in time, answered with 408.
    HeaderTimeouts,
    /// Connections closed whose client did not take the answer in time.
    WriteTimeouts,
    /// Connections closed by an error in carom itself.
    Panics,
}

impl Counter {
    /// All of them.
    pub const ALL: [Counter; COUNTERS] = [
        Counter::Connections,
        Counter::ConnectionsRefused,
        Counter::AcceptErrors,
        Counter::Redirects,
        Counter::Gone,
        Counter::NotFound,
        Counter::Fallback,
        Counter::Scheduled,
        Counter::Disabled,
        Counter::Expired,
        Counter::UsedUp,
        Counter::MethodsRefused,
        Counter::Rejected,
        Counter::Misses,
        Counter::Overloaded,
        Counter::StoreErrors,
        Counter::IdleTimeouts,
        Counter::HeaderTimeouts,
        Counter::WriteTimeouts,
        Counter::Panics,
    ];

    /// What it counts, for people.
    pub fn name(self) -> &'static str {
        match self {
            Counter::Connections => "connections",
            Counter::ConnectionsRefused => "connections refused",
            Counter::AcceptErrors => "failed accepts",
            Counter::Redirects => "redirects",
            Counter::Gone => "gone",
            Counter::NotFound => "not found",
            Counter::Fallback => "sent to a fallback",
            Counter::Scheduled => "scheduled",
            Counter::Disabled => "disabled",
            Counter::Expired => "expired",
            Counter::UsedUp => "used up",
            Counter::MethodsRefused => "methods refused",
            Counter::Rejected => "rejected",
            Counter::Misses => "cache misses",
            Counter::Overloaded => "overloaded",
            Counter::StoreErrors => "store errors",
            Counter::IdleTimeouts => "idle timeouts",
            Counter::HeaderTimeouts => "header timeouts",
            Counter::WriteTimeouts => "write timeouts",
            Counter::Panics => "panics",
        }
    }
}

const COUNTERS: usize = Counter::Panics as usize + 1;

/// The counters of one thread, for that thread.
#[derive(Default)]
pub struct LocalCounters([Cell<u64>; COUNTERS]);

impl LocalCounters {
    /// Counts one more.
    pub fn add(&self, counter: Counter) {
        let cell = &self.0[counter as usize];
        cell.set(cell.get() + 1);
    }

    /// How many there were.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize].get()
    }

    /// Makes the counts visible to other threads.
    pub fn publish(&self, shared: &SharedCounters) {
        for (cell, atomic) in self.0.iter().zip(&shared.0) {
            atomic.store(cell.get(), Ordering::Relaxed);
        }
    }
}

/// The counters of one thread, as others see them: at most a second old.
#[derive(Default)]
pub struct SharedCounters([AtomicU64; COUNTERS]);

impl SharedCounters {
    /// How many there were.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_in_their_places() {
        for (index, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, index);
        }
    }

    #[test]
    fn what_is_counted_is_seen_once_it_is_published() {
        let (local, shared) = (LocalCounters::default(), SharedCounters::default());
        local.add(Counter::Panics);
        local.add(Counter::Connections);
        local.add(Counter::Connections);
        assert_eq!(shared.get(Counter::Connections), 0);
        local.publish(&shared);
        assert_eq!(shared.get(Counter::Connections), 2);
        assert_eq!(shared.get(Counter::Panics), 1);
        assert_eq!(shared.get(Counter::NotFound), 0);
    }
}
