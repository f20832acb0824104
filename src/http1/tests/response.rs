//! Answers, byte for byte, and the dates in them.

use crate::http1::{
    Answer, Context, ErrorStatus, Location, Method, Parse, RedirectStatus, UnknownRedirectStatus, Version, encode,
    imf_fixdate, parse,
};

pub(super) const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

const REDIRECTS: [RedirectStatus; 5] = [
    RedirectStatus::MovedPermanently,
    RedirectStatus::Found,
    RedirectStatus::SeeOther,
    RedirectStatus::TemporaryRedirect,
    RedirectStatus::PermanentRedirect,
];

pub(super) const ERRORS: [ErrorStatus; 11] = [
    ErrorStatus::BadRequest,
    ErrorStatus::NotFound,
    ErrorStatus::MethodNotAllowed,
    ErrorStatus::RequestTimeout,
    ErrorStatus::Gone,
    ErrorStatus::UriTooLong,
    ErrorStatus::RequestHeaderFieldsTooLarge,
    ErrorStatus::InternalServerError,
    ErrorStatus::NotImplemented,
    ErrorStatus::ServiceUnavailable,
    ErrorStatus::HttpVersionNotSupported,
];

pub(super) const MODERN: Context<'static> =
    Context { head_only: false, keep_alive: true, version: Version::Http11, date: DATE, jitter: 0 };

pub(super) fn encoded(answer: Answer<'_>, context: Context<'_>) -> String {
    let mut out = Vec::new();
    encode(&mut out, &answer, &context);
    String::from_utf8(out).expect("all samples are text")
}

fn redirect(status: RedirectStatus, target: &str) -> Answer<'_> {
    Answer::redirect(status, target.as_bytes())
}

#[test]
fn temporary_redirects() {
    let table = [
        (RedirectStatus::Found, "302 Found"),
        (RedirectStatus::SeeOther, "303 See Other"),
        (RedirectStatus::TemporaryRedirect, "307 Temporary Redirect"),
    ];
    for (status, line) in table {
        assert_eq!(
            encoded(redirect(status, "https://example.com/?a=b"), MODERN),
            format!(
                "HTTP/1.1 {line}\r\nContent-Length: 0\r\nCache-Control: private, max-age=90\r\n\
                 Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nLocation: https://example.com/?a=b\r\n\r\n"
            )
        );
    }
}

#[test]
fn permanent_redirects() {
    let table = [
        (RedirectStatus::MovedPermanently, "301 Moved Permanently"),
        (RedirectStatus::PermanentRedirect, "308 Permanent Redirect"),
    ];
    for (status, line) in table {
        for (jitter, max_age) in [(0, 77_760), (1, 77_761), (8_639, 86_399), (8_640, 77_760), (u32::MAX, 83_775)] {
            assert_eq!(
                encoded(redirect(status, "http://a/"), Context { jitter, ..MODERN }),
                format!(
                    "HTTP/1.1 {line}\r\nContent-Length: 0\r\nCache-Control: public, max-age={max_age}\r\n\
                     Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nLocation: http://a/\r\n\r\n"
                )
            );
        }
    }
}

#[test]
fn errors() {
    let table = [
        (ErrorStatus::BadRequest, "400 Bad Request", "", 16),
        (ErrorStatus::NotFound, "404 Not Found", "", 14),
        (ErrorStatus::MethodNotAllowed, "405 Method Not Allowed", "Allow: GET, HEAD\r\n", 23),
        (ErrorStatus::RequestTimeout, "408 Request Timeout", "", 20),
        (ErrorStatus::UriTooLong, "414 URI Too Long", "", 17),
        (ErrorStatus::RequestHeaderFieldsTooLarge, "431 Request Header Fields Too Large", "", 36),
        (ErrorStatus::InternalServerError, "500 Internal Server Error", "", 26),
        (ErrorStatus::NotImplemented, "501 Not Implemented", "", 20),
        (ErrorStatus::ServiceUnavailable, "503 Service Unavailable", "Retry-After: 1\r\n", 24),
        (ErrorStatus::HttpVersionNotSupported, "505 HTTP Version Not Supported", "", 31),
    ];
    for (status, line, field, length) in table {
        let close = if status.closes() { "Connection: close\r\n" } else { "" };
        assert_eq!(
            encoded(Answer::error(status), MODERN),
            format!(
                "HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n{field}\
                 Cache-Control: no-store\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n{close}\r\n{line}\n"
            )
        );
    }
}

#[test]
fn gone() {
    assert_eq!(
        encoded(Answer::error(ErrorStatus::Gone), Context { jitter: 240, ..MODERN }),
        "HTTP/1.1 410 Gone\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 9\r\n\
         Cache-Control: public, max-age=78000\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n410 Gone\n"
    );
}

// RFC 9112 §9.3, §9.6.
#[test]
fn connection() {
    let table = [
        (Version::Http11, true, ""),
        (Version::Http11, false, "Connection: close\r\n"),
        (Version::Http10, true, "Connection: keep-alive\r\n"),
        (Version::Http10, false, "Connection: close\r\n"),
    ];
    for (version, keep_alive, field) in table {
        let context = Context { version, keep_alive, ..MODERN };
        let ended = encoded(redirect(RedirectStatus::Found, "http://a/"), context);
        assert!(ended.ends_with(&format!("Location: http://a/\r\n{field}\r\n")), "{ended}");
        let ended = encoded(Answer::error(ErrorStatus::NotFound), context);
        assert!(ended.ends_with(&format!("08:49:37 GMT\r\n{field}\r\n404 Not Found\n")), "{ended}");
        for status in ERRORS.into_iter().filter(|status| status.closes()) {
            assert!(encoded(Answer::error(status), context).contains("GMT\r\nConnection: close\r\n\r\n"));
        }
    }
}

