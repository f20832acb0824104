//! One connection: read, then for each request in the buffer parse, resolve and encode, then write once.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use monoio::buf::IoBufMut;
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use monoio::net::TcpStream;

use super::fetch::FetchError;
use super::timeouts::{Phase, Tracked};
use super::worker::{Lookups, Worker};
use crate::cache::CachedLink;
use crate::clicks::{Guest, VisitClass, Visitor};
use crate::clock::unix_time_ms;
use crate::engine::{Asked, Click, Decision, Miss, ReadPath, Resolved, decide_found, decide_not_found, resolve};
use crate::http1::{self, Answer, Context, ErrorStatus, Method, Parse, Request};
use crate::limits::{INPUT_BYTES, LINGER_BYTES, OUTPUT_BYTES, REQUEST_HEAD_BYTES};
use crate::telemetry::Counter;

/// How many times a connection may read and write before others have their turn.
const ROUNDS_PER_TURN: u32 = 16;

/// Lets other tasks run.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        // Woken by itself, a task would be the next to run again: monoio puts it at the front. A task of its own stands
        // behind all others, and whom it wakes behind it.
        let waker = context.waker().clone();
        monoio::spawn(async move { waker.wake() });
        Poll::Pending
    })
    .await;
}

/// A connection and what was read from it.
pub(super) struct Connection {
    /// Before the stream, since it must be dropped first.
    tracked: Tracked,
    stream: TcpStream,
    guest: Guest,
    worker: Rc<Worker>,
    input: Vec<u8>,
}

/// What becomes of a connection after its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// More requests may come.
    Read,
    /// It ends.
    Close,
    /// It ends, but the client may still be sending. Were it closed at once, the kernel would reset it, and the
    /// answer could be lost (RFC 9112 §9.6).
    Linger,
}

impl Connection {
    pub(super) fn new(worker: Rc<Worker>, stream: TcpStream, guest: Guest, tracked: Tracked) -> Self {
        Connection { tracked, stream, guest, worker, input: Vec::with_capacity(INPUT_BYTES) }
    }

    /// Answers requests until the connection ends.
    pub(super) async fn serve(&mut self) {
        for round in 1_u32.. {
            // On epoll a socket that is always ready would never let another connection have its turn.
            if round % ROUNDS_PER_TURN == 0 && monoio::utils::is_legacy() {
                yield_now().await;
            }
            if !self.read().await {
                return;
            }
            match self.answer().await {
                Some(Next::Read) => {}
                Some(Next::Linger) => return self.linger().await,
                Some(Next::Close) | None => return,
            }
        }
    }

    /// Refuses the connection: there are too many.
    pub(super) async fn refuse(&mut self) {
        if self.write_last(ErrorStatus::ServiceUnavailable).await.is_some() {
            self.linger().await;
        }
    }

    /// Writes the last answer of the connection, to what is no request. None if the client is gone.
    async fn write_last(&mut self, status: ErrorStatus) -> Option<()> {
        let mut output = self.worker.take_output();
        self.worker.with_date(|date| {
            http1::encode(&mut output, &Answer::error(status), &Context::closing(date));
        });
        self.write(output).await
    }

    /// Reads more. False if the connection has ended.
    async fn read(&mut self) -> bool {
        if self.input.is_empty() {
            self.tracked.enter_anew(Phase::Idle);
        } else {
            self.tracked.enter(Phase::Header);
        }
        if self.input.len() == self.input.capacity() {
            // The parser has refused whatever fills the limit, so there is room to grow to it.
            self.input.reserve_exact(self.input.len().min(REQUEST_HEAD_BYTES - self.input.len()));
        }
        let mut input = std::mem::take(&mut self.input);
        let filled = input.len();
        let (result, slice) = self.stream.read(input.slice_mut(filled..)).await;
        input = slice.into_inner();
        self.input = input;
        match result {
            Ok(0) | Err(_) => {
                if self.tracked.is_late() && filled > 0 {
                    // RFC 9110 §15.5.9.
                    self.write_last(ErrorStatus::RequestTimeout).await;
                }
                false
            }
            Ok(_) => true,
        }
    }

    /// Answers all requests that are in the buffer. None if the client is gone.
    async fn answer(&mut self) -> Option<Next> {
        let mut output = self.worker.take_output();
        let mut answered = 0;
        let next = loop {
            if answered == self.input.len() {
                break Next::Read;
            }
            match http1::parse(&self.input[answered..]) {
                Parse::Partial => break Next::Read,
                Parse::Request { mut request, consumed } => {
                    answered += consumed;
                    request.keep_alive &= !self.worker.is_draining();
                    if let Err(miss) = self.worker.try_answer(&request, &mut self.guest, &[], &mut output) {
                        self.tracked.enter(Phase::Fetch);
                        self.worker.answer_miss(&request, &mut self.guest, miss, &mut output).await;
                    }
                    if !request.keep_alive {
                        // A client that closes by its own wish sends no more; CONNECT may, and who did not know.
                        let may_send = request.has_body
                            || answered < self.input.len()
                            || self.worker.is_draining()
                            || request.method == Method::NotAllowed;
                        break if may_send { Next::Linger } else { Next::Close };
                    }
                }
                Parse::Reject(status) => {
                    self.worker.counters.add(Counter::Rejected);
                    self.worker.with_date(|date| {
                        http1::encode(&mut output, &Answer::error(status), &Context::closing(date));
                    });
                    break Next::Linger;
                }
            }
            if output.len() >= OUTPUT_BYTES {
                output = self.write_some(output).await?;
            }
        };
        self.forget(answered);
        if output.is_empty() {
            self.worker.give_back_output(output);
        } else {
            self.write(output).await?;
        }
        Some(next)
    }

