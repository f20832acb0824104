//! A miss on its way to the reader threads and back, through the worker's [`Mailbox`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use ahash::RandomState;

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
    by_token: HashMap<u64, Rc<Fetch>, RandomState>,
    /// The token of the last one by the hash of its key. Of two keys with one hash only one is found.
    by_hash: HashMap<u64, u64, RandomState>,
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
    pub(super) async fn fetch(
        &self,
        miss: &Miss,
        is_current: impl Fn(&Miss) -> bool,
    ) -> Result<CachedLink, FetchError> {
        let fetch = self.join(miss, is_current).map_or_else(|| self.start(miss), Ok)?;
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
        let fetch = state.by_hash.get(&miss.hash).and_then(|token| state.by_token.get(token))?;
        (fetch.miss.key == miss.key && is_current(&fetch.miss)).then(|| Rc::clone(fetch))
    }

    fn start(&self, miss: &Miss) -> Result<Rc<Fetch>, FetchError> {
        let mut state = self.state.borrow_mut();
        let token = state.next_token;
        let mailbox = Arc::clone(&self.mailbox) as Arc<dyn ReadReply>;
        self.pool.read(miss.clone(), token, mailbox).map_err(|_| FetchError::Overloaded)?;
        state.next_token += 1;
        state.by_hash.insert(miss.hash, token);
        let fetch = Rc::new(Fetch { miss: miss.clone(), progress: RefCell::new(Progress::UnderWay(Vec::new())) });
        state.by_token.insert(token, Rc::clone(&fetch));
        Ok(fetch)
    }

    /// Takes the answer of a reader thread and wakes who waits for it. Gives the error, if it is one.
    pub(super) fn complete(&self, fetched: Fetched) -> Option<StoreError> {
        let mut state = self.state.borrow_mut();
        let fetch = state.by_token.remove(&fetched.token)?;
        // A later fetch of the same key may have taken its place there.
        if state.by_hash.get(&fetch.miss.hash) == Some(&fetched.token) {
            state.by_hash.remove(&fetch.miss.hash);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineConfig, OwnedEngine};

    #[test]
    fn fetches_of_two_keys_with_one_hash_are_told_apart() {
        let data = tempfile::tempdir().unwrap();
        let config = EngineConfig { cache_bytes: 1 << 20, ..EngineConfig::new(data.path().join("data")) };
        let (engine, _) = OwnedEngine::open(&config).unwrap();
        let pool = Arc::new(engine.engine().reader_pool(1).unwrap());
        let (mailbox, _woken) = Mailbox::new().unwrap();
        let fetches = Fetches::new(pool, mailbox);
        let stamp = crate::cache::SharedCache::new(0).stamp(7);
        let miss = |key: &[u8]| Miss { key: key.into(), hash: 7, stamp };
        let (one, other) = (miss(b"a.example/1"), miss(b"a.example/2"));

        assert!(fetches.start(&one).is_ok());
        assert!(fetches.join(&one, |_| true).is_some() && fetches.join(&other, |_| true).is_none());
        assert!(fetches.start(&other).is_ok());
        assert!(fetches.join(&other, |_| true).is_some() && fetches.join(&one, |_| true).is_none());
        // The first one's answer leaves the other in its place.
        let link = CachedLink::absent(&one.key, false);
        assert!(fetches.complete(Fetched { token: 0, result: Ok(link) }).is_none());
        assert!(fetches.join(&other, |_| true).is_some());
        assert!(fetches.join(&other, |_| false).is_none());
    }
}
