//! Which way of waiting for the network the machine offers.

use std::fmt;
use std::io;

use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

use crate::config::DriverChoice;

/// A way of waiting for the network, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    /// io_uring whose completions are worked off only when the worker asks (Linux 6.1).
    UringDeferTaskrun,
    /// io_uring that does not interrupt the worker for completions (Linux 5.19).
    UringCoopTaskrun,
    /// io_uring (Linux 5.6).
    Uring,
    /// epoll.
    Epoll,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::UringDeferTaskrun => "io_uring (DEFER_TASKRUN)",
            Driver::UringCoopTaskrun => "io_uring (COOP_TASKRUN)",
            Driver::Uring => "io_uring",
            Driver::Epoll => "epoll",
        })
    }
}

/// A runtime on the driver that was had.
pub(super) enum AnyRuntime {
    Uring(Runtime<IoUringDriver>),
    Epoll(Runtime<LegacyDriver>),
}

/// Entries of the submission queue. More operations than these at once only cost one more system call.
const RING_ENTRIES: u32 = 1_024;

/// Builds a runtime on the best driver of the choice. Must be called on the thread that will run it.
///
/// # Errors
/// Why the last of the drivers could not be had; containers often forbid io_uring.
pub(super) fn build(choice: DriverChoice) -> io::Result<(Driver, AnyRuntime)> {
    let drivers: &[Driver] = match choice {
        DriverChoice::Auto => &[Driver::UringDeferTaskrun, Driver::UringCoopTaskrun, Driver::Uring, Driver::Epoll],
        DriverChoice::Uring => &[Driver::UringDeferTaskrun, Driver::UringCoopTaskrun, Driver::Uring],
        DriverChoice::Epoll => &[Driver::Epoll],
    };
    let mut failure = None;
    for &driver in drivers {
        match build_one(driver) {
            Ok(runtime) => return Ok((driver, runtime)),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.expect("every choice names a driver"))
}

fn build_one(driver: Driver) -> io::Result<AnyRuntime> {
    // An old kernel builds a ring that lacks operations which monoio needs.
    if driver != Driver::Epoll && !monoio::utils::detect_uring() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel has no io_uring that can be used"));
    }
    let mut ring = io_uring::IoUring::builder();
    match driver {
        Driver::UringDeferTaskrun => ring.setup_single_issuer().setup_defer_taskrun(),
        Driver::UringCoopTaskrun => ring.setup_coop_taskrun(),
        Driver::Uring => &mut ring,
        Driver::Epoll => {
            let builder = RuntimeBuilder::<LegacyDriver>::new().with_entries(RING_ENTRIES);
            return builder.build().map(AnyRuntime::Epoll);
        }
    };
    let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(RING_ENTRIES).uring_builder(ring);
    builder.build().map(AnyRuntime::Uring)
}