    /// Removes what is answered from the buffer.
    fn forget(&mut self, answered: usize) {
        if answered < self.input.len() {
            if answered > 0 {
                self.input.drain(..answered);
                // What is left is another request: its time begins now.
                self.tracked.enter_anew(Phase::Header);
            }
        } else if self.input.capacity() > INPUT_BYTES {
            self.input = Vec::with_capacity(INPUT_BYTES);
        } else {
            self.input.clear();
        }
    }

    /// Writes the answers. None if the client is gone.
    async fn write(&mut self, output: Vec<u8>) -> Option<()> {
        let output = self.write_some(output).await?;
        self.worker.give_back_output(output);
        Some(())
    }

    /// Writes the answers, and gives the buffer back empty.
    async fn write_some(&mut self, output: Vec<u8>) -> Option<Vec<u8>> {
        // Before the client has a chance to be gone.
        self.worker.relieve_clicks();
        self.tracked.enter_anew(Phase::Write);
        let (result, mut output) = self.stream.write_all(output).await;
        output.clear();
        result.ok().map(|_| output)
    }

    /// Reads and throws away what the client still sends, up to a bound, until it closes (RFC 9112 §9.6).
    async fn linger(&mut self) {
        self.tracked.enter_anew(Phase::Linger);
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let mut buffer = std::mem::take(&mut self.input);
        let mut discarded = 0;
        while discarded < LINGER_BYTES {
            buffer.clear();
            let (result, filled) = self.stream.read(buffer).await;
            match result {
                Ok(0) | Err(_) => return,
                Ok(bytes) => discarded += bytes,
            }
            buffer = filled;
        }
    }
}

impl Worker {
    /// Answers a request, if the caches, or what was fetched for it, know the answer.
    fn try_answer(
        &self,
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
            self.counters.add(Counter::MethodsRefused);
            self.encode(request, &Answer::error(status), output);
            return Ok(());
        }
        let mut lookups = self.lookups.borrow_mut();
        let Lookups { key, path, tables } = &mut *lookups;
        key.set(request.host, request.path, request.query);
        let host = tables.get().view(key.host());
        let asked = Asked::new(key, &host, request.path, request.query);
        // People take a click. Programs, and HEAD, look whether one is left, and take none.
        let take_click = |id, max| match self.visit_class(request) {
            VisitClass::Human => self.engine.uses().take(id, max),
            VisitClass::Bot | VisitClass::Preview | VisitClass::Head => self.engine.uses().has_left(id, max),
        };
        let resolved = resolve(&mut path.lookup(fetched), key, &host, |found| {
            let decision = decide_found(found, &asked, unix_time_ms, take_click);
            self.encode_decision(request, &decision, output);
            (found.link.id, decision.click)
        })?;
        match resolved {
            Resolved::Link((link, click)) => self.count_click(request, guest, path, link, click),
            Resolved::NotFound => self.encode_decision(request, &decide_not_found(&asked), output),
        }
        Ok(())
    }

    fn visit_class(&self, request: &Request<'_>) -> VisitClass {
        match request.method {
            Method::Head => VisitClass::Head,
            _ => self.recorder.borrow_mut().agent(&request.client).agent.class,
        }
    }

    /// Counts a click on the link that was looked up last.
    fn count_click(&self, request: &Request<'_>, guest: &mut Guest, path: &mut ReadPath, link: u64, click: Click) {
        let mut recorder = self.recorder.borrow_mut();
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
            recorder.record(link, agent, counted, guest, &request.client);
        }
    }

    /// Answers a request that needs the store: fetches what the caches lack until the answer is known.
    async fn answer_miss(&self, request: &Request<'_>, guest: &mut Guest, mut miss: Miss, output: &mut Vec<u8>) {
        let mut fetched = Vec::new();
        loop {
            self.counters.add(Counter::Misses);
            let is_current = |miss: &Miss| self.lookups.borrow().path.is_current(miss);
            match self.fetches.fetch(miss.clone(), is_current).await {
                Ok(link) => {
                    self.lookups.borrow_mut().path.remember(&miss, link.clone());
                    fetched.push(link);
                }
                Err(error) => {
                    let (counter, status) = match error {
                        FetchError::Overloaded => (Counter::Overloaded, ErrorStatus::ServiceUnavailable),
                        FetchError::Store => (Counter::StoreErrors, ErrorStatus::InternalServerError),
                    };
                    self.counters.add(counter);
                    return self.encode(request, &Answer::error(status), output);
                }
            }
            match self.try_answer(request, guest, &fetched, output) {
                Ok(()) => return,
                // Another key of the same request. There are eight at most, and none is missed twice.
                Err(next) => miss = next,
            }
        }
    }

    fn encode_decision(&self, request: &Request<'_>, decision: &Decision<'_>, output: &mut Vec<u8>) {
        self.counters.add(decision.counter);
        self.encode(request, &decision.answer, output);
    }

    fn encode(&self, request: &Request<'_>, answer: &Answer<'_>, output: &mut Vec<u8>) {
        let jitter = self.next_jitter();
        self.with_date(|date| http1::encode(output, answer, &Context::of(request, date, jitter)));
    }
}
