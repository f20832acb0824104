//! From requests to answers: parse, resolve, decide, encode, count. No I/O, and nothing of the runtime: what a request
//! costs beside those is all here, and can be measured by itself.

use std::sync::Arc;

use crate::cache::CachedLink;
use crate::clicks::{Guest, Recorder, VisitClass, Visitor};
use crate::clock::unix_time_ms;
use crate::engine::{
    Asked, Click, Decision, Engine, HeldTables, Miss, ReadPath, Resolved, decide_found, decide_not_found, resolve,
};
use crate::http1::{self, Answer, Context, ErrorStatus, FieldCache, Method, Parse, Request, imf_fixdate};
use crate::limits::{LOCAL_CACHE_ENTRIES, OUTPUT_BYTES};
use crate::link::RequestKey;
use crate::telemetry::{Counter, LocalCounters, SharedCounters};

/// How many links that have left the worker's cache wait with their clicks until it takes those over.
const GONE_LINKS: usize = 4_096;

/// Answers the requests of one worker. It belongs to one thread: nothing here is shared or locked, and an answer that the
/// worker's own cache knows writes to no memory that another thread reads (I4).
pub struct Responder {
    engine: Arc<Engine>,
    key: RequestKey,
    path: ReadPath,
    tables: HeldTables,
    recorder: Recorder,
    encoder: Encoder,
    now: Now,
}

/// What is kept of a connection from one request to the next.
pub struct Peer {
    /// Who is at the other end.
    pub guest: Guest,
    fields: FieldCache,
}

impl Peer {
    /// Of a connection that has sent nothing yet.
    pub fn new(guest: Guest) -> Self {
        Peer { guest, fields: FieldCache::default() }
    }
}

