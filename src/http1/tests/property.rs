//! What holds for all requests and answers.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::http1::{Answer, Context, Method, Parse, RedirectStatus, Version, encode, parse};
use crate::limits::{HOST_BYTES, REQUEST_HEAD_BYTES, REQUEST_TARGET_BYTES};

/// What [`parse`] promises about any buffer.
fn assert_promises(buf: &[u8]) {
    match parse(buf) {
        Parse::Partial => assert!(buf.len() < REQUEST_HEAD_BYTES),
        Parse::Request { request, consumed } => {
            assert!((1..=buf.len().min(REQUEST_HEAD_BYTES)).contains(&consumed));
            assert!(buf[..consumed].ends_with(b"\r\n\r\n"));
            assert!((1..=REQUEST_TARGET_BYTES).contains(&request.path.len()));
            if matches!(request.method, Method::Get | Method::Head) {
                assert_eq!(request.path[0], b'/');
            }
            let forbidden = |byte: &u8| byte.is_ascii_control() || matches!(byte, b' ' | b'#');
            assert!(!request.path.iter().any(|byte| forbidden(byte) || *byte == b'?'));
            assert!(!request.query.is_some_and(|query| query.iter().any(forbidden)));
            if let Some(host) = request.host {
                assert!((1..=HOST_BYTES + 6).contains(&host.len()));
                assert!(host.iter().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\\"<>".contains(byte)));
            }
        }
        Parse::Reject(status) => assert!(status.code() >= 400),
    }
}

/// Bytes that look like requests from afar: pieces of them, in any order, with anything between.
fn near_request() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            &b"GET "[..], b"HEAD ", b"CONNECT ", b"OPTIONS ", b"*", b"/", b"/a?b", b"http://h/", b" HTTP/1.1", b" HTTP/1.0",
            b" HTTP/2.0", b"\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t", b":", b"Host: h\r\n", b"Host: ",
            b"Content-Length: 1\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"A: b\r\n",
            b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"\x7F", b"\0", b"#", b"[::1]", b"\xC3",
        ]).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..40),
    ];
    let well_started = prop_oneof![Just(b"".to_vec()), Just(b"GET / HTTP/1.1\r\nHost: h\r\n".to_vec())];
    (well_started, vec(piece, 0..16)).prop_map(|(start, pieces)| [start, pieces.concat()].concat())
}

/// The letters of `text` in upper or lower case, by the bits of `cases`.
fn in_some_case(text: &str, cases: u32) -> String {
    let in_case = |(at, letter): (usize, char)| {
        if cases >> (at % 32) & 1 == 1 { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() }
    };
    text.chars().enumerate().map(in_case).collect()
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9_-]{1,20}(\\.[a-zA-Z0-9-]{1,20}){0,4}\\.?(:[0-9]{0,5})?",
        any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]")),
        any::<(std::net::Ipv4Addr, u16)>().prop_map(|(address, port)| format!("{address}:{port}")),
    ]
}

fn target_bytes(allowed: impl Fn(u8) -> bool) -> impl Strategy<Value = Vec<u8>> {
    let allowed: Vec<u8> = (0x21..=0xFF).filter(|&byte| byte != 0x7F && byte != b'#' && allowed(byte)).collect();
    vec(prop::sample::select(allowed), 0..60)
}

