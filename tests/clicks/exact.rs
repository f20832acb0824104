//! What the statistics say is what the clients were answered, to the click.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api;
use crate::client::{Admin, Session};
use crate::load::{Answer, Asked, HUMANS, Load};
use crate::support::has_driver;
use crate::world::{Kind, MOVING, Told, World, add, assert_within, sum};

/// How often the server is started.
const STARTS: u64 = 4;

/// The clients: how many requests each sends at once, and whether it takes another connection for the next.
const CLIENTS: [(usize, bool); 6] = [(64, false), (64, false), (48, false), (7, false), (1, false), (8, true)];

/// How many batches each client has.
const BATCHES: usize = 96;

/// How many requests are answered; `CAROM_CLICKS_REQUESTS` says another number.
fn requests() -> u64 {
    std::env::var("CAROM_CLICKS_REQUESTS").map_or(200_000, |number| number.parse().expect("a number of requests"))
}

#[test]
fn every_answered_click_is_counted_once() {
    for (driver, requests) in [("uring", requests()), ("epoll", requests() / 4)] {
        if has_driver(driver) {
            count_all(driver, requests);
        }
    }
}

fn count_all(driver: &str, requests: u64) {
    let begun = Instant::now();
    let arguments = ["--driver", driver, "--workers", "3", "--durability", "os"];
    let mut admin = api::start_on(tempfile::tempdir().unwrap(), &arguments);
    let world = World::new();
    world.create(&admin);
    let mut told = Told::new(&world);
    let mut mover = Mover::new(&world);
    for start in 1..=STARTS {
        let (data, said) = answer_and_stop(admin, &world, &mut mover, requests / STARTS);
        said.iter().for_each(|said| told.add(said));
        admin = api::start_on(data, &arguments);
        check(&admin, &world, &told, &format!("{driver}, start {start}"));
    }
    // Until the next start, and then once more: nothing comes in again.
    admin = api::start_on(admin.server.stop(), &arguments);
    mover.create_all(&admin);
    check(&admin, &world, &told, &format!("{driver}, at the end"));
    check_by_link(&admin, &world, &told, &mover);
    check_the_rest(&admin, &world, &told, begun);
    let clicks: u64 = told.answered.iter().flatten().sum();
    eprintln!(
        "{driver}: {clicks} clicks, {} requests without an answer, {} changes of links, {STARTS} stops in {:?}",
        told.unknown(),
        mover.changes,
        begun.elapsed()
    );
}

/// Lets the clients ask, and stops the server meanwhile. Its data directory, and what each client was told.
fn answer_and_stop(admin: Admin, world: &World, mover: &mut Mover, requests: u64) -> (tempfile::TempDir, Vec<Told>) {
    let load = Load::on(admin.server.address);
    std::thread::scope(|scope| {
        let ends = load.ends();
        let load = &load;
        let clients = CLIENTS.map(|(length, closes)| scope.spawn(move || ask(load, world, length, closes)));
        let is_over = AtomicBool::new(false);
        mover_beside(&admin, mover, &is_over, || load.wait_for(requests));
        let said = admin.server.said();
        let data = admin.server.stop();
        drop(ends);
        let mut told: Vec<Told> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        let answered: u64 = told.iter().flat_map(|told| &told.answered).flatten().sum();
        api::eventually(
            || clicks_said(&said.lock().unwrap()).is_some(),
            || "the server has not said its counts".into(),
        );
        if clicks_said(&said.lock().unwrap()) == Some(answered) {
            // By its counters, which know nothing of clicks, it has looked at none of those.
            told.iter_mut().for_each(Told::forget_unanswered);
        }
        (data, told)
    })
}

/// How many answers that are clicks a server says it gave, once it has said so at its end.
fn clicks_said(said: &str) -> Option<u64> {
    let counts = said.lines().find_map(|line| line.strip_prefix("carom: counted: "))?;
    let counts = counts.split(", ").filter_map(|count| count.split_once(' '));
    let clicks = counts.filter(|(_, counter)| ["redirects", "gone"].contains(counter));
    Some(clicks.map(|(count, _)| count.parse::<u64>().unwrap()).sum())
}

