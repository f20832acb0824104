//! The servers that are compared. Each file knows how to set one up and start it.

mod carom;
mod floor;
mod haproxy;
mod nginx;

use crate::client;
use crate::launch::{self, Running};
use crate::links::Links;
use crate::procfs;
use anyhow::{Result, bail};
use carom::Setup;
use clap::ValueEnum;
use std::fmt::{self, Display};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A million links take each server here some seconds; what takes this long hangs, or answers wrongly.
const START_LIMIT: Duration = Duration::from_secs(120);
const START_POLL: Duration = Duration::from_millis(5);
/// Room for the largest number of connections that `--connections` takes, and some.
pub(crate) const OPEN_FILES: u64 = 16_384;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Peer {
    Carom,
    Nginx,
    Haproxy,
    Floor,
    /// The floor on Carom's own runtime.
    FloorRing,
    /// Carom that counts clicks without their details.
    CaromCounts,
    /// Carom that counts no clicks.
    CaromUncounted,
    /// Carom with a worker on each of two cores.
    #[value(skip)]
    CaromTwo,
    /// Another Carom with one worker, on the other core.
    #[value(skip)]
    CaromOther,
}

impl Peer {
    /// What people choose between.
    pub(crate) const ALL: [Self; 4] = [Self::Carom, Self::Nginx, Self::Haproxy, Self::Floor];
    /// What shows what the counting of clicks costs.
    pub(crate) const COUNTING: [Self; 3] = [Self::Carom, Self::CaromCounts, Self::CaromUncounted];

    /// Whether it knows no links.
    pub(crate) fn is_floor(self) -> bool {
        matches!(self, Self::Floor | Self::FloorRing)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Carom => "Carom",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Floor => "floor",
            Self::FloorRing => "floor-ring",
            Self::CaromCounts => "Carom-counts",
            Self::CaromUncounted => "Carom-uncounted",
            Self::CaromTwo => "Carom-two-workers",
            Self::CaromOther => "Carom-other",
        }
    }

    /// Sets the server up, starts it and waits for its first right answer.
    pub(crate) fn start(self, site: &Site<'_>) -> Result<Server> {
        match self {
            Self::Carom => carom::start(self, &Setup::default(), site),
            Self::CaromCounts => carom::start(self, &Setup { clicks: Some("counts"), ..Setup::default() }, site),
            Self::CaromUncounted => carom::start(self, &Setup { clicks: Some("none"), ..Setup::default() }, site),
            Self::CaromTwo => {
                carom::start(self, &Setup { cores: Some(&[site.core, site.other_core]), ..Setup::default() }, site)
            }
            Self::CaromOther => {
                carom::start(self, &Setup { cores: Some(&[site.other_core]), ..Setup::default() }, site)
            }
            Self::Nginx => nginx::start(site),
            Self::Haproxy => haproxy::start(site),
            Self::Floor | Self::FloorRing => floor::start(self, site),
        }
    }
}

impl Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What servers are set up from.
pub(crate) struct Site<'a> {
    pub(crate) links: &'a Links,
    /// A folder of the run's own, removed at its end.
    pub(crate) folder: &'a Path,
    pub(crate) core: usize,
    /// Where the load comes from, and workers beyond the first are.
    pub(crate) other_core: usize,
    /// Arguments handed on to `carom serve`.
    pub(crate) carom_args: &'a [String],
}

impl Site<'_> {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A server that has answered.
pub(crate) struct Server {
    pub(crate) peer: Peer,
    pub(crate) version: String,
    /// What it waits for the network with, if that may differ from machine to machine.
    pub(crate) driver: Option<String>,
    pub(crate) address: SocketAddr,
    /// From start to the first right answer.
    pub(crate) load: Duration,
    /// What had to be done once before that.
    pub(crate) import: Option<Duration>,
    running: Running,
    /// The process that does the work.
    worker: u32,
}

impl Server {
    /// Runs `command` and asks until it is answered rightly.
    fn start(peer: Peer, version: String, port: u16, command: Command, site: &Site<'_>) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let started = Instant::now();
        let mut running = Running::start(command, &site.file(&format!("{}.log", peer.name())))?;
        loop {
            launch::check_interrupt()?;
            running.check_alive()?;
            match client::probe(peer, address, site.links) {
                Ok(()) => break,
                Err(error) if started.elapsed() > START_LIMIT => {
                    bail!("no right answer within {START_LIMIT:?}: {error:#}; {}", running.last_words())
                }
                Err(_) => std::thread::sleep(START_POLL),
            }
        }
        let worker = running.pid();
        Ok(Self { peer, version, driver: None, address, load: started.elapsed(), import: None, running, worker })
    }

    /// For a server whose first process only looks after the one that works.
    fn with_forked_worker(mut self) -> Result<Self> {
        let [worker] = procfs::children(self.running.pid())[..] else {
            bail!("process {} should have exactly one worker", self.running.pid());
        };
        self.running.adopt(worker);
        self.worker = worker;
        Ok(self)
    }

    pub(crate) fn check_alive(&mut self) -> Result<()> {
        self.running.check_alive()
    }

    /// What it has printed so far.
    fn output(&self) -> Result<String> {
        self.running.printed()
    }

    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        procfs::cpu_seconds(self.worker)
    }

    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        procfs::resident_bytes(self.worker)
    }
}

/// A port nobody listens on. It could be taken before the server gets to it, and then that does not start.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn installed(name: &str) -> Result<PathBuf> {
    match launch::find_program(name) {
        Some(program) => Ok(program),
        None => bail!("not installed"),
    }
}

/// The first line a program prints about itself, wherever it prints it.
pub(crate) fn version(program: &Path, argument: &str) -> String {
    let Ok(output) = Command::new(program).arg(argument).output() else { return "unknown".to_owned() };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").trim().to_owned()
}
