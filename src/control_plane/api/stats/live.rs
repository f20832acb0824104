//! Clicks as they come: server-sent events (WHATWG HTML §9.2).

use std::fmt::Write;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::super::Api;
use super::super::answer::Answer;
use super::super::caller::Caller;
use super::super::parameters::InQuery;
use super::super::places::Places;
use super::super::problem::Problem;
use super::super::stream::{ClientGone, Closing, LineSink, streamed};
use super::super::submit::single;
use super::super::time;
use super::disguise::{disguise, reveal};
use super::{counted, subject};
use crate::clicks::{Country, Device, Event, Language, Stats};
use crate::clock::unix_time_ms;
use crate::link::{Host, LinkKey, Scope};

static OPEN: Places = Places::new("live feeds", 64, 16);

/// How often it is looked for more, as often as workers hand over what they counted.
const PAUSE: Duration = Duration::from_millis(500);

/// After so long without an event something is sent all the same, so that nothing in between takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a client is to wait before it connects again, in milliseconds.
const RETRY_MS: u32 = 2_000;

/// Most events that are taken at once.
const EVENTS: usize = 1_024;

/// Events are sent together up to about so many bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Most chunks that wait for the client: one that takes none is to miss events, and not to have them kept for it.
const CHUNKS: usize = 1;

/// Tells the events of this process from those of another one, whose numbers begin anew: 16 hexadecimal digits of chance.
static RUN: LazyLock<String> = LazyLock::new(|| {
    // Where the system has no randomness, the time has to do.
    let run = getrandom::u64().unwrap_or_else(|_| unix_time_ms());
    format!("{run:016x}")
});

/// The field in which a client says what it has seen.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Which clicks. At most one of these; without any, all that the token may see.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it only describes")]
struct FeedParameters {
    /// Of this link, by its key
    #[param(min_length = 1, required = false, nullable = false, example = "go.example/spring")]
    key: String,
    /// Of the links on this host; `*` is those of any host
    #[param(min_length = 1, required = false, nullable = false)]
    host: String,
}

/// From where on.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it only describes")]
struct FromEvent {
    /// The `id` of the last event that was seen; without it, the feed begins with what comes from now on
    #[param(rename = "Last-Event-ID", pattern = "^[0-9a-f]{16}-[0-9]{1,15}$", required = false, nullable = false)]
    last_event_id: String,
}

/// What is told of a click: `data` of an event `click`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LiveClick)]
pub(crate) struct ClickJson<'a> {
    /// When.
    #[schema(format = "date-time")]
    time: String,
    /// The key of the link.
    key: &'a str,
    /// Who clicked: `human`, `bot` or `preview`.
    class: &'static str,
    /// The host of the referring page; null where it is not said.
    #[schema(required)]
    referrer: Option<&'a str>,
    /// Two letters of ISO 3166-1; null where it is not known.
    #[schema(required)]
    country: Option<&'a str>,
    /// `desktop`, `phone`, `tablet` or `other`; null where it is not known.
    #[schema(required)]
    device: Option<&'static str>,
    /// The primary subtag of a language (RFC 5646); null where it is not known.
    #[schema(required)]
    language: Option<&'a str>,
    /// For how many clicks it stands: when more is clicked than can be told, some stand for others.
    #[schema(minimum = 1)]
    weight: u32,
}

impl<'a> ClickJson<'a> {
    /// Of an event, without who it was.
    fn of(event: &'a Event) -> Self {
        let Event { key, detail, .. } = event;
        let Country(country) = &detail.country;
        let Language(language) = &detail.language;
        ClickJson {
            time: time::text(detail.time_ms),
            key,
            class: detail.class.name(),
            referrer: Some(&*detail.referrer).filter(|referrer| !referrer.is_empty()),
            country: letters(country),
            device: device_name(detail.device),
            language: letters(language),
            weight: detail.weight,
        }
    }
}

/// What stands before the zeros; None if that is nothing.
fn letters(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).ok().filter(|text| !text.is_empty())
}

fn device_name(device: Device) -> Option<&'static str> {
    match device {
        Device::Unknown => None,
        Device::Desktop => Some("desktop"),
        Device::Phone => Some("phone"),
        Device::Tablet => Some("tablet"),
        Device::Other => Some("other"),
    }
}

