//! The load: one run of wrk, and the server's CPU time over it.

use crate::launch::{self, Running, on_core};
use crate::links::HOST;
use crate::markdown::thousands;
use crate::servers::Server;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long wrk may take beyond its duration: rendering the requests, connecting, closing.
const MARGIN: Duration = Duration::from_secs(30);
/// After a slice the server still closes its connections; that belongs to no slice.
const SETTLE: Duration = Duration::from_millis(200);

/// How requests come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) connections: usize,
    /// Requests that are sent in one go.
    pub(crate) pipelined: usize,
    /// Whether each request has a connection of its own, which the server closes after it.
    pub(crate) closing: bool,
}

impl Scenario {
    /// One request at a time on connections that are kept.
    pub(crate) fn keeping(connections: usize) -> Self {
        Self { connections, pipelined: 1, closing: false }
    }

    pub(crate) fn label(self) -> String {
        match (self.connections, self.pipelined) {
            (connections, _) if self.closing => format!("{connections} at a time, a request each"),
            (1, 1) => "1 connection".to_owned(),
            (connections, 1) => format!("{} connections", thousands(connections as f64)),
            (connections, pipelined) => format!("{connections} × {pipelined} pipelined"),
        }
    }
}

/// What came out of one run of wrk.
#[derive(Clone)]
pub(crate) struct Slice {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// None where requests are pipelined: wrk fills up its histogram to make good for requests it should have sent
    /// while it waited, and takes every group of requests for such a wait.
    pub(crate) latency: Option<Latency>,
    pub(crate) errors: Errors,
}

#[derive(Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

#[derive(Clone, Default)]
pub(crate) struct Errors {
    pub(crate) connect: u64,
    pub(crate) read: u64,
    pub(crate) write: u64,
    /// Answers that were no 2xx or 3xx.
    pub(crate) status: u64,
    pub(crate) timeout: u64,
}

impl Errors {
    pub(crate) fn sum(&self) -> u64 {
        self.connect + self.read + self.write + self.status + self.timeout
    }
}

impl Slice {
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.requests as f64 / self.cpu_seconds
    }

    /// How busy the server was, of one core.
    pub(crate) fn cpu_share(&self) -> f64 {
        self.cpu_seconds / self.seconds
    }

    /// Whether all requests were answered as they should be. If not, it says nothing about speed: an error may be
    /// cheaper than the answer that was due.
    pub(crate) fn is_sound(&self) -> bool {
        self.errors.sum() == 0
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

pub(crate) struct Wrk {
    program: PathBuf,
    script: PathBuf,
    /// For what they print.
    folder: PathBuf,
    core: usize,
    /// Whether requests have the fields that a browser sends.
    browser: bool,
    /// How long the server's CPU time goes on being counted after the load.
    rest: Duration,
    pub(crate) version: String,
}

impl Wrk {
    pub(crate) fn find(folder: &Path, core: usize, browser: bool, rest: Duration) -> Result<Self> {
        let program =
            launch::find_program("wrk").context("wrk is not installed, and nothing is measured without it")?;
        let script = folder.join("wrk.lua");
        fs::write(&script, include_str!("wrk.lua"))?;
        let version = crate::servers::version(&program, "-v");
        // The rest of wrk's line is its copyright.
        let version = version.split(" Copyright").next().unwrap_or_default().to_owned();
        Ok(Self { program, script, folder: folder.to_owned(), core, browser, rest, version })
    }

    /// Drives a server for some seconds with the paths in `sample`.
    pub(crate) fn run(&self, server: &mut Server, scenario: Scenario, sample: &Path, seconds: u64) -> Result<Slice> {
        let load = Load { address: server.address, scenario, core: self.core };
        let mut slices = self.run_all(&mut [server], &[load], sample, seconds)?;
        slices.pop().context("one load has one slice")
    }

    /// Drives servers from several cores at once. Each slice has the CPU time of all the servers.
    pub(crate) fn run_all(
        &self,
        servers: &mut [&mut Server],
        loads: &[Load],
        sample: &Path,
        seconds: u64,
    ) -> Result<Vec<Slice>> {
        servers.iter_mut().try_for_each(|server| server.check_alive())?;
        let cpu_seconds = |servers: &[&mut Server]| -> Result<f64> {
            servers.iter().try_fold(0.0, |sum, server| Ok(sum + server.cpu_seconds()?))
        };
        let before = cpu_seconds(servers)?;
        let mut all = Vec::new();
        for (n, load) in loads.iter().enumerate() {
            all.push(Running::start(self.command(load, sample, seconds)?, &self.output(n))?);
        }
        let mut ends = Vec::new();
        for running in &mut all {
            ends.push(running.wait(Duration::from_secs(seconds) + MARGIN).context("wrk")?);
        }
        std::thread::sleep(self.rest);
        let cpu_seconds = cpu_seconds(servers)? - before;
        launch::check_interrupt()?;
        servers.iter_mut().try_for_each(|server| server.check_alive())?;

        let mut slices = Vec::new();
        for (n, (load, status)) in loads.iter().zip(ends).enumerate() {
            ensure!(status.success(), "wrk: {status}; {}", all[n].last_words());
            slices.push(read_report(&all[n].printed()?, load.scenario, cpu_seconds)?);
        }
        std::thread::sleep(SETTLE);
        Ok(slices)
    }

    fn command(&self, load: &Load, sample: &Path, seconds: u64) -> Result<Command> {
        let mut command = on_core(load.core, &self.program)?;
        command.arg("--threads").arg("1");
        command.arg("--connections").arg(load.scenario.connections.to_string());
        command.arg("--duration").arg(format!("{seconds}s"));
        command.arg("--script").arg(&self.script);
        command.arg(format!("http://{}/", load.address));
        command.arg("--").arg(sample).arg(load.scenario.pipelined.to_string()).arg(HOST);
        command.arg(if self.browser { "browser" } else { "bare" });
        command.arg(if load.scenario.closing { "close" } else { "keep" });
        Ok(command)
    }

    fn output(&self, number: usize) -> PathBuf {
        self.folder.join(format!("wrk-{number}.log"))
    }
}

/// One wrk.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) scenario: Scenario,
    pub(crate) core: usize,
}

/// The line that `done` in wrk.lua writes.
fn read_report(output: &str, scenario: Scenario, cpu_seconds: f64) -> Result<Slice> {
    let line = output.lines().find_map(|line| line.strip_prefix("peers ")).context("wrk has not reported")?;
    let numbers: Vec<u64> =
        line.split(' ').map(str::parse).collect::<Result<_, _>>().with_context(|| line.to_owned())?;
    let [requests, duration_us, connect, read, write, status, timeout, p50_us, p99_us] = numbers[..] else {
        bail!("wrk's report has {} numbers: {line}", numbers.len());
    };
    ensure!(
        requests > 0 && cpu_seconds > 0.0,
        "{requests} requests in {cpu_seconds} s of CPU time: nothing to compare"
    );
    Ok(Slice {
        requests,
        seconds: duration_us as f64 / 1e6,
        cpu_seconds,
        latency: (scenario.pipelined == 1).then_some(Latency { p50_us: p50_us as f64, p99_us: p99_us as f64 }),
        errors: Errors { connect, read, write, status, timeout },
    })
}
