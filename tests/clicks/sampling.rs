//! When more is clicked than details are kept of, those that are kept stand for the others.

use std::collections::BTreeMap;

use serde_json::json;

use crate::api;
use crate::client::Admin;
use crate::load::{Asked, Asker, Batch, HUMAN, HUMANS, Head};

const KEY: &str = "a.example/x";
const CLIENTS: usize = 4;
const BATCHES: usize = 250;
const LENGTH: usize = 60;
const CLICKS: usize = CLIENTS * BATCHES * LENGTH;

/// Which parts of the clicks come with what.
const REFERERS: [(&str, &str, f64); 4] = [
    ("https://large.example/x", "large.example", 0.5),
    ("https://middle.example/x", "middle.example", 0.3),
    ("", "", 0.15),
    ("https://small.example/x", "small.example", 0.05),
];
const LANGUAGES: [(&str, &str, f64); 3] = [("de-AT,de;q=0.8", "de", 0.6), ("en", "en", 0.3), ("", "", 0.1)];

/// Of clicks on one link in half a second, the rarest that are kept stand for so many; docs/clicks has it.
const MOST_WEIGHT: f64 = 32.0;

/// What to send, by chance.
fn any(values: &[(&'static str, &'static str, f64)], random: &mut fastrand::Rng) -> (&'static str, &'static str) {
    let mut left = random.f64();
    for (sent, told, part) in values {
        left -= part;
        if left < 0.0 {
            return (sent, told);
        }
    }
    (values[0].0, values[0].1)
}

/// Clicks by their referrer, and by their language.
type Sent = [BTreeMap<&'static str, u64>; 2];

fn ask(admin: &Admin) -> Sent {
    let mut random = fastrand::Rng::new();
    let mut sent = Sent::default();
    // Made before anything is sent, so that much comes in a short time.
    let mut batch = || {
        let mut batch = Batch::default();
        for _ in 0..LENGTH {
            let (referer, referrer) = any(&REFERERS, &mut random);
            let (accepted, language) = any(&LANGUAGES, &mut random);
            *sent[0].entry(referrer).or_default() += 1;
            *sent[1].entry(language).or_default() += 1;
            let head = Head::new(HUMAN, "a.example", "/x").field("User-Agent", HUMANS[0]);
            let request = head.field("Referer", referer).field("Accept-Language", accepted).end();
            batch.push(Asked { link: 0, class: HUMAN }, &request);
        }
        batch
    };
    let batches: Vec<Batch> = (0..BATCHES).map(|_| batch()).collect();
    let mut asker = Asker::connect(admin.server.address).unwrap();
    for batch in &batches {
        assert_eq!(asker.exchange(batch, |_, answer| assert_eq!(answer.status, 302)), (LENGTH, None));
    }
    sent
}

#[test]
fn details_of_some_clicks_stand_for_all() {
    let admin = Admin::start(&["--workers", "2"]);
    api::create(&admin, [(KEY.to_owned(), json!({"target": "https://to.example/"}))]);
    let mut sent = Sent::default();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| ask(&admin))).collect();
        for client in clients {
            for (sent, more) in sent.iter_mut().zip(client.join().unwrap()) {
                more.into_iter().for_each(|(value, clicks)| *sent.entry(value).or_default() += clicks);
            }
        }
    });
    api::counted(&admin, KEY, [CLICKS as u64, 0, 0, 0]);
    assert_eq!(api::uniques_of(&admin, KEY), 1);
    for (by, sent) in ["referrer", "language"].into_iter().zip(sent) {
        let (shares, details) = api::breakdown(&admin, KEY, by);
        assert!((100..CLICKS as u64 / 2).contains(&details), "{by}: {details} details of {CLICKS} clicks");
        let all: u64 = shares.values().sum();
        for (value, clicks) in sent {
            // A click that stands for w with the probability 1/w adds w-1 to the variance of the sum (Horvitz and Thompson
            // 1952). Of a share, what the sum of all is off by is taken away again.
            let part = clicks as f64 / CLICKS as f64;
            let error = ((MOST_WEIGHT - 1.0) * part * (1.0 - part) / CLICKS as f64).sqrt();
            let found = shares.get(value).copied().unwrap_or_default() as f64 / all as f64;
            let off = (found - part).abs();
            assert!(off <= 4.0 * error, "{by} `{value}`: {found} for {part}, {error} of {details} details");
        }
        let error = ((MOST_WEIGHT - 1.0) * CLICKS as f64).sqrt();
        assert!((all as f64 - CLICKS as f64).abs() <= 4.0 * error, "{by}: {all} for {CLICKS}, {error}");
    }
}

/// Where so many clicks go that only some of each link's are kept.
const LINKS: usize = 60;
const CLICKS_OF_ALL: usize = CLIENTS * 500 * LENGTH;

/// What is sent evenly: each part is known, and none is so small that the usual bounds of a share do not hold.
const EVEN_REFERERS: [&str; 4] = ["a", "b", "c", "d"];
const EVEN_LANGUAGES: [&str; 3] = ["de", "en", "fr"];

/// How often each value was sent, by link and dimension.
type SentByLink = BTreeMap<(usize, &'static str, &'static str), u64>;

