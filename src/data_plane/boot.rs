//! From a configuration to running workers, and from a signal to their end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use socket2::{Domain, Protocol, Socket, Type};

use super::driver::{self, AnyRuntime, Driver};
use super::fetch::Mailbox;
use super::worker::{Parts, Worker};
use crate::config::ServeConfig;
use crate::engine::{Engine, ReaderPool};
use crate::limits::BACKLOG;
use crate::telemetry::{Counter, SharedCounters};

/// Why the data plane can't serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can't be had.
    #[error("can't listen on {address}: {source}. Is another server running there? Choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// No way of waiting for the network.
    #[error("no driver could be started: {0}. Containers often forbid io_uring; try --driver epoll")]
    Driver(std::io::Error),
    /// A worker ended that should not have.
    #[error("a worker ended: {0}")]
    Worker(String),
    /// The operating system refused.
    #[error("{0}: {1}")]
    Io(&'static str, std::io::Error),
}

/// What was served until the end.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// Requests of all kinds.
    pub requests: u64,
    /// Connections.
    pub connections: u64,
    /// Whether connections were still going on after the drain timeout, and were cut.
    pub cut: bool,
}

/// Serves until SIGTERM or SIGINT, then drains: takes no more connections, answers what was asked, and returns
/// when all connections have ended, or after [`ServeConfig::drain_timeout`]. `is_listening` is called once, with
/// the address and the name of the driver, when connections are accepted.
///
/// # Errors
/// If the address or a driver can't be had, or a worker ends by itself.
pub fn serve(
    engine: &Arc<Engine>,
    config: &ServeConfig,
    is_listening: impl FnOnce(SocketAddr, &str),
) -> Result<Served, ServeError> {
    // Before anything is started, so that no signal is missed.
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(|error| ServeError::Io("waiting for signals", error))?;
    raise_file_limit();
    let (address, listeners) = listen(config)?;
    let pool = engine.reader_pool(reader_threads()).map_err(|error| ServeError::Io("starting readers", error))?;
    let (plane, started) = Plane::start(engine, Arc::new(pool), config, listeners)?;
    is_listening(address, &started.to_string());

    let (signal, signalled) = crossbeam_channel::unbounded();
    std::thread::spawn(move || signals.forever().try_for_each(|_| signal.send(())));
    plane.run(config, &signalled)
}

/// Workers and how to reach them.
struct Plane {
    mailboxes: Vec<Arc<Mailbox>>,
    counters: Vec<Arc<SharedCounters>>,
    threads: Vec<JoinHandle<()>>,
    ended: Receiver<Result<(), String>>,
}

/// Says that a worker has ended, also if it panicked.
struct Ending {
    ended: Sender<Result<(), String>>,
    result: Result<(), String>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Nobody listens any more when the process ends.
        let _ = self.ended.send(std::mem::replace(&mut self.result, Ok(())));
    }
}

impl Plane {
    /// Starts the workers, each pinned to a core of those that the process may use.
    fn start(
        engine: &Arc<Engine>,
        pool: Arc<ReaderPool>,
        config: &ServeConfig,
        listeners: Vec<TcpListener>,
    ) -> Result<(Self, Driver), ServeError> {
        let cores = cores();
        let (ending, ended) = crossbeam_channel::unbounded();
        let (starting, started) = crossbeam_channel::unbounded();
        let mut plane = Plane { mailboxes: Vec::new(), counters: Vec::new(), threads: Vec::new(), ended };
        for (index, listener) in listeners.into_iter().enumerate() {
            let io = |error| ServeError::Io("starting a worker", error);
            let (mailbox, woken) = Mailbox::new().map_err(io)?;
            let counters = Arc::new(SharedCounters::default());
            let parts = Parts {
                engine: Arc::clone(engine),
                pool: Arc::clone(&pool),
                mailbox: Arc::clone(&mailbox),
                woken,
                listener,
                counters: Arc::clone(&counters),
                config: config.clone(),
            };
            let core = cores.get(index % cores.len().max(1)).copied();
            let (ending, starting) = (ending.clone(), starting.clone());
            let thread = std::thread::Builder::new().name(format!("carom-worker-{index}")).spawn(move || {
                let result = Err("it panicked; the message stands above".to_owned());
                let mut ending = Ending { ended: ending, result };
                ending.result = run_worker(core, parts, starting).map_err(|error| error.to_string());
            });
            plane.mailboxes.push(mailbox);
            plane.counters.push(counters);
            plane.threads.push(thread.map_err(io)?);
        }
        drop(starting);
        let mut driver = None;
        for result in started {
            driver = Some(result.map_err(ServeError::Driver)?);
        }
        let driver = driver.ok_or_else(|| ServeError::Worker("none was started".to_owned()))?;
        Ok((plane, driver))
    }

