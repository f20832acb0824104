//! Only people use up a link.

use serde_json::json;

use crate::api;
use crate::client::Admin;
use crate::load::{Asked, Asker, BOT, Batch, CLASSES, HEAD, HUMAN, Head, PREVIEW, user_agent};
use crate::support::{DRIVERS, has_driver};

const CLICKS: u64 = 3_000;
const CLIENTS: usize = 12;
const BATCHES: usize = 25;
const LENGTH: usize = 40;

#[test]
fn a_limit_of_clicks_is_one_of_people() {
    for driver in DRIVERS.into_iter().filter(|driver| has_driver(driver)) {
        let admin = Admin::start(&["--driver", driver, "--workers", "3", "--durability", "os"]);
        let over = json!({"target": "https://to.example/", "max_clicks": CLICKS});
        let mut elsewhere = over.clone();
        elsewhere["expired_target"] = json!("https://over.example/");
        api::create(&admin, [("a.example/over".to_owned(), over), ("a.example/elsewhere".to_owned(), elsewhere)]);
        for (path, status) in [("/over", 410), ("/elsewhere", 302)] {
            use_up(&admin, path, status, driver);
        }
    }
}

fn use_up(admin: &Admin, path: &str, status_after: u16, driver: &str) {
    // Who only looks uses nothing, however often.
    let mut told = [0; CLASSES.len()];
    hammer(admin, path, status_after, &[BOT, PREVIEW, HEAD], &mut told);
    assert_eq!(told[usize::from(HUMAN)], 0);
    let looked: u64 = told.iter().sum();
    assert_eq!(looked, (CLIENTS * BATCHES * LENGTH) as u64, "{driver}, {path}: all looks are let pass");
    hammer(admin, path, status_after, &[HUMAN, BOT, PREVIEW, HEAD, HUMAN, HUMAN], &mut told);
    assert_eq!(told[usize::from(HUMAN)], CLICKS, "{driver}, {path}");
    // It is over for everybody now.
    let used_up = told;
    hammer(admin, path, status_after, &[HUMAN, BOT, PREVIEW, HEAD], &mut told);
    assert_eq!(told, used_up, "{driver}, {path}");
    // What led elsewhere was no click on it.
    api::counted(admin, &format!("a.example{path}"), told);
}

/// Asks from many connections at once, and adds how many of each class were led to the target.
fn hammer(admin: &Admin, path: &str, status_after: u16, classes: &[u8], told: &mut [u64; CLASSES.len()]) {
    let client = || {
        let mut random = fastrand::Rng::new();
        let mut asker = Asker::connect(admin.server.address).unwrap();
        let mut told = [0; CLASSES.len()];
        for _ in 0..BATCHES {
            let mut batch = Batch::default();
            for _ in 0..LENGTH {
                let class = classes[random.usize(..classes.len())];
                let head = Head::new(class, "a.example", path).field("User-Agent", user_agent(class, &mut random));
                batch.push(Asked { link: 0, class }, &head.end());
            }
            let outcome = asker.exchange(&batch, |asked, answer| {
                let is_click = answer.location() == b"https://to.example/";
                assert!(is_click || answer.status == status_after, "{asked:?}: {}", answer.status);
                told[usize::from(asked.class)] += u64::from(is_click);
            });
            assert_eq!(outcome, (LENGTH, None));
        }
        told
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for client in clients {
            crate::world::add(told, &client.join().unwrap());
        }
    });
}
