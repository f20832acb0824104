//! Threads that read the store for those that must not wait: a store blocks, a worker must not.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::Engine;
use super::read::{self, Miss};
use crate::cache::CachedLink;
use crate::limits::READER_QUEUE;
use crate::store::StoreError;

/// Most reads that a thread takes out of the queue at a time: one that waits for the disk has the others wait, too.
const READS_TOGETHER: usize = 4;

/// After so many answers those who wait for them are woken. A worker that is woken has as much to do for one answer as for
/// some, but for the answers themselves.
const ANSWERS_TOGETHER: usize = 16;

/// After so long they are woken, too, be there ever so few. It is looked at after each read.
const WAKE_AFTER: Duration = Duration::from_micros(200);

/// Where the answer to a miss goes. Called on a reader thread.
pub trait ReadReply: Send + Sync {
    /// Takes the entry that the store has, or why it can't be had.
    fn deliver(&self, token: u64, result: Result<CachedLink, StoreError>);

    /// Wakes whoever waits for answers. Called after one was delivered, or some.
    fn wake(&self);
}

struct Read {
    miss: Miss,
    token: u64,
    reply: Arc<dyn ReadReply>,
}

/// A pool of reader threads with a bounded queue ([`READER_QUEUE`]). They end when it is dropped.
pub struct ReaderPool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl ReaderPool {
    pub(super) fn start(engine: &Arc<Engine>, threads: usize) -> std::io::Result<Self> {
        let mut pool = ReaderPool { queue: Arc::new(Queue::new(threads)), threads: Vec::new() };
        for index in 0..threads {
            let (engine, queue) = (Arc::clone(engine), Arc::clone(&pool.queue));
            let thread = std::thread::Builder::new().name(format!("carom-reader-{index}"));
            pool.threads.push(thread.spawn(move || run(&engine, &queue))?);
        }
        Ok(pool)
    }

    /// Has the store read for a miss. The answer comes to `reply` with the token, which means nothing here.
    ///
    /// # Errors
    /// The miss, if too many wait already (I6).
    pub fn read(&self, miss: Miss, token: u64, reply: Arc<dyn ReadReply>) -> Result<(), Miss> {
        self.queue.put(Read { miss, token, reply }).map_err(|read| read.miss)
    }
}

impl Drop for ReaderPool {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // Its panic has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// Reads that wait for a thread.
struct Queue {
    threads: usize,
    state: Mutex<QueueState>,
    /// Notified when there is something for a thread that sleeps.
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    reads: VecDeque<Read>,
    /// Threads that sleep, or have been woken and don't run yet.
    asleep: usize,
    /// One was woken and does not run yet. It will wake the next if there is more than it takes: so who puts many in at a
    /// time wakes one, and goes on.
    is_waking: bool,
    is_closed: bool,
}

impl Queue {
    fn new(threads: usize) -> Self {
        Queue { threads, state: Mutex::default(), changed: Condvar::new() }
    }

    fn put(&self, read: Read) -> Result<(), Read> {
        let mut state = self.state.lock();
        if state.reads.len() >= READER_QUEUE {
            return Err(read);
        }
        state.reads.push_back(read);
        self.wake_one(state);
        Ok(())
    }

    fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn wake_one(&self, mut state: MutexGuard<'_, QueueState>) {
        if state.asleep > 0 && !state.is_waking {
            state.is_waking = true;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Moves some reads into `taken`, if there are any: so many that something is left for the other threads, too, since a
    /// read may wait for the disk.
    fn take(&self, taken: &mut Vec<Read>) {
        let mut state = self.state.lock();
        let share = (state.reads.len() / self.threads).clamp(1, READS_TOGETHER).min(state.reads.len());
        taken.extend(state.reads.drain(..share));
        if !state.reads.is_empty() {
            self.wake_one(state);
        }
    }

    /// Waits until there are reads. False once it is closed and there are none.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while state.reads.is_empty() && !state.is_closed {
            state.asleep += 1;
            self.changed.wait(&mut state);
            state.asleep -= 1;
            state.is_waking = false;
        }
        !state.reads.is_empty()
    }
}

fn run(engine: &Engine, queue: &Queue) {
    let mut reads = Vec::with_capacity(READS_TOGETHER);
    let mut unwoken = Unwoken::default();
    loop {
        queue.take(&mut reads);
        if reads.is_empty() {
            unwoken.wake();
            match queue.wait() {
                true => continue,
                false => return,
            }
        }
        for Read { miss, token, reply } in reads.drain(..) {
            unwoken.since.get_or_insert_with(Instant::now);
            // Neither sled nor fjall always answers damage with an error. Whoever waits must have an answer all the same,
            // and so must those who come after.
            let result = catch_unwind(AssertUnwindSafe(|| read_and_fill(engine, &miss))).unwrap_or_else(|_| {
                let key = String::from_utf8_lossy(&miss.key);
                let reason = format!(
                    "reading `{key}` led to a panic, so its contents are most likely damaged. Stop carom and run \
                     `carom rebuild`: the store is built again from snapshots and log"
                );
                Err(StoreError::Backend(reason))
            });
            reply.deliver(token, result);
            unwoken.note(reply);
        }
    }
}

/// Those who have answers, and don't know it.
#[derive(Default)]
struct Unwoken {
    replies: Vec<Arc<dyn ReadReply>>,
    answers: usize,
    /// When the first of these reads began.
    since: Option<Instant>,
}

impl Unwoken {
    /// Takes note of an answer, and wakes those who have some once it is time.
    fn note(&mut self, reply: Arc<dyn ReadReply>) {
        if !self.replies.iter().any(|unwoken| Arc::ptr_eq(unwoken, &reply)) {
            self.replies.push(reply);
        }
        self.answers += 1;
        if self.answers >= ANSWERS_TOGETHER || self.since.is_some_and(|since| since.elapsed() >= WAKE_AFTER) {
            self.wake();
        }
    }

