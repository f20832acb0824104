//! Connections that are known to lead to this worker or that.

use std::collections::BTreeMap;
use std::fs;

use crate::support::{Client, Server};

/// Connections to the redirect port, `each` of them to every worker.
///
/// The kernel spreads connections over the workers and does not say how. But while nobody else asks anything, a worker
/// sleeps between two requests, and only the one that answers them wakes up: whoever was switched to and from is the
/// owner of the connection.
pub(crate) fn connections(server: &Server, workers: usize, each: usize) -> Vec<Vec<Client>> {
    let mut owned: BTreeMap<String, Vec<Client>> = BTreeMap::new();
    let mut connected = 0;
    while owned.len() < workers || owned.values().any(|clients| clients.len() < each) {
        connected += 1;
        assert!(connected <= 50 * workers * each, "{connected} connections, and some worker has too few");
        let mut client = server.connect();
        if let Some(owner) = owner(server, &mut client) {
            let clients = owned.entry(owner).or_default();
            if clients.len() < each {
                clients.push(client);
            }
        }
    }
    assert_eq!(owned.len(), workers, "{:?}", owned.keys());
    owned.into_values().collect()
}

/// The thread that answers on a connection, if that is beyond doubt.
fn owner(server: &Server, client: &mut Client) -> Option<String> {
    const TIMES: u64 = 20;
    // The first answer may come while others still greet or part.
    client.get("owner.example", "/");
    let before = switches(server);
    for _ in 0..TIMES {
        client.get("owner.example", "/");
    }
    let after = switches(server);
    let mut woken: Vec<(u64, String)> = after.into_iter().map(|(name, times)| (times - before[&name], name)).collect();
    woken.sort();
    let (times, name) = woken.pop().unwrap();
    let is_clear = times >= TIMES / 2 && woken.iter().all(|(others, _)| *others < TIMES / 4);
    is_clear.then_some(name)
}

/// How often each worker was switched to another thread.
fn switches(server: &Server) -> BTreeMap<String, u64> {
    let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().map(|thread| thread.unwrap().path());
    let threads = threads.filter_map(|thread| {
        let name = fs::read_to_string(thread.join("comm")).ok()?.trim().to_owned();
        let status = fs::read_to_string(thread.join("status")).ok()?;
        let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
        let times = counts.map(|(_, times)| times.trim().parse::<u64>().unwrap()).sum();
        name.starts_with("carom-worker").then_some((name, times))
    });
    threads.collect()
}
