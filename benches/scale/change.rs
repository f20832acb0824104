//! Single changes to links under load, and whether all workers know them once they are acknowledged.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::Bench;
use crate::floods::{CONNECTIONS, HOT_LINKS, all_right, ask_for_each};
use crate::links::{self, Asking, Choice};
use crate::load::{Answer, Connections, Latencies, Outcome, Pace};
use crate::report::Report;
use crate::server::{Server, Setup};

const WORKERS: usize = 2;
/// The kernel spreads connections over the workers by chance: that all of so many are one worker's happens once in
/// 2^19 runs.
const WITNESSES: usize = 20;
/// Of a change, in milliseconds.
const GOAL_P99_MS: f64 = 10.0;
const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let cores = [bench.cores.server, bench.cores.load];
    let setup = Setup { cores: &cores, workers: WORKERS, admin: true, ..bench.full() };
    let server = Server::start(&setup)?;
    let hot = HOT_LINKS.min(bench.data.links);
    ask_for_each(&server, hot, bench.data.links)?;
    bench.data.begin_changes()?;
    let mut changer = Changer::connect(bench, &server)?;
    let measured = under_load(bench, &server, &mut changer);
    let undone = changer.undo();
    let (mut rounds, load) = measured?;
    undone?;
    let at_rest = rounds.remove(0);
    server.end()?;
    bench.data.end_changes()?;

    let mut all = Latencies::default();
    let (mut changes, mut asked) = (0, 0);
    for round in rounds {
        changes += round.changes;
        asked += round.asked;
        all.join(round.latencies);
    }
    let [p50, p99, longest] = all.quantiles([0.5, 0.99, 1.0]).map(|us| us / 1e3);
    let [rest_p50, rest_p99, rest_longest] = { at_rest }.latencies.quantiles([0.5, 0.99, 1.0]).map(|us| us / 1e3);
    report.judge("change under load, p99 ms", "≤ 10", format!("{p99:.2}"), p99 <= GOAL_P99_MS);
    report.say("… p50, longest", format!("{p50:.2}, {longest:.2} ms of {changes}"));
    report.say("… without load p50, p99, longest", format!("{rest_p50:.2}, {rest_p99:.2}, {rest_longest:.2} ms"));
    report.say("… load meanwhile", format!("{:.0} requests/s on {WORKERS} workers", load.per_second()));
    report.judge("… old targets after it was acknowledged", "0", format!("0 of {asked} answers"), true);
    report.detail(
        "change",
        json!({
            "changes": changes, "p50_ms": p50, "p99_ms": p99, "longest_ms": longest, "rest_p50_ms": rest_p50,
            "rest_p99_ms": rest_p99, "rest_longest_ms": rest_longest, "asked_after": asked, "load_per_second": load.per_second(),
        }),
    );
    Ok(())
}

/// Changes of one round.
#[derive(Default)]
struct Round {
    latencies: Latencies,
    changes: u64,
    /// Requests after a change that were answered with the new target.
    asked: u64,
}

/// A round without load, then the others with it.
fn under_load(bench: &Bench<'_>, server: &Server, changer: &mut Changer<'_>) -> Result<(Vec<Round>, Outcome)> {
    let mut rounds = vec![changer.run(bench.length())?];
    let hot = HOT_LINKS.min(bench.data.links);
    let stop = AtomicBool::new(false);
    let load = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut asking = Asking::new(Choice::Uniform(0, hot), bench.data.links, 7).by_status();
            let long = Duration::from_secs(3_600);
            Connections::open(server.address, CONNECTIONS)?.run(&mut asking, Pace::Saturating, long, &stop)
        });
        let changing = (0..bench.args.rounds).try_for_each(|_| {
            rounds.push(changer.run(bench.length())?);
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        let load = load.join().expect("a load does not panic");
        changing.and(load)
    })?;
    all_right(&load)?;
    Ok((rounds, load))
}

/// Changes links by the API, and looks at what they lead to.
struct Changer<'a> {
    api: Keeping,
    head: String,
    address: SocketAddr,
    witnesses: Vec<Keeping>,
    links: u64,
    random: fastrand::Rng,
    /// Links that don't lead any more where they did.
    changed: Vec<u64>,
    server: &'a Server,
}