/// Changes links as long as something else goes on.
fn mover_beside(admin: &Admin, mover: &mut Mover, is_over: &AtomicBool, other: impl FnOnce()) {
    std::thread::scope(|scope| {
        let mut session = Session::open(admin);
        let changes = scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                mover.change(&mut session);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        // Also if it panics, or the changes would go on for ever.
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(other));
        is_over.store(true, Ordering::Relaxed);
        changes.join().unwrap();
        end.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn ask(load: &Load, world: &World, length: usize, closes: bool) -> Told {
    let mut told = Told::new(world);
    let Told { answered, unanswered, by_generation } = &mut told;
    let batches = world.batches(BATCHES, length, closes, &mut fastrand::Rng::new());
    let mut take = |asked: Asked, answer: &Answer<'_>| {
        let link = &world.links[asked.link as usize];
        if !link.is_click(asked, answer) {
            return;
        }
        answered[asked.link as usize][usize::from(asked.class)] += 1;
        if link.kind == Kind::Moving {
            let generation = (asked.link, generation(answer.location()));
            by_generation.entry(generation).or_default()[usize::from(asked.class)] += 1;
        }
    };
    load.ask(&batches, &mut take, |asked| unanswered[asked.link as usize][usize::from(asked.class)] += 1);
    told
}

/// Changes the links that are there for that, each between two clicks on it.
struct Mover<'a> {
    world: &'a World,
    /// How often each was created, and whether it is there.
    links: [(u32, bool); MOVING],
    changes: u64,
}

fn target(generation: u32, change: u64) -> String {
    format!("https://to.example/g{generation}/{change}")
}

/// Which of the links that had its key a moving link is.
fn generation(location: &[u8]) -> u32 {
    let text = std::str::from_utf8(location).unwrap();
    let digits = text.strip_prefix("https://to.example/g").and_then(|rest| rest.split('/').next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("leads to {text}"))
}

impl<'a> Mover<'a> {
    fn new(world: &'a World) -> Self {
        Mover { world, links: [(0, false); MOVING], changes: 0 }
    }

    fn change(&mut self, session: &mut Session) {
        self.changes += 1;
        let number = fastrand::usize(..MOVING);
        let key = self.world.links[self.world.first_moving() + number].source();
        let path = format!("/v1/links/{}", api::encoded(&key));
        let (generation, is_there) = &mut self.links[number];
        let tags = [json!(["blue"]), json!(["blue", "yellow"]), json!([])][fastrand::usize(..3)].clone();
        let says = |generation| json!({"target": target(generation, self.changes), "status": 302, "tags": tags});
        match (*is_there, fastrand::u32(..5)) {
            (false, _) => {
                *generation += 1;
                *is_there = true;
                session.ask("PUT", &path, &says(*generation)).is(201);
            }
            (true, 0) => {
                *is_there = false;
                session.ask("DELETE", &path, &Value::Null).is(204);
            }
            (true, 1) => {
                *generation += 1;
                let create = json!({"op": "create", "key": key, "link": says(*generation)});
                let commands = json!({"commands": [{"op": "delete", "key": key}, create]});
                session.ask("POST", "/v1/batch", &commands).is(200);
            }
            (true, 2) => {
                session.ask("PATCH", &path, &json!({"tags": tags})).is(200);
            }
            (true, _) => {
                session.ask("PUT", &path, &says(*generation)).is(200);
            }
        }
    }

    fn create_all(&mut self, admin: &Admin) {
        let mut session = Session::open(admin);
        while self.links.iter().any(|(_, is_there)| !is_there) {
            self.change(&mut session);
        }
    }
}

