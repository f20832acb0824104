//! Locations that are put together from a link and a request.

use proptest::collection::vec;
use proptest::prelude::*;
use url::Url;

use crate::http1::{Answer, Caching, Context, Location, QueryMode, RedirectStatus, Version, encode};

/// What stands in `Location`.
fn located(location: Location<'_>) -> String {
    let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
    let context = Context { head_only: false, keep_alive: true, version: Version::Http11, date, jitter: 0 };
    let status = RedirectStatus::Found;
    let mut out = Vec::new();
    encode(&mut out, &Answer::Redirect { status, location, caching: Caching::Default, fields: b"" }, &context);
    let mut fields = [httparse::EMPTY_HEADER; 8];
    let mut response = httparse::Response::new(&mut fields);
    assert_eq!(response.parse(&out), Ok(httparse::Status::Complete(out.len())));
    let value = response.headers.iter().find(|field| field.name == "Location").expect("a redirect has one").value;
    assert!(value.iter().all(u8::is_ascii_graphic), "{}", value.escape_ascii());
    str::from_utf8(value).expect("it is ASCII").to_owned()
}

fn with_query(target: &str, query: &[u8], mode: QueryMode) -> String {
    located(Location::WithQuery { target: target.as_bytes(), query: Some(query), mode })
}

fn with_path(base: &str, path: &[u8], query: Option<&[u8]>) -> String {
    located(Location::WithPath { base: base.as_bytes(), path, query })
}

#[test]
fn a_forwarded_query_takes_the_place_of_the_targets() {
    for (target, query, expected) in [
        ("https://t.example/", "a=b", "https://t.example/?a=b"),
        ("https://t.example/x?c=d", "a=b", "https://t.example/x?a=b"),
        ("https://t.example/x#part", "a=b", "https://t.example/x?a=b#part"),
        ("https://t.example/x?c=d#part?no", "a=b&a", "https://t.example/x?a=b&a#part?no"),
        ("https://t.example/x?", "?a?b/", "https://t.example/x??a?b/"),
    ] {
        assert_eq!(with_query(target, query.as_bytes(), QueryMode::Forward), expected);
    }
}

#[test]
fn in_a_merged_query_the_target_has_the_last_word() {
    for (target, query, expected) in [
        ("https://t.example/", "a=b", "https://t.example/?a=b"),
        ("https://t.example/?", "a=b", "https://t.example/?a=b"),
        ("https://t.example/?c=d&", "a=b", "https://t.example/?c=d&a=b"),
        ("https://t.example/?c=d", "a=b&c=e&f", "https://t.example/?c=d&a=b&f"),
        ("https://t.example/?c=d#part", "a=b", "https://t.example/?c=d&a=b#part"),
        ("https://t.example/#part", "c", "https://t.example/?c#part"),
        // As often as it is there, and in its order.
        ("https://t.example/?z", "b=1&a=2&b=3", "https://t.example/?z&b=1&a=2&b=3"),
        // A name is one however it is spelled, and whether it has a value or not.
        ("https://t.example/?c%5B%5D=1&d", "c[]=2&%63%5b]=3&%64=4&D=5", "https://t.example/?c%5B%5D=1&d&D=5"),
        // What only looks like a percent-encoding is none.
        ("https://t.example/?%zz=1&%6", "%zz=2&%6=3&%7", "https://t.example/?%zz=1&%6&%7"),
        ("https://t.example/?a", "", "https://t.example/?a"),
        ("https://t.example/?a", "&&a&&b&", "https://t.example/?a&b"),
        ("https://t.example/?a=1", "a=2", "https://t.example/?a=1"),
        ("https://t.example/", "&&", "https://t.example/"),
        // An empty name is a name.
        ("https://t.example/?=1", "=2&b", "https://t.example/?=1&b"),
        ("https://t.example/?a", "=2", "https://t.example/?a&=2"),
    ] {
        assert_eq!(with_query(target, query.as_bytes(), QueryMode::Merge), expected, "{target} {query}");
    }
}

#[test]
fn without_a_query_in_the_request_the_target_is_as_it_is() {
    for mode in [QueryMode::Forward, QueryMode::Merge] {
        for query in [None, Some(&b""[..])] {
            let target = "https://t.example/x?c=d#part";
            assert_eq!(located(Location::WithQuery { target: target.as_bytes(), query, mode }), target);
        }
    }
}

