//! What answers say about being kept, and the fields that a host adds.

use super::response::{DATE, ERRORS, MODERN, encoded};
use crate::http1::{Answer, Caching, Context, ErrorStatus, Location, RedirectStatus, Version, encode};

const FIELDS: &[u8] = b"Referrer-Policy: no-referrer\r\nX-Robots-Tag: noindex, nofollow\r\n";

const CACHINGS: [Caching; 5] = [
    Caching::Default,
    Caching::NoStore,
    Caching::NoCache,
    Caching::MaxAge { public: true, max_age_s: 60, jitter_percent: 0 },
    Caching::MaxAge { public: false, max_age_s: u32::MAX, jitter_percent: 10 },
];

fn redirect(caching: Caching, fields: &[u8]) -> Answer<'_> {
    let location = Location::Target(b"http://a/");
    Answer::Redirect { status: RedirectStatus::MovedPermanently, location, caching, fields }
}

fn cache_control(caching: Caching, jitter: u32) -> String {
    let text = encoded(redirect(caching, b""), Context { jitter, ..MODERN });
    let (_, behind) = text.split_once("Cache-Control: ").expect("every answer has it");
    behind.split_once("\r\n").expect("fields end").0.to_owned()
}

#[test]
fn a_redirect_is_kept_as_its_host_or_link_says() {
    for (caching, value) in [
        (Caching::NoStore, "no-store"),
        (Caching::NoCache, "no-cache"),
        (Caching::MaxAge { public: true, max_age_s: 0, jitter_percent: 10 }, "public, max-age=0"),
        (Caching::MaxAge { public: false, max_age_s: 300, jitter_percent: 0 }, "private, max-age=300"),
        (Caching::MaxAge { public: true, max_age_s: u32::MAX, jitter_percent: 0 }, "public, max-age=4294967295"),
    ] {
        assert_eq!(
            encoded(redirect(caching, b""), Context { jitter: 3, ..MODERN }),
            format!(
                "HTTP/1.1 301 Moved Permanently\r\nContent-Length: 0\r\nCache-Control: {value}\r\n\
                 Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nLocation: http://a/\r\n\r\n"
            )
        );
    }
}

#[test]
fn an_error_is_kept_as_its_host_or_link_says() {
    let gone = |caching| encoded(Answer::Error { status: ErrorStatus::Gone, caching, fields: b"" }, MODERN);
    assert_eq!(gone(Caching::Default), encoded(Answer::error(ErrorStatus::Gone), MODERN));
    assert_eq!(
        gone(Caching::MaxAge { public: false, max_age_s: 60, jitter_percent: 0 }),
        "HTTP/1.1 410 Gone\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 9\r\n\
         Cache-Control: private, max-age=60\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n410 Gone\n"
    );
    let missing = |caching| encoded(Answer::Error { status: ErrorStatus::NotFound, caching, fields: b"" }, MODERN);
    assert!(missing(Caching::Default).contains("\r\nCache-Control: no-store\r\n"));
    assert!(missing(Caching::NoCache).contains("\r\nCache-Control: no-cache\r\n"));
}

#[test]
fn the_age_falls_anywhere_between_the_lowered_one_and_the_one_set() {
    let ages = |max_age_s: u32, jitter_percent: u8| {
        let age = |jitter: u32| {
            let value = cache_control(Caching::MaxAge { public: true, max_age_s, jitter_percent }, jitter);
            value.strip_prefix("public, max-age=").expect("it is public").parse::<u32>().expect("a number")
        };
        let jitters = (0..1_000).chain([u32::MAX - 1, u32::MAX]);
        jitters.map(age).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(ages(100, 10), (90..=100).collect());
    assert_eq!(ages(100, 100), (0..=100).collect());
    assert_eq!(ages(100, 255), (0..=100).collect());
    assert_eq!(ages(100, 0), [100].into());
    assert_eq!(ages(9, 10), [9].into(), "a tenth of it is less than a second");
    assert!(ages(u32::MAX, 100).contains(&0));
}

#[test]
fn fields_stand_among_the_others() {
    assert_eq!(
        encoded(redirect(Caching::NoStore, FIELDS), Context { keep_alive: false, ..MODERN }),
        "HTTP/1.1 301 Moved Permanently\r\nContent-Length: 0\r\nCache-Control: no-store\r\n\
         Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nLocation: http://a/\r\nReferrer-Policy: no-referrer\r\n\
         X-Robots-Tag: noindex, nofollow\r\nConnection: close\r\n\r\n"
    );
    let missing = Answer::Error { status: ErrorStatus::NotFound, caching: Caching::Default, fields: FIELDS };
    assert_eq!(
        encoded(missing, MODERN),
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n\
         Cache-Control: no-store\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nReferrer-Policy: no-referrer\r\n\
         X-Robots-Tag: noindex, nofollow\r\n\r\n404 Not Found\n"
    );
}

#[test]
fn caching_and_fields_change_nothing_else() {
    let without = |text: &str| {
        let is_other =
            |line: &&str| !["Cache-Control", "Referrer", "X-Robots"].iter().any(|name| line.starts_with(name));
        text.split("\r\n").filter(is_other).collect::<Vec<_>>().join("\r\n")
    };
    for caching in CACHINGS {
        for (keep_alive, head_only) in [(true, true), (true, false), (false, true), (false, false)] {
            for version in [Version::Http10, Version::Http11] {
                let context = Context { head_only, keep_alive, version, date: DATE, jitter: 4_321 };
                let plain = encoded(redirect(Caching::Default, b""), context);
                assert_eq!(without(&encoded(redirect(caching, FIELDS), context)), without(&plain));
                for status in ERRORS {
                    let plain = encoded(Answer::error(status), context);
                    let answer = encoded(Answer::Error { status, caching, fields: FIELDS }, context);
                    assert_eq!(without(&answer), without(&plain));
                    assert!(answer.contains("X-Robots-Tag: noindex, nofollow\r\n"));
                    assert_eq!(answer.matches("Cache-Control: ").count(), 1);
                }
            }
        }
    }
}

#[test]
fn room_enough_for_all_parts_is_not_enlarged() {
    let mut out = Vec::with_capacity(512);
    let location = Location::WithPath { base: b"https://b.example/", path: b"/ \xFF", query: Some(b"\0") };
    for caching in CACHINGS {
        out.clear();
        encode(
            &mut out,
            &Answer::Redirect { status: RedirectStatus::Found, location, caching, fields: FIELDS },
            &MODERN,
        );
        assert_eq!(out.capacity(), 512);
    }
}

#[test]
#[cfg(debug_assertions)]
fn what_is_no_field_line_is_not_sent() {
    for fields in
        ["A: b", "A: b\n", "A: b\r", "\r\n", "A: b\r\n\r\n", "A: b\r\n\r\nC: d\r\n", "A: b\0\r\n", "A: b\nC: d\r\n"]
    {
        let encoding = std::panic::catch_unwind(|| encoded(redirect(Caching::Default, fields.as_bytes()), MODERN));
        assert!(encoding.is_err(), "{fields:?}");
    }
}
