//! Links, and the people who click on them. Nothing of it is kept: everything follows from a number, so that a million
//! links and ten million people cost no memory beside what is measured.

use carom::clicks::{Country, Device, LinkTags, Visitor};
use fastrand::Rng;

/// Bits of a visitor.
const VISITOR_MASK: u64 = (1 << Visitor::BITS) - 1;

/// Names of tags are made up from their numbers; so many there are.
pub(crate) const TAGS: usize = 20;

/// Hosts of referring pages.
pub(crate) const REFERRERS: usize = 5_000;

/// Countries, the ones with most clicks first, and the language that most people there ask for.
const COUNTRIES: [(&str, &str); 24] = [
    ("US", "en"),
    ("DE", "de"),
    ("GB", "en"),
    ("IN", "en"),
    ("FR", "fr"),
    ("BR", "pt"),
    ("JP", "ja"),
    ("ES", "es"),
    ("IT", "it"),
    ("NL", "nl"),
    ("PL", "pl"),
    ("MX", "es"),
    ("CA", "en"),
    ("TR", "tr"),
    ("ID", "id"),
    ("SE", "sv"),
    ("KR", "ko"),
    ("AT", "de"),
    ("CH", "de"),
    ("PT", "pt"),
    ("CZ", "cs"),
    ("NP", "ne"),
    ("FI", "fi"),
    ("", ""),
];

const LANGUAGES: [&str; 17] =
    ["en", "de", "fr", "pt", "ja", "es", "it", "nl", "pl", "tr", "id", "sv", "ko", "cs", "ne", "fi", ""];

const DEVICES: [(Device, &str); 5] = [
    (Device::Unknown, ""),
    (Device::Desktop, "desktop"),
    (Device::Phone, "phone"),
    (Device::Tablet, "tablet"),
    (Device::Other, "other"),
];

/// Scatters a number: the finaliser of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014).
pub(crate) fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Someone's habits, as places in the tables of [`values`].
#[derive(Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) country: usize,
    pub(crate) device: usize,
    pub(crate) language: usize,
}

/// What there is.
pub(crate) struct World {
    pub(crate) links: u64,
    pub(crate) people: u64,
    pub(crate) hosts: u64,
    popularity: Popularity,
    /// The link of a rank is the rank times this, modulo the links: a permutation, since they have no common factor.
    stride: u64,
    referrers: Vec<Box<str>>,
    /// A country for each byte, as often as it has clicks.
    country_of_byte: [u8; 256],
}

impl World {
    /// So many links, clicked by so many people. One click in 1/`tail` is on any link, however unpopular.
    pub(crate) fn new(links: u64, people: u64, tail: f64) -> Self {
        let mut stride = (links as f64 * 0.618_033_988) as u64 | 1;
        while common_factor(stride, links) > 1 {
            stride += 2;
        }
        let referrers = (0..REFERRERS)
            .map(|number| match number {
                0 => "google.com".into(),
                1 => "facebook.com".into(),
                2 => "t.co".into(),
                3 => "linkedin.com".into(),
                number => format!("site-{number}.example").into(),
            })
            .collect();
        World {
            links,
            people,
            hosts: (links / 10_000).clamp(3, 100),
            popularity: Popularity::new(links, tail),
            stride,
            referrers,
            country_of_byte: countries_by_clicks(),
        }
    }

    /// The link that so many are more popular than.
    pub(crate) fn link_of_rank(&self, rank: u64) -> u64 {
        (u128::from(rank) * u128::from(self.stride) % u128::from(self.links)) as u64
    }

    /// A link that is clicked.
    pub(crate) fn draw_link(&self, random: &mut Rng) -> u64 {
        self.link_of_rank(self.popularity.draw(random))
    }

    /// Somebody who clicks: some do so more often than others.
    pub(crate) fn draw_person(&self, random: &mut Rng) -> u64 {
        let at = random.f64();
        (at * at * self.people as f64) as u64
    }

    pub(crate) fn host_of(&self, link: u64) -> usize {
        (scatter(link) % self.hosts) as usize
    }

    /// One link in ten has a tag, some of those another.
    pub(crate) fn tags_of(link: u64) -> impl Iterator<Item = usize> {
        let drawn = scatter(link ^ 0x7a6);
        let first = drawn.is_multiple_of(10).then_some((drawn >> 8) as usize % TAGS);
        let second =
            first.filter(|_| drawn >> 32 & 3 == 0).map(|tag| (tag + 1 + (drawn >> 40) as usize % (TAGS - 1)) % TAGS);
        first.into_iter().chain(second)
    }

    pub(crate) fn host_name(host: usize) -> String {
        format!("go{host:02}.example")
    }

    pub(crate) fn tag_name(tag: usize) -> String {
        format!("tag-{tag:02}")
    }

    /// The canonical key of a link.
    pub(crate) fn key(&self, link: u64) -> String {
        format!("go{:02}.example/c/{link:08}", self.host_of(link))
    }

    /// Links are numbered from 0, their ids from 1.
    pub(crate) fn id(link: u64) -> u64 {
        link + 1
    }