/// All answers under all circumstances.
fn each_answer(mut look: impl FnMut(Answer<'_>, Context<'_>)) {
    let redirects = REDIRECTS.map(|status| redirect(status, "https://example.com/\u{fc}?x=%0D%0A"));
    for answer in redirects.into_iter().chain(ERRORS.map(Answer::error)) {
        for (keep_alive, head_only) in [(true, true), (true, false), (false, true), (false, false)] {
            for version in [Version::Http10, Version::Http11] {
                look(answer, Context { head_only, keep_alive, version, date: DATE, jitter: 4_321 });
            }
        }
    }
}

#[test]
fn a_client_understands() {
    each_answer(|answer, context| {
        let text = encoded(answer, context);
        let mut fields = [httparse::EMPTY_HEADER; 8];
        let mut response = httparse::Response::new(&mut fields);
        let head = response.parse(text.as_bytes()).expect("well-formed").unwrap();
        let (code, target) = match answer {
            Answer::Redirect { status, location: Location::Target(target), .. } => (status.code(), Some(target)),
            Answer::Redirect { .. } => panic!("none of these is put together"),
            Answer::Error { status, .. } => (status.code(), None),
        };
        assert_eq!((response.version, response.code), (Some(1), Some(code)));
        assert!(text.starts_with(&format!("HTTP/1.1 {code} {}\r\n", response.reason.unwrap())));

        let field = |name: &str| {
            let mut values = response.headers.iter().filter(|field| field.name == name).map(|field| field.value);
            let value = values.next();
            assert_eq!(values.next(), None, "{name} twice in {text}");
            value
        };
        assert_eq!(field("Location"), target);
        assert_eq!(field("Date"), Some(&DATE[..]));
        assert!(field("Cache-Control").is_some());
        assert_eq!(field("Server"), None);
        let length: usize = str::from_utf8(field("Content-Length").unwrap()).unwrap().parse().unwrap();
        assert_eq!(text.len() - head, if context.head_only { 0 } else { length });
        assert_eq!(length == 0, target.is_some());
    });
}

// RFC 9110 §9.3.2: HEAD has the head of GET, to the byte.
#[test]
fn head_is_get_without_content() {
    each_answer(|answer, context| {
        let get = encoded(answer, Context { head_only: false, ..context });
        let head = encoded(answer, Context { head_only: true, ..context });
        assert_eq!(head, get[..get.find("\r\n\r\n").unwrap() + 4]);
    });
}

#[test]
fn answers_follow_each_other() {
    let mut out = b"before".to_vec();
    let mut expected = "before".to_owned();
    each_answer(|answer, context| {
        encode(&mut out, &answer, &context);
        expected += &encoded(answer, context);
    });
    assert_eq!(out, expected.as_bytes());
}

#[test]
fn room_enough_is_not_enlarged() {
    let mut out = Vec::with_capacity(512);
    each_answer(|answer, context| {
        out.clear();
        encode(&mut out, &answer, &context);
        assert_eq!(out.capacity(), 512);
    });
}

#[test]
#[cfg(debug_assertions)]
fn no_control_characters_in_location() {
    for control in (0..=0x1F).chain([0x7F]) {
        let target = [b"http://a/", &[control][..], b"b"].concat();
        let answer = Answer::redirect(RedirectStatus::Found, &target);
        let encoding = std::panic::catch_unwind(|| encode(&mut Vec::new(), &answer, &MODERN));
        assert!(encoding.is_err(), "{control:#04x}");
    }
}

#[test]
fn contexts() {
    let Parse::Request { request, .. } = parse(b"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") else {
        panic!("a request")
    };
    let context = Context::of(&request, DATE, 7);
    assert_eq!(request.method, Method::Head);
    assert!(context.head_only && context.keep_alive);
    assert_eq!((context.version, context.date, context.jitter), (Version::Http10, DATE, 7));
    assert!(encoded(Answer::error(ErrorStatus::NotImplemented), Context::closing(DATE)).contains("Connection: close"));
}

#[test]
fn redirect_codes() {
    for status in REDIRECTS {
        assert_eq!(RedirectStatus::try_from(status.code()), Ok(status));
        assert_eq!(status.is_permanent(), [301, 308].contains(&status.code()));
    }
    for code in [0, 200, 300, 304, 305, 306, 309, 410, u16::MAX] {
        assert_eq!(RedirectStatus::try_from(code), Err(UnknownRedirectStatus(code)));
    }
    assert!(UnknownRedirectStatus(304).to_string().contains("304"));
}

// RFC 9110 §5.6.7.
#[test]
fn dates() {
    let table = [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        // Leap years: every fourth, not every hundredth, every four-hundredth.
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
        (1_740_787_200, "Sat, 01 Mar 2025 00:00:00 GMT"),
        (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"),
        (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
        (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (13_574_563_200, "Tue, 29 Feb 2400 00:00:00 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (253_402_300_800, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ];
    for (unix_seconds, date) in table {
        assert_eq!(imf_fixdate(unix_seconds).escape_ascii().to_string(), date);
    }
}
