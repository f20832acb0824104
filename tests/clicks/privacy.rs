//! No address of anyone is written anywhere.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use memchr::memmem;
use serde_json::json;

use crate::api;
use crate::client::Admin;
use crate::feed::Feed;
use crate::load::{Asker, BOT, HEAD, HUMAN, HUMANS, Head, one_by_one};
use crate::support::{PATIENCE, has_driver};

const KEY: &str = "a.example/who-has-been-here";
const PATH: &str = "/who-has-been-here";

/// Those of this machine that connections come from. None is usual, so that nothing else writes them.
const PEERS: [Ipv4Addr; 5] = [
    Ipv4Addr::new(127, 83, 46, 101),
    Ipv4Addr::new(127, 194, 57, 238),
    Ipv4Addr::new(127, 61, 213, 94),
    Ipv4Addr::new(127, 149, 38, 203),
    Ipv4Addr::new(127, 222, 75, 186),
];

/// Those for which proxies ask (RFC 5737, RFC 3849).
const FORWARDED: [IpAddr; 8] = [
    v4(203, 0, 113, 77),
    v4(203, 0, 113, 214),
    v4(198, 51, 100, 163),
    v4(198, 51, 100, 92),
    v6(0x9c3e, 0x57a1, 0xb26d),
    v6(0x4fd2, 0xe816, 0x73c5),
    v6(0xa94b, 0x2de7, 0x5f98),
    v6(0x61f7, 0xc38d, 0xd84a),
];

/// Those of pages with links to here.
const REFERRING: [IpAddr; 4] =
    [v4(192, 0, 2, 151), v4(192, 0, 2, 233), v6(0xb73c, 0x98e4, 0x1fa6), v6(0xd5e9, 0x36c2, 0x8b7d)];

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(a: u16, b: u16, c: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, a, b, c, 0x6e13, 0xf09a, 0x24d7))
}

/// So many different addresses are found as four bytes by no chance.
const NO_CHANCE: usize = 3;

#[test]
fn addresses_are_nowhere() {
    for driver in ["uring", "epoll"].into_iter().filter(|driver| has_driver(driver)) {
        let arguments = ["--driver", driver, "--workers", "2", "--trusted-proxies", "127.0.0.0/8,::1"];
        let admin = Admin::start(&arguments);
        api::create(&admin, [(KEY.to_owned(), json!({"target": "https://to.example/"}))]);
        let mut feed = Feed::open(&admin, "", None);
        let mut told = String::new();
        visit(&admin);
        for _ in 0..5 {
            told += &feed.next().text;
        }
        let humans = (PEERS.len() + FORWARDED.len() + REFERRING.len()) as u64;
        api::counted(&admin, KEY, [humans, 1, 0, 1]);
        // Each address was looked at, or this would be another number. Pages were all clicked on from the same one.
        let people = (PEERS.len() + FORWARDED.len() + 1) as u64;
        assert_eq!(api::uniques_of(&admin, KEY), people);
        let (referrers, _) = api::breakdown(&admin, KEY, "referrer");
        assert_eq!(referrers.get("(address)"), Some(&(REFERRING.len() as u64)), "{referrers:?}");
        for format in ["ndjson", "csv"] {
            told += &api::export_text(&admin, format);
        }
        for question in ["breakdown?by=referrer", "breakdown?by=device", "top", "uniques", "totals", "series"] {
            told += &api::ask(&admin, question).to_string();
        }
        told += &admin.ask("GET", "/v1/changes").send().text;
        let said = admin.server.said();
        assert_unwritten(&read_all(&admin.server.data()), &format!("{driver}, while it serves"));
        // What was counted is read from its files, and so it stands in them.
        let dir = admin.server.stop();
        let files = read_all(&dir.path().join("data"));
        assert!(finds(&files, b"who-has-been-here") > 0, "the link itself is in no file: the search finds nothing");
        assert_unwritten(&files, &format!("{driver}, after the stop"));
        let told = [("answers", told), ("stderr", said.lock().unwrap().clone())];
        let told = told.map(|(name, text)| (PathBuf::from(name), text.into_bytes()));
        assert_unwritten(&told, driver);
        let admin = api::start_on(dir, &arguments);
        api::counted(&admin, KEY, [humans, 1, 0, 1]);
        assert_eq!(api::uniques_of(&admin, KEY), people, "the same people as before the restart");
    }
}

