use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::*;

/// As much of the MaxMind DB format 2.0 as it takes to write a few networks.
struct Database {
    ip_version: u16,
    /// Left and right of each node.
    nodes: Vec<[Record; 2]>,
    data: Vec<u8>,
    /// Where each value is in the data.
    offsets: BTreeMap<Vec<u8>, usize>,
}

#[derive(Clone, Copy)]
enum Record {
    Nothing,
    Node(usize),
    Data(usize),
}

fn string(text: &str) -> Vec<u8> {
    assert!(text.len() < 29);
    [&[2 << 5 | text.len() as u8], text.as_bytes()].concat()
}

fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![7 << 5 | entries.len() as u8];
    entries.iter().for_each(|(key, value)| bytes.extend([string(key), value.clone()].concat()));
    bytes
}

/// A number of the type that the format calls uint16 (5), uint32 (6) or uint64 (an extended type).
fn number(kind: u8, value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let bytes = &bytes[bytes.iter().take_while(|&&byte| byte == 0).count()..];
    let control = if kind < 8 { vec![kind << 5 | bytes.len() as u8] } else { vec![bytes.len() as u8, kind - 7] };
    [&control, bytes].concat()
}

fn country(place: &str, code: &str) -> Vec<u8> {
    map(&[
        ("continent", map(&[("code", string("EU"))])),
        (place, map(&[("geoname_id", number(6, 7)), ("iso_code", string(code))])),
    ])
}

impl Database {
    fn new(ip_version: u16) -> Self {
        Database { ip_version, nodes: vec![[Record::Nothing; 2]], data: Vec::new(), offsets: BTreeMap::new() }
    }

    /// Adds a network, such as 192.0.2.0/24. In an IPv6 database, an IPv4 one lies below `::/96`.
    fn with(mut self, network: &str, value: Vec<u8>) -> Self {
        let (address, bits) = network.split_once('/').unwrap();
        let bits: usize = bits.parse().unwrap();
        let (address, bits) = match (address.parse().unwrap(), self.ip_version) {
            (IpAddr::V4(address), 4) => (u128::from(address.to_bits()) << 96, bits),
            (IpAddr::V4(address), _) => (u128::from(address.to_bits()), 96 + bits),
            (IpAddr::V6(address), _) => (address.to_bits(), bits),
        };
        let end = self.data.len();
        let offset = *self.offsets.entry(value.clone()).or_insert(end);
        if offset == end {
            self.data.extend(value);
        }
        let side = |depth: usize| (address >> (127 - depth) & 1) as usize;
        let mut node = 0;
        for depth in 0..bits - 1 {
            node = match self.nodes[node][side(depth)] {
                Record::Node(next) => next,
                _ => {
                    self.nodes.push([Record::Nothing; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side(depth)] = Record::Node(next);
                    next
                }
            };
        }
        self.nodes[node][side(bits - 1)] = Record::Data(offset);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in self.nodes.iter().flatten() {
            let value = match record {
                Record::Nothing => self.nodes.len(),
                Record::Node(node) => *node,
                Record::Data(offset) => self.nodes.len() + 16 + offset,
            };
            bytes.extend_from_slice(&(value as u32).to_be_bytes()[1..]);
        }
        bytes.extend([0; 16]);
        bytes.extend_from_slice(&self.data);
        bytes.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        bytes.extend(map(&[
            ("binary_format_major_version", number(5, 2)),
            ("binary_format_minor_version", number(5, 0)),
            ("build_epoch", number(9, 1_700_000_000)),
            ("database_type", string("Test-Country")),
            ("description", map(&[("en", string("a test"))])),
            ("ip_version", number(5, u64::from(self.ip_version))),
            ("languages", vec![0, 4]),
            ("node_count", number(6, self.nodes.len() as u64)),
            ("record_size", number(5, 24)),
        ]));
        bytes
    }
}

fn open(bytes: &[u8]) -> Result<Countries, CountriesError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.mmdb");
    std::fs::write(&path, bytes).unwrap();
    Countries::open(&path)
}

fn of(countries: &Countries, address: &str) -> [u8; 2] {
    countries.country(address.parse().unwrap()).0
}

fn usual() -> Database {
    Database::new(6)
        .with("192.0.2.0/24", country("country", "CH"))
        .with("198.51.100.0/25", country("registered_country", "de"))
        .with("198.51.100.128/25", country("country", "Europe"))
        .with("2001:db8::/32", country("country", "NZ"))
        .with("2001:db9::/32", map(&[("autonomous_system_number", number(6, 64_496))]))
}

#[test]
fn countries_are_found_by_network() {
    let countries = open(&usual().bytes()).unwrap();
    for (address, expected) in [
        ("192.0.2.0", b"CH"),
        ("192.0.2.255", b"CH"),
        ("::ffff:192.0.2.9", b"CH"),
        ("192.0.3.0", b"\0\0"),
        ("198.51.100.1", b"DE"),
        ("198.51.100.200", b"\0\0"),
        ("2001:db8:ffff::1", b"NZ"),
        ("2001:db9::1", b"\0\0"),
        ("2001:dba::1", b"\0\0"),
        ("::1", b"\0\0"),
    ] {
        assert_eq!(&of(&countries, address), expected, "{address}");
    }
}

#[test]
fn a_database_of_ipv4_knows_nothing_of_ipv6() {
    let countries = open(&Database::new(4).with("192.0.2.0/24", country("country", "CH")).bytes()).unwrap();
    assert_eq!(&of(&countries, "192.0.2.1"), b"CH");
    assert_eq!(&of(&countries, "::ffff:192.0.2.1"), b"CH");
    assert_eq!(&of(&countries, "2001:db8::1"), b"\0\0");
}

#[test]
fn without_a_database_no_country_is_known() {
    assert_eq!(Countries::none().country(Ipv6Addr::LOCALHOST.into()), Country::default());
}

#[test]
fn what_is_no_database_of_countries_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Countries::open(&dir.path().join("none.mmdb")).err().unwrap();
    assert!(matches!(&missing, CountriesError::Io { .. }) && missing.to_string().contains("none.mmdb"), "{missing}");
    assert!(matches!(Countries::open(dir.path()), Err(CountriesError::NoFile { .. })));
    for bytes in [&b""[..], b"country,code\n", &usual().bytes()[..300]] {
        let error = open(bytes).err().unwrap();
        assert!(matches!(error, CountriesError::Damaged { .. }), "{error}");
    }
    let numbers = Database::new(6).with("192.0.2.0/24", map(&[("autonomous_system_number", number(6, 64_496))]));
    let error = open(&numbers.bytes()).err().unwrap().to_string();
    assert!(error.contains("has no countries: it is of the type Test-Country"), "{error}");
}

#[test]
fn damage_is_an_error_or_no_country_and_no_panic() {
    let whole = usual().bytes();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        let Ok(reader) = Reader::from_source(damaged) else { continue };
        let countries = Countries { reader: Some(reader) };
        for address in ["192.0.2.1", "198.51.100.1", "2001:db8::1", "2001:db9::1"] {
            let letters = of(&countries, address);
            assert!(letters == [0; 2] || letters.iter().all(u8::is_ascii_uppercase), "{at}");
        }
    }
}
