//! What belongs to one thread: accepting, waking, what is done each second.

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

use monoio::io::{AsyncReadRent, CancelHandle, Canceller};
use monoio::net::{TcpListener, TcpStream, UnixStream};

use super::boot::HALF_SECOND_MS;
use super::connection::Connection;
use super::fetch::Fetches;
use super::mailbox::{Fetched, Mailbox};
use super::responder::Responder;
use super::timeouts::{Limits, Phase, Timeouts};
use super::turns::Turns;
use crate::clicks::Guest;
use crate::clock::unix_time_ms;
use crate::config::ServeConfig;
use crate::engine::{Engine, ReaderPool};
use crate::limits::{ACCEPT_FAILURES, ACCEPTS, OUTPUT_BUFFERS, OUTPUT_BYTES, refusals};
use crate::telemetry::{Counter, SharedCounters};

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

/// The state of one worker. Only its own thread sees it, so nothing here is shared or locked (I4).
pub(super) struct Worker {
    /// Never borrowed over an `await`.
    pub(super) responder: RefCell<Responder>,
    pub(super) fetches: Fetches,
    pub(super) turns: Rc<Turns>,
    timeouts: Rc<Timeouts>,
    mailbox: Arc<Mailbox>,
    published: Arc<SharedCounters>,
    outputs: RefCell<Vec<Vec<u8>>>,
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
            responder: RefCell::new(Responder::new(&parts.engine)),
            turns: Turns::start(),
            fetches: Fetches::new(parts.pool, Arc::clone(&parts.mailbox)),
            timeouts: Rc::new(Timeouts::new(Limits::of(&parts.config))),
            mailbox: parts.mailbox,
            published: parts.counters,
            outputs: RefCell::default(),
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
        let mut responder = worker.responder.borrow_mut();
        responder.hand_over_clicks();
        responder.counters().publish(&worker.published);
        drop(responder);
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
        let stream = UnixStream::from_std(woken)?;
        let mut mail = Mail { stream, buffer: vec![0; 64], answers: Vec::new(), half_second: now_half_second() };
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
                    self.count(Counter::AcceptErrors);
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
        self.mailbox.take_answers(&mut mail.answers);
        for fetched in mail.answers.drain(..) {
            if let Some(error) = self.fetches.complete(fetched) {
                self.mailbox.report(error.to_string());
            }
        }
        let half_second = self.mailbox.half_second();
        if half_second != mail.half_second {
            self.each_half_second(half_second / 2 != mail.half_second / 2);
            mail.half_second = half_second;
        }
        if self.responder.borrow_mut().hand_over_some() {
            // Requests come first; then the next part.
            self.mailbox.wake_again();
        }
        Ok(())
    }

    // Apart from what is done for each request, in the code and in what a profiler counts.
    #[cold]
    #[inline(never)]
    fn each_half_second(&self, is_whole_second: bool) {
        self.responder.borrow_mut().begin_hand_over();
        if is_whole_second {
            self.each_second();
        }
    }

    fn each_second(&self) {
        self.timeouts.sweep(|phase| {
            match phase {
                Phase::Idle => self.count(Counter::IdleTimeouts),
                Phase::Header => self.count(Counter::HeaderTimeouts),
                Phase::Write => self.count(Counter::WriteTimeouts),
                // Not the client's fault, and not worth a number: it was answered.
                Phase::Fetch | Phase::Linger => {}
            }
        });
        self.responder.borrow_mut().each_second(&self.published);
        self.tick_wakers.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// Accepts until cancelled.
    async fn accept(self: &Rc<Self>, listener: &TcpListener, handle: CancelHandle) {
        while !self.draining.get() {
            match listener.cancelable_accept(handle.clone()).await {
                Ok((stream, peer)) => self.spawn(stream, peer.ip()),
                Err(_) if self.draining.get() => return,
                Err(error) => {
                    self.count(Counter::AcceptErrors);
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
        self.count(if is_refused { Counter::ConnectionsRefused } else { Counter::Connections });
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
                worker.count(Counter::Panics);
            }
            drop(connection);
            if worker.draining.get() {
                worker.mailbox.something_ended();
            }
        });
    }

    pub(super) fn count(&self, counter: Counter) {
        self.responder.borrow().counters().add(counter);
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
}

/// The socket on which the worker is woken.
struct Mail {
    stream: UnixStream,
    buffer: Vec<u8>,
    answers: Vec<Fetched>,
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
