//! The links that are clicked, who clicks on them, and what was counted by whoever asked.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::{self, Counts};
use crate::client::Admin;
use crate::load::{Answer, Asked, BOT, Batch, HEAD, HUMAN, Head, PREVIEW, user_agent};

/// What becomes of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It redirects, all the time.
    Redirect,
    /// It answers that it is gone, which is what it is there for.
    Gone,
    /// It is disabled, so that nothing is a click on it.
    Off,
    /// It is changed, deleted and created again.
    Moving,
}

pub(crate) struct Link {
    pub(crate) kind: Kind,
    /// As it is counted.
    pub(crate) key: String,
    pub(crate) host: String,
    path: String,
    pub(crate) tags: Vec<&'static str>,
}

/// All links, the ones that are clicked most first.
pub(crate) struct World {
    pub(crate) links: Vec<Link>,
}

const HOT: usize = 16;
const WARM: usize = 200;
const COLD: usize = 4_000;
const ANY: usize = 20;
const GONE: usize = 5;
const OFF: usize = 5;
/// How many links are changed while they are clicked.
pub(crate) const MOVING: usize = 24;

impl World {
    pub(crate) fn new() -> Self {
        let mut links = Vec::new();
        let mut add = |kind, count: usize, hosts: usize, name: &str| {
            for number in 0..count {
                let host = if hosts == 0 { "*".to_owned() } else { format!("{name}{}.example", number % hosts) };
                let path = format!("/{name}/{number}");
                // Those of moving ones change.
                let tags = match number % 3 {
                    _ if kind == Kind::Moving => Vec::new(),
                    0 => vec!["red"],
                    1 => vec!["green", "red"],
                    _ => Vec::new(),
                };
                links.push(Link { kind, key: format!("{host}{path}"), host, path, tags });
            }
        };
        add(Kind::Redirect, HOT, 1, "hot");
        add(Kind::Redirect, WARM, 4, "warm");
        add(Kind::Redirect, COLD, 7, "cold");
        add(Kind::Redirect, ANY, 0, "any");
        add(Kind::Gone, GONE, 1, "gone");
        add(Kind::Off, OFF, 1, "off");
        add(Kind::Moving, MOVING, 2, "moving");
        World { links }
    }

    /// The number of the first link that is changed; all behind it are, too.
    pub(crate) fn first_moving(&self) -> usize {
        self.links.len() - MOVING
    }

    /// Creates those that are not changed.
    pub(crate) fn create(&self, admin: &Admin) {
        let links = self.links[..self.first_moving()].iter().map(|link| {
            let mut says = json!({"tags": link.tags, "status": 302, "target": "https://to.example/"});
            match link.kind {
                Kind::Gone => says = json!({"tags": link.tags, "status": 410}),
                Kind::Off => says["disabled"] = Value::Bool(true),
                Kind::Redirect | Kind::Moving => {}
            }
            (link.source(), says)
        });
        api::create(admin, links);
    }

    fn any(&self, random: &mut fastrand::Rng) -> usize {
        match random.u32(..100) {
            // The first of the hot ones is the hottest.
            0..10 => 0,
            10..50 => random.usize(..HOT),
            50..70 => HOT + random.usize(..WARM),
            70..88 => HOT + WARM + random.usize(..COLD),
            88..94 => HOT + WARM + COLD + random.usize(..ANY + GONE + OFF),
            _ => self.first_moving() + random.usize(..MOVING),
        }
    }

    /// Requests for any links by anybody, in batches of this length. With the last of each, the connection may be closed.
    pub(crate) fn batches(
        &self,
        batches: usize,
        length: usize,
        closes: bool,
        random: &mut fastrand::Rng,
    ) -> Vec<Batch> {
        let mut batch = || {
            let mut batch = Batch::default();
            for number in 1..=length {
                let link = self.any(random);
                let class = [HUMAN, HUMAN, HUMAN, HUMAN, HUMAN, BOT, BOT, PREVIEW, HEAD][random.usize(..9)];
                let close = if closes && number == length { "close" } else { "" };
                let request = self.links[link].request(class, random).field("Connection", close).end();
                batch.push(Asked { link: link as u32, class }, &request);
            }
            batch
        };
        (0..batches).map(|_| batch()).collect()
    }
}