/// Clicks once from each address.
fn visit(admin: &Admin) {
    let request = |class, user_agent: &str| Head::new(class, "a.example", PATH).field("User-Agent", user_agent);
    let ask = |from: Ipv4Addr, class, head: Head| {
        let mut asker = Asker::connect_from(from.into(), admin.server.address).unwrap();
        assert_eq!(one_by_one(&mut asker, class, &[head.end()]), [302]);
    };
    for from in PEERS {
        ask(from, HUMAN, request(HUMAN, HUMANS[0]));
    }
    // All over one connection, as proxies do.
    let mut proxy = Asker::connect(admin.server.address).unwrap();
    for (number, address) in FORWARDED.into_iter().enumerate() {
        // What stands in front may be made up.
        let through = ["", "10.20.30.40, ", "unknown, "][number % 3];
        let value = format!("{through}{address}, 127.0.0.1");
        let request = request(HUMAN, HUMANS[0]).field("X-Forwarded-For", &value).end();
        assert_eq!(one_by_one(&mut proxy, HUMAN, &[request]), [302]);
    }
    for address in REFERRING {
        let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
        let referer = format!("http://{host}:8080/page?from={address}");
        ask(Ipv4Addr::LOCALHOST, HUMAN, request(HUMAN, HUMANS[0]).field("Referer", &referer));
    }
    ask(PEERS[0], BOT, request(BOT, "curl/8.11.0"));
    ask(PEERS[1], HEAD, request(HEAD, HUMANS[1]));
    // What is no request may be complained about.
    let mut broken = crate::support::Client::connect(admin.server.address);
    broken.send(format!("GET {PATH} HTTP/1.1\r\nX-Forwarded-For: {}\r\n\r\n", FORWARDED[0]));
    assert_eq!(broken.answer(false).status, 400);
    std::thread::sleep(Duration::from_millis(1_200).min(PATIENCE));
}

/// All files under a directory, and what is in them.
fn read_all(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            files.extend(read_all(&path));
        } else if metadata.is_file()
            // One that the server has removed meanwhile is none.
            && let Ok(bytes) = fs::read(&path)
        {
            files.push((path, bytes));
        }
    }
    files
}

/// In how many files it is.
fn finds(files: &[(PathBuf, Vec<u8>)], what: &[u8]) -> usize {
    files.iter().filter(|(_, bytes)| memmem::find(bytes, what).is_some()).count()
}

/// The forms in which an address may be found, each with whether it may be there by chance.
fn forms(address: IpAddr) -> Vec<(Vec<u8>, bool)> {
    let text = (address.to_string().into_bytes(), false);
    let binary = match address {
        IpAddr::V4(address) => {
            let octets = address.octets();
            let mut reversed = octets;
            reversed.reverse();
            let mapped = address.to_ipv6_mapped().octets();
            let number = address.to_bits().to_string().into_bytes();
            vec![(octets.to_vec(), true), (reversed.to_vec(), true), (mapped[10..].to_vec(), false), (number, false)]
        }
        IpAddr::V6(address) => {
            let octets = address.octets();
            let mut reversed = octets;
            reversed.reverse();
            let mut words = octets;
            words.chunks_exact_mut(8).for_each(<[u8]>::reverse);
            // The network of a household is as good as the address.
            let network = &address.to_string()[..address.to_string().find(":6e13").unwrap() - 5];
            vec![
                (octets[..8].to_vec(), false),
                (octets[8..].to_vec(), false),
                (reversed[..8].to_vec(), false),
                (reversed[8..].to_vec(), false),
                (words[..8].to_vec(), false),
                (network.as_bytes().to_vec(), false),
            ]
        }
    };
    std::iter::once(text).chain(binary).collect()
}

fn assert_unwritten(files: &[(PathBuf, Vec<u8>)], when: &str) {
    let addresses = PEERS.map(IpAddr::V4).into_iter().chain(FORWARDED).chain(REFERRING);
    let mut by_chance = Vec::new();
    for address in addresses {
        for (form, may_be_chance) in forms(address) {
            let found = files.iter().filter(|(_, bytes)| memmem::find(bytes, &form).is_some());
            let found: Vec<&PathBuf> = found.map(|(path, _)| path).collect();
            if may_be_chance && !found.is_empty() {
                by_chance.push(address);
            } else {
                assert!(found.is_empty(), "{when}: {address} is in {found:?}, as {form:02x?}");
            }
        }
    }
    by_chance.dedup();
    assert!(by_chance.len() < NO_CHANCE, "{when}: these are in files as bytes: {by_chance:?}");
}

#[test]
fn an_address_would_be_found() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("deep")).unwrap();
    for address in FORWARDED.into_iter().chain(PEERS.map(IpAddr::V4)) {
        for (form, _) in forms(address) {
            fs::write(dir.path().join("deep/file"), [b"before", &form[..], b"behind"].concat()).unwrap();
            assert_eq!(finds(&read_all(dir.path()), &form), 1);
        }
    }
    let bytes = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    for addresses in [&FORWARDED[..4], &FORWARDED[4..5]] {
        let content: Vec<u8> = addresses.iter().flat_map(bytes).collect();
        fs::write(dir.path().join("deep/file"), content).unwrap();
        let found = std::panic::catch_unwind(|| assert_unwritten(&read_all(dir.path()), "planted"));
        assert!(found.is_err(), "{addresses:?}");
    }
    fs::write(dir.path().join("deep/file"), bytes(&FORWARDED[0])).unwrap();
    assert_unwritten(&read_all(dir.path()), "by chance");
}