/// That every link was counted as often as it was answered, and so were hosts, tags, and all together.
fn check(admin: &Admin, world: &World, told: &Told, when: &str) {
    let all = sum(&told.answered, world, |_| true);
    api::eventually(
        || api::all(admin).iter().sum::<u64>() >= all.iter().sum(),
        || format!("{when}: {:?} of {all:?} were counted", api::all(admin)),
    );
    let mut counted = api::export(admin);
    for (number, link) in world.links.iter().enumerate() {
        let counted = counted.remove(&link.key).unwrap_or_default();
        let what = format!("{when}: {}", link.key);
        let more = if link.kind == Kind::Off { Default::default() } else { told.unanswered[number] };
        assert_within(counted, told.answered[number], more, &what);
    }
    assert!(counted.is_empty(), "{when}: links that nobody asked for: {counted:?}");
    let within = |counted, what: &str, holds: &dyn Fn(&crate::world::Link) -> bool| {
        let [least, more] = [&told.answered, &told.unanswered].map(|counts| sum(counts, world, holds));
        assert_within(counted, least, more, &format!("{when}: {what}"));
    };
    within(api::all(admin), "all", &|_| true);
    let mut hosts: Vec<&str> = world.links.iter().map(|link| link.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    for host in hosts {
        within(api::totals(admin, "host", host), host, &|link| link.host == host);
    }
    for tag in ["red", "green"] {
        within(api::totals(admin, "tag", tag), tag, &|link| link.tags.contains(&tag));
    }
}

/// The totals of links by their keys: some of those that stay, and of the moving ones what they are at the moment.
fn check_by_link(admin: &Admin, world: &World, told: &Told, mover: &Mover<'_>) {
    let steady = (0..world.first_moving()).filter(|number| *number < 20 || number % 97 == 0);
    for number in steady.filter(|number| world.links[*number].kind != Kind::Off) {
        let link = &world.links[number];
        let counted = api::totals(admin, "key", &link.source());
        assert_within(counted, told.answered[number], told.unanswered[number], &link.key);
    }
    for (number, (generation, _)) in (world.first_moving()..).zip(mover.links) {
        let link = &world.links[number];
        let answered = told.by_generation.get(&(number as u32, generation)).copied().unwrap_or_default();
        let what = format!("{}, created {generation} times", link.key);
        assert_within(api::totals(admin, "key", &link.source()), answered, told.unanswered[number], &what);
    }
}

/// What else must agree with it: the counts over time, the links that are clicked most, the people.
fn check_the_rest(admin: &Admin, world: &World, told: &Told, begun: Instant) {
    let all = api::all(admin);
    for step in ["hour", "day", "week"] {
        let series = api::ask(admin, &format!("series?step={step}&zone=Europe%2FBerlin"));
        let mut counted = api::Counts::default();
        for point in series["points"].as_array().unwrap() {
            add(&mut counted, &["human", "bot", "preview", "head"].map(|class| point[class].as_u64().unwrap()));
        }
        assert_eq!(counted, all, "in steps of a {step}");
    }
    let top = api::ask(admin, "top?limit=100");
    let top = top["links"].as_array().unwrap();
    assert_eq!(top.len(), 100);
    for top in top {
        let (clicks, error) = (top["clicks"].as_u64().unwrap(), top["error"].as_u64().unwrap());
        let number = world.links.iter().position(|link| top["key"] == *link.key).unwrap();
        let [answered, unanswered]: [u64; 2] =
            [&told.answered, &told.unanswered].map(|counts| counts[number].iter().sum());
        // A moving one stands there once for each time it was created.
        if world.links[number].kind != Kind::Moving {
            assert!(clicks >= answered && clicks - error <= answered + unanswered, "{top}: {answered}");
        }
    }
    assert_eq!(top[0]["key"], world.links[0].key, "the hottest of the hot");
    // Each browser is a visitor, on each day that it lasted; and it stays the same one over a restart.
    let days = 1 + begun.elapsed().as_secs().div_ceil(86_400);
    let people = HUMANS.len() as u64;
    let (estimate, ..) = api::uniques(admin, "");
    assert!((people..=people * days).contains(&estimate), "{estimate} people");
}
