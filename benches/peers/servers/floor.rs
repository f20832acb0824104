//! The floor is this program itself, started again, so that its CPU time is a process's own.

use super::{Peer, Server, Site, free_port};
use crate::launch::on_core;
use anyhow::{Context, Result};

pub(super) fn start(peer: Peer, site: &Site<'_>) -> Result<Server> {
    let (argument, waits) = if peer == Peer::FloorRing { ("--floor-ring", "io_uring") } else { ("--floor", "epoll") };
    let program = std::env::current_exe().context("finding this program")?;
    let port = free_port()?;
    let mut command = on_core(site.core, &program)?;
    command.arg(argument).arg(port.to_string());
    Server::start(peer, format!("floor (constant answer, {waits})"), port, command, site)
}
