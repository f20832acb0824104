//! What belongs to one thread: accepting, waking, its caches and counters.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener as StdListener};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{SystemTime, UNIX_EPOCH};

use monoio::io::{AsyncReadRent, CancelHandle, Canceller};
use monoio::net::{TcpListener, TcpStream, UnixStream};

use super::boot::HALF_SECOND_MS;
use super::connection::Connection;
use super::fetch::Fetches;
use super::mailbox::Mailbox;
use super::timeouts::{Limits, Phase, Timeouts};
use crate::clicks::{Guest, Recorder};
use crate::clock::unix_time_ms;
use crate::config::ServeConfig;
use crate::engine::{Engine, HeldTables, ReadPath, ReaderPool};
use crate::http1::imf_fixdate;
use crate::limits::{ACCEPT_FAILURES, ACCEPTS, LOCAL_CACHE_ENTRIES, OUTPUT_BUFFERS, OUTPUT_BYTES, refusals};
use crate::link::RequestKey;
use crate::telemetry::{Counter, LocalCounters, SharedCounters};

/// What a worker is given when it starts.
pub(super) struct Parts {
    pub(super) engine: Arc<Engine>,
    pub(super) pool: Arc<ReaderPool>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) woken: StdUnixStream,
    pub(super) listener: StdListener,
    pub(super) counters: Arc<SharedCounters>,
    pub(super) config: ServeConfig,
}

/// What a request is looked up with.
pub(super) struct Lookups {
    pub(super) key: RequestKey,
    pub(super) path: ReadPath,
    pub(super) tables: HeldTables,
}

/// How many links that have left the worker's cache wait with their clicks until it takes those over.
const GONE_LINKS: usize = 4_096;

/// The state of one worker. Only its own thread sees it, so nothing here is shared or locked (I4).
pub(super) struct Worker {
    pub(super) counters: LocalCounters,
    pub(super) engine: Arc<Engine>,
    pub(super) lookups: RefCell<Lookups>,
    pub(super) recorder: RefCell<Recorder>,
    pub(super) fetches: Fetches,
    timeouts: Rc<Timeouts>,
    mailbox: Arc<Mailbox>,
    published: Arc<SharedCounters>,
    outputs: RefCell<Vec<Vec<u8>>>,
    date: RefCell<[u8; 29]>,
    jitter: Cell<u32>,
    draining: Cell<bool>,
    max_connections: usize,
    /// Who waits for the next tick.
    tick_wakers: RefCell<Vec<Waker>>,
}

impl Worker {
    /// Runs until drained.
    ///
    /// # Errors
    /// If the listener or the wake socket can't be given to the driver.
    pub(super) async fn run(parts: Parts) -> std::io::Result<()> {
        let worker = Rc::new(Worker {
            counters: LocalCounters::default(),
            lookups: RefCell::new(Lookups {
                key: RequestKey::default(),
                path: parts.engine.read_path(LOCAL_CACHE_ENTRIES),
                tables: parts.engine.held_tables(),
            }),
            recorder: RefCell::new(parts.engine.recorder()),
            engine: parts.engine,
            fetches: Fetches::new(parts.pool, Arc::clone(&parts.mailbox)),
            timeouts: Rc::new(Timeouts::new(Limits::of(&parts.config))),
            mailbox: parts.mailbox,
            published: parts.counters,
            outputs: RefCell::default(),
            date: RefCell::new(date_now()),
            jitter: Cell::new(0),
            draining: Cell::new(false),
            max_connections: parts.config.max_connections,
            tick_wakers: RefCell::default(),
        });
        // A second handle on the same socket, for what waits in its queue when monoio has stopped accepting.
        let queue = parts.listener.try_clone()?;
        let listener = Rc::new(TcpListener::from_std(parts.listener)?);
        let canceller = Canceller::new();
        // On epoll one is enough, since it goes on until no connection waits, and monoio wakes only one.
        let accepts = if monoio::utils::is_legacy() { 1 } else { ACCEPTS };
        let accepting = Rc::new(Cell::new(accepts));
        for _ in 0..accepts {
            let (worker, listener) = (Rc::clone(&worker), Rc::clone(&listener));
            let (handle, accepting) = (canceller.handle(), Rc::clone(&accepting));
            monoio::spawn(async move {
                worker.accept(&listener, handle).await;
                accepting.set(accepting.get() - 1);
                worker.mailbox.something_ended();
            });
        }
        let served = worker.serve(listener, queue, canceller, &accepting, parts.woken).await;
        // Whatever ends the worker: what it has counted is counted.
        worker.hand_over_clicks();
        worker.counters.publish(&worker.published);
        served
    }

