//! Clicks that are counted. None of this slows a redirect or stands in the log of changes (I7).
//!
//! - [`Uses`]: how often each link that has a limit of clicks was used: exact, and kept over restarts.
//!   [`UsesSaver`] is the thread that writes it down.

mod uses;

pub use uses::{Uses, UsesError, UsesSaver};
