//! The host of the referring page.

use std::net::Ipv6Addr;

/// Longest host that is kept, in bytes: the longest name of the DNS in its usual form (RFC 1035 §2.3.4).
pub const REFERRER_BYTES: usize = 253;

/// Longest label of a name, in bytes (RFC 1035 §2.3.4).
const LABEL_BYTES: usize = 63;

/// What is kept instead of a host that is an IP address.
pub const REFERRER_ADDRESS: &str = "(address)";

/// Where [`referrer_host`] writes.
pub type ReferrerBuffer = [u8; REFERRER_BYTES];

/// The host in a value of Referer (RFC 9110 §10.1.3), lower-case, without a `www.` in front and a dot at the end; of
/// `android-app://`, the name of the app. User information, port, path and query are dropped.
///
/// Empty if it has another scheme, or is not well-formed. [`REFERRER_ADDRESS`] if the host is an IP address, in any
/// form that a browser takes for one: no address of anyone is kept.
pub fn referrer_host<'b>(referer: &[u8], buffer: &'b mut ReferrerBuffer) -> &'b str {
    host(referer, buffer).unwrap_or_default()
}

fn host<'b>(referer: &[u8], buffer: &'b mut ReferrerBuffer) -> Option<&'b str> {
    let colon = referer.iter().position(|&byte| byte == b':')?;
    let (scheme, rest) = referer.split_at(colon);
    let is_app = scheme.eq_ignore_ascii_case(b"android-app");
    if !is_app && !scheme.eq_ignore_ascii_case(b"https") && !scheme.eq_ignore_ascii_case(b"http") {
        return None;
    }
    let authority = rest.strip_prefix(b"://")?.split(|byte| b"/?#\\".contains(byte)).next()?;
    let host = authority.rsplit(|&byte| byte == b'@').next()?;
    if let Some(bracketed) = host.strip_prefix(b"[") {
        let end = bracketed.iter().position(|&byte| byte == b']')?;
        let (address, behind) = (&bracketed[..end], &bracketed[end + 1..]);
        let is_address = std::str::from_utf8(address).ok()?.parse::<Ipv6Addr>().is_ok();
        return (is_address && (behind.is_empty() || is_port(behind))).then_some(REFERRER_ADDRESS);
    }
    let end = host.iter().position(|&byte| byte == b':').unwrap_or(host.len());
    if end < host.len() && !is_port(&host[end..]) {
        return None;
    }
    name(&host[..end], buffer)
}

/// Whether it is a colon and any number of digits (RFC 3986 §3.2.3).
fn is_port(text: &[u8]) -> bool {
    text.strip_prefix(b":").is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
}

fn name<'b>(name: &[u8], buffer: &'b mut ReferrerBuffer) -> Option<&'b str> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let kept = buffer.get_mut(..name.len())?;
    kept.copy_from_slice(name);
    kept.make_ascii_lowercase();
    let is_label = |label: &[u8]| {
        (1..=LABEL_BYTES).contains(&label.len())
            && label.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if !kept.split(|&byte| byte == b'.').all(is_label) {
        return None;
    }
    if kept.rsplit(|&byte| byte == b'.').next().is_some_and(is_number) {
        return Some(REFERRER_ADDRESS);
    }
    // `www.com` is a name of its own.
    let kept = kept.strip_prefix(b"www.").filter(|rest| rest.contains(&b'.')).unwrap_or(kept);
    std::str::from_utf8(kept).ok()
}

/// Whether a host with this as its last label is an IPv4 address, if anything, to a browser (URL Standard, "ends in a
/// number checker").
fn is_number(label: &[u8]) -> bool {
    label.iter().all(u8::is_ascii_digit)
        || label.strip_prefix(b"0x").is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(referer: &str) -> String {
        referrer_host(referer.as_bytes(), &mut [0; REFERRER_BYTES]).to_owned()
    }

    #[test]
    fn only_the_host_is_kept() {
        for (referer, host) in [
            ("https://Example.COM/a/b?q=secret#f", "example.com"),
            ("HTTP://www.example.com", "example.com"),
            ("https://www.example.com.:8443/", "example.com"),
            ("https://user:pass@w:rd@shop.example.com:80?x", "shop.example.com"),
            ("https://example.com\\@evil.test/", "example.com"),
            ("https://www.com/", "www.com"),
            ("https://www/", "www"),
            ("http://localhost:3000/", "localhost"),
            ("https://xn--bcher-kva.example/", "xn--bcher-kva.example"),
            ("https://a_b.example", "a_b.example"),
            ("https://example.com:", "example.com"),
            ("android-app://com.google.android.gm/", "com.google.android.gm"),
            ("https://1e100.net/", "1e100.net"),
        ] {
            assert_eq!(of(referer), host, "{referer}");
        }
    }

    #[test]
    fn what_is_not_well_formed_has_none() {
        let long = format!("https://{}example.com/", "a.".repeat(122));
        for referer in [
            "",
            "about:blank",
            "example.com",
            "/path",
            "://",
            "https:/example.com",
            "https://",
            "https:///path",
            "https://.",
            "https://a..b/",
            "https://.example.com/",
            "https://exa mple.com/",
            "https://b\u{fc}cher.example/",
            "https://%65xample.com/",
            "ftp://example.com/",
            "javascript://example.com/",
            "https://example.com:80x/",
            "https://[::1/",
            "https://[::1]x/",
            "https://[example]/",
            "https://[fe80::1%25eth0]/",
            "https://example.com..",
            &long,
        ] {
            assert_eq!(of(referer), "", "{referer}");
        }
        assert_eq!(of(&format!("https://{}/", "a".repeat(LABEL_BYTES + 1))), "");
        let longest = format!("{}example", "a.".repeat(123));
        assert_eq!(of(&format!("https://{longest}./")), longest);
        assert_eq!(referrer_host(b"https://\xff.example/", &mut [0; REFERRER_BYTES]), "");
    }

    #[test]
    fn addresses_are_not_kept() {
        for host in [
            "192.0.2.7",
            "192.0.2.7.",
            "192.0.2.7:8080",
            "[2001:db8::7]",
            "[2001:DB8::7]:443",
            "user@192.0.2.7",
            "3221225991",
            "0xc0000207",
            "192.0x207",
            "0300.0.2.7",
            "999.0.2.7",
            "a.7",
            "0x",
            "[::ffff:192.0.2.7]",
        ] {
            assert_eq!(of(&format!("http://{host}/path")), REFERRER_ADDRESS, "{host}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_it_is_a_short_plain_name(
            scheme in "(https?|android-app|[a-z]{0,3})", rest in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let referer = [scheme.as_bytes(), b"://", &rest[..]].concat();
            let mut buffer = [0; REFERRER_BYTES];
            let host = referrer_host(&referer, &mut buffer);
            let plain = host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte));
            prop_assert!(host == REFERRER_ADDRESS || plain, "{}", host);
            prop_assert!(host.parse::<std::net::IpAddr>().is_err());
        }

        #[test]
        fn no_address_comes_through(address: std::net::IpAddr, port in "(:[0-9]{0,5})?") {
            let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
            prop_assert_eq!(of(&format!("https://{host}{port}/")), REFERRER_ADDRESS);
        }

        #[test]
        fn names_come_through(name in "[a-z][a-z0-9-]{0,20}(\\.[a-z][a-z0-9]{1,10}){1,4}", tail in "(|/.*|\\?.*|#.*)") {
            prop_assume!(!name.starts_with("www."));
            prop_assert_eq!(of(&format!("https://{name}{tail}")), name);
        }
    }
}
