//! The decisions, as tables.

use std::num::NonZeroU64;

use super::*;
use crate::cache::LinkView;
use crate::engine::Tables;
use crate::link::{LinkOptions, LinkState, Percent, ReferrerPolicy};

const NOW_MS: u64 = 1_000_000_000;

fn target(text: &str) -> Option<Target> {
    Some(Target::parse(text).unwrap())
}

fn caching(text: &str) -> Option<CacheControl> {
    Some(CacheControl::parse(text).unwrap())
}

fn none() -> LinkOptions {
    LinkOptions::default()
}

fn settings() -> HostSettings {
    HostSettings::default()
}

/// A request, and what is known when it is decided.
#[derive(Clone, Copy)]
struct Case<'a> {
    url: &'a str,
    /// Settings of `h.example`.
    settings: Option<&'a HostSettings>,
    /// Status, terms and whether the key has the query.
    link: Option<(u16, &'a LinkOptions, bool)>,
    used: u64,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Case { url: "h.example/path?q=1", settings: None, link: None, used: 0 }
    }
}

impl Case<'_> {
    /// Status, location and caching of the answer, and as what it counts.
    fn decide(self) -> (String, Counter) {
        let hosts: Vec<_> = self.settings.map(|settings| ("h.example", settings.clone())).into_iter().collect();
        let tables = Tables::of(&hosts);
        let (host, path) = self.url.split_at(self.url.find('/').unwrap());
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query.as_bytes())));
        let mut key = RequestKey::default();
        key.set(Some(host.as_bytes()), path.as_bytes(), query);
        let host = tables.view(key.host());
        let asked = Asked::new(&key, &host, path.as_bytes(), query);
        let terms = self.link.map(|(_, options, _)| Terms::encode(options)).unwrap_or_default();
        let decision = match self.link {
            None => decide_not_found(&asked),
            Some((status, _, has_query)) => {
                let target: &[u8] = if status == 410 { b"" } else { b"https://to.example/?t=1" };
                let link = LinkView { id: 7, status, target, terms: &terms };
                let take = |id, max| {
                    assert_eq!(id, 7);
                    self.used < max
                };
                decide_found(Found { link, has_query }, &asked, || NOW_MS, take)
            }
        };
        (told(&decision.answer), decision.counter)
    }
}

