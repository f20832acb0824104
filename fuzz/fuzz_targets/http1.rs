//! Any bytes as a stream of requests: what `parse` and `encode` promise holds for each.

#![no_main]

use carom::http1::{
    Answer, Caching, Context, ErrorStatus, FieldCache, Location, Method, Parse, QueryMode, RedirectStatus, Request,
    encode, imf_fixdate, parse, parse_next,
};
use carom::limits::{HOST_BYTES, REQUEST_HEAD_BYTES, REQUEST_TARGET_BYTES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    let date = imf_fixdate(stream.len() as u64);
    let mut out = Vec::new();
    let mut rest = stream;
    let mut cache = FieldCache::default();
    loop {
        let verdict = parse(rest);
        assert_eq!(parse_next(rest, &mut cache), verdict);
        assert_final(rest, verdict);
        match verdict {
            Parse::Partial => {
                assert!(rest.len() < REQUEST_HEAD_BYTES);
                break;
            }
            Parse::Request { request, consumed } => {
                assert_request(&request, rest, consumed);
                let context = Context::of(&request, &date, consumed as u32);
                answer(&mut out, &request, &context);
                rest = &rest[consumed..];
                if !request.keep_alive {
                    break;
                }
            }
            Parse::Reject(status) => {
                assert!(status.code() >= 400);
                encode(&mut out, &Answer::error(status), &Context::closing(&date));
                assert!(memmem(&out, b"\r\nConnection: close\r\n"));
                break;
            }
        }
    }
});

/// The same bytes with fewer behind them must not be seen as anything else. One cut, chosen by the bytes
/// themselves, keeps this fast.
fn assert_final(buf: &[u8], verdict: Parse<'_>) {
    let sum = buf.iter().fold(0usize, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte as usize));
    let earlier = parse(&buf[..sum % (buf.len() + 1)]);
    assert!(earlier == Parse::Partial || earlier == verdict);
}

fn assert_request(request: &Request<'_>, buf: &[u8], consumed: usize) {
    assert!(consumed >= 1 && consumed <= buf.len().min(REQUEST_HEAD_BYTES));
    assert!(buf[..consumed].ends_with(b"\r\n\r\n"));
    assert!(matches!(request.path.len(), 1..=REQUEST_TARGET_BYTES));
    if matches!(request.method, Method::Get | Method::Head) {
        assert_eq!(request.path[0], b'/');
    }
    let forbidden = |byte: &u8| byte.is_ascii_control() || matches!(byte, b' ' | b'#');
    assert!(!request.path.iter().any(|byte| forbidden(byte) || *byte == b'?'));
    assert!(!request.query.is_some_and(|query| query.iter().any(forbidden)));
    if let Some(host) = request.host {
        assert!(!host.is_empty() && host.len() <= HOST_BYTES + ":65535".len());
        assert!(host.iter().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\".contains(byte)));
    }
}

/// Answers as the server would, with a location that the path and query have a part in.
fn answer(out: &mut Vec<u8>, request: &Request<'_>, context: &Context<'_>) {
    let start = out.len();
    let redirects = [
        RedirectStatus::MovedPermanently,
        RedirectStatus::Found,
        RedirectStatus::SeeOther,
        RedirectStatus::TemporaryRedirect,
        RedirectStatus::PermanentRedirect,
    ];
    let status = redirects[request.path.len() % redirects.len()];
    let answer = match request.method {
        Method::Get | Method::Head => {
            let location = location(request);
            Answer::Redirect { status, location, caching: Caching::Default, fields: b"A: b\r\n" }
        }
        Method::NotAllowed => Answer::error(ErrorStatus::MethodNotAllowed),
        Method::NotImplemented => Answer::error(ErrorStatus::NotImplemented),
    };
    encode(out, &answer, context);

    if matches!(request.method, Method::Get | Method::Head) {
        assert_located(&out[start..]);
    }
    let line_ends = out[start..].windows(2).filter(|two| two == b"\r\n").count();
    let line_feeds = out[start..].iter().filter(|&&byte| byte == b'\n').count();
    let content = usize::from(matches!(answer, Answer::Error { .. }));
    assert_eq!(line_feeds, line_ends + content);
    assert_eq!(!context.keep_alive, memmem(&out[start..], b"\r\nConnection: close\r\n"));
}

const TARGET: &[u8] = b"https://t.example/x?a=b&%63#part";

/// A location of each kind, as the length of the path falls.
fn location<'a>(request: &Request<'a>) -> Location<'a> {
    let (path, query) = (request.path, request.query);
    match path.len() % 3 {
        0 => Location::WithQuery { target: TARGET, query, mode: QueryMode::Forward },
        1 => Location::WithQuery { target: TARGET, query, mode: QueryMode::Merge },
        _ => Location::WithPath { base: TARGET, path, query },
    }
}

/// Whatever the request has, the answer leads to the host of the target, in printable ASCII.
fn assert_located(answer: &[u8]) {
    const START: &[u8] = b"\r\nLocation: https://t.example/x";
    let at = answer.windows(START.len()).position(|window| window == START).expect("it leads to the target");
    let rest = &answer[at + START.len()..];
    let end = rest.iter().position(|&byte| byte == b'\r').expect("the field ends");
    assert!(rest[..end].iter().all(u8::is_ascii_graphic));
    assert!(matches!(rest[..end].first(), Some(b'?' | b'#' | b'/')));
}

fn memmem(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