fn ask_evenly(admin: &Admin) -> SentByLink {
    let mut random = fastrand::Rng::new();
    let mut sent = SentByLink::new();
    let mut batch = || {
        let mut batch = Batch::default();
        for _ in 0..LENGTH {
            let link = random.usize(..LINKS);
            let referrer = EVEN_REFERERS[random.usize(..EVEN_REFERERS.len())];
            let language = EVEN_LANGUAGES[random.usize(..EVEN_LANGUAGES.len())];
            let device = random.usize(..HUMANS.len());
            let told =
                [("referrer", referrer), ("language", language), ("device", ["desktop", "phone", "tablet"][device])];
            told.into_iter().for_each(|(by, value)| *sent.entry((link, by, value)).or_default() += 1);
            let head = Head::new(HUMAN, "a.example", &format!("/{link}")).field("User-Agent", HUMANS[device]);
            let head = head.field("Referer", &format!("https://{referrer}.example/"));
            batch.push(Asked { link: link as u32, class: HUMAN }, &head.field("Accept-Language", language).end());
        }
        batch
    };
    let batches: Vec<Batch> = (0..CLICKS_OF_ALL / CLIENTS / LENGTH).map(|_| batch()).collect();
    let mut asker = Asker::connect(admin.server.address).unwrap();
    for batch in &batches {
        assert_eq!(asker.exchange(batch, |_, answer| assert_eq!(answer.status, 302)), (LENGTH, None));
    }
    sent
}

#[test]
fn most_shares_are_no_further_off_than_they_say() {
    let admin = Admin::start(&["--workers", "2"]);
    let keys: Vec<String> = (0..LINKS).map(|number| format!("a.example/{number}")).collect();
    api::create(&admin, keys.iter().map(|key| (key.clone(), json!({"target": "https://to.example/"}))));
    let mut sent = SentByLink::new();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| ask_evenly(&admin))).collect();
        for client in clients {
            client.join().unwrap().into_iter().for_each(|(what, clicks)| *sent.entry(what).or_default() += clicks);
        }
    });
    let (mut shares, mut sampled, mut within) = (0, 0, 0);
    for (link, key) in keys.iter().enumerate() {
        let of = |by: &str| -> u64 {
            sent.iter()
                .filter(|((of, dimension, _), _)| (*of, *dimension) == (link, by))
                .map(|(_, clicks)| clicks)
                .sum()
        };
        let clicks = of("device");
        api::counted(&admin, key, [clicks, 0, 0, 0]);
        for by in ["referrer", "language", "device"] {
            let answer = api::ask(&admin, &format!("breakdown?key={}&by={by}", api::encoded(key)));
            let found = answer["shares"].as_array().unwrap();
            for ((_, _, value), times) in sent.iter().filter(|((of, dimension, _), _)| (*of, *dimension) == (link, by))
            {
                shares += 1;
                let told = if by == "referrer" { format!("{value}.example") } else { (*value).to_owned() };
                // One that is not there at all is wrong in any case.
                let Some(share) = found.iter().find(|share| share["value"] == *told) else { continue };
                let error = share["sampling_error"].as_f64().unwrap();
                let off = (share["share"].as_f64().unwrap() - *times as f64 / clicks as f64).abs();
                sampled += u64::from(error > 0.0);
                // Both were rounded to six digits.
                within += u64::from(off <= error + 2e-6);
            }
        }
    }
    assert_eq!(shares, LINKS as u64 * 10);
    assert!(sampled * 2 > shares, "only {sampled} of {shares} shares were estimated");
    // What holds 95 % of the time holds of 600 shares at least 540 times, but for one run in thousands.
    assert!(
        within * 10 >= shares * 9,
        "{within} of {shares} shares are no further off than they say, {sampled} estimated"
    );
}

#[test]
fn few_clicks_are_all_kept() {
    let admin = Admin::start(&["--workers", "2"]);
    let keys: Vec<String> = (0..200).map(|number| format!("a.example/{number}")).collect();
    api::create(&admin, keys.iter().map(|key| (key.clone(), json!({"target": "https://to.example/"}))));
    let mut asker = Asker::connect(admin.server.address).unwrap();
    let mut batch = Batch::default();
    for number in 0..keys.len() {
        let head = Head::new(HUMAN, "a.example", &format!("/{number}")).field("User-Agent", HUMANS[number % 3]);
        let request = head.field("Referer", &format!("https://r{}.example/", number % 10)).end();
        batch.push(Asked { link: number as u32, class: HUMAN }, &request);
    }
    assert_eq!(asker.exchange(&batch, |_, answer| assert_eq!(answer.status, 302)), (keys.len(), None));
    for (number, key) in keys.iter().enumerate().step_by(23) {
        api::counted(&admin, key, [1, 0, 0, 0]);
        let (referrers, details) = api::breakdown(&admin, key, "referrer");
        assert_eq!((referrers, details), (BTreeMap::from([(format!("r{}.example", number % 10), 1)]), 1));
        let device = ["desktop", "phone", "tablet"][number % 3].to_owned();
        assert_eq!(api::breakdown(&admin, key, "device").0, BTreeMap::from([(device, 1)]));
    }
    let all = api::ask(&admin, "breakdown?by=referrer");
    assert_eq!((&all["total"], &all["details"], &all["error"]), (&json!(200), &json!(200), &json!(0)), "{all}");
    for share in all["shares"].as_array().unwrap() {
        assert_eq!((&share["clicks"], &share["sampling_error"]), (&json!(20), &json!(0.0)), "{all}");
    }
}
