//! Whose address it is behind proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::http1::ForwardedFor;

/// Most ranges of proxies.
const RANGES: usize = 256;

/// Most addresses that are looked at in one request.
const HOPS: usize = 16;

/// The proxies whose word is taken for who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    ranges: Vec<Range>,
}

/// The addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    V4 { first: u32, mask: u32 },
    V6 { first: u128, mask: u128 },
}

/// Why a list of proxies is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustedProxiesError {
    /// It is no address.
    #[error("`{0}` is no IP address and no range of them; write it like 10.0.0.0/8, 192.0.2.7 or fd00::/8")]
    NoAddress(String),
    /// It has no prefix of this length.
    #[error("the prefix of `{range}` must be 0 to {most} bits long")]
    Prefix {
        /// What was written.
        range: String,
        /// Bits of an address.
        most: u32,
    },
    /// Its first address does not begin it, so one of both is not what was meant.
    #[error("`{range}` has bits behind its prefix; write {meant}, or {address} for the one address")]
    HostBits {
        /// What was written.
        range: String,
        /// The range that it lies in.
        meant: String,
        /// The address that was written.
        address: String,
    },
    /// There are more than anyone has.
    #[error("there are more than {RANGES} ranges of trusted proxies; put some together")]
    TooMany,
}

impl TrustedProxies {
    /// Reads addresses and ranges (RFC 4632 §3.1), with commas between them. An empty text trusts nobody.
    ///
    /// # Errors
    /// If one of them is none, or there are more than 256.
    pub fn parse(text: &str) -> Result<Self, TrustedProxiesError> {
        let elements = text.split(',').map(str::trim).filter(|element| !element.is_empty());
        let ranges = elements.map(Range::parse).take(RANGES + 1).collect::<Result<Vec<_>, _>>()?;
        if ranges.len() > RANGES { Err(TrustedProxiesError::TooMany) } else { Ok(TrustedProxies { ranges }) }
    }

    /// Who asks: the other end of the connection; or, if that is a trusted proxy, the last address of its
    /// X-Forwarded-For that is none. If all are trusted, the first of them. An IPv4 address in an IPv6 one is given as
    /// IPv4.
    ///
    /// Everything in front of that address may be made up by whoever asks, so it is not looked at. If what is looked at
    /// is not well-formed, or has more than 16 addresses, it is the other end.
    ///
    /// More than one such field are one list (RFC 9110 §5.3). Ports behind addresses are passed over.
    pub fn client_address(&self, peer: IpAddr, forwarded_for: &ForwardedFor<'_>) -> IpAddr {
        let peer = peer.to_canonical();
        if self.trust(peer) { self.said(forwarded_for).unwrap_or(peer) } else { peer }
    }

    fn said(&self, forwarded_for: &ForwardedFor<'_>) -> Option<IpAddr> {
        let mut farthest = None;
        let elements = forwarded_for.from_last()?.flat_map(|line| line.rsplit(|&byte| byte == b','));
        for (hop, element) in elements.enumerate() {
            let address = (hop < HOPS).then(|| address(element.trim_ascii())).flatten()?;
            if !self.trust(address) {
                return Some(address);
            }
            farthest = Some(address);
        }
        farthest
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.has(address))
    }
}

/// An address, in brackets or not, with a port behind or not.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address = text.parse().ok().or_else(with_port).or_else(bracketed)?;
    Some(address.to_canonical())
}

