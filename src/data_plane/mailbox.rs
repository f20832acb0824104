//! What other threads tell a worker, and how it is woken: wakes from other threads go past monoio, which can't
//! take them. A socket pair does it.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::cache::CachedLink;
use crate::engine::ReadReply;
use crate::store::StoreError;

/// What other threads tell a worker.
pub(super) struct Mailbox {
    answers: Mutex<Vec<Fetched>>,
    /// Which half of a second it is, told by the main thread.
    half_second: AtomicU64,
    drain: AtomicBool,
    cut: AtomicBool,
    /// What the worker wants said; the main thread says it, so that a worker never waits for a terminal.
    trouble: Mutex<Option<String>>,
    /// Whether a wake is under way, so that one is enough for all that comes until it arrives.
    waking: AtomicBool,
    wake: UnixStream,
}

/// An answer of a reader thread.
pub(super) struct Fetched {
    pub(super) token: u64,
    pub(super) result: Result<CachedLink, StoreError>,
}

impl Mailbox {
    /// A mailbox, and the socket on which its worker is woken.
    pub(super) fn new() -> std::io::Result<(Arc<Self>, UnixStream)> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let mailbox = Mailbox {
            answers: Mutex::new(Vec::new()),
            half_second: AtomicU64::new(0),
            drain: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            trouble: Mutex::new(None),
            waking: AtomicBool::new(false),
            wake,
        };
        Ok((Arc::new(mailbox), woken))
    }

    /// Another half of a second has begun, the one with this number since 1970.
    pub(super) fn tick(&self, half_second: u64) {
        self.half_second.store(half_second, Ordering::Relaxed);
        self.rouse();
    }

    /// No more connections, and the last answers on those there are.
    pub(super) fn drain(&self) {
        self.drain.store(true, Ordering::Relaxed);
        self.rouse();
    }

    /// No more waiting for connections to end.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        self.rouse();
    }

    /// Has something said, with the next tick. Only the last of a second is: there may be many alike.
    pub(super) fn report(&self, trouble: String) {
        *self.trouble.lock() = Some(trouble);
    }

    /// What is to be said, if anything.
    pub(super) fn take_trouble(&self) -> Option<String> {
        self.trouble.lock().take()
    }

    /// Wakes the worker to look again whether all accepts or connections have ended.
    pub(super) fn something_ended(&self) {
        self.rouse();
    }

    /// Wakes the worker by itself, to go on with what it has begun once it has looked for requests.
    pub(super) fn wake_again(&self) {
        self.rouse();
    }

    fn rouse(&self) {
        if !self.waking.swap(true, Ordering::AcqRel) {
            // If the socket is full, the worker is being woken; if it is closed, it is gone.
            let _ = (&self.wake).write(&[0]);
        }
    }

    /// The worker is awake: what comes from now on wakes it again.
    pub(super) fn awake(&self) {
        // A swap, since it reads what the wakers wrote: so the looks that follow see all that came before them.
        self.waking.swap(false, Ordering::AcqRel);
    }

    /// Gives the answers that have come for an empty list, whose memory is used for the next ones.
    pub(super) fn take_answers(&self, answers: &mut Vec<Fetched>) {
        std::mem::swap(&mut *self.answers.lock(), answers);
    }

    pub(super) fn half_second(&self) -> u64 {
        self.half_second.load(Ordering::Relaxed)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain.load(Ordering::Relaxed)
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

impl ReadReply for Mailbox {
    fn deliver(&self, token: u64, result: Result<CachedLink, StoreError>) {
        self.answers.lock().push(Fetched { token, result });
    }

    fn wake(&self) {
        self.rouse();
    }
}
