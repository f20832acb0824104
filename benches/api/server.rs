//! The server that is measured: the real binary.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// A running server, ended when it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Where redirects are answered.
    pub(crate) address: SocketAddr,
    /// Where the API is.
    pub(crate) admin: SocketAddr,
    /// What may do everything.
    pub(crate) token: String,
}

impl Server {
    pub(crate) fn start(data: &Path) -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_carom"))
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting carom")?;
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let (mut address, mut admin, mut seen) = (None, None, Vec::new());
        while address.is_none() || admin.is_none() {
            let Some(line) = lines.next() else { bail!("carom ended: {seen:?}") };
            let line = line?;
            let first = |rest: &str| rest.split([' ', ',']).next().unwrap_or_default().parse().ok();
            if let Some(rest) = line.strip_prefix("carom: listening on ") {
                address = first(rest);
            } else if let Some(rest) = line.strip_prefix("carom: admin API on http://") {
                admin = first(rest);
            }
            seen.push(line);
        }
        // Whatever else it says, it must be able to.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("{line}")));
        let token = std::fs::read_to_string(data.join("admin.token")).context("reading admin.token")?;
        let (address, admin) = (address.expect("it was said"), admin.expect("it was said"));
        Ok(Server { child, address, admin, token: token.trim().to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