    fn wake(&mut self) {
        self.replies.drain(..).for_each(|reply| reply.wake());
        self.answers = 0;
        self.since = None;
    }
}

fn read_and_fill(engine: &Engine, miss: &Miss) -> Result<CachedLink, StoreError> {
    let link = read::stored_link(engine.store.get()?.as_ref(), &miss.key)?;
    // Dropped there if the link was changed since the miss (I5).
    engine.views.cache.fill(miss.hash, miss.stamp, link.clone());
    Ok(link)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;
    use crate::cache::SharedCache;

    #[derive(Default)]
    struct Waiting {
        answers: AtomicUsize,
        wakes: AtomicUsize,
    }

    impl ReadReply for Waiting {
        fn deliver(&self, _: u64, _: Result<CachedLink, StoreError>) {
            self.answers.fetch_add(1, SeqCst);
        }

        fn wake(&self) {
            self.wakes.fetch_add(1, SeqCst);
        }
    }

    fn read(token: u64) -> Read {
        let stamp = SharedCache::new(0).stamp(token);
        Read { miss: Miss { key: Box::default(), hash: token, stamp }, token, reply: Arc::<Waiting>::default() }
    }

    fn taken(queue: &Queue) -> usize {
        let mut reads = Vec::new();
        queue.take(&mut reads);
        reads.len()
    }

    #[test]
    fn a_thread_takes_its_share_and_never_more_than_a_batch() {
        let queue = Queue::new(2);
        assert_eq!(taken(&queue), 0);
        for (waiting, share) in [(1, 1), (2, 1), (3, 1), (8, 4), (100, READS_TOGETHER)] {
            (0..waiting).for_each(|token| assert!(queue.put(read(token)).is_ok()));
            assert_eq!(taken(&queue), share, "of {waiting}");
            while taken(&queue) > 0 {}
        }
    }

    #[test]
    fn what_does_not_fit_into_the_queue_comes_back() {
        let queue = Queue::new(1);
        (0..READER_QUEUE as u64).for_each(|token| assert!(queue.put(read(token)).is_ok()));
        assert_eq!(queue.put(read(7)).err().map(|read| read.token), Some(7));
        taken(&queue);
        assert!(queue.put(read(7)).is_ok());
    }

    #[test]
    fn nothing_is_left_lying_while_threads_fall_asleep_and_are_woken() {
        let (queue, done, reads) = (Queue::new(3), AtomicUsize::new(0), 3_000);
        let start = Instant::now();
        let wait = || {
            assert!(start.elapsed() < Duration::from_secs(60), "{} of {reads}", done.load(SeqCst));
            std::thread::yield_now();
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while queue.wait() {
                        done.fetch_add(taken(&queue), SeqCst);
                    }
                });
            }
            for token in 0..reads {
                while queue.put(read(token)).is_err() {
                    wait();
                }
                if token % 64 == 0 {
                    // Until all sleep again, or are about to.
                    while done.load(SeqCst) <= token as usize {
                        wait();
                    }
                }
            }
            while done.load(SeqCst) < reads as usize {
                wait();
            }
            queue.close();
        });
        assert_eq!(done.into_inner(), reads as usize);
    }

    #[test]
    fn one_wake_is_for_many_answers_but_none_waits_long() {
        let (one, other) = (Arc::<Waiting>::default(), Arc::<Waiting>::default());
        let wakes = || [one.wakes.load(SeqCst), other.wakes.load(SeqCst)];
        let mut unwoken = Unwoken { since: Some(Instant::now() + Duration::from_secs(60)), ..Unwoken::default() };
        (1..ANSWERS_TOGETHER).for_each(|_| unwoken.note(one.clone()));
        assert_eq!(wakes(), [0, 0]);
        unwoken.note(other.clone());
        assert_eq!(wakes(), [1, 1]);
        // Nobody waits any more.
        unwoken.wake();
        assert_eq!(wakes(), [1, 1]);
        unwoken.note(other.clone());
        unwoken.since = Some(Instant::now() - WAKE_AFTER);
        unwoken.note(one.clone());
        assert_eq!(wakes(), [2, 2]);
    }
}
