//! What a hit must not cost: memory from the allocator, with clicks counted and their details kept, as is usual.
//!
//! The server runs in this process, on an allocator that counts for each thread what it asks for. Twice a second a worker
//! hands over what it has counted, in memory of its own; so a burst of requests in which that falls may ask for a little,
//! and all others must ask for nothing.
//!
//! `cargo test --test shared_writes` has the other half of I4; `.ci/hit_path` counts system calls and instructions, which
//! needs more than a compiler.

mod counting;
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::time::Instant;

use carom::config::DriverChoice;

use server::{Client, InProcess, LINKS};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Connections at the same time.
const CONNECTIONS: usize = 64;

/// Bursts of each kind that are counted, and the requests of each: few enough that a hand-over falls into few of them.
const BURSTS: usize = 40;
const REQUESTS: usize = 1_024;

/// What a hand-over may ask for: a list of names, of counts, of details, of visits; the text of all referrers; a place in
/// the queue; and what looks after keys and lists. That is about one for a thousand requests of a busy worker, or none.
const HAND_OVER_ALLOCATIONS: u64 = 12;

/// Bursts beside those with a hand-over that may ask for memory, of the 240 that are counted of a driver: now and then more
/// answers are under way than ever before, and each has a buffer, which is kept; or a list that is kept doubles.
const GROWTHS: usize = 12;

/// The kinds of hits: the method, what stands behind the path, the fields, and how the answer begins.
const KINDS: [(&str, &str, &str, &str); 5] = [
    ("GET", "", "", "HTTP/1.1 302"),
    ("GET", "", BROWSER, "HTTP/1.1 302"),
    ("GET", "?utm_source=newsletter&utm_medium=email", BROWSER, "HTTP/1.1 302"),
    ("HEAD", "", "", "HTTP/1.1 302"),
    // One that is not there: the filter of all keys knows that.
    ("GET", "/not-here", BROWSER, "HTTP/1.1 404"),
];

const BROWSER: &str = "Connection: keep-alive\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://news.example.org/2026/11/spring\r\n";

#[test]
fn a_hit_allocates_nothing() {
    for (choice, name) in [(DriverChoice::Uring, "uring"), (DriverChoice::Epoll, "epoll")] {
        if support::has_driver(name) {
            check(choice);
        }
    }
}

fn check(choice: DriverChoice) {
    let server = InProcess::start(choice);
    let worker = counting::thread("carom-worker-0");
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::connect(server.address())).collect();
    // Each of them on a connection of its own: that allocates, so the count is one of the right thread.
    assert!(counting::allocations(worker) > CONNECTIONS as u64);
    let mut growths = 0;
    for (method, behind, fields, begins) in KINDS {
        let request = |number: usize| {
            format!("{method} {}{behind} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", server::path(number), server::HOST)
        };
        let requests: Vec<String> = (0..LINKS).map(request).collect();
        // Before, so that all is in the worker's own cache, and every buffer as large as it becomes.
        (0..8).for_each(|_| ask(&mut clients, &requests, REQUESTS, begins));
        growths += bursts_with_allocations(worker, || ask(&mut clients, &requests, REQUESTS, begins));
    }
    // Several at once, which one write answers.
    let pipelined = format!("GET {} HTTP/1.1\r\nHost: {}\r\n{BROWSER}\r\n", server::path(0), server::HOST).repeat(4);
    growths += bursts_with_allocations(worker, || {
        for _ in 0..REQUESTS / 4 / CONNECTIONS {
            clients.iter_mut().for_each(|client| client.send(&pipelined));
            for client in &mut clients {
                (0..4).for_each(|_| client.take_answer("HTTP/1.1 302"));
            }
        }
    });
    assert!(growths <= GROWTHS, "{growths} bursts asked for memory, beside those with a hand-over, on {choice:?}");
    println!("{choice:?}: {growths} bursts in which memory that is kept grew");
    let served = server.stop();
    assert!(served.requests > (KINDS.len() * BURSTS * REQUESTS) as u64);
}

/// In how many bursts the worker asks for memory, beyond those in which it handed over.
fn bursts_with_allocations(worker: i32, mut burst: impl FnMut()) -> usize {
    let begun = Instant::now();
    let mut asked = Vec::new();
    for _ in 0..BURSTS {
        let before = counting::allocations(worker);
        burst();
        asked.push(counting::allocations(worker) - before);
    }
    asked.retain(|&allocations| allocations > 0);
    let few = asked.iter().filter(|&&allocations| allocations <= HAND_OVER_ALLOCATIONS).count();
    // The one under way when it began, and one for each half second since.
    let hand_overs = 1 + begun.elapsed().as_millis().div_ceil(500) as usize;
    asked.len() - few.min(hand_overs)
}

/// Asks on all connections at a time, for all in turn, until so many are answered.
fn ask(clients: &mut [Client], requests: &[String], count: usize, begins: &str) {
    let mut next = 0;
    while next < count {
        for (index, client) in clients.iter_mut().enumerate() {
            client.send(&requests[(next + index) % requests.len()]);
        }
        for client in clients.iter_mut() {
            client.take_answer(begins);
        }
        next += clients.len();
    }
}
