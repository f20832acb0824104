//! Carom as it is shipped: `carom import`, then `carom serve` with one worker.

use super::{Peer, Server, Site, free_port, version};
use crate::launch::{Running, on_core};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::{Duration, Instant};

const IMPORT_LIMIT: Duration = Duration::from_secs(300);

/// `clicks` is how they are counted, if not as they are when nothing is said: with details.
pub(super) fn start(peer: Peer, clicks: Option<&str>, site: &Site<'_>) -> Result<Server> {
    let program = Path::new(env!("CARGO_BIN_EXE_carom"));
    let links = site.file("links.csv");
    let data = site.file(&format!("{peer}-data"));
    site.links.write_csv(&links)?;

    let started = Instant::now();
    let mut import = on_core(site.core, program)?;
    import.arg("import").arg(&links).arg("--data").arg(&data);
    let mut import = Running::start(import, &site.file(&format!("{peer}-import.log")))?;
    let status = import.wait(IMPORT_LIMIT).context("carom import")?;
    ensure!(status.success(), "carom import: {status}; {}", import.last_words());
    let imported = started.elapsed();

    let port = free_port()?;
    let mut serve = on_core(site.core, program)?;
    serve.args(["serve", "--admin", "none"]).arg("--data").arg(&data).arg("--listen").arg(format!("127.0.0.1:{port}"));
    serve.args(["--workers", "1", "--driver", "auto"]).args(site.carom_args);
    clicks.iter().for_each(|clicks| _ = serve.args(["--clicks", clicks]));
    let mut server = Server::start(peer, version(program, "--version"), port, serve, site)?;
    // With `auto` it is the kernel that decides, and what was measured depends on it.
    let driver = driver(&server.output()?).context("carom serve did not say what it waits for the network with")?;
    server.driver = Some(driver);
    Ok(Server { import: Some(imported), ..server })
}

/// The end of the line `carom: listening on ADDRESS with DRIVER`.
fn driver(output: &str) -> Option<String> {
    let line = output.lines().find_map(|line| line.strip_prefix("carom: listening on "))?;
    line.split_once(" with ").map(|(_, driver)| driver.to_owned())
}