impl<'a> Changer<'a> {
    fn connect(bench: &Bench<'_>, server: &'a Server) -> Result<Self> {
        let admin = server.admin.context("it has no API")?;
        let token = std::fs::read_to_string(bench.data.dir.join("admin.token")).context("reading admin.token")?;
        let witnesses = (0..WITNESSES).map(|_| Keeping::open(server.address)).collect::<Result<_>>()?;
        Ok(Self {
            api: Keeping::open(admin)?,
            head: format!("Host: {admin}\r\nAuthorization: Bearer {}\r\n", token.trim()),
            address: server.address,
            witnesses,
            links: bench.data.links,
            random: fastrand::Rng::with_seed(11),
            changed: Vec::new(),
            server,
        })
    }

    /// Changes one link after the other, each of them known to every worker's cache before.
    fn run(&mut self, length: Duration) -> Result<Round> {
        let mut round = Round::default();
        let started = Instant::now();
        while started.elapsed() < length {
            crate::launch::check_interrupt()?;
            let number = self.random.u64(..self.links);
            if self.changed.contains(&number) {
                continue;
            }
            let (before, target) = (links::target(number), changed_target(number, self.changed.len()));
            self.changed.push(number);
            self.all_lead_to(number, &before).context("before a change")?;
            round.latencies.add(self.change(number, &target)?);
            round.asked += self.all_lead_to(number, &target).context("after a change was acknowledged")?;
            round.changes += 1;
        }
        Ok(round)
    }

    /// How long it took to change a link.
    fn change(&mut self, number: u64, target: &str) -> Result<Duration> {
        let key = links::key(number).replace('/', "%2F");
        let json = format!(r#"{{"target":"{target}"}}"#);
        let request = format!(
            "PATCH /v1/links/{key} HTTP/1.1\r\n{}Content-Type: application/merge-patch+json\r\nContent-Length: {}\r\n\r\n{json}",
            self.head,
            json.len()
        );
        let started = Instant::now();
        let (status, _) = self.api.ask(request.as_bytes())?;
        let taken = started.elapsed();
        ensure!(status == 200, "changing {key} was answered with {status}");
        Ok(taken)
    }

    /// Asks for a link on every connection, and on one that is new.
    fn all_lead_to(&mut self, number: u64, target: &str) -> Result<u64> {
        let key = links::key(number);
        let (host, path) = key.split_at(key.find('/').expect("a key has a path"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let mut fresh = Keeping::open(self.address)?;
        let mut asked = 0;
        for witness in self.witnesses.iter_mut().chain([&mut fresh]) {
            let (status, location) = witness.ask(request.as_bytes())?;
            ensure!(
                status == 302 && location.as_deref() == Some(target),
                "{key} leads to {location:?} with {status}, not to {target}"
            );
            asked += 1;
        }
        Ok(asked)
    }

    /// Has every link lead where it did.
    fn undo(&mut self) -> Result<()> {
        // The last exchange may have failed in the middle.
        self.api = Keeping::open(self.server.admin.context("it has no API")?)?;
        for number in std::mem::take(&mut self.changed) {
            self.change(number, &links::target(number)).context("undoing a change")?;
        }
        Ok(())
    }
}

fn changed_target(number: u64, change: usize) -> String {
    let mut target = links::target(number);
    target.push(if target.contains('?') { '&' } else { '?' });
    target + &format!("change={change}")
}

/// A connection on which one request comes after the other.
struct Keeping {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Keeping {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Status and Location of the answer.
    fn ask(&mut self, request: &[u8]) -> Result<(u16, Option<String>)> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let mut read = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut read).context("reading an answer")? {
                0 => bail!("a connection was closed"),
                length => self.buffer.extend_from_slice(&read[..length]),
            }
            if let Some(answer) = Answer::parse(&self.buffer)? {
                let location = answer.location().map(|location| String::from_utf8_lossy(location).into_owned());
                return Ok((answer.status, location));
            }
        }
    }
}