#[test]
fn a_path_goes_behind_the_base() {
    for (base, path, query, expected) in [
        ("https://b.example/", "/x/y", None, "https://b.example/x/y"),
        ("https://b.example/old/", "/x", Some("a=b"), "https://b.example/old/x?a=b"),
        ("https://b.example:8443/old", "/", Some(""), "https://b.example:8443/old/?"),
        ("https://b.example/old?gone#gone", "/x", None, "https://b.example/old/x"),
        ("https://b.example/#gone?gone", "/x", None, "https://b.example/x"),
        ("http://[::1]/", "/it's/%C3%A9/%zz", None, "http://[::1]/it's/%C3%A9/%zz"),
        // Behind an authority two slashes begin no other.
        ("https://b.example/", "//evil.example", None, "https://b.example//evil.example"),
        ("https://b.example/", "\\\\evil.example", None, "https://b.example/%5C%5Cevil.example"),
        // None of these can come from the parser.
        ("https://b.example/", "", None, "https://b.example/"),
        ("https://b.example/", ".evil.example", None, "https://b.example/.evil.example"),
        ("https://b.example/", "@evil.example", None, "https://b.example/@evil.example"),
        ("https://b.example/", ":80?a#b", None, "https://b.example/:80%3Fa%23b"),
    ] {
        assert_eq!(with_path(base, path.as_bytes(), query.map(str::as_bytes)), expected);
    }
}

/// Url's own encoding is the reference, for all bytes but the few it reads otherwise.
#[test]
fn what_must_not_stand_in_a_url_is_percent_encoded() {
    for byte in 0..=u8::MAX {
        let encoded = format!("%{byte:02X}");
        let raw = char::from(byte).to_string();
        let in_query = with_query("https://t.example/", &[b'x', byte, b'y'], QueryMode::Forward);
        let is_special = byte <= b' ' || byte >= 0x7F || b"\"#<>'".contains(&byte);
        assert_eq!(in_query, format!("https://t.example/?x{}y", if is_special { &encoded } else { &raw }));
        assert_eq!(Url::parse(&in_query).expect("a URL").as_str(), in_query);
        assert_eq!(with_query("https://t.example/?", &[b'x', byte, b'y'], QueryMode::Merge), in_query);
        assert_eq!(with_path("https://t.example/", b"/", Some(&[b'x', byte, b'y'])), in_query);

        let in_path = with_path("https://t.example/", &[b'/', byte, b'y'], None);
        let is_special = byte <= b' ' || byte >= 0x7F || b"\"#<>?^`{}\\".contains(&byte);
        assert_eq!(in_path, format!("https://t.example/{}y", if is_special { &encoded } else { &raw }));
        assert_eq!(Url::parse(&in_path).expect("a URL").as_str(), in_path);
    }
}

#[test]
fn the_largest_request_and_target_fit_together() {
    let names: Vec<String> = (0..600).map(|name| name.to_string()).collect();
    let target = format!("https://t.example/?{}", names.join("&"));
    let query: Vec<String> = (0..1_800).rev().map(|name| name.to_string()).collect();
    let added = query.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>().join("&");
    assert_eq!(with_query(&target, query.join("&").as_bytes(), QueryMode::Merge), format!("{target}&{added}"));

    // As many names as a target has room for.
    let target = format!("https://t.example/?{}", ["a"; 1_526].join("&"));
    assert!((crate::limits::TARGET_BYTES - 3..=crate::limits::TARGET_BYTES).contains(&target.len()));
    let expected = format!("{target}&b");
    assert_eq!(with_query(&target, ["a"; 4_000].join("&").as_bytes(), QueryMode::Merge), target);
    assert_eq!(with_query(&target, b"a&b&%61", QueryMode::Merge), expected);
}