/// Why a responder has stopped.
#[derive(Debug)]
pub enum Stop<'i> {
    /// All is answered, or what is left is not yet a whole request.
    Partial,
    /// There is so much to write that it should be written first.
    Full,
    /// This request, the last that was consumed, needs the store before it can be [answered](Responder::answer).
    Miss(Box<(Request<'i>, Miss)>),
    /// The connection ends with the last answer.
    Ends(End),
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client sends no more.
    Close,
    /// The client may still be sending. Were the connection closed at once, the kernel would reset it, and the answer
    /// could be lost (RFC 9112 §9.6).
    Linger,
}

impl Responder {
    /// A responder whose own cache is empty.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Responder {
            key: RequestKey::default(),
            path: engine.read_path(LOCAL_CACHE_ENTRIES),
            tables: engine.held_tables(),
            recorder: engine.recorder(),
            encoder: Encoder { counters: LocalCounters::default(), date: date_now(), jitter: 0 },
            engine: Arc::clone(engine),
            now: Now::default(),
        }
    }

    /// Answers the requests in `input`, which come from one peer, until it must stop; says how many bytes it has
    /// consumed. `is_draining` makes the first of them the last of the connection.
    pub fn answer_all<'i>(
        &mut self,
        input: &'i [u8],
        is_draining: bool,
        peer: &mut Peer,
        output: &mut Vec<u8>,
    ) -> (usize, Stop<'i>) {
        self.now = Now::default();
        let mut consumed = 0;
        let stop = loop {
            if consumed == input.len() {
                break Stop::Partial;
            }
            if output.len() >= OUTPUT_BYTES {
                break Stop::Full;
            }
            match http1::parse_next(&input[consumed..], &mut peer.fields) {
                Parse::Partial => break Stop::Partial,
                Parse::Request { mut request, consumed: bytes } => {
                    consumed += bytes;
                    request.keep_alive &= !is_draining;
                    if let Err(miss) = self.answer_now(&request, &mut peer.guest, &[], output) {
                        break Stop::Miss(Box::new((request, miss)));
                    }
                    if let Some(end) = end_after(&request, consumed < input.len() || is_draining) {
                        break Stop::Ends(end);
                    }
                }
                Parse::Reject(status) => {
                    self.encoder.counters.add(Counter::Rejected);
                    self.encode_last(status, output);
                    break Stop::Ends(End::Linger);
                }
            }
        };
        // Before the client has a chance to be gone.
        self.relieve_clicks();
        (consumed, stop)
    }

    /// Answers a request, if the caches, or what was fetched for it, know the answer. Then the answer is appended, and
    /// counted.
    ///
    /// # Errors
    /// What the store must be asked for.
    pub fn answer(
        &mut self,
        request: &Request<'_>,
        guest: &mut Guest,
        fetched: &[CachedLink],
        output: &mut Vec<u8>,
    ) -> Result<(), Miss> {
        self.now = Now::default();
        self.answer_now(request, guest, fetched, output)
    }

    fn answer_now(
        &mut self,
        request: &Request<'_>,
        guest: &mut Guest,
        fetched: &[CachedLink],
        output: &mut Vec<u8>,
    ) -> Result<(), Miss> {
        let refused = match request.method {
            Method::Get | Method::Head => None,
            Method::NotAllowed => Some(ErrorStatus::MethodNotAllowed),
            Method::NotImplemented => Some(ErrorStatus::NotImplemented),
        };
        if let Some(status) = refused {
            self.refuse(request, status, Counter::MethodsRefused, output);
            return Ok(());
        }
        let Responder { engine, key, path, tables, recorder, encoder, now } = self;
        key.set(request.host, request.path, request.query);
        let host = tables.get().view(key.host());
        let asked = Asked::new(key, &host, request.path, request.query);
        // People take a click. Programs, and HEAD, look whether one is left, and take none.
        let take_click = |recorder: &mut Recorder, id, max| match visit_class(recorder, request) {
            VisitClass::Human => engine.uses().take(id, max),
            VisitClass::Bot | VisitClass::Preview | VisitClass::Head => engine.uses().has_left(id, max),
        };
        let resolved = resolve(&mut path.lookup(fetched), key, &host, |found| {
            let decision = decide_found(found, &asked, || now.unix_ms(), |id, max| take_click(recorder, id, max));
            encoder.encode_decision(request, &decision, output);
            decision.click
        })?;
        match resolved {
            Resolved::Link(click) => count_click(recorder, path, request, guest, click, now),
            Resolved::NotFound => encoder.encode_decision(request, &decide_not_found(&asked), output),
        }
        Ok(())
    }

    /// Answers a request with an error, and counts it as this.
    pub fn refuse(&mut self, request: &Request<'_>, status: ErrorStatus, counter: Counter, output: &mut Vec<u8>) {
        self.encoder.counters.add(counter);
        self.encoder.encode(request, &Answer::error(status), output);
    }

    /// Appends the last answer of a connection, to what is no request.
    pub fn encode_last(&self, status: ErrorStatus, output: &mut Vec<u8>) {
        http1::encode(output, &Answer::error(status), &Context::closing(&self.encoder.date));
    }

    /// Keeps what the store said to a miss.
    pub fn remember(&mut self, miss: &Miss, link: CachedLink) {
        self.path.remember(miss, link);
    }

    /// Whether nothing was changed since the miss that its answer may lack.
    pub fn is_current(&self, miss: &Miss) -> bool {
        self.path.is_current(miss)
    }

    /// What this worker counts.
    pub fn counters(&self) -> &LocalCounters {
        &self.encoder.counters
    }

    /// Makes the counts visible to other threads, and renews the date of the answers: to be called at each turn of the
    /// second.
    pub fn each_second(&mut self, published: &SharedCounters) {
        // Also where no lookup asks for it: the one of before would stay in memory.
        self.path.renew_filter();
        self.encoder.date = date_now();
        self.encoder.counters.publish(published);
    }

    /// Begins to hand over the clicks since the last time.
    pub fn begin_hand_over(&mut self) {
        self.path.begin_drain();
        if !self.path.is_draining() {
            // There may be others than of links in the worker's own cache.
            self.hand_over_clicks();
        }
    }

    /// Goes on handing over, for so short a time that no request waits long; whether there is more.
    pub fn hand_over_some(&mut self) -> bool {
        let Responder { path, recorder, .. } = self;
        if !path.is_draining() {
            return false;
        }
        let has_more = path.drain_some(|link, tally| recorder.take(link, tally));
        if !has_more || recorder.is_full() {
            recorder.hand_over();
        }
        has_more
    }

    /// Hands over the clicks since the last time, at once.
    pub fn hand_over_clicks(&mut self) {
        let Responder { path, recorder, .. } = self;
        path.drain(|link, tally| recorder.take(link, tally));
        recorder.hand_over();
    }

    /// Takes over the clicks of links that have left the worker's cache, so that they don't pile up, and hands over when
    /// much has come together.
    fn relieve_clicks(&mut self) {
        let Responder { path, recorder, .. } = self;
        if path.gone() >= GONE_LINKS {
            path.drain_gone(|link, tally| recorder.take(link, tally));
        }
        if recorder.is_full() {
            recorder.hand_over();
        }
    }
}

