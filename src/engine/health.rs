//! Whether changes are accepted, for whoever watches.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;

/// Whether changes are accepted. Redirects go on in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Health {
    /// They are.
    #[default]
    Ready,
    /// Not now; it goes on by itself when the cause is gone.
    Paused {
        /// Why.
        reason: String,
    },
    /// Not before carom is started again (I9).
    Closed {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Health::Ready => f.write_str("changes are accepted"),
            Health::Paused { reason } => {
                write!(f, "no change is accepted just now; redirects go on: {reason}")
            }
            Health::Closed { reason } => {
                write!(f, "no change is accepted until carom is started again; redirects go on: {reason}")
            }
        }
    }
}

/// The health as the writer knows it, shared with those who ask.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedHealth {
    health: Arc<Mutex<Health>>,
    /// Whether news is kept from stderr.
    is_silent: bool,
}

impl SharedHealth {
    /// One that says nothing on stderr, for tests that meet trouble all the time.
    #[cfg(test)]
    pub(super) fn silent() -> Self {
        SharedHealth { is_silent: true, ..Self::default() }
    }

    pub(super) fn get(&self) -> Health {
        self.health.lock().clone()
    }

    /// Takes note of it, and says so on stderr if it is news.
    pub(super) fn set(&self, health: Health) {
        let mut known = self.health.lock();
        if *known != health {
            if !self.is_silent && std::mem::discriminant(&*known) != std::mem::discriminant(&health) {
                // Where stderr is closed, `eprintln!` would panic.
                let _ = writeln!(std::io::stderr(), "carom: {health}");
            }
            *known = health;
        }
    }
}
