//! What is set when carom starts, checked.

use std::net::SocketAddr;
use std::time::Duration;

/// What is done before a change is acknowledged, so that it lasts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Its record is synced to the disk: it outlives the machine going down.
    #[default]
    Fsync,
    /// Its record is handed to the operating system: it outlives the process, and the machine going down if that
    /// happens more than about a second later.
    Os,
}

impl Durability {
    /// Its name, as arguments and answers have it.
    pub fn name(self) -> &'static str {
        match self {
            Durability::Fsync => "fsync",
            Durability::Os => "os",
        }
    }
}

/// How the data plane waits for the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring with the best flags that the kernel takes, else epoll.
    Auto,
    /// io_uring, or none.
    Uring,
    /// epoll.
    Epoll,
}

/// How the data plane serves.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many worker threads.
    pub workers: usize,
    /// How they wait for the network.
    pub driver: DriverChoice,
    /// Most connections that one worker serves at a time; one more gets 503.
    pub max_connections: usize,
    /// How long a connection may be idle between requests.
    pub idle_timeout: Duration,
    /// How long a request may take to arrive, from its first byte; then it gets 408.
    pub header_timeout: Duration,
    /// How long a client may take to accept an answer.
    pub write_timeout: Duration,
    /// How long connections may go on after SIGTERM or SIGINT.
    pub drain_timeout: Duration,
}