    async fn serve(
        self: &Rc<Self>,
        listener: Rc<TcpListener>,
        queue: StdListener,
        canceller: Canceller,
        accepting: &Cell<usize>,
        woken: StdUnixStream,
    ) -> std::io::Result<()> {
        let mut mail =
            Mail { stream: UnixStream::from_std(woken)?, buffer: vec![0; 64], half_second: now_half_second() };
        while !self.mailbox.is_draining() {
            self.take_mail(&mut mail).await?;
        }
        self.draining.set(true);
        canceller.cancel();
        self.drain(listener, queue, accepting, &mut mail).await
    }

    async fn drain(
        self: &Rc<Self>,
        listener: Rc<TcpListener>,
        queue: StdListener,
        accepting: &Cell<usize>,
        mail: &mut Mail,
    ) -> std::io::Result<()> {
        // Every accept ends by itself, be it with a connection: to drop one could lose a connection it had won.
        while accepting.get() > 0 && !self.mailbox.is_cut() {
            self.take_mail(mail).await?;
        }
        // Closing the listener resets what waits in its queue: accept it empty first.
        queue.set_nonblocking(true)?;
        let mut failures = 0;
        while failures < ACCEPT_FAILURES {
            match queue.accept().and_then(|(stream, peer)| Ok((adopt(stream)?, peer))) {
                Ok((stream, peer)) => self.spawn(stream, peer.ip()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // One that has gone again, or no descriptor left: the next may do better.
                Err(_) => {
                    self.counters.add(Counter::AcceptErrors);
                    failures += 1;
                }
            }
        }
        // Both handles, so that who connects from now on is refused at once.
        drop((listener, queue));
        let mut was_cut = false;
        while self.timeouts.len() > 0 {
            // Again and again, for those that have become idle since.
            self.timeouts.end_idle();
            if self.mailbox.is_cut() && !was_cut {
                was_cut = true;
                self.timeouts.end_all();
            }
            self.take_mail(mail).await?;
        }
        Ok(())
    }

    /// Waits to be woken and does what other threads ask for.
    async fn take_mail(&self, mail: &mut Mail) -> std::io::Result<()> {
        let (result, buffer) = mail.stream.read(std::mem::take(&mut mail.buffer)).await;
        mail.buffer = buffer;
        result?;
        self.mailbox.awake();
        for fetched in self.mailbox.take_answers() {
            if let Some(error) = self.fetches.complete(fetched) {
                self.mailbox.report(error.to_string());
            }
        }
        let half_second = self.mailbox.half_second();
        if half_second != mail.half_second {
            self.hand_over_clicks();
            if half_second / 2 != mail.half_second / 2 {
                self.each_second();
            }
            mail.half_second = half_second;
        }
        Ok(())
    }

    /// Hands over the clicks since the last time.
    fn hand_over_clicks(&self) {
        let mut recorder = self.recorder.borrow_mut();
        self.lookups.borrow_mut().path.drain(|link, tally| recorder.take(link, tally));
        recorder.hand_over();
    }

    /// Takes over the clicks of links that have left the worker's cache, so that they don't pile up, and hands over when
    /// much has come together.
    pub(super) fn relieve_clicks(&self) {
        if self.lookups.borrow().path.gone() >= GONE_LINKS {
            let mut recorder = self.recorder.borrow_mut();
            self.lookups.borrow_mut().path.drain_gone(|link, tally| recorder.take(link, tally));
        }
        if self.recorder.borrow().is_full() {
            self.hand_over_clicks();
        }
    }

    fn each_second(&self) {
        *self.date.borrow_mut() = date_now();
        self.timeouts.sweep(|phase| {
            match phase {
                Phase::Idle => self.counters.add(Counter::IdleTimeouts),
                Phase::Header => self.counters.add(Counter::HeaderTimeouts),
                Phase::Write => self.counters.add(Counter::WriteTimeouts),
                // Not the client's fault, and not worth a number: it was answered.
                Phase::Fetch | Phase::Linger => {}
            }
        });
        self.counters.publish(&self.published);
        self.tick_wakers.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// Accepts until cancelled.
    async fn accept(self: &Rc<Self>, listener: &TcpListener, handle: CancelHandle) {
        while !self.draining.get() {
            match listener.cancelable_accept(handle.clone()).await {
                Ok((stream, peer)) => self.spawn(stream, peer.ip()),
                Err(_) if self.draining.get() => return,
                Err(error) => {
                    self.counters.add(Counter::AcceptErrors);
                    // Without a descriptor or memory the next would fail at once again.
                    if is_exhausted(&error) {
                        self.next_tick().await;
                    }
                }
            }
        }
    }

    async fn next_tick(&self) {
        let mut registered = false;
        poll_fn(|context| {
            if registered {
                return Poll::Ready(());
            }
            registered = true;
            self.tick_wakers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn spawn(self: &Rc<Self>, stream: TcpStream, peer: IpAddr) {
        let connections = self.timeouts.len();
        let is_refused = connections >= self.max_connections;
        self.counters.add(if is_refused { Counter::ConnectionsRefused } else { Counter::Connections });
        if connections >= self.max_connections + refusals(self.max_connections) {
            // Not even a refusal: it would take what it refuses.
            return;
        }
        let tracked = self.timeouts.track(stream.as_raw_fd());
        let mut connection = Connection::new(Rc::clone(self), stream, Guest::new(peer), tracked);
        let worker = Rc::clone(self);
        monoio::spawn(async move {
            let served = async { if is_refused { connection.refuse().await } else { connection.serve().await } };
            // A panic would end the thread, and with it every other connection.
            if guard(served).await.is_err() {
                worker.counters.add(Counter::Panics);
            }
            drop(connection);
            if worker.draining.get() {
                worker.mailbox.something_ended();
            }
        });
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    pub(super) fn take_output(&self) -> Vec<u8> {
        self.outputs.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn give_back_output(&self, output: Vec<u8>) {
        let mut outputs = self.outputs.borrow_mut();
        if outputs.len() < OUTPUT_BUFFERS && output.capacity() <= OUTPUT_BYTES {
            outputs.push(output);
        }
    }

    pub(super) fn with_date(&self, use_date: impl FnOnce(&[u8; 29])) {
        use_date(&self.date.borrow());
    }

    /// Another number each time, spread evenly over any small range (Weyl sequence).
    pub(super) fn next_jitter(&self) -> u32 {
        let next = self.jitter.get().wrapping_add(0x9E37_79B9);
        self.jitter.set(next);
        next >> 8
    }
}

/// The socket on which the worker is woken.
struct Mail {
    stream: UnixStream,
    buffer: Vec<u8>,
    half_second: u64,
}

/// Gives a socket of the standard library to monoio, in the mode that the driver needs.
fn adopt(stream: std::net::TcpStream) -> std::io::Result<TcpStream> {
    stream.set_nonblocking(monoio::utils::is_legacy())?;
    TcpStream::from_std(stream)
}

/// Whether an accept failed for want of something that others use.
fn is_exhausted(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| exhausted.contains(&error))
}

/// Which half of a second it is since 1970.
pub(super) fn now_half_second() -> u64 {
    unix_time_ms() / HALF_SECOND_MS
}

fn date_now() -> [u8; 29] {
    imf_fixdate(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Runs a future and catches its panic.
async fn guard<F: Future>(future: F) -> std::thread::Result<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
