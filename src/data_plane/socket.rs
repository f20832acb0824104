//! The one place that needs `unsafe`: monoio's sockets lend their descriptor only as a number.
#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, RawFd};

use rustix::net::Shutdown;

/// Shuts down the socket `fd`, which a [`Tracked`](super::timeouts::Tracked) holds.
pub(super) fn shut_down(fd: RawFd, how: Shutdown) {
    // SAFETY: `fd` is open for the whole call. It is in a slot of `Timeouts`, a slot is emptied before its
    // connection closes its socket (`Connection::tracked` is dropped before `Connection::stream`), and both
    // happen on this thread.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    // It fails when the client has gone already, which is as well.
    let _ = rustix::net::shutdown(fd, how);
}
