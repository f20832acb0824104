//! Links that look like real ones, made up from their number, so that millions need no memory.

use carom::link::{Action, Destination, LinkKey, Status, Target};

/// What the key of a link is made of beside its number.
const SECTIONS: [&str; 8] = ["news", "guidance", "publications", "products", "blog", "help", "about", "downloads"];

const HOSTS: u64 = 200;

/// In which order links are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// In the order of their keys, as an export of another store has them.
    Sorted,
    /// In none.
    Random,
}

/// The number of the link that comes at this place.
pub(crate) fn number_at(order: Order, place: u64, links: u64) -> u64 {
    match order {
        Order::Sorted => place,
        // Odd and not a divisor of what people choose as a number of links: a permutation of them.
        Order::Random => (u128::from(place) * 2_654_435_769 % u128::from(links)) as u64,
    }
}

/// Whether [`number_at`] gives each number once.
pub(crate) fn is_permutation(links: u64) -> bool {
    let (mut a, mut b) = (2_654_435_769, links);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

/// The key of a link; keys ascend with their numbers.
pub(crate) fn key(number: u64, links: u64) -> LinkKey {
    let per_host = links.div_ceil(HOSTS);
    let (host, within) = (number / per_host, number % per_host);
    let section = SECTIONS[(within * SECTIONS.len() as u64 / per_host) as usize];
    // Sections are not in the order of the alphabet; their place in front is.
    let place = within * SECTIONS.len() as u64 / per_host;
    let text = format!("www{host:03}.example.com/{place}-{section}/{within:08x}-page");
    LinkKey::parse(&text).expect("it is a key")
}

/// Where the link leads in a version of the links.
pub(crate) fn action(number: u64, version: u64) -> Action {
    // Mixed, so that it packs no better than real ones do.
    let mixed = (number ^ version << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let section = SECTIONS[(mixed >> 61) as usize];
    let text = format!(
        "https://www.example.org/archive/{section}/{}/{:016x}/the-new-place-of-the-page?ref={number}",
        2000 + mixed % 26,
        mixed
    );
    let target = Target::parse(&text).expect("it is a target");
    Action::Put(Destination::new(Status::MovedPermanently, Some(target)).expect("301 has a target"))
}
