//! The server that is measured: the real binary, on its cores.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use carom::engine::EngineConfig;
use rustix::process::{Pid, Signal, kill_process};

use crate::launch::{self, Running};
use crate::links::{Asking, Choice};
use crate::load::{Connections, Pace};
use crate::procfs;

/// Building a cache of ten million links takes seconds; what takes this long hangs.
const START_LIMIT: Duration = Duration::from_secs(600);
const START_POLL: Duration = Duration::from_millis(1);
const FILTER_POLL: Duration = Duration::from_millis(200);
const END_LIMIT: Duration = Duration::from_secs(600);

/// How a server is started.
pub(crate) struct Setup<'a> {
    pub(crate) program: &'a Path,
    pub(crate) data: &'a Path,
    pub(crate) links: u64,
    /// The link that is asked for first.
    pub(crate) first: u64,
    /// On which cores it runs.
    pub(crate) cores: &'a [usize],
    pub(crate) workers: usize,
    pub(crate) cache_mib: u64,
    pub(crate) preload: bool,
    /// Whether it has the API.
    pub(crate) admin: bool,
    /// Further arguments.
    pub(crate) more: &'a [String],
    /// Where what it prints goes.
    pub(crate) output: PathBuf,
}

/// A running server that has answered.
pub(crate) struct Server {
    running: Running,
    pub(crate) address: SocketAddr,
    /// Where the API is, if it has one.
    pub(crate) admin: Option<SocketAddr>,
    /// From its start to its first right answer.
    pub(crate) first_answer: Duration,
}

impl Server {
    pub(crate) fn start(setup: &Setup<'_>) -> Result<Self> {
        let mut command = launch::on_cores(setup.cores, setup.program)?;
        command.args(["serve", "--listen", "127.0.0.1:0", "--driver", "auto", "--data"]).arg(setup.data);
        command.args(["--workers", &setup.workers.to_string(), "--cache-mib", &setup.cache_mib.to_string()]);
        command.args(["--admin", if setup.admin { "127.0.0.1:0" } else { "none" }]);
        // As long as a part of the benchmark may leave its connections alone.
        command.args(["--idle-timeout", "3600"]);
        command.args(setup.preload.then_some("--preload")).args(setup.more);
        forget_clicks(setup.data)?;
        let started = Instant::now();
        let mut running = Running::start(command, &setup.output)?;
        let address = loop {
            launch::check_interrupt()?;
            running.check_alive()?;
            if let Some(address) = said(&running.printed()?, "carom: listening on ") {
                break address;
            }
            ensure!(
                started.elapsed() < START_LIMIT,
                "it does not listen after {START_LIMIT:?}; {}",
                running.last_words()
            );
            std::thread::sleep(START_POLL);
        };
        let mut asking = Asking::new(Choice::Each(setup.first, setup.first + 1), setup.links, 0).comparing_all();
        let (long, no_stop) = (Duration::from_secs(10), AtomicBool::new(false));
        let first = Connections::open(address, 1)?.run(&mut asking, Pace::Saturating, long, &no_stop)?;
        let first_answer = started.elapsed();
        if let Some(wrong) = first.first_wrong {
            bail!("the first answer is wrong: {wrong}");
        }
        ensure!(first.answers == 1, "{} first answers", first.answers);
        let admin = match setup.admin {
            true => Some(said(&running.printed()?, "carom: admin API on http://").context("where the API is")?),
            false => None,
        };
        Ok(Self { running, address, admin, first_answer })
    }

    /// Waits until it has built the filter of all keys, which takes CPU time beside requests. One that knows of none has
    /// nothing to wait for.
    pub(crate) fn wait_for_filter(&self, setup: &Setup<'_>) -> Result<()> {
        let started = Instant::now();
        loop {
            launch::check_interrupt()?;
            let status = Command::new(setup.program).args(["status", "--data"]).arg(setup.data).output();
            let status = status.context("asking carom for its status")?;
            let said = String::from_utf8_lossy(&status.stdout);
            ensure!(status.status.success(), "carom status: {}", String::from_utf8_lossy(&status.stderr));
            if said.contains("key filter: ready") || !said.contains("key filter: ") {
                return Ok(());
            }
            ensure!(started.elapsed() < START_LIMIT, "no filter of all keys after {START_LIMIT:?}: {said}");
            std::thread::sleep(FILTER_POLL);
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        procfs::cpu_seconds(self.pid())
    }

    /// The line that begins so, of what it has printed.
    pub(crate) fn line(&self, beginning: &str) -> Result<Option<String>> {
        let printed = self.running.printed()?;
        Ok(printed.lines().find_map(|line| line.strip_prefix(beginning)).map(str::to_owned))
    }

    /// Ends it, and gives how many lookups needed the store since its start.
    pub(crate) fn end(mut self) -> Result<u64> {
        let pid = Pid::from_raw(self.pid() as i32).context("the process id of carom")?;
        kill_process(pid, Signal::TERM).context("ending carom")?;
        let status = self.running.wait(END_LIMIT)?;
        ensure!(status.success(), "carom: {status}; {}", self.running.last_words());
        let counted = self.line("carom: counted: ")?.context("carom did not say what it has counted")?;
        let misses = counted.split(", ").find_map(|count| count.strip_suffix(" cache misses"));
        misses.map_or(Ok(0), |misses| misses.parse().with_context(|| counted.clone()))
    }
}

/// Clicks of the servers before would be merged and kept by this one, too.
fn forget_clicks(data: &Path) -> Result<()> {
    let clicks = EngineConfig::new(data.to_owned()).clicks_dir();
    match std::fs::remove_dir_all(&clicks) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", clicks.display()))
        }
        _ => Ok(()),
    }
}

/// The address in the line that begins so.
fn said(printed: &str, beginning: &str) -> Option<SocketAddr> {
    // The last line may not be whole yet.
    let whole = &printed[..printed.rfind('\n')?];
    let rest = whole.lines().find_map(|line| line.strip_prefix(beginning))?;
    rest.split([' ', ',']).next()?.parse().ok()
}
