//! Carom as it is shipped: `carom import`, then `carom serve` with one worker.

use super::{Peer, Server, Site, free_port, version};
use crate::launch::{Running, on_core, on_cores};
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const IMPORT_LIMIT: Duration = Duration::from_secs(300);
const SAYING_LIMIT: Duration = Duration::from_secs(10);
const SAYING_POLL: Duration = Duration::from_millis(5);

/// In what a server differs from one as it is when nothing is said.
#[derive(Default)]
pub(super) struct Setup<'a> {
    /// How clicks are counted, if not with details.
    pub(super) clicks: Option<&'a str>,
    /// Its cores, a worker on each, if not one on the servers' core.
    pub(super) cores: Option<&'a [usize]>,
}

pub(super) fn start(peer: Peer, setup: &Setup<'_>, site: &Site<'_>) -> Result<Server> {
    let program = Path::new(env!("CARGO_BIN_EXE_carom"));
    let data = site.file(&format!("{peer}-data"));
    let imported = import(program, &data, site)?;

    let port = free_port()?;
    let own = [site.core];
    let cores = setup.cores.unwrap_or(&own);
    let mut serve = on_cores(cores, program)?;
    serve.args(["serve", "--admin", "none"]).arg("--data").arg(&data).arg("--listen").arg(format!("127.0.0.1:{port}"));
    serve.args(["--workers", &cores.len().to_string(), "--driver", "auto"]).args(site.carom_args);
    setup.clicks.iter().for_each(|clicks| _ = serve.args(["--clicks", clicks]));
    let mut server = Server::start(peer, version(program, "--version"), port, serve, site)?;
    // With `auto` it is the kernel that decides, and what was measured depends on it. It is said when all workers have
    // started, and the first may have answered before that.
    let started = Instant::now();
    let driver = loop {
        match driver(&server.output()?) {
            Some(driver) => break driver,
            None if started.elapsed() < SAYING_LIMIT => std::thread::sleep(SAYING_POLL),
            None => bail!("carom serve did not say what it waits for the network with"),
        }
    };
    server.driver = Some(driver);
    Ok(Server { import: imported, ..server })
}

/// Imports the links, or copies what was imported for another server; how long the import took.
fn import(program: &Path, data: &Path, site: &Site<'_>) -> Result<Option<Duration>> {
    let imported = site.file("imported");
    let mut took = None;
    if !imported.exists() {
        let links = site.file("links.csv");
        site.links.write_csv(&links)?;
        let started = Instant::now();
        let mut import = on_core(site.core, program)?;
        import.arg("import").arg(&links).arg("--data").arg(&imported);
        let mut import = Running::start(import, &site.file("import.log"))?;
        let status = import.wait(IMPORT_LIMIT).context("carom import")?;
        ensure!(status.success(), "carom import: {status}; {}", import.last_words());
        took = Some(started.elapsed());
    }
    let status = Command::new("cp").arg("-r").arg(&imported).arg(data).status().context("copying what was imported")?;
    ensure!(status.success(), "copying what was imported: {status}");
    Ok(took)
}

/// The end of the line `carom: listening on ADDRESS with DRIVER`.
fn driver(output: &str) -> Option<String> {
    // The last line may not be whole yet.
    let whole = &output[..output.rfind('\n')?];
    let line = whole.lines().find_map(|line| line.strip_prefix("carom: listening on "))?;
    line.split_once(" with ").map(|(_, driver)| driver.to_owned())
}
