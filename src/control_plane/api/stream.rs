//! Bodies that are sent while they are made.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use super::caller::Caller;

/// The content type of lines of JSON.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// How long it is waited for a client to send or to take something.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Lines are sent together once they have so many bytes, or nothing more is to be sent just now.
const CHUNK_BYTES: usize = 32 * 1024;

/// Most chunks that wait for the client: enough that one that takes nothing before it has sent all gets far.
const CHUNKS: usize = 64;

/// The receiving end, for the connection. `None` is the end: without it, the answer breaks off.
struct Chunks {
    receiver: mpsc::Receiver<Option<Bytes>>,
    is_ended: bool,
    /// Whether hyper was given the time to send what it has, which it throws away at an error.
    is_flushed: bool,
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        match std::task::ready!(self.receiver.poll_recv(context)) {
            Some(Some(chunk)) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            Some(None) => {
                self.is_ended = true;
                Poll::Ready(None)
            }
            None if !self.is_flushed => {
                self.is_flushed = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                self.is_ended = true;
                Poll::Ready(Some(Err(io::Error::other("the answer broke off"))))
            }
        }
    }
}

/// Where an answer is written, line by line.
pub(crate) struct LineSink {
    chunks: mpsc::Sender<Option<Bytes>>,
    gathered: Vec<u8>,
    /// How long it is waited for the client to take a chunk; None is for ever.
    patience: Option<Duration>,
}

/// Whether the server stops: put into the request by who serves the connection, for answers that have no end of their own.
#[derive(Clone)]
pub(crate) struct Closing(pub(crate) watch::Receiver<bool>);

impl Closing {
    /// Waits until it stops.
    pub(crate) async fn begun(&mut self) {
        // Whoever could say so is gone with it.
        let _ = self.0.wait_for(|is_closing| *is_closing).await;
    }
}

/// The client has gone, or takes nothing any more.
#[derive(Debug)]
pub(crate) struct ClientGone;

/// An answer of lines of JSON, and where they are written. Dropped without [`end`](LineSink::end), the answer breaks
/// off, and the client sees that it did.
pub(crate) fn lines(caller: &Caller) -> (Response, LineSink) {
    streamed(caller, NDJSON, CHUNKS)
}

/// The same of another content type. Most so many chunks wait for the client; then it is waited for it.
pub(crate) fn streamed(caller: &Caller, content_type: &'static str, chunks: usize) -> (Response, LineSink) {
    let patience = match caller {
        Caller::Token(_) => Some(PATIENCE),
        // Within one process the client's thread may be the one that the connection needs, and a pager may hold it up
        // for hours. On the control socket, the connection's own limit counts.
        Caller::Local => None,
    };
    let (sender, receiver) = mpsc::channel(chunks);
    let mut response = Response::new(Body::new(Chunks { receiver, is_ended: false, is_flushed: false }));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    (response, LineSink { chunks: sender, gathered: Vec::new(), patience })
}

impl LineSink {
    /// Writes a line.
    ///
    /// # Errors
    /// If nobody takes it.
    pub(crate) async fn write(&mut self, line: &impl Serialize) -> Result<(), ClientGone> {
        serde_json::to_writer(&mut self.gathered, line).expect("it is JSON, and memory takes it");
        self.gathered.push(b'\n');
        if self.gathered.len() >= CHUNK_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Writes what is in its form already.
    ///
    /// # Errors
    /// If nobody takes it.
    pub(crate) async fn write_raw(&mut self, bytes: &[u8]) -> Result<(), ClientGone> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= CHUNK_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Waits until the client has gone.
    pub(crate) async fn gone(&self) {
        self.chunks.closed().await;
    }

    /// Sends what was written.
    ///
    /// # Errors
    /// If nobody takes it.
    pub(crate) async fn flush(&mut self) -> Result<(), ClientGone> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.gathered);
        self.send(Some(chunk.into())).await
    }

    async fn send(&mut self, chunk: Option<Bytes>) -> Result<(), ClientGone> {
        let sent = self.chunks.send(chunk);
        let sent = match self.patience {
            Some(patience) => tokio::time::timeout(patience, sent).await.map_err(|_| ClientGone)?,
            None => sent.await,
        };
        sent.map_err(|_| ClientGone)
    }

    /// Ends the answer: it is whole, if all of it is taken.
    pub(crate) async fn end(mut self) {
        // A chunk that nobody took is missing: then there must be no end behind it.
        if self.flush().await.is_ok() {
            let _ = self.send(None).await;
        }
    }

    /// Breaks the answer off: what was sent is not all.
    pub(crate) async fn break_off(mut self) {
        // What was written may say why. Without an end, what is sent breaks off behind it.
        let _ = self.flush().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn an_answer_is_whole_only_if_it_was_ended() {
        let (response, mut sink) = lines(&Caller::Local);
        sink.write(&1).await.unwrap();
        sink.end().await;
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "1\n");

        let (response, mut sink) = lines(&Caller::Local);
        sink.write(&1).await.unwrap();
        sink.break_off().await;
        let mut body = response.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "1\n");
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());

        let (response, sink) = lines(&Caller::Local);
        drop(sink);
        assert!(response.into_body().collect().await.is_err());
    }

    #[tokio::test]
    async fn no_more_is_held_for_a_client_than_was_said() {
        let (response, mut sink) = streamed(&Caller::Local, "text/event-stream", 2);
        sink.patience = Some(Duration::from_millis(10));
        for _ in 0..2 {
            sink.write_raw(b"x").await.unwrap();
            sink.flush().await.unwrap();
        }
        sink.write_raw(b"x").await.unwrap();
        assert!(sink.flush().await.is_err());
        // Whoever takes a chunk gets another one.
        let mut body = response.into_body();
        body.frame().await.unwrap().unwrap();
        sink.write_raw(b"y").await.unwrap();
        sink.flush().await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_is_not_taken_in_time_breaks_off() {
        let (response, mut sink) = lines(&Caller::Local);
        sink.patience = Some(Duration::from_millis(10));
        for _ in 0..CHUNKS {
            sink.write(&1).await.unwrap();
            sink.flush().await.unwrap();
        }
        sink.write(&1).await.unwrap();
        sink.end().await;
        assert!(response.into_body().collect().await.is_err());
    }
}
