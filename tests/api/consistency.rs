//! Who is told that a change is made finds it made, on every worker; and of two who want the same, one gets it.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Admin, Session};
use crate::support::{Answer, Client, has_driver};
use crate::workers;

/// More than there are cores, so that a worker is also asked that does not run at the moment.
const WORKERS: usize = 3;
/// How many change links at once.
const CHANGERS: usize = 4;
/// How many connections each of them has to every worker.
const CONNECTIONS: usize = 2;
/// How many links each of them changes, again and again.
const LINKS: usize = 40;
/// How many only ask, to keep what was true before in every cache.
const ASKERS: usize = 2;

/// How many changes are made and looked for; `CAROM_API_CHANGES` says another number.
fn changes() -> usize {
    std::env::var("CAROM_API_CHANGES").map_or(5_000, |number| number.parse().unwrap())
}

#[test]
fn the_next_redirect_on_every_worker_goes_by_the_change() {
    for (driver, changes) in [("uring", changes()), ("epoll", changes() / 5)] {
        if has_driver(driver) {
            read_what_was_written(driver, changes);
        }
    }
}

fn read_what_was_written(driver: &str, changes: usize) {
    let workers = WORKERS.to_string();
    let admin = Admin::start(&["--driver", driver, "--workers", &workers, "--durability", "os"]);
    let mut connections = workers::connections(&admin.server, WORKERS, CHANGERS * CONNECTIONS + ASKERS);
    let mut take = |each: usize| -> Vec<Client> {
        connections.iter_mut().flat_map(|worker| worker.split_off(worker.len() - each)).collect()
    };
    let askers: Vec<_> = (0..ASKERS).map(|_| take(1)).collect();
    let changers: Vec<_> = (0..CHANGERS).map(|number| Changer::new(&admin, number, take(CONNECTIONS))).collect();
    let is_over = AtomicBool::new(false);
    let begin = Instant::now();
    let asked: u64 = std::thread::scope(|scope| {
        let askers: Vec<_> =
            askers.into_iter().map(|connections| scope.spawn(|| ask_until(&is_over, connections))).collect();
        let change = |mut changer: Changer| (0..changes / CHANGERS).for_each(|_| changer.change());
        let changers: Vec<_> = changers.into_iter().map(|changer| scope.spawn(move || change(changer))).collect();
        let ends: Vec<_> = changers.into_iter().map(|thread| thread.join()).collect();
        // Also if one of them panicked, or the others would ask for ever.
        is_over.store(true, Ordering::Relaxed);
        ends.into_iter().for_each(|end| end.unwrap());
        askers.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let looks = changes * WORKERS * CONNECTIONS;
    eprintln!("{driver}: {changes} changes, {looks} looks at them, {asked} other requests in {:?}", begin.elapsed());
}

/// Asks for any link of anybody, and gives how often.
fn ask_until(is_over: &AtomicBool, mut connections: Vec<Client>) -> u64 {
    const AT_ONCE: u64 = 16;
    let mut asked = 0;
    while !is_over.load(Ordering::Relaxed) {
        for client in &mut connections {
            let requests = (0..AT_ONCE).map(|_| get(&host(fastrand::usize(..CHANGERS)), fastrand::usize(..LINKS)));
            client.send(requests.collect::<String>());
            for _ in 0..AT_ONCE {
                assert!(matches!(client.answer(false).status, 302 | 404 | 410));
            }
            asked += AT_ONCE;
        }
        // The others need the cores, too.
        std::thread::sleep(Duration::from_micros(200));
    }
    asked
}

fn host(changer: usize) -> String {
    format!("c{changer}.example")
}

fn get(host: &str, link: usize) -> String {
    format!("GET /{link} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

fn target(number: u64) -> String {
    format!("https://to.example/{number}")
}

/// What is known of a link.
#[derive(Clone, Copy)]
enum Link {
    Missing,
    LeadsTo(u64),
    Disabled,
    Gone,
}

/// Changes the links and the settings of a host of its own, and looks at each change on every worker.
struct Changer {
    host: String,
    api: Session,
    connections: Vec<Client>,
    links: [Link; LINKS],
    settings: Option<u64>,
    changes: u64,
}

impl Changer {
    fn new(admin: &Admin, number: usize, connections: Vec<Client>) -> Self {
        let api = Session::open(admin);
        Changer { host: host(number), api, connections, links: [Link::Missing; LINKS], settings: None, changes: 0 }
    }

    fn change(&mut self) {
        self.changes += 1;
        let link = fastrand::usize(..LINKS);
        if fastrand::u32(..20) == 0 {
            self.settings = self.change_settings();
            self.look((link + 1) % LINKS);
        } else {
            self.links[link] = self.change_link(link);
        }
        self.look(link);
    }

    fn change_link(&mut self, link: usize) -> Link {
        let key = format!("{}/{link}", self.host);
        let path = format!("/v1/links/{}%2F{link}", self.host);
        let now = Link::LeadsTo(self.changes);
        let to = json!({"target": target(self.changes)});
        let (method, path, body, status, after) = match (self.links[link], fastrand::u32(..6)) {
            (Link::Missing, 0..3) => ("POST", "/v1/links", json!({"key": key, "target": to["target"]}), 201, now),
            (Link::Missing, _) => ("PUT", &*path, to, 201, now),
            (_, 0) => ("DELETE", &*path, Value::Null, 204, Link::Missing),
            (_, 1) => ("PUT", &*path, json!({"status": 410}), 200, Link::Gone),
            (_, 2) => ("PATCH", &*path, json!({"disabled": true}), 200, Link::Disabled),
            (_, 3) => {
                let patch = json!({"status": 302, "target": to["target"], "disabled": false});
                ("PATCH", &*path, patch, 200, now)
            }
            (_, 4) => {
                let commands = json!([{"op": "delete", "key": key}, {"op": "create", "key": key, "link": to}]);
                ("POST", "/v1/batch", json!({"commands": commands}), 200, now)
            }
            _ => ("PUT", &*path, to, 200, now),
        };
        self.api.ask(method, path, &body).is(status);
        after
    }

    fn change_settings(&mut self) -> Option<u64> {
        let path = format!("/v1/hosts/{}", self.host);
        if self.settings.is_some() && fastrand::bool() {
            self.api.ask("DELETE", &path, &Value::Null).is(204);
            return None;
        }
        let settings = json!({"robots_tag": tag(self.changes), "not_found_target": lost(self.changes)});
        let method = if self.settings.is_some() && fastrand::bool() { "PATCH" } else { "PUT" };
        self.api.ask(method, &path, &settings).is(if self.settings.is_some() { 200 } else { 201 });
        Some(self.changes)
    }

    /// Looks at a link on every connection.
    fn look(&mut self, link: usize) {
        let request = get(&self.host, link);
        for client in &mut self.connections {
            client.send(&request);
        }
        let to = |target: String| (302, Some(target), self.settings.map(tag));
        let expected = match (self.links[link], self.settings) {
            (Link::LeadsTo(number), _) => to(target(number)),
            (Link::Gone, _) => (410, None, None),
            (Link::Missing | Link::Disabled, Some(settings)) => to(lost(settings)),
            (Link::Missing | Link::Disabled, None) => (404, None, None),
        };
        for (index, client) in self.connections.iter_mut().enumerate() {
            let answer = told(&client.answer(false));
            let worker = index / CONNECTIONS;
            assert_eq!(answer, expected, "{}/{link}, change {}, worker {worker}", self.host, self.changes);
        }
    }
}

fn tag(number: u64) -> String {
    format!("tag-{number}")
}

fn lost(number: u64) -> String {
    format!("https://lost.example/{number}")
}

/// Status, location and robots tag of an answer.
fn told(answer: &Answer) -> (u16, Option<String>, Option<String>) {
    let field = |name| answer.field(name).map(str::to_owned);
    (answer.status, field("location"), field("x-robots-tag"))
}

/// Two clients ask at once, turn for turn. Gives the one who got `done`, when the other got `refused`.
fn winners(
    admin: &Admin,
    turns: usize,
    [done, refused]: [u16; 2],
    ask: impl Fn(&mut Session, usize, usize) -> u16 + Sync,
) -> Vec<usize> {
    let start = Barrier::new(2);
    let statuses = |client| {
        let mut session = Session::open(admin);
        let turn = |turn| {
            start.wait();
            ask(&mut session, client, turn)
        };
        (0..turns).map(turn).collect::<Vec<u16>>()
    };
    let (first, second) = std::thread::scope(|scope| {
        let second = scope.spawn(|| statuses(1));
        (statuses(0), second.join().unwrap())
    });
    let both = first.into_iter().zip(second).enumerate();
    let winners: Vec<usize> = both
        .map(|(turn, both)| match both {
            _ if both == (done, refused) => 0,
            _ if both == (refused, done) => 1,
            _ => panic!("{both:?} in turn {turn}"),
        })
        .collect();
    let second = winners.iter().sum::<usize>();
    eprintln!("{done} and {refused}: {} for the first client, {second} for the second", turns - second);
    winners
}

#[test]
fn of_two_changes_at_once_that_exclude_each_other_one_is_made() {
    let admin = Admin::start(&["--durability", "os"]);
    let turns = (changes() / 10).max(1_000);
    let to = |client: usize| format!("https://to.example/{client}");
    let mut wire = admin.server.connect();
    let mut holds = |winners: Vec<usize>, offset: usize| {
        for (turn, winner) in winners.into_iter().enumerate() {
            let answer = wire.get("go.example", &format!("/{turn}"));
            assert_eq!(answer.field("location"), Some(&*to(winner + offset)), "/{turn}");
        }
    };
    let created = winners(&admin, turns, [201, 409], |session, client, turn| {
        let body = json!({"key": format!("go.example/{turn}"), "target": to(client)});
        session.ask("POST", "/v1/links", &body).status
    });
    holds(created, 0);
    let patched = winners(&admin, turns, [200, 412], |session, client, turn| {
        let body = json!({"target": to(client + 2)});
        // Created by a change of its own; the first change of all made the token.
        session.ask_if(turn as u64 + 2, "PATCH", &format!("/v1/links/go.example%2F{turn}"), &body).status
    });
    holds(patched, 2);
}
