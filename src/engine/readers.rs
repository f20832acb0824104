//! Threads that read the store for those that must not wait: a store blocks, a worker must not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use super::Engine;
use super::read::{self, Miss};
use crate::cache::CachedLink;
use crate::limits::READER_QUEUE;
use crate::store::StoreError;

/// Where the answer to a miss goes. Called on a reader thread.
pub trait ReadReply: Send + Sync {
    /// Takes the entry that the store has, or why it can't be had.
    fn deliver(&self, token: u64, result: Result<CachedLink, StoreError>);
}

struct Read {
    miss: Miss,
    token: u64,
    reply: Arc<dyn ReadReply>,
}

/// A pool of reader threads with a bounded queue ([`READER_QUEUE`]). They end when it is dropped.
pub struct ReaderPool {
    queue: Option<Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

impl ReaderPool {
    pub(super) fn start(engine: &Arc<Engine>, threads: usize) -> std::io::Result<Self> {
        let (queue, reads) = crossbeam_channel::bounded::<Read>(READER_QUEUE);
        let mut pool = ReaderPool { queue: Some(queue), threads: Vec::new() };
        for index in 0..threads {
            let (engine, reads) = (Arc::clone(engine), reads.clone());
            let thread = std::thread::Builder::new().name(format!("carom-reader-{index}"));
            pool.threads.push(thread.spawn(move || run(&engine, &reads))?);
        }
        Ok(pool)
    }

    /// Has the store read for a miss. The answer comes to `reply` with the token, which means nothing here.
    ///
    /// # Errors
    /// The miss, if too many wait already (I6).
    pub fn read(&self, miss: Miss, token: u64, reply: Arc<dyn ReadReply>) -> Result<(), Miss> {
        let queue = self.queue.as_ref().expect("the queue is there until the pool is dropped");
        queue.try_send(Read { miss, token, reply }).map_err(|error| match error {
            TrySendError::Full(read) | TrySendError::Disconnected(read) => read.miss,
        })
    }
}

fn run(engine: &Engine, reads: &Receiver<Read>) {
    for Read { miss, token, reply } in reads {
        // Neither sled nor fjall always answers damage with an error. Whoever waits must have an answer all the same, and
        // so must those who come after.
        let result = catch_unwind(AssertUnwindSafe(|| read_and_fill(engine, &miss))).unwrap_or_else(|_| {
            let key = String::from_utf8_lossy(&miss.key);
            let reason = format!(
                "reading `{key}` led to a panic, so its contents are most likely damaged. Stop carom and run \
                 `carom rebuild`: the store is built again from snapshots and log"
            );
            Err(StoreError::Backend(reason))
        });
        reply.deliver(token, result);
    }
}

fn read_and_fill(engine: &Engine, miss: &Miss) -> Result<CachedLink, StoreError> {
    let link = read::stored_link(engine.store.get()?.as_ref(), &miss.key)?;
    // Dropped there if the link was changed since the miss (I5).
    engine.views.cache.fill(miss.hash, miss.stamp, link.clone());
    Ok(link)
}

impl Drop for ReaderPool {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // Its panic has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}
