//! Requests and what a worker answers them with: the data plane's own [`Responder`], without sockets and runtime.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use carom::cache::CachedLink;
use carom::clicks::{ClicksConfig, Guest, Recorder};
use carom::clock::unix_time_ms;
use carom::data_plane::{Now, Peer, Responder, Stop, count_click};
use carom::engine::{
    Asked, Click, Engine, EngineConfig, Found, HeldTables, OwnedEngine, ReadPath, ReadReply, Resolved, decide_found,
    resolve,
};
use carom::http1::{self, Answer, Context, FieldCache, Parse, RedirectStatus, Request, imf_fixdate};
use carom::limits::LOCAL_CACHE_ENTRIES;
use carom::link::{Action, Command, Destination, LinkKey, Precondition, RequestKey, Status, Target};
use carom::store::{StoreError, StoreKind};
use carom::telemetry::Counter;

/// How many links there are. Few enough for the worker's own cache, and too many for all to be on the same line.
pub(crate) const LINKS: usize = 256;

/// The host of all links.
const HOST: &str = "go.example.com";

/// The path of a link.
fn path(number: usize) -> String {
    format!("/spring-{number:04}")
}

/// The key of a link.
pub(crate) fn key(number: usize) -> String {
    format!("{HOST}{}", path(number))
}

/// The target of a link.
pub(crate) fn target(number: usize) -> String {
    format!("https://www.example.com/articles/2026/spring-collection-{number:04}")
}

/// The request of a browser that follows a link.
pub(crate) fn browser_request(number: usize) -> String {
    format!(
        "GET {} HTTP/1.1\r\n\
         Host: {HOST}\r\n\
         Connection: keep-alive\r\n\
         sec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\", \"Google Chrome\";v=\"128\"\r\n\
         sec-ch-ua-mobile: ?0\r\n\
         sec-ch-ua-platform: \"Windows\"\r\n\
         Upgrade-Insecure-Requests: 1\r\n\
         User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/128.0.0.0 Safari/537.36\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n\
         Sec-Fetch-Site: cross-site\r\n\
         Sec-Fetch-Mode: navigate\r\n\
         Sec-Fetch-User: ?1\r\n\
         Sec-Fetch-Dest: document\r\n\
         Referer: https://news.example.org/2026/11/spring\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\n\
         Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
         \r\n",
        path(number)
    )
}

/// An engine on a fresh directory, with [`LINKS`] links, that counts clicks with their details, as is usual.
pub(crate) fn engine(data: &Path) -> OwnedEngine {
    // Unlike sled it has no threads that wake by themselves.
    let store = Some(StoreKind::Fjall);
    let usual = EngineConfig::new(data.join("data"));
    let clicks = Some(ClicksConfig::new(usual.clicks_dir()));
    let config = EngineConfig { cache_bytes: 16 << 20, store, clicks, ..usual };
    let (engine, _) = OwnedEngine::open(&config).expect("a fresh directory can be opened");
    let put = |number: usize| {
        let target = Target::parse(&target(number)).expect("it is a URL");
        let destination = Destination::new(Status::Found, Some(target)).expect("a redirect has a target");
        let key = LinkKey::parse(&key(number)).expect("it is a key");
        Command { key, action: Action::Put(destination), precondition: Precondition::None }
    };
    engine.engine().submit(None, (0..LINKS).map(put).collect()).expect("links can be created");
    engine
}

/// One worker, and the guest on its one connection.
pub(crate) struct Hits {
    responder: Responder,
    peer: Peer,
    parts: Parts,
}

/// What the parts by themselves work on.
struct Parts {
    key: RequestKey,
    path: ReadPath,
    tables: HeldTables,
    recorder: Recorder,
    guest: Guest,
    date: [u8; 29],
}

struct Reply(crossbeam_channel::Sender<Result<CachedLink, StoreError>>);

impl ReadReply for Reply {
    fn deliver(&self, _: u64, result: Result<CachedLink, StoreError>) {
        let _ = self.0.send(result);
    }

    // Receiving wakes.
    fn wake(&self) {}
}

impl Hits {
    /// A worker whose own cache is empty.
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        let guest = || Guest::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
        let parts = Parts {
            key: RequestKey::default(),
            path: engine.read_path(LOCAL_CACHE_ENTRIES),
            tables: engine.held_tables(),
            recorder: engine.recorder(),
            guest: guest(),
            date: imf_fixdate(unix_time_ms() / 1_000),
        };
        Hits { responder: Responder::new(engine), peer: Peer::new(guest()), parts }
    }

    /// Has the store read what the caches lack for these requests, into both.
    pub(crate) fn fill(&mut self, engine: &Arc<Engine>, inputs: &[String]) {
        let pool = engine.reader_pool(1).expect("a thread can be started");
        for input in inputs {
            let mut fetched = Vec::new();
            let request = request(input);
            while let Err(miss) = self.responder.answer(&request, &mut self.peer.guest, &fetched, &mut Vec::new()) {
                let (reply, answer) = crossbeam_channel::bounded(1);
                assert!(pool.read(miss.clone(), 0, Arc::new(Reply(reply))).is_ok(), "the queue is empty");
                let link = answer.recv().expect("each read is answered").expect("the store can be read");
                self.responder.remember(&miss, link.clone());
                fetched.push(link);
            }
            let parts = &mut self.parts;
            parts.key.set(request.host, request.path, request.query);
            let host = parts.tables.get().view(parts.key.host());
            let found = resolve(&mut parts.path.lookup(&fetched), &mut parts.key, &host, |_| ());
            assert!(found.is_ok(), "the shared cache has it by now");
        }
    }

    /// Answers all requests of the input. False if something was not in the caches.
    pub(crate) fn answer(&mut self, input: &[u8], output: &mut Vec<u8>) -> bool {
        let (consumed, stop) = self.responder.answer_all(input, false, &mut self.peer, output);
        matches!(stop, Stop::Partial) && consumed == input.len()
    }

    /// Hands over the clicks, as a worker does twice a second.
    pub(crate) fn hand_over_clicks(&mut self) {
        self.responder.hand_over_clicks();
    }

    /// How many redirects were counted.
    pub(crate) fn redirects(&self) -> u64 {
        self.responder.counters().get(Counter::Redirects)
    }
}

