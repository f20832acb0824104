//! What is answered to a request, once it is known which link it finds and what is set for its host.
//!
//! Pure: what time it is and whether a click is left comes from who asks, and only if it matters. `docs/answers.md` has
//! all of it in tables.

use super::resolve::Found;
use super::tables::{HostEntry, HostView};
use crate::http1::{Answer, Caching, ErrorStatus, Location, QueryMode, RedirectStatus};
use crate::link::{CacheControl, HostSettings, QueryPolicy, RequestKey, Target, Terms};
use crate::telemetry::Counter;

/// What decides the answer to a request beside its link.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    path: &'a [u8],
    query: Option<&'a [u8]>,
    /// The settings that hold; None is the default.
    entry: Option<&'a HostEntry>,
    /// Those of the settings that do not lead back to where they are followed from.
    fallback: Option<&'a Target>,
    not_found_target: Option<&'a Target>,
}

impl<'a> Asked<'a> {
    /// A request for this key, the path and the query of which were sent like this, and what is set for its host.
    pub fn new(key: &RequestKey, host: &HostView<'a>, path: &'a [u8], query: Option<&'a [u8]>) -> Self {
        let Some(entry) = host.entry() else {
            return Asked { path, query, entry: None, fallback: None, not_found_target: None };
        };
        let HostSettings { fallback, not_found_target, .. } = &entry.record.settings;
        // A fallback on the request's own host would lead to the fallback again, and so without end.
        let fallback = fallback.as_ref().filter(|_| entry.fallback_host.as_deref() != Some(key.host()));
        let leads_back = || entry.not_found_path.as_deref() == Some(key.path_key());
        let not_found_target = not_found_target.as_ref().filter(|_| !leads_back());
        Asked { path, query, entry: Some(entry), fallback, not_found_target }
    }

    fn settings(&self) -> Option<&'a HostSettings> {
        self.entry.map(|entry| &entry.record.settings)
    }

    fn fields(&self) -> &'a [u8] {
        self.entry.map_or(b"", |entry| &entry.fields)
    }
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The answer.
    pub answer: Answer<'a>,
    /// As what it counts.
    pub counter: Counter,
    /// Whether it is a click on the link that was found.
    pub click: Click,
}

/// Whether an answer is a click on the link that was found: it is where the link is answered as it is meant, 410
/// included. What leads elsewhere because the link is not shown or is over is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Click {
    /// It is not.
    None,
    /// It is counted, and nothing else is kept of it: the link does not want more.
    Counted,
    /// It is counted, and details may be kept.
    Detailed,
}

/// The longest that permanent answers are kept if nothing is set, in seconds.
const PERMANENT_MAX_AGE_S: u32 = 86_400;

/// How long temporary answers are kept if nothing is set, in seconds.
const TEMPORARY_MAX_AGE_S: u32 = 90;

/// Decides about a request that finds a link.
///
/// `now_ms` is asked if the link has a time, `take_click` with the link's id and limit if it is to be answered and has a
/// limit of clicks; it says whether there is one left.
pub fn decide_found<'a>(
    found: Found<'a>,
    asked: &Asked<'a>,
    now_ms: impl FnOnce() -> u64,
    take_click: impl FnOnce(u64, u64) -> bool,
) -> Decision<'a> {
    let Found { link, has_query } = found;
    if link.terms.is_empty() && asked.entry.is_none() {
        // Most links.
        let answer = Location::Target(link.target);
        return active(link.status, answer, Caching::Default, b"", Click::Detailed);
    }
    let terms = Terms::decode(link.terms);
    if terms.is_disabled {
        return withheld(asked, Counter::Disabled);
    }
    let mut left_ms = None;
    if terms.not_before_ms.is_some() || terms.expires_at_ms.is_some() {
        let now_ms = now_ms();
        left_ms = terms.expires_at_ms.map(|end| end.saturating_sub(now_ms));
        if left_ms == Some(0) {
            return over(&terms, asked, Counter::Expired);
        }
        if terms.not_before_ms.is_some_and(|begin| now_ms < begin) {
            return withheld(asked, Counter::Scheduled);
        }
    }
    if terms.max_clicks.is_some_and(|max| !take_click(link.id, max.get())) {
        return over(&terms, asked, Counter::UsedUp);
    }
    let settings = asked.settings();
    let policy = terms.query_policy.or(settings.map(|settings| settings.query_policy)).unwrap_or_default();
    let location = match policy {
        // A link that is keyed with the query has taken it.
        _ if has_query => Location::Target(link.target),
        QueryPolicy::Drop => Location::Target(link.target),
        QueryPolicy::Forward => with_query(link.target, asked, QueryMode::Forward),
        QueryPolicy::Merge => with_query(link.target, asked, QueryMode::Merge),
    };
    let is_permanent = RedirectStatus::try_from(link.status).map_or(true, RedirectStatus::is_permanent);
    let caching = match terms.max_clicks {
        // Each click has to come here to be counted.
        Some(_) => Caching::NoStore,
        None => until(kept(terms.cache_control, settings, is_permanent), left_ms, settings, is_permanent),
    };
    let click = if terms.is_untracked { Click::Counted } else { Click::Detailed };
    active(link.status, location, caching, asked.fields(), click)
}

