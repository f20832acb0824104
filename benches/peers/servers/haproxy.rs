//! HAProxy with the links in a map file.

use super::{Peer, Server, Site, free_port, installed, version};
use crate::launch::on_core;
use anyhow::Result;
use std::fs;

pub(super) fn start(site: &Site<'_>) -> Result<Server> {
    let program = installed("haproxy")?;
    let port = free_port()?;
    site.links.write_haproxy_map(&site.file("haproxy.map"))?;
    let config = site.file("haproxy.cfg");
    fs::write(&config, configuration(port))?;

    let mut command = on_core(site.core, &program)?;
    // It goes to the folder, so that its configuration need not quote where that is.
    command.arg("-C").arg(site.folder).arg("-f").arg(&config);
    // The address of its home page follows.
    let version = version(&program, "-v");
    let version = version.split(" - ").next().unwrap_or_default().to_owned();
    Server::start(Peer::Haproxy, version, port, command, site)
}

/// `strict-limits` would have it refuse to start where two descriptors a connection are not to be had; a
/// redirect needs one. The variable keeps what was found, so that there is one look into the map a request.
fn configuration(port: u16) -> String {
    format!(
        "global
    nbthread 1
    maxconn 20000
    no strict-limits
defaults
    mode http
    timeout connect 10s
    timeout client 600s
    timeout server 600s
    timeout http-request 600s
    timeout http-keep-alive 600s
frontend links
    bind 127.0.0.1:{port} backlog 16384
    http-request set-var(txn.to) path,map(haproxy.map)
    http-request redirect location %[var(txn.to)] code 302 if {{ var(txn.to) -m found }}
    http-request return status 404
"
    )
}