/// Which clicks are told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    /// Of the hosts that the caller may see.
    All,
    Host(Host),
    /// By its canonical key.
    Link(String),
}

impl Which {
    fn holds(&self, key: &str, caller: &Caller) -> bool {
        let host = key.split_once('/').map_or(key, |(host, _)| host);
        caller.may_see(host)
            && match self {
                Which::All => true,
                Which::Host(only) => only.as_str() == host,
                Which::Link(only) => only == key,
            }
    }
}

/// The `id` of an event.
#[derive(Debug, PartialEq, Eq)]
struct EventId {
    run: String,
    number: u64,
}

impl EventId {
    fn parse(text: &str) -> Option<Self> {
        let (run, number) = text.split_once('-')?;
        let is_run = run.len() == 16 && run.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_number = (1..=15).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse().ok().filter(|_| is_run && is_number)?;
        Some(EventId { run: run.to_owned(), number })
    }
}

/// Behind which event a feed of this run begins. Behind one of another run come all that are kept.
fn begin(seen: Option<EventId>, run: &str, newest: u64) -> u64 {
    match seen {
        Some(seen) if seen.run == run && seen.number <= newest => seen.number,
        Some(_) => 0,
        None => newest,
    }
}

/// The number of the newest event; 0 if there is none.
fn newest(stats: &Stats) -> u64 {
    let mut newest = 0;
    loop {
        let events = stats.events_after(newest, EVENTS);
        newest = events.last().map_or(newest, |event| event.number);
        if events.len() < EVENTS {
            return newest;
        }
    }
}

/// Events as they are sent, as many as are sent together, and the number of the last one. That some are not known any
/// more is said, too; how many, only if the caller may know of those of whatever host: then `is_numbered`. Else the ids
/// tell nothing of it either.
fn render(events: &[Event], run: &str, after: u64, is_numbered: bool, holds: impl Fn(&str) -> bool) -> (String, u64) {
    let mut text = String::new();
    let mut last = after;
    for event in events {
        if text.len() >= CHUNK_BYTES {
            break;
        }
        // Writing to a text does not fail.
        if last > 0 && event.number > last + 1 {
            let missed = if is_numbered { (event.number - last - 1).to_string() } else { "null".to_owned() };
            let _ = write!(text, "event: missed\ndata: {{\"events\":{missed}}}\n\n");
        }
        last = last.max(event.number);
        if holds(&event.key) {
            let data = serde_json::to_string(&ClickJson::of(event)).expect("it is JSON");
            let number = if is_numbered { event.number } else { disguise(event.number) };
            let _ = write!(text, "id: {run}-{number}\nevent: click\ndata: {data}\n\n");
        }
    }
    (text, last)
}