/// Decides about a request that finds no link.
pub fn decide_not_found<'a>(asked: &Asked<'a>) -> Decision<'a> {
    let caching = || kept(None, asked.settings(), false);
    if let Some(fallback) = asked.fallback {
        let base = fallback.as_str().as_bytes();
        let location = Location::WithPath { base, path: asked.path, query: asked.query };
        elsewhere(location, caching(), asked, Counter::Fallback)
    } else if let Some(target) = asked.not_found_target {
        elsewhere(Location::Target(target.as_str().as_bytes()), caching(), asked, Counter::NotFound)
    } else {
        not_found(Counter::NotFound)
    }
}

/// The answer of a link as it is meant.
fn active<'a>(status: u16, location: Location<'a>, caching: Caching, fields: &'a [u8], click: Click) -> Decision<'a> {
    match RedirectStatus::try_from(status) {
        Ok(status) => {
            let answer = Answer::Redirect { status, location, caching, fields };
            Decision { answer, counter: Counter::Redirects, click }
        }
        // A link that is no redirect is gone: there is no third.
        Err(_) => Decision { click, ..gone(caching, Counter::Gone) },
    }
}

/// The answer of a link that is not shown: as if it were not there. No fallback, since the path is known; and it is
/// not kept, since the link may be shown at any moment.
fn withheld<'a>(asked: &Asked<'a>, counter: Counter) -> Decision<'a> {
    match asked.not_found_target {
        Some(target) => elsewhere(Location::Target(target.as_str().as_bytes()), Caching::NoStore, asked, counter),
        None => not_found(counter),
    }
}

fn not_found<'a>(counter: Counter) -> Decision<'a> {
    Decision { answer: Answer::error(ErrorStatus::NotFound), counter, click: Click::None }
}

/// The answer of a link whose time or clicks are over. It is not kept: both may be extended.
fn over<'a>(terms: &Terms<'a>, asked: &Asked<'a>, counter: Counter) -> Decision<'a> {
    match terms.expired_target {
        Some(target) => elsewhere(Location::Target(target), Caching::NoStore, asked, counter),
        None => gone(Caching::NoStore, counter),
    }
}

/// A redirect that no link asks for.
fn elsewhere<'a>(location: Location<'a>, caching: Caching, asked: &Asked<'a>, counter: Counter) -> Decision<'a> {
    let answer = Answer::Redirect { status: RedirectStatus::Found, location, caching, fields: asked.fields() };
    Decision { answer, counter, click: Click::None }
}

fn gone<'a>(caching: Caching, counter: Counter) -> Decision<'a> {
    let answer = Answer::Error { status: ErrorStatus::Gone, caching, fields: b"" };
    Decision { answer, counter, click: Click::None }
}

fn with_query<'a>(target: &'a [u8], asked: &Asked<'a>, mode: QueryMode) -> Location<'a> {
    Location::WithQuery { target, query: asked.query, mode }
}

/// How long an answer is kept: what the link says, else its host, else as usual.
fn kept(link: Option<CacheControl>, settings: Option<&HostSettings>, is_permanent: bool) -> Caching {
    let of_host = settings.and_then(|settings| match is_permanent {
        true => settings.permanent_cache_control,
        false => settings.temporary_cache_control,
    });
    match link.or(of_host) {
        None => Caching::Default,
        Some(CacheControl::NoStore) => Caching::NoStore,
        Some(CacheControl::NoCache) => Caching::NoCache,
        Some(CacheControl::MaxAge { public, max_age_s }) => {
            Caching::MaxAge { public, max_age_s, jitter_percent: jitter_percent(settings) }
        }
    }
}

/// The same, but not past the end of the link.
fn until(caching: Caching, left_ms: Option<u64>, settings: Option<&HostSettings>, is_permanent: bool) -> Caching {
    let Some(left_ms) = left_ms else { return caching };
    let left_s = u32::try_from(left_ms / 1_000).unwrap_or(u32::MAX);
    match caching {
        Caching::Default if is_permanent && left_s < PERMANENT_MAX_AGE_S => {
            Caching::MaxAge { public: true, max_age_s: left_s, jitter_percent: jitter_percent(settings) }
        }
        Caching::Default if !is_permanent && left_s < TEMPORARY_MAX_AGE_S => {
            Caching::MaxAge { public: false, max_age_s: left_s, jitter_percent: 0 }
        }
        Caching::MaxAge { public, max_age_s, jitter_percent } => {
            Caching::MaxAge { public, max_age_s: max_age_s.min(left_s), jitter_percent }
        }
        Caching::Default | Caching::NoStore | Caching::NoCache => caching,
    }
}

fn jitter_percent(settings: Option<&HostSettings>) -> u8 {
    settings.map_or(HostSettings::DEFAULT_JITTER, |settings| settings.cache_jitter).get()
}

#[cfg(test)]
mod tests;
