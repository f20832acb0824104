//! From a configuration to running workers, and from a signal to their end.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use socket2::{Domain, Protocol, Socket, Type};

use super::driver::{self, AnyRuntime, Driver};
use super::mailbox::Mailbox;
use super::worker::{Parts, Worker, now_half_second};
use crate::config::ServeConfig;
use crate::engine::{Engine, ReaderPool};
use crate::limits::{BACKLOG, RESERVED_FILES, refusals};
use crate::telemetry::{Counter, SharedCounters};

/// Why the data plane can't serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can't be had.
    #[error("can't listen on {address}: {source}. {}", listen_hint(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// No way of waiting for the network.
    #[error(
        "the driver could not be started: {0}. Where io_uring is forbidden, as in many containers, epoll is not: --driver auto takes what there is"
    )]
    Driver(std::io::Error),
    /// A worker ended that should not have.
    #[error("a worker ended: {0}")]
    Worker(String),
    /// The operating system refused.
    #[error("{0}: {1}")]
    Io(&'static str, std::io::Error),
}

/// What was served until the end.
#[derive(Debug, Clone)]
pub struct Served {
    /// Requests of all kinds.
    pub requests: u64,
    /// Connections.
    pub connections: u64,
    /// What else was counted, and how often: limits that were met, what was refused, errors.
    pub counts: Vec<(Counter, u64)>,
    /// Whether connections were still going on after the drain timeout, and were cut.
    pub cut: bool,
    /// How many workers had not ended even then: what they counted in their last half second is missing.
    pub workers_left: usize,
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
    let config = &ServeConfig { max_connections: max_connections(config), ..config.clone() };
    let (address, listeners) = listen(config)?;
    let pool = engine.reader_pool(reader_threads()).map_err(|error| ServeError::Io("starting readers", error))?;
    let (plane, drivers) = Plane::start(engine, Arc::new(pool), config, listeners)?;
    is_listening(address, &drivers);

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
    ) -> Result<(Self, String), ServeError> {
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
        let mut drivers = Vec::new();
        for result in started {
            let driver = result.map_err(ServeError::Driver)?.to_string();
            // A machine can run out of rings: then some workers have another driver.
            if !drivers.contains(&driver) {
                drivers.push(driver);
            }
        }
        Ok((plane, drivers.join(" and ")))
    }

    fn run(self, config: &ServeConfig, signalled: &Receiver<()>) -> Result<Served, ServeError> {
        let mut ticks = Ticks::new();
        // A signal, or a worker that ends, which it should not.
        let failure = loop {
            crossbeam_channel::select! {
                recv(signalled) -> _ => break None,
                recv(self.ended) -> ended => break Some(ending_reason(ended.ok())),
                default(ticks.until_next()) => self.tick_if_due(&mut ticks),
            }
        };
        let mut left = self.threads.len() - usize::from(failure.is_some());
        self.mailboxes.iter().for_each(|mailbox| mailbox.drain());
        let deadline = Instant::now() + config.drain_timeout;
        // Cut, a worker still needs a moment to close what it has.
        let cut_at = deadline - (config.drain_timeout / 4).min(Duration::from_secs(1));
        let mut cut = false;
        while left > 0 && Instant::now() < deadline {
            if !cut && (Instant::now() >= cut_at || signalled.try_recv().is_ok()) {
                cut = true;
                self.mailboxes.iter().for_each(|mailbox| mailbox.cut());
            }
            left -= usize::from(self.ended.recv_timeout(ticks.until_next().min(Duration::from_millis(50))).is_ok());
            self.tick_if_due(&mut ticks);
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
                counts: Counter::ALL.into_iter().map(|counter| (counter, sum(counter))).collect(),
                cut,
                workers_left: left,
            }),
        }
    }

    /// Ticks the workers if half a second has passed, and says what they want said.
    fn tick_if_due(&self, ticks: &mut Ticks) {
        let Some(half_second) = ticks.take_due() else { return };
        for mailbox in &self.mailboxes {
            mailbox.tick(half_second);
            if let Some(trouble) = mailbox.take_trouble() {
                // Nobody may be reading.
                let _ = writeln!(std::io::stderr(), "carom: {trouble}");
            }
        }
    }
}

/// Every request is counted under one of these.
const REQUEST_COUNTERS: [Counter; 12] = [
    Counter::Redirects,
    Counter::Gone,
    Counter::NotFound,
    Counter::Fallback,
    Counter::Scheduled,
    Counter::Disabled,
    Counter::Expired,
    Counter::UsedUp,
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

/// Raises the limit of open files to what the process may have, and gives how many connections a worker can take
/// within it: each is one file, and the log needs some as well.
fn max_connections(config: &ServeConfig) -> usize {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = if raised.is_ok() { maximum } else { getrlimit(Resource::Nofile).current };
    connections_within(files, config.workers, config.max_connections)
}

/// How many connections each worker can take if the process may open so many files; at most what is `wanted`, and
/// at least one.
fn connections_within(files: Option<u64>, workers: usize, wanted: usize) -> usize {
    let Some(files) = files else { return wanted };
    let per_worker = usize::try_from(files.saturating_sub(RESERVED_FILES)).unwrap_or(usize::MAX) / workers;
    // Those that are refused take a file as well, until they know it.
    let with_refusals = per_worker - refusals(per_worker);
    wanted.min(with_refusals).max(1)
}

/// What to do when an address can't be had.
fn listen_hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "Ports below 1024 need the capability CAP_NET_BIND_SERVICE; choose another port with --listen"
        }
        std::io::ErrorKind::AddrNotAvailable => "This machine has no such address; choose another with --listen",
        _ => "Is another server running there? Choose another address with --listen",
    }
}

/// Two ticks a second, each second one at its turn, so that the date of answers is right.
struct Ticks {
    next: Instant,
}

/// How long half a second is.
pub(super) const HALF_SECOND_MS: u64 = 500;

impl Ticks {
    fn new() -> Self {
        let past_ms = crate::clock::unix_time_ms() % HALF_SECOND_MS;
        Ticks { next: Instant::now() + Duration::from_millis(HALF_SECOND_MS - past_ms) }
    }

    fn until_next(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Which half of a second has begun, if one has; each is told once.
    fn take_due(&mut self) -> Option<u64> {
        (Instant::now() >= self.next).then(|| {
            *self = Ticks::new();
            now_half_second()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_refusals_fit_into_the_files_that_may_be_open() {
        for files in [0, 100, 256, 1_024, 4_096, 65_536, 1 << 20, u64::MAX] {
            for workers in [1, 2, 64] {
                let connections = connections_within(Some(files), workers, 65_536);
                assert!((1..=65_536).contains(&connections));
                let needed = (connections + refusals(connections)) as u64 * workers as u64 + RESERVED_FILES;
                assert!(needed <= files || connections == 1, "{files} files, {workers} workers: {connections}");
            }
        }
        assert!(connections_within(Some(1_024), 2, 65_536) > 350);
        assert_eq!(connections_within(Some(1 << 20), 2, 65_536), 65_536);
        assert_eq!(connections_within(None, 2, 7), 7);
    }
}
