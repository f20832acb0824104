//! One connection: read, then have what was read answered, then write once.

use std::rc::Rc;

use monoio::buf::IoBufMut;
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use monoio::net::TcpStream;

use super::fetch::FetchError;
use super::responder::{End, Peer, Stop, end_after};
use super::timeouts::{Phase, Tracked};
use super::worker::Worker;
use crate::clicks::Guest;
use crate::engine::Miss;
use crate::http1::{ErrorStatus, Request};
use crate::limits::{INPUT_BYTES, LINGER_BYTES, OUTPUT_BYTES, REQUEST_HEAD_BYTES};
use crate::telemetry::Counter;

/// How many times a connection may read and write before others have their turn.
const ROUNDS_PER_TURN: u32 = 16;

/// A connection and what was read from it.
pub(super) struct Connection {
    /// Before the stream, since it must be dropped first.
    tracked: Tracked,
    stream: TcpStream,
    peer: Peer,
    worker: Rc<Worker>,
    input: Vec<u8>,
}

/// What became of the requests that were read.
enum Answered {
    /// The client may ask for more.
    GoesOn,
    /// One was the last.
    Ends(End),
    /// The client is gone.
    Gone,
}

impl Connection {
    pub(super) fn new(worker: Rc<Worker>, stream: TcpStream, guest: Guest, tracked: Tracked) -> Self {
        Connection { tracked, stream, peer: Peer::new(guest), worker, input: Vec::with_capacity(INPUT_BYTES) }
    }

    /// Answers requests until the connection ends.
    pub(super) async fn serve(&mut self) {
        for round in 1_u32.. {
            // On epoll a socket that is always ready would never let another connection have its turn.
            if round % ROUNDS_PER_TURN == 0 && monoio::utils::is_legacy() {
                self.worker.turns.next().await;
            }
            if !self.read().await {
                return;
            }
            match self.answer().await {
                Answered::GoesOn => {}
                Answered::Ends(End::Linger) => return self.linger().await,
                Answered::Ends(End::Close) | Answered::Gone => return,
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
        self.worker.responder.borrow().encode_last(status, &mut output);
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

    /// Answers all requests that are in the buffer.
    async fn answer(&mut self) -> Answered {
        let mut output = self.worker.take_output();
        let mut answered = 0;
        let outcome = loop {
            let (input, is_draining) = (&self.input[answered..], self.worker.is_draining());
            let answering =
                self.worker.responder.borrow_mut().answer_all(input, is_draining, &mut self.peer, &mut output);
            let (consumed, stop) = answering;
            answered += consumed;
            match stop {
                Stop::Partial => break Answered::GoesOn,
                Stop::Ends(end) => break Answered::Ends(end),
                Stop::Full => {}
                Stop::Miss(missed) => {
                    let (request, miss) = *missed;
                    self.tracked.enter(Phase::Fetch);
                    self.worker.answer_miss(&request, &mut self.peer.guest, miss, &mut output).await;
                    let may_more_come = answered < self.input.len() || self.worker.is_draining();
                    if let Some(end) = end_after(&request, may_more_come) {
                        break Answered::Ends(end);
                    }
                }
            }
            if output.len() >= OUTPUT_BYTES {
                match self.write_some(output).await {
                    Some(empty) => output = empty,
                    None => return Answered::Gone,
                }
            }
        };
        self.forget(answered);
        if output.is_empty() {
            self.worker.give_back_output(output);
        } else if self.write(output).await.is_none() {
            return Answered::Gone;
        }
        outcome
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
    /// Answers a request that needs the store: fetches what the caches lack until the answer is known.
    async fn answer_miss(&self, request: &Request<'_>, guest: &mut Guest, mut miss: Miss, output: &mut Vec<u8>) {
        let mut fetched = Vec::new();
        loop {
            self.count(Counter::Misses);
            let is_current = |miss: &Miss| self.responder.borrow().is_current(miss);
            let fetching = self.fetches.fetch(&miss, is_current).await;
            let mut responder = self.responder.borrow_mut();
            match fetching {
                Ok(link) => {
                    responder.remember(&miss, link.clone());
                    fetched.push(link);
                }
                Err(error) => {
                    let (counter, status) = match error {
                        FetchError::Overloaded => (Counter::Overloaded, ErrorStatus::ServiceUnavailable),
                        FetchError::Store => (Counter::StoreErrors, ErrorStatus::InternalServerError),
                    };
                    return responder.refuse(request, status, counter, output);
                }
            }
            match responder.answer(request, guest, &fetched, output) {
                Ok(()) => return,
                // Another key of the same request. There are eight at most, and none is missed twice.
                Err(next) => miss = next,
            }
        }
    }
}
