//! The floor is this program itself, started again, so that its CPU time is a process's own.

use super::{Peer, Server, Site, free_port};
use crate::launch::on_core;
use anyhow::{Context, Result};

pub(super) fn start(site: &Site<'_>) -> Result<Server> {
    let program = std::env::current_exe().context("finding this program")?;
    let port = free_port()?;
    let mut command = on_core(site.core, &program)?;
    command.arg("--floor").arg(port.to_string());
    Server::start(Peer::Floor, "floor (constant answer, epoll)".to_owned(), port, command, site)
}
