//! Header sections: beside another parser, and after one that was the same.

use httparse::{EMPTY_HEADER, Status};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::http1::{FieldCache, Parse, parse, parse_next};

const REQUEST_LINE: &[u8] = b"GET / HTTP/1.1\r\n";

/// Bytes that look like a header section: lines that are right, and some that are not quite.
fn near_section() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        6 => "[A-Za-z-]{1,40}",
        2 => "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}",
        1 => "[ -~\t\r\n]{0,10}",
    ];
    let value = prop_oneof![
        6 => "[ -~]{0,60}".prop_map(String::into_bytes),
        2 => vec(prop_oneof![Just(b'\t'), b' '..=b'~', 0x80..=0xFF_u8], 0..40),
        1 => vec(any::<u8>(), 0..20),
    ];
    let end = prop_oneof![20 => Just(&b"\r\n"[..]), 1 => Just(&b"\n"[..]), 1 => Just(&b"\r"[..]), 1 => Just(&b""[..])];
    let colon = prop_oneof![20 => Just(":"), 1 => Just(" :"), 1 => Just(""), 1 => Just("::")];
    let line = (name, colon, value, end)
        .prop_map(|(name, colon, value, end)| [name.as_bytes(), colon.as_bytes(), &value, end].concat());
    vec(line, 0..12).prop_map(|lines| lines.concat())
}

/// What becomes of a section.
#[derive(Debug, PartialEq)]
enum Verdict {
    Complete(usize),
    Partial,
    Refused,
}

/// What `httparse` says of the section at the front, which takes a bare LF for a line end, as Carom does not.
fn verdict_by_httparse(section: &[u8]) -> Verdict {
    let bare_lf = (0..section.len()).find(|&at| section[at] == b'\n' && (at == 0 || section[at - 1] != b'\r'));
    let mut headers = [EMPTY_HEADER; 100];
    match httparse::parse_headers(section, &mut headers) {
        Ok(Status::Complete((length, _))) if bare_lf.is_none_or(|at| at >= length) => Verdict::Complete(length),
        Ok(Status::Partial) if bare_lf.is_none() => Verdict::Partial,
        _ => Verdict::Refused,
    }
}

proptest! {
    #[test]
    fn a_section_is_one_where_another_parser_says_so(section in near_section()) {
        // No other field decides whether the request is taken.
        let lower = section.to_ascii_lowercase();
        let decides = [&b"host"[..], b"connection", b"content-length", b"transfer-encoding"];
        prop_assume!(!decides.iter().any(|name| lower.windows(name.len()).any(|part| part == *name)));
        let section = [b"Host: h\r\n", &section[..], b"\r\n"].concat();
        let verdict = match parse(&[REQUEST_LINE, &section].concat()) {
            Parse::Request { consumed, .. } => Verdict::Complete(consumed - REQUEST_LINE.len()),
            Parse::Partial => Verdict::Partial,
            Parse::Reject(_) => Verdict::Refused,
        };
        prop_assert_eq!(verdict, verdict_by_httparse(&section), "{}", section.escape_ascii());
    }

    #[test]
    fn a_value_is_what_another_parser_says(value in "[ \t]{0,3}([!-~]([ -~]{0,40}[!-~])?)?[ \t]{0,3}") {
        let section = format!("Host: h\r\nuser-AGENT:{value}\r\nReferer:{value}\r\nACCEPT-language:{value}\r\n\r\n");
        let mut headers = [EMPTY_HEADER; 8];
        let Ok(Status::Complete((_, fields))) = httparse::parse_headers(section.as_bytes(), &mut headers) else {
            panic!("{section}")
        };
        let buf = [REQUEST_LINE, section.as_bytes()].concat();
        let Parse::Request { request, .. } = parse(&buf) else { panic!("{section}") };
        prop_assert_eq!(request.client.user_agent, Some(fields[1].value));
        prop_assert_eq!(request.client.referer, Some(fields[2].value));
        prop_assert_eq!(request.client.accept_language, Some(fields[3].value));
    }

    #[test]
    fn what_came_before_changes_nothing(
        steps in vec((0..3_usize, 0..9_usize, prop::option::of(0..200_usize)), 1..12),
        own in vec("(X-Own|DNT|Sec-GPC|Referer|Host|Accept-Language|X-Forwarded-For): [a-z1]{0,3}\r\n", 0..4),
    ) {
        let own = format!("Host: o\r\n{}\r\n", own.concat());
        let long = format!("Host: l\r\nX-Long: {}\r\n\r\n", "x".repeat(2_000));
        let lines = ["GET /a HTTP/1.1\r\n", "HEAD /b?c HTTP/1.0\r\n", "GET http://other/ HTTP/1.1\r\n"];
        let sections = [
            "\r\n",
            "Host: h\r\n\r\n",
            "Host: h\r\nUser-Agent: u\r\n\r\n",
            "Host: h\r\nUser-Agent: u\r\nReferer: r\r\nAccept-Language: en\r\nDNT: 1\r\n\r\n",
            "Host: h\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
            "Host: h\r\nContent-Length: 2\r\n\r\nab",
            "Host: h\r\nConnection: close\r\n\r\n",
            &own,
            &long,
        ];
        let mut cache = FieldCache::default();
        for (line, section, cut) in steps {
            let bytes = [lines[line], sections[section], "GET /next"].concat();
            let bytes = &bytes.as_bytes()[..cut.unwrap_or(bytes.len()).min(bytes.len())];
            prop_assert_eq!(parse_next(bytes, &mut cache), parse(bytes), "{}", bytes.escape_ascii());
        }
    }
}

#[test]
fn the_same_section_is_known_the_third_time() {
    let mut cache = FieldCache::default();
    let bytes = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let kept = [0, 11, 11].map(|expected| {
        parse_next(bytes, &mut cache);
        (expected, cache.kept_bytes())
    });
    assert!(kept.iter().all(|(expected, kept)| expected == kept), "{kept:?}");
    parse_next(format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(1_024)).as_bytes(), &mut cache);
    assert_eq!(cache.kept_bytes(), 0, "a long one is not kept");
}