/// What all answers of a worker have in common.
struct Encoder {
    counters: LocalCounters,
    date: [u8; 29],
    jitter: u32,
}

impl Encoder {
    fn encode_decision(&mut self, request: &Request<'_>, decision: &Decision<'_>, output: &mut Vec<u8>) {
        self.counters.add(decision.counter);
        self.encode(request, &decision.answer, output);
    }

    fn encode(&mut self, request: &Request<'_>, answer: &Answer<'_>, output: &mut Vec<u8>) {
        // Another number each time, spread evenly over any small range (Weyl sequence).
        self.jitter = self.jitter.wrapping_add(0x9E37_79B9);
        http1::encode(output, answer, &Context::of(request, &self.date, self.jitter >> 8));
    }
}

fn visit_class(recorder: &mut Recorder, request: &Request<'_>) -> VisitClass {
    match request.method {
        Method::Head => VisitClass::Head,
        _ => recorder.agent(&request.client).agent.class,
    }
}

/// What time it is, read from the clock when it is first asked: at most once for all that was read of a connection at a
/// time.
#[derive(Debug, Default)]
pub struct Now(Option<u64>);

impl Now {
    /// In milliseconds since 1970.
    pub fn unix_ms(&mut self) -> u64 {
        *self.0.get_or_insert_with(unix_time_ms)
    }
}

/// Counts a click on the link that `path` has looked up last, if it is one and clicks are counted.
pub fn count_click(
    recorder: &mut Recorder,
    path: &mut ReadPath,
    request: &Request<'_>,
    guest: &mut Guest,
    click: Click,
    now: &mut Now,
) {
    if click == Click::None || !recorder.is_counting() {
        return;
    }
    if request.method == Method::Head {
        path.count(VisitClass::Head as usize, 0);
        return;
    }
    let agent = recorder.agent(&request.client);
    let visitor = match click {
        Click::Detailed => recorder.visitor(guest, &request.client, agent),
        Click::Counted | Click::None => None,
    };
    let counted = path.count(agent.agent.class as usize, visitor.map_or(0, Visitor::mark));
    if visitor.is_some() {
        recorder.record(path.counted(), agent, counted, guest, &request.client, || now.unix_ms());
    }
}

/// How the connection ends after this request, if it does. `may_more_come` is whether the client may have sent something
/// behind it, not knowing that this is the last.
pub(super) fn end_after(request: &Request<'_>, may_more_come: bool) -> Option<End> {
    if request.keep_alive {
        return None;
    }
    // A client that closes by its own wish sends no more; CONNECT may, and who did not know.
    let may_send = request.has_body || may_more_come || request.method == Method::NotAllowed;
    Some(if may_send { End::Linger } else { End::Close })
}

fn date_now() -> [u8; 29] {
    imf_fixdate(unix_time_ms() / 1_000)
}

#[cfg(test)]
mod tests;
