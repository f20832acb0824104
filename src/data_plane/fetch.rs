//! A miss on its way to the reader threads and back, through the worker's [`Mailbox`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::mailbox::{Fetched, Mailbox};
use crate::cache::CachedLink;
use crate::engine::{Miss, ReadReply, ReaderPool};
use crate::store::StoreError;

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