proptest! {
    #[test]
    fn any_bytes(buf in vec(any::<u8>(), 0..200)) {
        assert_promises(&buf);
    }

    // RFC 9112 §11.2: two readers of one stream must not disagree, however it is cut.
    #[test]
    fn every_verdict_is_final(buf in near_request()) {
        assert_promises(&buf);
        let mut earlier = Parse::Partial;
        for cut in 0..=buf.len() {
            let verdict = parse(&buf[..cut]);
            prop_assert!(earlier == Parse::Partial || verdict == earlier, "{cut} of {}", buf.escape_ascii());
            earlier = verdict;
        }
    }

    #[test]
    fn valid_requests_come_back(
        (head, absolute, modern) in any::<(bool, bool, bool)>(),
        host in host(),
        path in target_bytes(|byte| byte != b'?'),
        query in prop::option::of(target_bytes(|_| true)),
        before in vec(("X-[A-Za-z0-9-]{1,20}", "([!-~]([ -~]{0,30}[!-~])?)?"), 0..40),
        after in vec(("X-[A-Za-z0-9-]{1,20}", "([!-~]([ -~]{0,30}[!-~])?)?"), 0..40),
        option in prop::option::of(prop::sample::select(vec!["close", "keep-alive", "Upgrade"])),
        content_length in prop::option::of(0..3u64),
        cases in any::<u32>(),
        behind in vec(any::<u8>(), 0..20),
    ) {
        let path = [&b"/"[..], &path].concat();
        let mut bytes = if head { b"HEAD ".to_vec() } else { b"GET ".to_vec() };
        if absolute {
            bytes.extend(format!("{}{host}", in_some_case("http://", cases)).bytes());
        }
        bytes.extend(&path);
        bytes.extend(query.iter().flat_map(|query| [&b"?"[..], query].concat()));
        bytes.extend(if modern { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" });
        let mut field = |name: &str, value: &str| bytes.extend(format!("{name}: {value}\r\n").bytes());
        before.iter().for_each(|(name, value)| field(name, value));
        field(&in_some_case("Host", cases), if absolute { "other" } else { &host });
        if let Some(option) = option {
            field(&in_some_case("Connection", cases), &in_some_case(option, cases));
        }
        if let Some(length) = content_length {
            field(&in_some_case("Content-Length", cases), &length.to_string());
        }
        after.iter().for_each(|(name, value)| field(name, value));
        bytes.extend(b"\r\n");
        let length = bytes.len();
        bytes.extend(behind);

        assert_promises(&bytes);
        let Parse::Request { request, consumed } = parse(&bytes) else {
            panic!("{:?} for {}", parse(&bytes), bytes.escape_ascii())
        };
        prop_assert_eq!(consumed, length);
        prop_assert_eq!(request.method, if head { Method::Head } else { Method::Get });
        prop_assert_eq!(request.version, if modern { Version::Http11 } else { Version::Http10 });
        prop_assert_eq!(request.host, Some(host.as_bytes()));
        prop_assert_eq!(request.path, path);
        prop_assert_eq!(request.query, query.as_deref());
        let persistent = if modern { option != Some("close") } else { option == Some("keep-alive") };
        prop_assert_eq!(request.keep_alive, persistent && content_length.is_none_or(|length| length == 0));
    }

    #[test]
    fn any_target_is_located(
        target in "[ -~\u{80}-\u{10FFFF}]{0,300}",
        code in prop::sample::select(vec![301u16, 302, 303, 307, 308]),
        (head_only, keep_alive) in any::<(bool, bool)>(),
        jitter in any::<u32>(),
    ) {
        let status = RedirectStatus::try_from(code).unwrap();
        let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
        let context = Context { head_only, keep_alive, version: Version::Http11, date, jitter };
        let mut out = Vec::new();
        encode(&mut out, &Answer::redirect(status, target.as_bytes()), &context);

        let mut fields = [httparse::EMPTY_HEADER; 8];
        let mut response = httparse::Response::new(&mut fields);
        prop_assert_eq!(response.parse(&out), Ok(httparse::Status::Complete(out.len())));
        prop_assert_eq!(response.code, Some(code));
        let value = |name: &str| response.headers.iter().find(|field| field.name == name).map(|field| field.value);
        prop_assert_eq!(value("Location"), Some(target.trim_matches([' ', '\t']).as_bytes()));
        let caching = str::from_utf8(value("Cache-Control").unwrap()).unwrap();
        if status.is_permanent() {
            let max_age_s: u32 = caching.strip_prefix("public, max-age=").unwrap().parse().unwrap();
            prop_assert!((77_760..=86_399).contains(&max_age_s));
        } else {
            prop_assert_eq!(caching, "private, max-age=90");
        }
    }
}
