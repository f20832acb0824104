//! How long answers take.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::client::Client;
use crate::links;
use crate::server::Server;

/// How long each of many took.
#[derive(Default)]
pub(crate) struct Measured(Vec<Duration>);

/// What there is to say of many.
pub(crate) struct Latencies {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) longest: Duration,
    pub(crate) count: usize,
}

impl Measured {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    pub(crate) fn join(&mut self, other: Measured) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn summary(&self) -> Latencies {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |share: f64| sorted.get(((sorted.len() - 1) as f64 * share) as usize).copied().unwrap_or_default();
        if sorted.is_empty() {
            return Latencies { p50: Duration::ZERO, p99: Duration::ZERO, longest: Duration::ZERO, count: 0 };
        }
        Latencies { p50: at(0.5), p99: at(0.99), longest: at(1.0), count: sorted.len() }
    }
}

/// Connections over which redirects are asked for.
const CONNECTIONS: u64 = 8;

/// Asks for so many redirects per second, whether those before were answered or not, and takes the time from the
/// moment when each was due: what waits behind a slow one counts as slow.
pub(crate) fn of_redirects(server: &Server, per_second: u64, links: u64, length: Duration) -> Result<Measured> {
    let each = Duration::from_secs(CONNECTIONS) / u32::try_from(per_second)?;
    let started = Instant::now() + Duration::from_millis(50);
    let mut measured = Measured::default();
    std::thread::scope(|scope| {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|connection| scope.spawn(move || one_connection(server, connection, each, links, started, length)))
            .collect();
        for connection in connections {
            measured.join(connection.join().expect("it does not panic")?);
        }
        Ok(measured)
    })
}

fn one_connection(
    server: &Server,
    connection: u64,
    each: Duration,
    links: u64,
    started: Instant,
    length: Duration,
) -> Result<Measured> {
    // Few enough to be cached: what is measured is the waiting.
    let mut client = Client::to(server.address, format!("Host: {}\r\n", links::host(0)))?;
    let mut measured = Measured::default();
    let mut due = started + each.mul_f64(connection as f64 / CONNECTIONS as f64);
    for number in 0.. {
        if due - started >= length {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let answer = client.get(&links::path((number * CONNECTIONS + connection) % links.min(10_000)))?;
        ensure!(answer.status == 301, "{} instead of a redirect", answer.status);
        measured.add(due.elapsed());
        due += each;
    }
    Ok(measured)
}
