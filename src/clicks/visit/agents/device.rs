//! On what a person reads.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use woothee::parser::Parser;

use crate::clicks::batch::Device;

/// What is known better than by the library, which tells no tablets apart and knows few televisions. The first one that
/// occurs, in this order, in any case.
const KNOWN: [(&str, Device); 41] = [
    // Televisions, boxes and sticks.
    ("smart-tv", Device::Other),
    ("smarttv", Device::Other),
    ("smart tv", Device::Other),
    ("googletv", Device::Other),
    ("google tv", Device::Other),
    ("android tv", Device::Other),
    ("androidtv", Device::Other),
    ("appletv", Device::Other),
    ("apple tv", Device::Other),
    ("hbbtv", Device::Other),
    ("netcast", Device::Other),
    ("web0s", Device::Other),
    ("bravia", Device::Other),
    ("viera", Device::Other),
    ("aquos-tv", Device::Other),
    ("roku/", Device::Other),
    ("crkey", Device::Other),
    ("; aft", Device::Other),
    ("; mibox", Device::Other),
    ("shield android", Device::Other),
    // Consoles.
    ("playstation", Device::Other),
    ("xbox", Device::Other),
    ("nintendo", Device::Other),
    // What is worn, and what is driven.
    ("watchos", Device::Other),
    ("apple watch", Device::Other),
    ("wear os", Device::Other),
    ("oculusbrowser", Device::Other),
    ("tesla/", Device::Other),
    ("qtcarbrowser", Device::Other),
    ("android automotive", Device::Other),
    // Tablets that don't say Android.
    ("ipad", Device::Tablet),
    ("kindle", Device::Tablet),
    ("silk/", Device::Tablet),
    ("playbook", Device::Tablet),
    // Phones that say Android, and not Mobile; and some that say neither.
    ("opera mini", Device::Phone),
    ("opera mobi", Device::Phone),
    ("windows phone", Device::Phone),
    ("iemobile", Device::Phone),
    ("kaios", Device::Phone),
    ("j2me", Device::Phone),
    ("midp-", Device::Phone),
];

/// What it looks like.
pub(super) struct Looks {
    pub(super) device: Device,
    /// Whether the library takes it for a crawler.
    pub(super) is_crawler: bool,
}

/// What a User-Agent looks like.
pub(super) fn looks(user_agent: &str) -> Looks {
    let parsed = Parser::new().parse(user_agent);
    let category = parsed.map_or("", |parsed| parsed.category);
    let device = known(user_agent).unwrap_or(match category {
        "pc" => Device::Desktop,
        "smartphone" | "mobilephone" => Device::Phone,
        "appliance" => Device::Other,
        _ => Device::Unknown,
    });
    Looks { device, is_crawler: category == "crawler" }
}

fn known(user_agent: &str) -> Option<Device> {
    static AUTOMATON: LazyLock<AhoCorasick> = LazyLock::new(|| {
        let patterns = KNOWN.iter().map(|(pattern, _)| pattern);
        AhoCorasick::builder().ascii_case_insensitive(true).build(patterns).expect("there are few patterns")
    });
    let first = AUTOMATON.find_overlapping_iter(user_agent).map(|found| found.pattern().as_usize()).min();
    let is_tablet = || user_agent.contains("Android") && !user_agent.contains("Mobile");
    // Chrome and Firefox say Mobile on a phone, and leave it out on a tablet.
    first.map(|first| KNOWN[first].1).or_else(|| is_tablet().then_some(Device::Tablet))
}

/// User-Agents that together use most of what the library has.
pub(super) const TYPICAL: [&str; 9] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 \
     Edg/126.0.0.0",
    "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 \
     Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 \
     Chrome/126.0.0.0 Mobile Safari/537.36 OPR/80",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0",
    "Unknown/1.0 (something)",
];
