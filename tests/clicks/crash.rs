//! A server that is killed loses the clicks of about its last second, and counts none twice.

use std::time::{Duration, Instant};

use crate::api;
use crate::client::Admin;
use crate::load::{Answer, Asked, Asker, HUMAN, Load};
use crate::support::has_driver;
use crate::world::{Kind, Told, World, add, assert_within, sum};

/// What a worker counted is handed over each half second, and what was handed over is written five times a second. Syncing
/// takes its time, and so does everything on a busy machine.
const LOST: Duration = Duration::from_millis(700);
const BUSY: Duration = Duration::from_millis(500);

/// How long the clients ask before the kill, at least; up to twice as long.
const ASKING: Duration = Duration::from_millis(1_500);

/// How many requests each client sends at once.
const CLIENTS: [usize; 4] = [48, 16, 4, 1];

/// So that memory does not grow with the speed of the machine.
const PAUSE: Duration = Duration::from_micros(500);

/// How often it is killed under load; `CAROM_CLICKS_ROUNDS` says another number.
fn rounds() -> u32 {
    std::env::var("CAROM_CLICKS_ROUNDS").map_or(5, |number| number.parse().expect("a number of rounds"))
}

#[test]
fn a_kill_costs_a_second_of_clicks_and_counts_none_twice() {
    let driver = if has_driver("uring") { "uring" } else { "epoll" };
    let world = World::new();
    let mut story =
        Story { counted: vec![api::Counts::default(); world.links.len()], world: &world, lost: 0, clicks: 0 };
    let arguments = ["--driver", driver, "--workers", "2"];
    // With so little memory, what was counted is merged into the rows all the time.
    let tight = [&arguments[..], &["--clicks-memory-mib", "1"]].concat();
    let admin = api::start_on(tempfile::tempdir().unwrap(), &arguments);
    world.create(&admin);
    let mut data = admin.server.stop();
    let begun = Instant::now();
    for round in 0..rounds() {
        let arguments = if round % 2 == 0 { &tight[..] } else { &arguments[..] };
        data = story.kill_under_load(api::start_on(data, arguments), &format!("round {round}"));
        if round % 3 == 1 {
            // Killed again while it reads what is left of the last time.
            let admin = api::start_on(data, arguments);
            std::thread::sleep(Duration::from_millis(300).mul_f64(fastrand::f64()));
            data = admin.server.kill();
        }
        data = story.go_on(data, arguments, &format!("behind round {round}"));
    }
    eprintln!("{} rounds in {:?}: {} of {} clicks lost", rounds(), begun.elapsed(), story.lost, story.clicks);
}

/// What is known to have been counted until now.
struct Story<'a> {
    world: &'a World,
    counted: Vec<api::Counts>,
    clicks: u64,
    lost: u64,
}

/// An answered click.
struct Click {
    asked: Asked,
    at: Instant,
}