impl Link {
    /// As it is told to the API.
    pub(crate) fn source(&self) -> String {
        self.key.strip_prefix('*').unwrap_or(&self.key).to_owned()
    }

    /// A request of a class.
    pub(crate) fn request(&self, class: u8, random: &mut fastrand::Rng) -> Head {
        let host = if self.host == "*" { "whatever.example" } else { &self.host };
        let referers = ["", "https://www.news.example/today?x=1", "https://mail.example/"];
        let languages = ["", "de-DE,de;q=0.9,en;q=0.7", "en-GB", "fr"];
        Head::new(class, host, &self.path)
            .field("User-Agent", user_agent(class, random))
            .field("Referer", referers[random.usize(..referers.len())])
            .field("Accept-Language", languages[random.usize(..languages.len())])
    }

    /// Whether an answer is a click. It must be one that this link can give.
    pub(crate) fn is_click(&self, asked: Asked, answer: &Answer<'_>) -> bool {
        match (self.kind, answer.status) {
            (Kind::Redirect | Kind::Moving, 302) | (Kind::Gone, 410) => true,
            (Kind::Off | Kind::Moving, 404) => false,
            (_, status) => panic!("{asked:?}, {}: {status}", self.key),
        }
    }
}

/// What whoever asked has counted, for each link.
pub(crate) struct Told {
    /// Clicks that were answered.
    pub(crate) answered: Vec<Counts>,
    /// Requests that were sent, and may have been counted although no answer came back.
    pub(crate) unanswered: Vec<Counts>,
    /// Answered clicks on the moving links, each time they were created by themselves.
    pub(crate) by_generation: BTreeMap<(u32, u32), Counts>,
}

impl Told {
    pub(crate) fn new(world: &World) -> Self {
        let none = vec![Counts::default(); world.links.len()];
        Told { answered: none.clone(), unanswered: none, by_generation: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, other: &Told) {
        let pairs = |mine: &mut Vec<Counts>, others: &Vec<Counts>| {
            mine.iter_mut().zip(others).for_each(|(mine, other)| add(mine, other));
        };
        pairs(&mut self.answered, &other.answered);
        pairs(&mut self.unanswered, &other.unanswered);
        for (generation, counts) in &other.by_generation {
            add(self.by_generation.entry(*generation).or_default(), counts);
        }
    }

    /// Nothing was counted that was not answered.
    pub(crate) fn forget_unanswered(&mut self) {
        self.unanswered.fill(Counts::default());
    }

    /// How many requests it is not known of whether they were counted.
    pub(crate) fn unknown(&self) -> u64 {
        self.unanswered.iter().flatten().sum()
    }
}

pub(crate) fn add(sum: &mut Counts, more: &Counts) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

/// Of the links for which this holds.
pub(crate) fn sum<'a>(counts: &'a [Counts], world: &World, holds: impl Fn(&Link) -> bool) -> Counts {
    let mut all = Counts::default();
    let of = |(counts, link): (&'a Counts, &Link)| holds(link).then_some(counts);
    counts.iter().zip(&world.links).filter_map(of).for_each(|counts| add(&mut all, counts));
    all
}

/// That it was counted at least as often as it was answered, and at most as often as it was asked.
#[track_caller]
pub(crate) fn assert_within(counted: Counts, least: Counts, more: Counts, what: &str) {
    let is_within =
        (0..counted.len()).all(|class| (least[class]..=least[class] + more[class]).contains(&counted[class]));
    assert!(is_within, "{what}: counted {counted:?}, answered {least:?}, perhaps {more:?} more");
}
