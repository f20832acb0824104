//! A miss on its way to the reader threads and back.
//!
//! The answers come through a mailbox, one per worker, and a socket pair that wakes the worker: wakes from
//! other threads go past monoio.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;

use crate::cache::CachedLink;
use crate::engine::{Miss, ReadReply, ReaderPool};
use crate::store::StoreError;

/// What other threads tell a worker.
pub(super) struct Mailbox {
    answers: Mutex<Vec<Fetched>>,
    /// Raised once a second by the main thread.
    ticks: AtomicU64,
    drain: AtomicBool,
    cut: AtomicBool,
    /// Whether a wake is under way, so that one is enough for all that comes until it arrives.
    waking: AtomicBool,
    wake: UnixStream,
}

/// An answer of a reader thread.
pub(super) struct Fetched {
    token: u64,
    result: Result<CachedLink, StoreError>,
}

impl Mailbox {
    /// A mailbox, and the socket on which its worker is woken.
    pub(super) fn new() -> std::io::Result<(Arc<Self>, UnixStream)> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let mailbox = Mailbox {
            answers: Mutex::new(Vec::new()),
            ticks: AtomicU64::new(0),
            drain: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            waking: AtomicBool::new(false),
            wake,
        };
        Ok((Arc::new(mailbox), woken))
    }

    /// A second has passed.
    pub(super) fn tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
        self.wake();
    }

    /// No more connections, and the last answers on those there are.
    pub(super) fn drain(&self) {
        self.drain.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// No more waiting for connections to end.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Wakes the worker to look again whether all connections have ended.
    pub(super) fn connection_ended(&self) {
        self.wake();
    }

    fn wake(&self) {
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

    pub(super) fn take_answers(&self) -> Vec<Fetched> {
        std::mem::take(&mut self.answers.lock())
    }

    pub(super) fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
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
        self.wake();
    }
}

/// Why a miss could not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FetchError {
    /// Too many wait already.
    Overloaded,
    /// The store can't be read.
    Store,
}

/// The fetches of one worker that are under way.
pub(super) struct Fetches {
    pool: Arc<ReaderPool>,
    mailbox: Arc<Mailbox>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    next_token: u64,
    by_token: HashMap<u64, Rc<Fetch>>,
    by_key: HashMap<Box<[u8]>, u64>,
}

struct Fetch {
    miss: Miss,
    progress: RefCell<Progress>,
}

enum Progress {
    UnderWay(Vec<Waker>),
    Done(Result<CachedLink, FetchError>),
}

impl Fetches {
    pub(super) fn new(pool: Arc<ReaderPool>, mailbox: Arc<Mailbox>) -> Self {
        Fetches { pool, mailbox, state: RefCell::default() }
    }

    /// Has the store read for a miss, or joins a read of the same key that is under way. `is_current` tells
    /// whether nothing was changed since that one was missed: one that is older may lack an acknowledged change
    /// (I5).
    pub(super) async fn fetch(&self, miss: Miss, is_current: impl Fn(&Miss) -> bool) -> Result<CachedLink, FetchError> {
        let fetch = self.join(&miss, is_current).map_or_else(|| self.start(miss), Ok)?;
        poll_fn(|context| match &mut *fetch.progress.borrow_mut() {
            Progress::Done(result) => Poll::Ready(result.clone()),
            Progress::UnderWay(wakers) => {
                wakers.push(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    fn join(&self, miss: &Miss, is_current: impl Fn(&Miss) -> bool) -> Option<Rc<Fetch>> {
        let state = self.state.borrow();
        let fetch = state.by_key.get(&miss.key).and_then(|token| state.by_token.get(token))?;
        is_current(&fetch.miss).then(|| Rc::clone(fetch))
    }

    fn start(&self, miss: Miss) -> Result<Rc<Fetch>, FetchError> {
        let mut state = self.state.borrow_mut();
        let token = state.next_token;
        let mailbox = Arc::clone(&self.mailbox) as Arc<dyn ReadReply>;
        self.pool.read(miss.clone(), token, mailbox).map_err(|_| FetchError::Overloaded)?;
        state.next_token += 1;
        state.by_key.insert(miss.key.clone(), token);
        let fetch = Rc::new(Fetch { miss, progress: RefCell::new(Progress::UnderWay(Vec::new())) });
        state.by_token.insert(token, Rc::clone(&fetch));
        Ok(fetch)
    }

    /// Takes the answer of a reader thread and wakes who waits for it. Gives the error, if it is one.
    pub(super) fn complete(&self, fetched: Fetched) -> Option<StoreError> {
        let mut state = self.state.borrow_mut();
        let fetch = state.by_token.remove(&fetched.token)?;
        // A later fetch of the same key may have taken its place there.
        if state.by_key.get(&fetch.miss.key) == Some(&fetched.token) {
            state.by_key.remove(&fetch.miss.key);
        }
        let (result, error) = match fetched.result {
            Ok(link) => (Ok(link), None),
            Err(error) => (Err(FetchError::Store), Some(error)),
        };
        if let Progress::UnderWay(wakers) = fetch.progress.replace(Progress::Done(result)) {
            wakers.into_iter().for_each(Waker::wake);
        }
        error
    }
}