impl Story<'_> {
    /// Kills the server while clients ask, starts it again, and looks at what it has counted.
    fn kill_under_load(&mut self, admin: Admin, when: &str) -> tempfile::TempDir {
        let load = Load::on(admin.server.address);
        let after = ASKING.mul_f64(1.0 + fastrand::f64());
        let (data, killed, told) = std::thread::scope(|scope| {
            let ends = load.ends();
            let (load, world) = (&load, self.world);
            let clients = CLIENTS.map(|length| scope.spawn(move || ask(load, world, length)));
            load.wait_for(1);
            std::thread::sleep(after);
            let killed = Instant::now();
            let data = admin.server.kill();
            drop(ends);
            (data, killed, clients.map(|client| client.join().unwrap()))
        });
        let mut safe = Told::new(self.world);
        let mut sent = Told::new(self.world);
        for (clicks, unanswered) in told {
            for Click { asked, at } in clicks {
                let one = |told: &mut Told| told.answered[asked.link as usize][usize::from(asked.class)] += 1;
                one(&mut sent);
                if at + LOST + BUSY <= killed {
                    one(&mut safe);
                }
            }
            unanswered.iter().for_each(|asked| sent.answered[asked.link as usize][usize::from(asked.class)] += 1);
        }
        let admin = api::start_on(data, &["--workers", "2"]);
        let total = |counts: &[api::Counts]| sum(counts, self.world, |_| true);
        let mut least = total(&self.counted);
        add(&mut least, &total(&safe.answered));
        api::eventually(
            || api::all(&admin).iter().zip(&least).all(|(counted, least)| counted >= least),
            || format!("{when}: {:?} were counted, and {least:?} were answered long before", api::all(&admin)),
        );
        // What the journal has is read while questions are answered: until nothing more comes.
        let mut before = api::all(&admin);
        api::eventually(
            || {
                std::thread::sleep(Duration::from_millis(700));
                std::mem::replace(&mut before, api::all(&admin)) == api::all(&admin)
            },
            || format!("{when}: more and more"),
        );
        let counted = self.found(&admin);
        for (number, link) in self.world.links.iter().enumerate() {
            let mut least = self.counted[number];
            add(&mut least, &safe.answered[number]);
            let more = std::array::from_fn(|class| sent.answered[number][class] - safe.answered[number][class]);
            let more = if link.kind == Kind::Off { Default::default() } else { more };
            assert_within(counted[number], least, more, &format!("{when}: {}", link.key));
        }
        // The same after one more kill, with nothing between: what was read again did not count again.
        let admin = api::start_on(admin.server.kill(), &["--workers", "2"]);
        self.settle(&admin, &counted, when);
        let new = total(&counted).iter().sum::<u64>() - total(&self.counted).iter().sum::<u64>();
        let clicks = total(&sent.answered).iter().sum::<u64>();
        self.clicks += clicks;
        self.lost += clicks - new;
        self.counted = counted;
        admin.server.stop()
    }

    /// What was counted of each link. Of all that were asked for there is a row.
    fn found(&self, admin: &Admin) -> Vec<api::Counts> {
        let mut rows = api::export(admin);
        let found = self.world.links.iter().map(|link| rows.remove(&link.key).unwrap_or_default()).collect();
        assert!(rows.is_empty(), "{rows:?}");
        found
    }

    /// Waits until all of it is there again, and a little longer for what must not come.
    fn settle(&self, admin: &Admin, counted: &[api::Counts], when: &str) {
        let all = sum(counted, self.world, |_| true);
        api::eventually(|| api::all(admin) == all, || format!("{when}: {:?} of {all:?} are there", api::all(admin)));
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(api::all(admin), all, "{when}");
        for (link, (found, counted)) in self.world.links.iter().zip(self.found(admin).iter().zip(counted)) {
            assert_eq!(found, counted, "{when}: {}", link.key);
        }
    }

    /// Without a kill, all that follows is counted.
    fn go_on(&mut self, data: tempfile::TempDir, arguments: &[&str], when: &str) -> tempfile::TempDir {
        let admin = api::start_on(data, arguments);
        let mut asker = Asker::connect(admin.server.address).unwrap();
        let counted = &mut self.counted;
        for batch in self.world.batches(20, 50, false, &mut fastrand::Rng::new()) {
            let count = |asked: Asked, answer: &Answer<'_>| {
                let link = &self.world.links[asked.link as usize];
                if link.is_click(asked, answer) {
                    counted[asked.link as usize][usize::from(asked.class)] += 1;
                }
            };
            assert_eq!(asker.exchange(&batch, count), (50, None));
        }
        self.settle(&admin, &self.counted, when);
        let admin = api::start_on(admin.server.stop(), arguments);
        self.settle(&admin, &self.counted, &format!("{when}, after a stop"));
        admin.server.stop()
    }
}

fn ask(load: &Load, world: &World, length: usize) -> (Vec<Click>, Vec<Asked>) {
    let (mut clicks, mut unanswered) = (Vec::new(), Vec::new());
    let batches = world.batches(128, length, false, &mut fastrand::Rng::new());
    let mut answers = 0;
    let take = |asked: Asked, answer: &Answer<'_>| {
        let link = &world.links[asked.link as usize];
        if link.is_click(asked, answer) {
            clicks.push(Click { asked, at: Instant::now() });
        }
        answers += 1;
        if answers % length == 0 {
            std::thread::sleep(PAUSE);
        }
    };
    load.ask(&batches, take, |asked| unanswered.push(asked));
    (clicks, unanswered)
}

#[test]
fn a_click_is_kept_a_second_later() {
    let admin = api::start_on(tempfile::tempdir().unwrap(), &["--workers", "2"]);
    api::create(&admin, [("a.example/x".to_owned(), serde_json::json!({"target": "https://to.example/"}))]);
    let mut data = admin.server.stop();
    for clicks in 1..=3 {
        let admin = api::start_on(data, &["--workers", "2"]);
        let mut random = fastrand::Rng::new();
        let mut batch = crate::load::Batch::default();
        let user_agent = crate::load::user_agent(HUMAN, &mut random);
        let request = crate::load::Head::new(HUMAN, "a.example", "/x").field("User-Agent", user_agent).end();
        batch.push(Asked { link: 0, class: HUMAN }, &request);
        let mut asker = Asker::connect(admin.server.address).unwrap();
        assert_eq!(asker.exchange(&batch, |_, answer| assert_eq!(answer.status, 302)), (1, None));
        std::thread::sleep(LOST + BUSY);
        let admin = api::start_on(admin.server.kill(), &["--workers", "2"]);
        api::counted(&admin, "a.example/x", [clicks, 0, 0, 0]);
        data = admin.server.stop();
    }
}