    fn run(self, config: &ServeConfig, signalled: &Receiver<()>) -> Result<Served, ServeError> {
        let mut ticks = Ticks::new();
        // A signal, or a worker that ends, which it should not.
        let failure = loop {
            crossbeam_channel::select! {
                recv(signalled) -> _ => break None,
                recv(self.ended) -> ended => break Some(ending_reason(ended.ok())),
                default(ticks.until_next()) => self.tick_all(),
            }
        };
        let mut left = self.threads.len() - usize::from(failure.is_some());
        self.mailboxes.iter().for_each(|mailbox| mailbox.drain());
        let deadline = Instant::now() + config.drain_timeout;
        // Cut, a worker still needs a moment to close what it has.
        let give_up = deadline + Duration::from_secs(2);
        let mut cut = false;
        while left > 0 && Instant::now() < give_up {
            if !cut && (Instant::now() >= deadline || signalled.try_recv().is_ok()) {
                cut = true;
                self.mailboxes.iter().for_each(|mailbox| mailbox.cut());
            }
            match self.ended.recv_timeout(ticks.until_next().min(Duration::from_millis(100))) {
                Ok(_) => left -= 1,
                Err(RecvTimeoutError::Timeout) if ticks.is_due() => self.tick_all(),
                Err(_) => {}
            }
        }
        if left == 0 {
            self.threads.into_iter().for_each(|thread| drop(thread.join()));
        }
        let sum = |counter| self.counters.iter().map(|counters| counters.get(counter)).sum::<u64>();
        match failure {
            Some(reason) => Err(ServeError::Worker(reason)),
            None => Ok(Served {
                requests: REQUEST_COUNTERS.iter().map(|&counter| sum(counter)).sum(),
                connections: sum(Counter::Connections),
                cut,
            }),
        }
    }

    fn tick_all(&self) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.tick());
    }
}

/// Every request is counted under one of these.
const REQUEST_COUNTERS: [Counter; 7] = [
    Counter::Redirects,
    Counter::Gone,
    Counter::NotFound,
    Counter::MethodsRefused,
    Counter::Rejected,
    Counter::Overloaded,
    Counter::StoreErrors,
];

fn ending_reason(ended: Option<Result<(), String>>) -> String {
    match ended {
        Some(Err(reason)) => reason,
        Some(Ok(())) | None => "it returned without being asked to".to_owned(),
    }
}

/// The body of a worker thread.
fn run_worker(core: Option<usize>, parts: Parts, started: Sender<std::io::Result<Driver>>) -> std::io::Result<()> {
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        // Where it is not allowed, the worker runs all the same, only less steadily.
        let _ = sched_setaffinity(None, &set);
    }
    let (driver, runtime) = match driver::build(parts.config.driver) {
        Ok(built) => built,
        Err(error) => {
            let _ = started.send(Err(error));
            return Ok(());
        }
    };
    // monoio takes sockets as they are: for io_uring they must be blocking, for epoll they must not.
    parts.listener.set_nonblocking(driver == Driver::Epoll)?;
    parts.woken.set_nonblocking(driver == Driver::Epoll)?;
    let _ = started.send(Ok(driver));
    // Whoever waits for all workers to start waits until each has let go of this.
    drop(started);
    match runtime {
        AnyRuntime::Uring(mut runtime) => runtime.block_on(Worker::run(parts)),
        AnyRuntime::Epoll(mut runtime) => runtime.block_on(Worker::run(parts)),
    }
}

/// Opens one listener a worker on the same address (SO_REUSEPORT): the kernel spreads connections over them.
fn listen(config: &ServeConfig) -> Result<(SocketAddr, Vec<TcpListener>), ServeError> {
    let mut address = config.listen;
    // With SO_REUSEPORT two servers could share an address without a word. One without it finds out.
    let probe = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
    let probed = probe.and_then(|probe| {
        probe.set_reuse_address(true)?;
        probe.bind(&address.into())
    });
    probed.map_err(|source| ServeError::Listen { address, source })?;
    let mut listeners = Vec::new();
    for _ in 0..config.workers {
        let listener = listen_once(address).map_err(|source| ServeError::Listen { address, source })?;
        // Port 0 is a free one, and then the same for all.
        address = listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
        listeners.push(listener);
    }
    Ok((address, listeners))
}

fn listen_once(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_port(true)?;
    socket.set_reuse_address(true)?;
    // Accepted connections inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The cores that the process may use.
fn cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()
}

/// How many threads read the store: it is mostly memory that they wait for.
fn reader_threads() -> usize {
    cores().len().clamp(2, 8)
}

/// Raises the limit of open files to what the process may have: each connection is one.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If it is refused, accepting fails sooner, which is counted.
    let _ = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// One tick a second, at the turn of the second, so that the date of answers is right.
struct Ticks {
    next: Instant,
}

impl Ticks {
    fn new() -> Self {
        let past_second_ms = crate::clock::unix_time_ms() % 1_000;
        Ticks { next: Instant::now() + Duration::from_millis(1_000 - past_second_ms) }
    }

    fn until_next(&mut self) -> Duration {
        let now = Instant::now();
        if now >= self.next {
            *self = Ticks::new();
        }
        self.next.saturating_duration_since(now)
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }
}