/// Serialised URLs, as links and settings have them.
fn serialised() -> impl Strategy<Value = Url> {
    let host = prop::sample::select(vec!["t.example", "a.b.example:8443", "[::1]", "[2001:db8::1]:80", "127.0.0.1"]);
    let path = "(/[a-zA-Z0-9%.~'@:]{0,6}){0,4}/?";
    let query = prop::option::of("[ab%612=&+?/]{0,16}");
    let fragment = prop::option::of("[ab?&=/]{0,8}");
    (any::<bool>(), host, path, query, fragment).prop_map(|(secure, host, path, query, fragment)| {
        let scheme = if secure { "https" } else { "http" };
        let query = query.map_or(String::new(), |query| format!("?{query}"));
        let fragment = fragment.map_or(String::new(), |fragment| format!("#{fragment}"));
        Url::parse(&format!("{scheme}://{host}{path}{query}{fragment}")).expect("a URL")
    })
}

/// Bytes as requests might have them, and some that none can have.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        6 => prop::sample::select(b"ab=&%612+".to_vec()),
        2 => prop::sample::select(b"/\\?#@:.<>'\"{}`^| \t\r\n\0\x7F\x80\xFF".to_vec()),
        1 => any::<u8>(),
    ];
    vec(byte, 0..40)
}

/// Percent-decoded, the simple way.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        match digits {
            Some(digits) if bytes[at] == b'%' => {
                out.push(u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap());
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

fn parameters(query: &[u8]) -> Vec<&[u8]> {
    query.split(|&byte| byte == b'&').filter(|parameter| !parameter.is_empty()).collect()
}

fn name(parameter: &[u8]) -> Vec<u8> {
    decoded(parameter.split(|&byte| byte == b'=').next().unwrap())
}

/// Asserts that `location` is a URL in the place of `from`, as the browser will read it.
fn assert_same_place(location: &str, from: &Url) -> Url {
    let url = Url::parse(location).expect("it is a URL");
    let place = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port());
    assert_eq!(place(&url), place(from), "{location}");
    assert_eq!((url.username(), url.password()), ("", None));
    url
}

proptest! {
    #[test]
    fn a_forwarded_query_changes_nothing_else(target in serialised(), query in hostile()) {
        let location = with_query(target.as_str(), &query, QueryMode::Forward);
        let mut url = assert_same_place(&location, &target);
        prop_assert_eq!(url.as_str(), &location, "it is in its serialisation");
        if !query.is_empty() {
            prop_assert_eq!(decoded(url.query().unwrap().as_bytes()), decoded(&query));
            url.set_query(target.query());
        }
        prop_assert_eq!(url, target);
    }

    #[test]
    fn a_merged_query_adds_what_the_target_does_not_name(target in serialised(), query in hostile()) {
        let location = with_query(target.as_str(), &query, QueryMode::Merge);
        let mut url = assert_same_place(&location, &target);
        prop_assert_eq!(url.as_str(), &location, "it is in its serialisation");

        let own = parameters(target.query().unwrap_or_default().as_bytes());
        let is_new = |parameter: &&[u8]| !own.iter().any(|other| name(other) == name(parameter));
        let added: Vec<&[u8]> = parameters(&query).into_iter().filter(is_new).collect();
        let expected: Vec<_> = own.iter().chain(&added).map(|parameter| decoded(parameter)).collect();
        let merged = parameters(url.query().unwrap_or_default().as_bytes());
        prop_assert_eq!(merged.iter().map(|parameter| decoded(parameter)).collect::<Vec<_>>(), expected);
        prop_assert!(url.query().unwrap_or_default().starts_with(target.query().unwrap_or_default()));
        if added.is_empty() {
            prop_assert_eq!(&location, target.as_str());
        }

        url.set_query(target.query());
        prop_assert_eq!(url, target);
    }

    #[test]
    fn a_path_never_leaves_the_host(base in serialised(), path in hostile(), query in prop::option::of(hostile())) {
        let location = with_path(base.as_str(), &path, query.as_deref());
        let url = assert_same_place(&location, &base);
        prop_assert_eq!(url.fragment(), None);
        prop_assert_eq!(url.query().map(|query| decoded(query.as_bytes())), query.as_deref().map(decoded));

        let base_path = base.path().strip_suffix('/').unwrap_or(base.path());
        let slash = if path.starts_with(b"/") { "" } else { "/" };
        let start = location.find("://").unwrap() + 3;
        let sent = location[start..].split_once('/').unwrap().1.split('?').next().unwrap();
        let expected = [base_path.as_bytes(), slash.as_bytes(), &path].concat();
        prop_assert_eq!(decoded(format!("/{sent}").as_bytes()), decoded(&expected));
    }
}