fn told(answer: &Answer<'_>) -> String {
    let (status, location, caching) = match *answer {
        Answer::Redirect { status, location, caching, .. } => (status.code(), location, caching),
        Answer::Error { status, caching, .. } => (status.code(), Location::Target(b"-"), caching),
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let location = match location {
        Location::Target(target) => text(target),
        Location::WithQuery { target, query, mode } => {
            format!("{} {mode:?} {}", text(target), text(query.unwrap_or_default()))
        }
        Location::WithPath { base, path, query } => {
            format!("{} + {}?{}", text(base), text(path), text(query.unwrap_or_default()))
        }
    };
    let caching = match caching {
        Caching::MaxAge { public, max_age_s, jitter_percent } => {
            format!("{} {max_age_s} s - {jitter_percent} %", if public { "public" } else { "private" })
        }
        other => format!("{other:?}"),
    };
    format!("{status} {location} {caching}")
}

#[track_caller]
fn assert_link(status: u16, options: LinkOptions, settings: Option<&HostSettings>, answer: &str) {
    let case = Case { link: Some((status, &options, false)), settings, ..Case::default() };
    assert_eq!(case.decide().0, answer, "{options:?}");
}

#[test]
fn each_state_has_its_answer() {
    let lost = HostSettings {
        not_found_target: target("https://h.example/lost"),
        fallback: target("https://old.example/"),
        ..settings()
    };
    let over = target("https://to.example/over");
    let missing = ("404 - Default", "302 https://h.example/lost NoStore");
    let gone = ("410 - NoStore", "410 - NoStore");
    let elsewhere = ("302 https://to.example/over NoStore", "302 https://to.example/over NoStore");
    let usual = ("302 https://to.example/?t=1 Default", "302 https://to.example/?t=1 Default");
    let limited = ("302 https://to.example/?t=1 NoStore", "302 https://to.example/?t=1 NoStore");
    for (options, used, counter, answers) in [
        (none(), 0, Counter::Redirects, usual),
        (LinkOptions { not_before_ms: Some(NOW_MS), ..none() }, 0, Counter::Redirects, usual),
        (LinkOptions { not_before_ms: Some(NOW_MS + 1), ..none() }, 0, Counter::Scheduled, missing),
        (
            LinkOptions { not_before_ms: Some(NOW_MS + 1), expired_target: over.clone(), ..none() },
            0,
            Counter::Scheduled,
            missing,
        ),
        (LinkOptions { is_disabled: true, ..none() }, 0, Counter::Disabled, missing),
        (LinkOptions { is_disabled: true, expires_at_ms: Some(1), ..none() }, 0, Counter::Disabled, missing),
        (LinkOptions { expires_at_ms: Some(NOW_MS), ..none() }, 0, Counter::Expired, gone),
        (
            LinkOptions { expires_at_ms: Some(NOW_MS), expired_target: over.clone(), ..none() },
            0,
            Counter::Expired,
            elsewhere,
        ),
        (
            LinkOptions { expires_at_ms: Some(NOW_MS), not_before_ms: Some(NOW_MS + 5), ..none() },
            0,
            Counter::Expired,
            gone,
        ),
        (LinkOptions { max_clicks: NonZeroU64::new(2), ..none() }, 1, Counter::Redirects, limited),
        (LinkOptions { max_clicks: NonZeroU64::new(2), ..none() }, 2, Counter::UsedUp, gone),
        (LinkOptions { max_clicks: NonZeroU64::new(2), expired_target: over, ..none() }, 2, Counter::UsedUp, elsewhere),
    ] {
        for (settings, answer) in [(None, answers.0), (Some(&lost), answers.1)] {
            let decided = Case { settings, link: Some((302, &options, false)), used, ..Case::default() }.decide();
            assert_eq!(decided, (answer.to_owned(), counter), "{options:?}");
        }
        // What is shown of a link elsewhere is what is answered.
        let shown = match counter {
            Counter::Scheduled => LinkState::Scheduled,
            Counter::Disabled => LinkState::Disabled,
            Counter::Expired => LinkState::Expired,
            Counter::UsedUp => LinkState::UsedUp,
            _ => LinkState::Active,
        };
        assert_eq!(options.state(NOW_MS, used), shown);
    }
}

#[test]
fn no_click_is_taken_of_a_link_that_does_not_answer() {
    for options in [
        LinkOptions { is_disabled: true, ..none() },
        LinkOptions { expires_at_ms: Some(1), ..none() },
        LinkOptions { not_before_ms: Some(NOW_MS * 2), ..none() },
    ] {
        let terms = Terms::encode(&LinkOptions { max_clicks: NonZeroU64::new(5), ..options });
        let link = LinkView { id: 7, status: 302, target: b"https://to.example/", terms: &terms };
        let asked = Asked { path: b"/", query: None, entry: None, fallback: None, not_found_target: None };
        decide_found(Found { link, has_query: false }, &asked, || NOW_MS, |_, _| panic!("a click is taken"));
    }
    // And nobody asks for the time who does not need it.
    let terms = Terms::encode(&LinkOptions { query_policy: Some(QueryPolicy::Drop), ..none() });
    let link = LinkView { id: 7, status: 302, target: b"https://to.example/", terms: &terms };
    let asked = Asked { path: b"/", query: None, entry: None, fallback: None, not_found_target: None };
    decide_found(Found { link, has_query: false }, &asked, || panic!("the time is asked for"), |_, _| true);
}

#[test]
fn the_query_goes_where_the_link_says_else_its_host() {
    let host = |query_policy| HostSettings { query_policy, ..settings() };
    let (drop, merge) = (host(QueryPolicy::Drop), host(QueryPolicy::Merge));
    for (of_link, of_host, location) in [
        (None, None, "https://to.example/?t=1"),
        (None, Some(&drop), "https://to.example/?t=1"),
        (None, Some(&merge), "https://to.example/?t=1 Merge q=1"),
        (Some(QueryPolicy::Drop), Some(&merge), "https://to.example/?t=1"),
        (Some(QueryPolicy::Forward), Some(&merge), "https://to.example/?t=1 Forward q=1"),
        (Some(QueryPolicy::Merge), None, "https://to.example/?t=1 Merge q=1"),
    ] {
        let options = LinkOptions { query_policy: of_link, ..none() };
        assert_link(302, options.clone(), of_host, &format!("302 {location} Default"));
        // A link that is keyed with the query has taken it.
        let keyed = Case { settings: of_host, link: Some((302, &options, true)), ..Case::default() };
        assert_eq!(keyed.decide().0, "302 https://to.example/?t=1 Default");
    }
}

#[test]
fn an_answer_is_kept_as_the_link_says_else_its_host_and_not_past_its_end() {
    let host = HostSettings {
        permanent_cache_control: caching("public, max-age=5000"),
        temporary_cache_control: caching("no-cache"),
        cache_jitter: Percent::new(25).unwrap(),
        ..settings()
    };
    let to = "https://to.example/?t=1";
    let says = |text| LinkOptions { cache_control: caching(text), ..none() };
    let ends = |in_ms: u64, options: LinkOptions| LinkOptions { expires_at_ms: Some(NOW_MS + in_ms), ..options };
    for (status, options, without, with) in [
        (301, none(), "Default", "public 5000 s - 25 %"),
        (308, none(), "Default", "public 5000 s - 25 %"),
        (302, none(), "Default", "NoCache"),
        (301, says("private, max-age=9"), "private 9 s - 10 %", "private 9 s - 25 %"),
        (302, says("no-store"), "NoStore", "NoStore"),
        (301, ends(90_000_000, none()), "Default", "public 5000 s - 25 %"),
        (301, ends(86_400_000, none()), "Default", "public 5000 s - 25 %"),
        (301, ends(86_399_999, none()), "public 86399 s - 10 %", "public 5000 s - 25 %"),
        (301, ends(1_999, none()), "public 1 s - 10 %", "public 1 s - 25 %"),
        (302, ends(90_000, none()), "Default", "NoCache"),
        (302, ends(89_999, none()), "private 89 s - 0 %", "NoCache"),
        (302, ends(1, none()), "private 0 s - 0 %", "NoCache"),
        (302, ends(7_000, says("max-age=9")), "public 7 s - 10 %", "public 7 s - 25 %"),
        (302, ends(7_000, says("max-age=3")), "public 3 s - 10 %", "public 3 s - 25 %"),
        (301, LinkOptions { max_clicks: NonZeroU64::new(1), ..says("max-age=9") }, "NoStore", "NoStore"),
    ] {
        assert_link(status, options.clone(), None, &format!("{status} {to} {without}"));
        assert_link(status, options, Some(&host), &format!("{status} {to} {with}"));
    }
    assert_link(410, none(), None, "410 - Default");
    assert_link(410, none(), Some(&host), "410 - public 5000 s - 25 %");
    assert_link(410, says("no-cache"), Some(&host), "410 - NoCache");
}

#[test]
fn what_no_link_answers_goes_to_the_fallback_else_the_not_found_target_unless_that_leads_back() {
    let both = HostSettings {
        fallback: target("https://old.example:8443/base"),
        not_found_target: target("https://h.example/lost?why#top"),
        ..settings()
    };
    let own = HostSettings { fallback: target("http://H.example.:81/"), ..both.clone() };
    let lost = HostSettings { fallback: None, ..both.clone() };
    let only_own = HostSettings { not_found_target: None, ..own.clone() };
    let kept = HostSettings { temporary_cache_control: caching("no-cache"), ..lost.clone() };
    let to_lost = "302 https://h.example/lost?why#top Default";
    for (settings, url, answer, counter) in [
        (None, "h.example/x", "404 - Default", Counter::NotFound),
        (Some(&both), "h.example/x%2f?q", "302 https://old.example:8443/base + /x%2f?q Default", Counter::Fallback),
        (Some(&both), "h.example/lost", "302 https://old.example:8443/base + /lost? Default", Counter::Fallback),
        (Some(&own), "h.example/x?q", to_lost, Counter::NotFound),
        (Some(&own), "h.example/lost", "404 - Default", Counter::NotFound),
        (Some(&only_own), "h.example/x", "404 - Default", Counter::NotFound),
        (Some(&lost), "h.example/x?q", to_lost, Counter::NotFound),
        (Some(&lost), "H.example.:80/a/../%6cost?q", "404 - Default", Counter::NotFound),
        (Some(&kept), "h.example/x", "302 https://h.example/lost?why#top NoCache", Counter::NotFound),
    ] {
        let decided = Case { url, settings, ..Case::default() }.decide();
        assert_eq!(decided, (answer.to_owned(), counter), "{url}");
    }
    // A link that is withheld does not lead back either.
    let disabled = LinkOptions { is_disabled: true, ..none() };
    let case = Case { url: "h.example/lost", settings: Some(&lost), link: Some((302, &disabled, false)), used: 0 };
    assert_eq!(case.decide(), ("404 - Default".to_owned(), Counter::Disabled));
}

#[test]
fn redirects_have_the_fields_of_their_host_and_errors_do_not() {
    let with_field = HostSettings {
        referrer_policy: Some(ReferrerPolicy::parse("origin").unwrap()),
        fallback: target("https://old.example/"),
        ..settings()
    };
    let tables = Tables::of(&[("*", with_field)]);
    let mut key = RequestKey::default();
    key.set(Some(b"h.example"), b"/x", None);
    let host = tables.view(key.host());
    let asked = Asked::new(&key, &host, b"/x", None);
    let link = |status, terms| Found {
        link: LinkView { id: 1, status, target: b"https://to.example/", terms },
        has_query: false,
    };
    let over = Terms::encode(&LinkOptions { expires_at_ms: Some(1), ..none() });
    let decide = |found| decide_found(found, &asked, || NOW_MS, |_, _| true);
    for (decision, has_fields) in [
        (decide(link(302, b"")), true),
        (decide_not_found(&asked), true),
        (decide(link(410, b"")), false),
        (decide(link(302, &over)), false),
    ] {
        let (Answer::Redirect { fields, .. } | Answer::Error { fields, .. }) = decision.answer;
        assert_eq!(fields, if has_fields { &b"Referrer-Policy: origin\r\n"[..] } else { b"" });
    }
}