    pub(crate) fn habits(&self, person: u64) -> Habits {
        let drawn = scatter(person ^ 0x9e0);
        let country = usize::from(self.country_of_byte[drawn as usize & 255]);
        let device = match drawn >> 8 & 127 {
            0..79 => 2,
            79..119 => 1,
            119..124 => 3,
            124..126 => 4,
            _ => 0,
        };
        let own = LANGUAGES.iter().position(|language| *language == COUNTRIES[country].1).expect("it is listed");
        let language = if drawn >> 16 & 7 == 0 { (drawn >> 24) as usize % LANGUAGES.len() } else { own };
        Habits { country, device, language }
    }

    /// Where a click on a link comes from, as a place in the table of referrers; None where it is not said.
    pub(crate) fn draw_referrer(&self, link: u64, random: &mut Rng) -> Option<usize> {
        match random.u8(..100) {
            0..35 => None,
            // Most links stand on one page.
            35..80 => {
                let at = (scatter(link ^ 0x4ef) >> 11) as f64 / (1_u64 << 53) as f64;
                Some((at * at * at * REFERRERS as f64) as usize)
            }
            80..95 => Some(random.usize(..4)),
            _ => Some(random.usize(..REFERRERS)),
        }
    }

    pub(crate) fn referrer(&self, number: Option<usize>) -> &str {
        number.map_or("", |number| &self.referrers[number])
    }

    /// By whom a click is on a day.
    pub(crate) fn visitor(person: u64, day: u64) -> Visitor {
        Visitor(scatter(person ^ day << 40) & VISITOR_MASK)
    }
}

/// What there is of each dimension, in the order of `Dimension`.
pub(crate) fn values(world: &World) -> [Vec<String>; 4] {
    let mut referrers = vec![String::new()];
    referrers.extend((0..REFERRERS).map(|number| world.referrer(Some(number)).to_owned()));
    [
        referrers,
        COUNTRIES.iter().map(|(country, _)| (*country).to_owned()).collect(),
        DEVICES.iter().map(|(_, name)| (*name).to_owned()).collect(),
        LANGUAGES.iter().map(|language| (*language).to_owned()).collect(),
    ]
}

impl Habits {
    pub(crate) fn country(self) -> Country {
        let mut letters = [0; 2];
        let name = COUNTRIES[self.country].0.as_bytes();
        letters[..name.len()].copy_from_slice(name);
        Country(letters)
    }

    pub(crate) fn device(self) -> Device {
        DEVICES[self.device].0
    }

    pub(crate) fn language(self) -> carom::clicks::Language {
        let mut letters = [0; 3];
        let name = LANGUAGES[self.language].as_bytes();
        letters[..name.len()].copy_from_slice(name);
        carom::clicks::Language(letters)
    }
}

/// The tags of the links, as the engine knows them.
pub(crate) struct Tags;

impl LinkTags for Tags {
    fn tags(&self, key: &[u8]) -> Vec<String> {
        let digits = &key[key.len().saturating_sub(8)..];
        let link = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        link.map_or_else(Vec::new, |link| World::tags_of(link).map(World::tag_name).collect())
    }
}

fn common_factor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_factor(b, a % b) }
}

fn countries_by_clicks() -> [u8; 256] {
    let weight = |rank: usize| 1.0 / (rank + 1) as f64;
    let all: f64 = (0..COUNTRIES.len()).map(weight).sum();
    let (mut country, mut below) = (0, weight(0) / all);
    std::array::from_fn(|byte| {
        while byte as f64 / 256.0 >= below && country + 1 < COUNTRIES.len() {
            country += 1;
            below += weight(country) / all;
        }
        country as u8
    })
}

/// Draws ranks: mostly by Zipf's law, the n-th as often as 1/n, and some evenly. By Vose's alias method ("A linear algorithm
/// for generating random numbers with a given distribution", 1991), which looks at one place of a table.
struct Popularity(Vec<(u32, u32)>);

impl Popularity {
    fn new(ranks: u64, tail: f64) -> Self {
        let harmonic: f64 = (1..=ranks).map(|rank| 1.0 / rank as f64).sum();
        // As a multiple of what each had if all were alike.
        let mut share: Vec<f64> =
            (1..=ranks).map(|rank| tail + (1.0 - tail) * ranks as f64 / (rank as f64 * harmonic)).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..ranks as u32).partition(|&rank| share[rank as usize] < 1.0);
        let mut table: Vec<(u32, u32)> = (0..ranks as u32).map(|rank| (u32::MAX, rank)).collect();
        while let (Some(less), Some(&more)) = (small.pop(), large.last()) {
            table[less as usize] = ((share[less as usize] * f64::from(u32::MAX)) as u32, more);
            share[more as usize] -= 1.0 - share[less as usize];
            if share[more as usize] < 1.0 {
                large.pop();
                small.push(more);
            }
        }
        Popularity(table)
    }

    fn draw(&self, random: &mut Rng) -> u64 {
        let drawn = random.u64(..);
        let place = ((drawn >> 32) * self.0.len() as u64) >> 32;
        let (threshold, other) = self.0[place as usize];
        if drawn as u32 <= threshold { place } else { u64::from(other) }
    }
}