/// Clicks as they come
///
/// Server-sent events (WHATWG HTML §9.2): `id` names the run of the server and the event, `event` is `click`, and `data` is an object on one line. A client that
/// says with `Last-Event-ID` what it saw last gets what came since, as far as about a thousand events are kept. An event `missed` with
/// `{"events": N}` says that so many, of whatever link, are not known any more, or came faster than they were taken; for tokens that are restricted to
/// hosts N is null. HEAD requests are not told. After 15 seconds without an event a
/// comment is sent. The feed ends when the token does not hold any more, and when the server stops.
#[utoipa::path(
    get, path = "/v1/stats/live", tag = "stats", operation_id = "followClicks",
    params(FeedParameters, FromEvent),
    responses(
        (status = 200, description = "Events; `data` of each `click` is a `LiveClick`", content_type = "text/event-stream", body = String),
        (status = 404, description = "There is no such link", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Clicks are not counted", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "64 live feeds are under way, or 16 of this token", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn live(
    State(api): State<Arc<Api>>,
    caller: Caller,
    closing: Option<Extension<Closing>>,
    fields: HeaderMap,
    mut query: InQuery,
) -> Answer {
    caller.require(Scope::Read)?;
    let key = query.parse("key", LinkKey::parse);
    let host = query.parse("host", Host::parse);
    if let Some(key) = &key {
        caller.require_for(Scope::Read, key.host())?;
    }
    if let Some(host) = &host {
        caller.require_for(Scope::Read, host.as_str())?;
    }
    if key.is_some() && host.is_some() {
        query.fail("host", serde_json::Value::Null, "only one of key and host can be given");
    }
    // A browser that never saw one sends none.
    let seen = single(&fields, &LAST_EVENT_ID)?.and_then(|text| {
        let seen = EventId::parse(&text);
        if seen.is_none() {
            query.fail("Last-Event-ID", text, "the `id` of an event is expected, as the feed gave it");
        }
        seen
    });
    let seen = seen.map(|EventId { run, number }| match caller.hosts() {
        None => EventId { run, number },
        // What was not given out is above all that there are.
        Some(_) => EventId { run, number: reveal(number).unwrap_or(u64::MAX) },
    });
    query.finish()?;
    let place = OPEN.take(caller.actor())?;
    let (which, after) = api
        .blocking(move |engine| {
            let stats = counted(engine)?;
            let which = match (key, host) {
                (Some(key), _) => Which::Link(subject::link(engine, &key)?.key.as_str().to_owned()),
                (None, Some(host)) => Which::Host(host),
                (None, None) => Which::All,
            };
            Ok::<_, Problem>((which, begin(seen, &RUN, newest(stats))))
        })
        .await?;
    let (mut response, mut sink) = streamed(&caller, "text/event-stream", CHUNKS);
    // Proxies that gather answers would hold it back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    tokio::spawn(async move {
        let _place = place;
        let mut closing = closing.map(|Extension(closing)| closing);
        tokio::select! {
            // If the client has gone, there is nobody to tell that it ended.
            _ = send(&api, &caller, &which, after, &mut sink) => {}
            () = stopped(&mut closing) => {}
        }
        sink.end().await;
    });
    Ok(response)
}

async fn stopped(closing: &mut Option<Closing>) {
    match closing {
        Some(closing) => closing.begun().await,
        None => std::future::pending().await,
    }
}

/// Sends events until the caller may not have them any more.
///
/// # Errors
/// If the caller has gone.
async fn send(api: &Api, caller: &Caller, which: &Which, after: u64, sink: &mut LineSink) -> Result<(), ClientGone> {
    let mut last = after;
    let mut sent = Instant::now();
    write(sink, &format!("retry: {RETRY_MS}\n\n")).await?;
    loop {
        if caller.check_holds(&api.engine.tables()).is_err() {
            return Ok(());
        }
        let events = api.blocking(move |engine| counted(engine).map(|stats| stats.events_after(last, EVENTS))).await;
        let Ok(events) = events else { return Ok(()) };
        let is_numbered = caller.hosts().is_none();
        let (text, number) = render(&events, &RUN, last, is_numbered, |key| which.holds(key, caller));
        last = number;
        let is_all = events.len() < EVENTS && events.last().is_none_or(|event| event.number == last);
        if !text.is_empty() {
            write(sink, &text).await?;
            sent = Instant::now();
        } else if sent.elapsed() >= HEARTBEAT {
            write(sink, ":\n\n").await?;
            sent = Instant::now();
        }
        if is_all {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = sink.gone() => return Err(ClientGone),
            }
        }
    }
}