impl Range {
    fn parse(text: &str) -> Result<Self, TrustedProxiesError> {
        let no_address = || TrustedProxiesError::NoAddress(text.to_owned());
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| no_address())?;
        let most = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
        let prefix = || TrustedProxiesError::Prefix { range: text.to_owned(), most };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(prefix)?,
        };
        let (range, first) = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(most - bits).unwrap_or(0);
                let first = address.to_bits() & mask;
                (Range::V4 { first, mask }, IpAddr::V4(first.into()))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(most - bits).unwrap_or(0);
                let first = address.to_bits() & mask;
                (Range::V6 { first, mask }, IpAddr::V6(first.into()))
            }
        };
        if first == address {
            return Ok(range);
        }
        let meant = format!("{first}/{bits}");
        Err(TrustedProxiesError::HostBits { range: text.to_owned(), meant, address: address.to_string() })
    }

    fn has(self, address: IpAddr) -> bool {
        match (self, address) {
            (Range::V4 { first, mask }, IpAddr::V4(address)) => address.to_bits() & mask == first,
            (Range::V6 { first, mask }, IpAddr::V6(address)) => address.to_bits() & mask == first,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(trusted: &str, peer: &str, forwarded_for: &str) -> String {
        let trusted = TrustedProxies::parse(trusted).unwrap();
        trusted.client_address(peer.parse().unwrap(), &ForwardedFor::of(&[forwarded_for.as_bytes()])).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        for (trusted, peer, forwarded_for, expected) in [
            ("", "198.51.100.1", "203.0.113.9", "198.51.100.1"),
            ("10.0.0.0/8", "198.51.100.1", "203.0.113.9", "198.51.100.1"),
            ("10.0.0.0/8", "10.1.2.3", "203.0.113.9", "203.0.113.9"),
            // What is in front is made up by whoever asks.
            ("10.0.0.0/8", "10.1.2.3", "127.0.0.1, 192.0.2.1, 203.0.113.9", "203.0.113.9"),
            ("10.0.0.0/8", "10.1.2.3", "nonsense, 203.0.113.9", "203.0.113.9"),
            ("10.0.0.0/8,192.0.2.1", "10.1.2.3", "203.0.113.9, 192.0.2.1,10.9.9.9", "203.0.113.9"),
            ("10.0.0.0/8", "10.1.2.3", "10.4.4.4, 10.5.5.5", "10.4.4.4"),
            ("::1, fd00::/8", "::1", "2001:db8::9", "2001:db8::9"),
            ("127.0.0.1", "::ffff:127.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
            ("127.0.0.1", "127.0.0.1", "203.0.113.9:51234", "203.0.113.9"),
            ("127.0.0.1", "127.0.0.1", "[2001:db8::9]:51234", "2001:db8::9"),
            ("127.0.0.1", "127.0.0.1", "[2001:db8::9]", "2001:db8::9"),
            ("0.0.0.0/0", "10.1.2.3", "2001:db8::9", "2001:db8::9"),
        ] {
            assert_eq!(client(trusted, peer, forwarded_for), expected, "{trusted} {peer} {forwarded_for}");
        }
        let trusted = TrustedProxies::parse("127.0.0.1").unwrap();
        assert_eq!(trusted.client_address("127.0.0.1".parse().unwrap(), &ForwardedFor::NONE).to_string(), "127.0.0.1");
    }

    #[test]
    fn several_fields_are_one_list() {
        let trusted = TrustedProxies::parse("10.0.0.0/8").unwrap();
        let peer: IpAddr = "10.1.2.3".parse().unwrap();
        let client = |lines: &[&[u8]]| trusted.client_address(peer, &ForwardedFor::of(lines)).to_string();
        assert_eq!(client(&[b"203.0.113.9", b"10.4.4.4"]), "203.0.113.9");
        assert_eq!(client(&[b"made up", b"203.0.113.9, 10.5.5.5", b"10.4.4.4"]), "203.0.113.9");
        assert_eq!(client(&[&b"203.0.113.9"[..]; 4]), "10.1.2.3", "too many");
    }

    #[test]
    fn what_is_not_well_formed_is_not_believed() {
        for value in
            ["", ",", "unknown", "203.0.113.9,", "203.0.113", "203.0.113.9 203.0.113.8", "_hidden", "[::1", "1.2.3.4:x"]
        {
            assert_eq!(client("10.0.0.0/8", "10.1.2.3", value), "10.1.2.3", "{value}");
        }
        let trusted = TrustedProxies::parse("10.0.0.0/8").unwrap();
        let peer: IpAddr = "10.1.2.3".parse().unwrap();
        assert_eq!(trusted.client_address(peer, &ForwardedFor::of(&[b"\xff\xfe"])), peer);
        let hops = |count| format!("203.0.113.9{}", ",10.0.0.1".repeat(count));
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", &hops(HOPS - 1)), "203.0.113.9");
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", &hops(HOPS)), "10.1.2.3");
    }

    #[test]
    fn lists_that_are_wrong_are_refused_with_the_value() {
        for (text, message) in [
            ("10.0.0.0/8,proxy.example", "`proxy.example` is no IP address"),
            ("10.0.0/8", "`10.0.0/8` is no IP address"),
            ("10.0.0.0/33", "the prefix of `10.0.0.0/33` must be 0 to 32 bits"),
            ("::/129", "the prefix of `::/129` must be 0 to 128 bits"),
            ("10.0.0.0/", "the prefix of `10.0.0.0/`"),
            ("10.1.2.3/8", "`10.1.2.3/8` has bits behind its prefix; write 10.0.0.0/8, or 10.1.2.3"),
        ] {
            let error = TrustedProxies::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        assert!(TrustedProxies::parse(&"10.0.0.1,".repeat(RANGES)).is_ok());
        assert_eq!(TrustedProxies::parse(&"10.0.0.1,".repeat(RANGES + 1)), Err(TrustedProxiesError::TooMany));
        assert_eq!(TrustedProxies::parse(" , "), Ok(TrustedProxies::default()));
    }

    proptest! {
        #[test]
        fn a_range_has_what_begins_like_it(first: u128, other: u128, bits in 0u32..=128) {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            let range = Range::parse(&format!("{}/{bits}", Ipv6Addr::from_bits(first & mask))).unwrap();
            prop_assert!(range.has(Ipv6Addr::from_bits(first).into()));
            let mixed = Ipv6Addr::from_bits(first & mask | other & !mask);
            prop_assert!(range.has(mixed.into()));
            prop_assert_eq!(range.has(Ipv6Addr::from_bits(other).into()), (first ^ other) & mask == 0);
        }

        #[test]
        fn whatever_comes_there_is_an_address(value: Vec<u8>) {
            let trusted = TrustedProxies::parse("10.0.0.0/8").unwrap();
            trusted.client_address("10.1.2.3".parse().unwrap(), &ForwardedFor::of(&[&value]));
        }
    }
}
