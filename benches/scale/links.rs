//! Links that look like those of people, made up from their numbers, so that millions of them need no memory here.

use crate::load::{Answer, Traffic};

/// Of short codes.
const SHORT_HOSTS: [&str; 4] = ["go.example", "s.example", "lnk.example", "get.shop.example"];
/// Of paths with words.
const LONG_HOSTS: [&str; 6] = [
    "www.shop.example",
    "news.example",
    "www.city-museum.example",
    "support.software.example",
    "blog.example",
    "events.example",
];
const TARGET_HOSTS: [&str; 5] =
    ["www.example.com", "shop.example.com", "www.example.org", "archive.example.net", "support.example.com"];
const SECTIONS: [&str; 8] =
    ["products", "articles", "campaigns", "events", "support", "library", "catalogue", "people"];
const WORDS: [&str; 24] = [
    "spring", "sale", "guide", "new", "event", "team", "news", "launch", "winter", "jobs", "report", "summer", "docs",
    "offer", "talk", "video", "music", "city", "green", "blue", "garden", "travel", "coffee", "open",
];
const SOURCES: [&str; 4] = ["newsletter", "twitter", "flyer", "partner"];
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Most links: below it, no two numbers have the same key.
pub(crate) const MOST: u64 = 1 << 30;

/// A key's host and path, as a request has them.
pub(crate) fn push_key(number: u64, out: &mut String) -> usize {
    let start = out.len();
    // An odd factor: no two numbers have the same product.
    let mixed = number.wrapping_mul(0x9e37_79b9) % (1 << 40);
    let draw = mix(number);
    if number.is_multiple_of(2) {
        out.push_str(pick(&SHORT_HOSTS, draw));
        let host = out.len() - start;
        out.push('/');
        push_base62(out, mixed, 7);
        host
    } else {
        out.push_str(pick(&LONG_HOSTS, draw));
        let host = out.len() - start;
        let (section, year) = (pick(&SECTIONS, draw >> 8), 2008 + (draw >> 16) % 18);
        out.push_str(&format!("/{section}/{year}/"));
        for n in 0..2 + (draw >> 24) % 2 {
            out.push_str(pick(&WORDS, draw >> (32 + 8 * n)));
            out.push('-');
        }
        push_base62(out, mixed, 7);
        host
    }
}

/// Where a link leads: 90 bytes in the mean.
pub(crate) fn push_target(number: u64, out: &mut String) {
    let draw = mix(number ^ 0x7a67_6574);
    out.push_str(&format!(
        "https://{}/{}/{}/",
        pick(&TARGET_HOSTS, draw),
        pick(&SECTIONS, draw >> 8),
        2008 + (draw >> 16) % 18
    ));
    for n in 0..2 + (draw >> 24) % 3 {
        out.push_str(pick(&WORDS, mix(draw + n) >> 8));
        out.push('-');
    }
    push_base62(out, mix(draw), 12);
    if (draw >> 28) % 20 < 11 {
        let (source, campaign) = (pick(&SOURCES, draw >> 36), pick(&WORDS, draw >> 44));
        out.push_str(&format!("?utm_source={source}&utm_campaign={campaign}"));
    }
}

/// The key as one text, as the API has it.
pub(crate) fn key(number: u64) -> String {
    let mut key = String::new();
    push_key(number, &mut key);
    key
}

pub(crate) fn target(number: u64) -> String {
    let mut target = String::new();
    push_target(number, &mut target);
    target
}

/// A scrambled number (the finaliser of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn pick<'a>(words: &[&'a str], draw: u64) -> &'a str {
    words[(draw % 256) as usize % words.len()]
}

fn push_base62(out: &mut String, mut number: u64, digits: usize) {
    for _ in 0..digits {
        out.push(char::from(BASE62[(number % 62) as usize]));
        number /= 62;
    }
}

/// Which links are asked for.
#[derive(Clone, Copy)]
pub(crate) enum Choice {
    /// Each as often as the others, of those from the first to before the second.
    Uniform(u64, u64),
    /// One after the other, from the first to before the second.
    Each(u64, u64),
}

/// Requests for links, with the answers that they have to get.
pub(crate) struct Asking {
    choice: Choice,
    random: fastrand::Rng,
    /// Links from this number on are not there.
    links: u64,
    key: String,
    /// How many answers were looked at.
    seen: u64,
    /// Of so many answers one is compared with the target, the others by their status alone.
    compared: u64,
}

/// To make up a target takes longer than all else that is done for an answer.
const COMPARED: u64 = 16;

impl Asking {
    pub(crate) fn new(choice: Choice, links: u64, seed: u64) -> Self {
        Self { choice, random: fastrand::Rng::with_seed(seed), links, key: String::new(), seen: 0, compared: COMPARED }
    }

    /// Compares none with the target, while some links lead elsewhere.
    pub(crate) fn by_status(self) -> Self {
        Self { compared: u64::MAX, ..self }
    }

    /// Compares every answer with the target.
    pub(crate) fn comparing_all(self) -> Self {
        Self { compared: 1, ..self }
    }
}

impl Traffic for Asking {
    fn next(&mut self, out: &mut Vec<u8>) -> u64 {
        let number = match &mut self.choice {
            Choice::Uniform(first, end) => self.random.u64(*first..*end),
            Choice::Each(first, _) => {
                *first += 1;
                *first - 1
            }
        };
        self.key.clear();
        let host = push_key(number, &mut self.key);
        let (host, path) = self.key.split_at(host);
        for part in ["GET ", path, " HTTP/1.1\r\nHost: ", host, "\r\n\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        number
    }

    fn is_right(&mut self, request: u64, answer: &Answer<'_>) -> bool {
        if request >= self.links {
            return answer.status == 404;
        }
        self.seen += 1;
        let is_compared = self.seen.is_multiple_of(self.compared);
        answer.status == 302 && (!is_compared || answer.location() == Some(target(request).as_bytes()))
    }

    fn is_through(&self) -> bool {
        matches!(self.choice, Choice::Each(first, end) if first >= end)
    }
}
