//! oha as the load generator, to check the own one against: <https://github.com/hatoo/oha>.

use super::Slice;
use crate::launch::{Running, find_program, on_core};
use crate::links::HOST;
use crate::servers::{self, Server};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Each is a URL that oha takes apart before it begins.
const PATHS: usize = 50_000;
const MARGIN: Duration = Duration::from_secs(60);

pub(super) struct Oha {
    program: PathBuf,
    folder: PathBuf,
    core: usize,
    pub(super) version: String,
}

impl Oha {
    pub(super) fn find(folder: &Path, core: usize) -> Result<Self> {
        let program = find_program("oha").context("oha is not installed (cargo install --locked oha)")?;
        let version = servers::version(&program, "--version");
        Ok(Self { program, folder: folder.to_owned(), core, version })
    }

    pub(super) fn slice(
        &self,
        server: &Server,
        connections: usize,
        rate: f64,
        seconds: u64,
        sample: &Path,
    ) -> Result<Slice> {
        let urls = self.folder.join("urls");
        let paths = fs::read_to_string(sample)?;
        let mut text = String::new();
        for path in paths.lines().take(PATHS) {
            writeln!(text, "http://{}{path}", server.address)?;
        }
        fs::write(&urls, text)?;
        let mut command = on_core(self.core, &self.program)?;
        // It waits for what is under way when the time is over, or the slowest answers would be missing.
        command.args([
            "--no-tui",
            "--wait-ongoing-requests-after-deadline",
            "--output-format",
            "json",
            "--latency-correction",
            "--redirect",
            "0",
        ]);
        command.args(["-q", &format!("{rate:.0}"), "-c", &connections.to_string(), "-z", &format!("{seconds}s")]);
        command.args(["--host", HOST, "--urls-from-file"]).arg(&urls);
        let mut running = Running::start(command, &self.folder.join("oha.log"))?;
        let status = running.wait(Duration::from_secs(seconds) + MARGIN).context("oha")?;
        ensure!(status.success(), "oha: {status}; {}", running.last_words());
        let printed = running.printed()?;
        let json: Value = serde_json::from_str(&printed).with_context(|| format!("what oha printed: {printed}"))?;
        read(&json).with_context(|| format!("what oha printed: {json}"))
    }
}

fn read(json: &Value) -> Option<Slice> {
    let micros = |part: &str| json["latencyPercentiles"][part].as_f64().map(|seconds| seconds * 1e6);
    let codes = json["statusCodeDistribution"].as_object()?;
    let wrong = codes.iter().filter(|(code, _)| *code != "302").filter_map(|(_, count)| count.as_u64()).sum::<u64>();
    let errors = json["errorDistribution"].as_object()?.iter();
    Some(Slice {
        p50_us: micros("p50")?,
        p99_us: micros("p99")?,
        p999_us: micros("p99.9")?,
        per_second: json["summary"]["requestsPerSec"].as_f64()?,
        late: wrong + errors.filter_map(|(_, count)| count.as_u64()).sum::<u64>(),
    })
}