async fn write(sink: &mut LineSink, text: &str) -> Result<(), ClientGone> {
    sink.write_raw(text.as_bytes()).await?;
    sink.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clicks::{Detail, VisitClass, Visitor};

    const RUN_OF_TESTS: &str = "0123456789abcdef";

    fn event(number: u64, key: &str) -> Event {
        let detail = Detail {
            link: 7,
            time_ms: 1_795_332_600_250,
            class: VisitClass::Human,
            weight: 3,
            referrer: "news.example".into(),
            country: Country(*b"DE"),
            device: Device::Phone,
            language: Language(*b"de\0"),
            visitor: Some(Visitor(0xdead_beef)),
        };
        Event { number, key: key.into(), detail }
    }

    #[test]
    fn an_event_is_told_without_who_it_was() {
        let (text, last) = render(&[event(8, "go.example/sale")], RUN_OF_TESTS, 7, true, |_| true);
        assert_eq!(last, 8);
        assert_eq!(
            text,
            "id: 0123456789abcdef-8\nevent: click\ndata: {\"time\":\"2026-11-22T07:30:00.250Z\",\"key\":\"go.example/sale\",\
             \"class\":\"human\",\"referrer\":\"news.example\",\"country\":\"DE\",\"device\":\"phone\",\
             \"language\":\"de\",\"weight\":3}\n\n"
        );
        let mut unknown = event(9, "*/a");
        unknown.detail.country = Country::default();
        unknown.detail.language = Language::default();
        unknown.detail.device = Device::Unknown;
        unknown.detail.referrer = "".into();
        let (text, _) = render(&[unknown], RUN_OF_TESTS, 8, true, |_| true);
        assert!(text.contains(r#""referrer":null,"country":null,"device":null,"language":null"#), "{text}");
    }

    #[test]
    fn what_is_not_known_any_more_is_said() {
        let both = [event(11, "a.example/a"), event(12, "b.example/b")];
        let (text, last) = render(&both, RUN_OF_TESTS, 5, true, |key| key.starts_with('b'));
        assert!(text.starts_with("event: missed\ndata: {\"events\":5}\n\nid: 0123456789abcdef-12\n"), "{text}");
        assert_eq!((last, text.matches("event: click").count()), (12, 1));
        // Whoever begins with the first that are known misses nothing.
        assert!(!render(&both, RUN_OF_TESTS, 0, true, |_| true).0.contains("missed"));
        assert_eq!(render(&[], RUN_OF_TESTS, 5, true, |_| true), (String::new(), 5));
        // How much is clicked on other hosts is not for everybody.
        let (text, _) = render(&both, RUN_OF_TESTS, 5, false, |_| true);
        assert!(text.starts_with("event: missed\ndata: {\"events\":null}\n\n"), "{text}");
        let id = EventId::parse(text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap()).unwrap();
        assert_eq!((id.number == 11, reveal(id.number)), (false, Some(11)));
    }

    #[test]
    fn a_feed_goes_on_where_it_was_also_after_a_restart() {
        let seen = |run: &str, number| Some(EventId { run: run.to_owned(), number });
        let begin = |seen, newest| begin(seen, RUN_OF_TESTS, newest);
        assert_eq!((begin(None, 40), begin(None, 0)), (40, 0));
        assert_eq!((begin(seen(RUN_OF_TESTS, 30), 40), begin(seen(RUN_OF_TESTS, 41), 40)), (30, 0));
        // The same number of another run is another event.
        assert_eq!(begin(seen("fedcba9876543210", 30), 40), 0);
    }

    #[test]
    fn an_id_is_one_that_was_given() {
        let id = EventId { run: RUN_OF_TESTS.to_owned(), number: 7 };
        assert_eq!(EventId::parse("0123456789abcdef-7"), Some(id));
        assert!(EventId::parse(&format!("{}-1", *RUN)).is_some());
        for wrong in ["", "7", "-7", "0123456789abcdef-", "0123456789ABCDEF-7", "0123456789abcdef-+7", "x-7"] {
            assert_eq!(EventId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn much_is_sent_in_parts() {
        let key = format!("go.example/{}", "k".repeat(2_000));
        let events: Vec<Event> = (1..=100).map(|number| event(number, &key)).collect();
        let (mut sent, mut last) = (0, 0);
        while last < 100 {
            let (text, number) = render(&events[last as usize..], RUN_OF_TESTS, last, true, |_| true);
            assert!(number > last && text.len() < CHUNK_BYTES + 4_096, "{number}: {}", text.len());
            sent += text.matches("event: click").count();
            last = number;
        }
        assert_eq!(sent, 100);
    }

    #[test]
    fn a_link_or_a_host_is_all_that_is_told() {
        let local = Caller::Local;
        let host = Which::Host(Host::parse("go.example").unwrap());
        assert!(host.holds("go.example/a", &local) && !host.holds("go.example.org/a", &local));
        let link = Which::Link("go.example/a".to_owned());
        assert!(link.holds("go.example/a", &local) && !link.holds("go.example/ab", &local));
        assert!(Which::All.holds("*/a", &local));
    }
}
