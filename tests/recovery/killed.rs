//! The process that is killed: this binary, started by itself.
//!
//! It tells what it is about to change and what was acknowledged on its standard output, which outlives it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use carom::store::StoreKind;

use super::{THREADS, changes, open};

const DIRECTORY: &str = "CAROM_RECOVERY_DIRECTORY";
const STORE: &str = "CAROM_RECOVERY_STORE";
const NEXT: &str = "CAROM_RECOVERY_NEXT";

/// Longest that a start may take, or a first change.
const PATIENCE: Duration = Duration::from_secs(60);

/// Not a test, but the process that is killed, when this binary starts itself.
#[test]
fn the_process_that_is_killed() {
    let Some(data) = std::env::var_os(DIRECTORY) else { return };
    let store = std::env::var(STORE).unwrap().parse().unwrap();
    let owned = open(store, Path::new(&data));
    tell("opened");
    let next = std::env::var(NEXT).unwrap();
    if next.is_empty() {
        // Only the start was asked for.
        std::thread::sleep(PATIENCE);
    }
    std::thread::scope(|scope| {
        for (thread, next) in next.split(',').enumerate() {
            let (next, engine): (u64, _) = (next.parse().unwrap(), owned.engine());
            scope.spawn(move || {
                for number in next.. {
                    tell(&format!("change {thread} {number}"));
                    let outcome = changes::make(engine, thread, number);
                    tell(&format!("acknowledged {thread} {number} {outcome}"));
                }
            });
        }
    });
}

fn tell(what: &str) {
    // One call, so that no line is mixed with another.
    std::io::stdout().lock().write_all(format!("\n{what}\n").as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

fn spawn(store: StoreKind, data: &Path, next: &str) -> Child {
    Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::the_process_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, data)
        .env(STORE, store.name())
        .env(NEXT, next)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What one thread told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The last change that was begun.
    pub(crate) begun: u64,
    /// The last change that was acknowledged, and so were all before it.
    pub(crate) acknowledged: u64,
    /// Named changes that were acknowledged, and the outcome.
    pub(crate) outcomes: Vec<(u64, String)>,
}

/// Starts the process, which goes on behind these numbers, kills it some time after its first acknowledgement, and
/// reads what it told.
pub(crate) fn serve_and_kill(store: StoreKind, data: &Path, behind: &[u64; THREADS], after: Duration) -> Vec<Told> {
    let next: Vec<String> = behind.iter().map(|number| (number + 1).to_string()).collect();
    let mut child = spawn(store, data, &next.join(","));
    let told = |&number| Told { begun: number, acknowledged: number, outcomes: Vec::new() };
    let mut told: Vec<Told> = behind.iter().map(told).collect();
    let output = child.stdout.take().unwrap();
    let (first, acknowledged) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            read(output, &mut told, &|| {
                let _ = first.send(());
            })
        });
        acknowledged.recv_timeout(PATIENCE).expect("no change was acknowledged");
        std::thread::sleep(after);
        // SIGKILL. What it had told by then is still read.
        child.kill().unwrap();
    });
    assert!(!child.wait().unwrap().success());
    told
}

fn read(output: impl std::io::Read, told: &mut [Told], acknowledged_one: &dyn Fn()) {
    let mut lines = BufReader::new(output);
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        // The last line may be cut: it told nothing.
        let words: Vec<&str> = line.strip_suffix('\n').unwrap_or_default().split(' ').collect();
        match words[..] {
            ["change", thread, number] => told[thread.parse::<usize>().unwrap()].begun = number.parse().unwrap(),
            ["acknowledged", thread, number, outcome] => {
                let (thread, number) = (thread.parse::<usize>().unwrap(), number.parse().unwrap());
                told[thread].acknowledged = number;
                if changes::is_named(thread, number) {
                    told[thread].outcomes.push((number, outcome.to_owned()));
                }
                acknowledged_one();
            }
            _ => {}
        }
        line.clear();
    }
}

/// Starts the process and kills it so long after it was started. How long the start took, if it was done by then.
pub(crate) fn start_and_kill(store: StoreKind, data: &Path, after: Duration) -> Option<Duration> {
    let start = Instant::now();
    let mut child = spawn(store, data, "");
    let output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let opened = lines.any(|line| line == "opened").then(|| start.elapsed());
        // To the end, or it would die of a pipe that nobody reads.
        lines.for_each(drop);
        opened
    });
    std::thread::sleep(after.saturating_sub(start.elapsed()));
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    reader.join().unwrap()
}