// None of these is inlined, since the profiler goes by their names.

/// Rounds after which the clicks are handed over: what a busy worker answers in half a second.
const ROUNDS_PER_HAND_OVER: usize = 200;

/// All of it, for each request.
#[inline(never)]
pub(crate) fn whole(hits: &mut Hits, inputs: &[String], rounds: usize) {
    let mut output = Vec::with_capacity(1 << 10);
    for round in 1..=rounds {
        if round % ROUNDS_PER_HAND_OVER == 0 {
            hits.hand_over_clicks();
        }
        for input in inputs {
            output.clear();
            assert!(hits.answer(black_box(input.as_bytes()), &mut output), "it is in the worker's own cache");
            black_box(&output);
        }
    }
}

/// Bytes to a request, of a connection that has sent these fields before.
#[inline(never)]
pub(crate) fn parse(_: &mut Hits, inputs: &[String], rounds: usize) {
    let mut fields = FieldCache::default();
    for _ in 0..rounds {
        for input in inputs {
            black_box(http1::parse_next(black_box(input.as_bytes()), &mut fields));
        }
    }
}

/// Bytes to the first request of a connection.
#[inline(never)]
pub(crate) fn first_parse(_: &mut Hits, inputs: &[String], rounds: usize) {
    for _ in 0..rounds {
        for input in inputs {
            black_box(http1::parse(black_box(input.as_bytes())));
        }
    }
}

/// A request to the link that answers it: [`find`], without what comes before it.
pub(crate) fn find_all(hits: &mut Hits, inputs: &[String], rounds: usize) {
    find(&mut hits.parts, &requests(inputs), rounds);
}

#[inline(never)]
fn find(parts: &mut Parts, requests: &[Request<'_>], rounds: usize) {
    let Parts { key, path, tables, .. } = parts;
    for _ in 0..rounds {
        for request in requests {
            let request = black_box(request);
            key.set(request.host, request.path, request.query);
            let host = tables.get().view(key.host());
            let found = resolve(&mut path.lookup(&[]), key, &host, |found| {
                black_box(found);
            });
            assert!(found.is_ok(), "it is in the worker's own cache");
        }
    }
}

/// A link to the answer that it gives: [`decide`].
pub(crate) fn decide_all(hits: &mut Hits, inputs: &[String], rounds: usize) {
    decide(&mut hits.parts, &requests(inputs), rounds);
}

#[inline(never)]
fn decide(parts: &mut Parts, requests: &[Request<'_>], rounds: usize) {
    let link = CachedLink::present(b"go.example.com/spring", 1, 302, b"https://www.example.com/articles/2026", false);
    let Some(view) = link.link() else { panic!("it is there") };
    let Parts { key, tables, .. } = parts;
    key.set(Some(HOST.as_bytes()), b"/spring", None);
    let host = tables.get().view(key.host());
    for _ in 0..rounds {
        for request in requests {
            let asked = Asked::new(key, &host, request.path, request.query);
            let found = Found { link: black_box(view), has_query: false };
            black_box(decide_found(found, &asked, unix_time_ms, |_, _| true));
        }
    }
}

/// An answer to bytes: [`encode`].
pub(crate) fn encode_all(hits: &mut Hits, inputs: &[String], rounds: usize) {
    encode(&hits.parts, &requests(inputs), rounds);
}

#[inline(never)]
fn encode(parts: &Parts, requests: &[Request<'_>], rounds: usize) {
    let target = b"https://www.example.com/articles/2026/spring-collection-0001";
    let mut output = Vec::with_capacity(1 << 10);
    for _ in 0..rounds {
        for request in requests {
            output.clear();
            let answer = Answer::Redirect {
                status: RedirectStatus::Found,
                location: http1::Location::Target(black_box(target)),
                caching: http1::Caching::Default,
                fields: b"",
            };
            http1::encode(&mut output, &answer, &Context::of(request, &parts.date, 7));
            black_box(&output);
        }
    }
}

/// A click on a link that was found, which it is before each; the part is [`count`].
pub(crate) fn click(hits: &mut Hits, inputs: &[String], rounds: usize) {
    let requests = requests(inputs);
    for _ in 0..rounds {
        for request in &requests {
            let Parts { key, path, tables, .. } = &mut hits.parts;
            key.set(request.host, request.path, request.query);
            let host = tables.get().view(key.host());
            let found = resolve(&mut path.lookup(&[]), key, &host, |_| ());
            let Ok(Resolved::Link(())) = found else { panic!("it is in the worker's own cache") };
            count(&mut hits.parts, black_box(request));
        }
    }
}

#[inline(never)]
fn count(parts: &mut Parts, request: &Request<'_>) {
    let Parts { recorder, path, guest, .. } = parts;
    count_click(recorder, path, request, guest, Click::Detailed, &mut Now::default());
}

fn requests(inputs: &[String]) -> Vec<Request<'_>> {
    inputs.iter().map(|input| request(input)).collect()
}

fn request(input: &str) -> Request<'_> {
    match http1::parse(input.as_bytes()) {
        Parse::Request { request, .. } => request,
        other => panic!("not one whole request: {other:?}"),
    }
}
