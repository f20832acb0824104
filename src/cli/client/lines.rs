//! Lines without end: what is exported comes as such, and what is imported goes as such while its outcomes come.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt, Either, Full};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::header;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::{Client, Content, Problem, Request, whole};

/// How long nothing may come.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(300);

/// Pieces of what is sent that wait for the network.
const PIECES_WAITING: usize = 16;

/// Bytes that are gathered before they are sent.
const PIECE_BYTES: usize = 64 * 1024;

/// Longest line that is read, in bytes.
const LINE_BYTES: usize = 1 << 20;

/// The content type of lines of JSON.
const LINES_TYPE: &str = "application/x-ndjson";

impl Client {
    /// Asks for lines, and has each looked at, without its end.
    ///
    /// # Errors
    /// A [`Problem`] if the API does not do it; if the lines break off; what `each` gives.
    pub(in crate::cli) fn lines(&mut self, request: &Request, each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let request = self.head(request)?.body(Either::Left(Full::new(Bytes::new())))?;
        let broken_off = self.broken_off();
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            sender.ready().await.context(broken_off.clone())?;
            let answer = answered(sender.send_request(request)).await.context(broken_off.clone())?;
            split(answer, &broken_off, each).await
        })
    }

    /// Sends lines that `produce` writes on a thread of its own, and has each line of the answer looked at while they
    /// are sent. If `produce` fails, the request breaks off; if the answer is over before all is sent, the connection
    /// is, too, and `produce` fails.
    ///
    /// # Errors
    /// What `produce` gives; else as [`lines`](Self::lines).
    pub(in crate::cli) fn send_lines(
        &mut self,
        request: &Request,
        produce: impl FnOnce(&mut Upload) -> Result<()> + Send,
        each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let (pieces, content) = Channel::new(PIECES_WAITING);
        let request = self.head(request)?.header(header::CONTENT_TYPE, LINES_TYPE);
        let request = request.body(Content::Right(content))?;
        let broken_off = self.broken_off();
        let sender = &mut self.sender;
        let connection = &mut self.connection;
        let runtime = &self.runtime;
        let mut upload = Upload { pieces: Some(pieces), buffer: Vec::new(), handle: runtime.handle().clone() };
        std::thread::scope(|scope| {
            let producer = scope.spawn(move || {
                let produced = produce(&mut upload).and_then(|()| Ok(upload.flush()?));
                match (produced, upload.pieces.take()) {
                    // Without an end, the server does not take it for all.
                    (Err(error), Some(pieces)) => {
                        pieces.abort(io::Error::other("the lines broke off"));
                        Err(error)
                    }
                    (produced, _) => produced,
                }
            });
            let answered = runtime.block_on(async {
                sender.ready().await.context(broken_off.clone())?;
                let answer = answered(sender.send_request(request)).await.context(broken_off.clone())?;
                split(answer, &broken_off, each).await
            });
            if answered.is_err() || !producer.is_finished() {
                // Nobody carries the connection from here on: what waits for it to take something would wait for ever.
                connection.abort();
                if !connection.is_finished() {
                    // That it was aborted is no news.
                    let _ = runtime.block_on(connection);
                }
            }
            let produced = producer.join().map_err(|_| anyhow!("reading the file failed"))?;
            match (produced, answered) {
                // What was wrong here made the server's answer, unless it did not even want the rest.
                (Err(error), answered) if !is_hung_up(&error) || answered.is_ok() => Err(error),
                (_, answered) => answered,
            }
        })
    }
}

/// Whether an error only says that the server does not read on.
fn is_hung_up(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// Takes lines that are to be sent.
pub(in crate::cli) struct Upload {
    pieces: Option<Sender<Bytes, io::Error>>,
    buffer: Vec<u8>,
    handle: Handle,
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(pieces) = self.pieces.as_mut().filter(|_| !self.buffer.is_empty()) else { return Ok(()) };
        let piece = Bytes::from(std::mem::take(&mut self.buffer));
        self.handle.block_on(pieces.send_data(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

async fn answered(answer: impl Future<Output = hyper::Result<Response<Incoming>>>) -> Result<Response<Incoming>> {
    let answer = timeout(SILENCE_TIMEOUT, answer).await;
    Ok(answer.map_err(|_| anyhow!("nothing came for {} seconds", SILENCE_TIMEOUT.as_secs()))??)
}

async fn split(answer: Response<Incoming>, broken_off: &str, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let status = answer.status();
    let mut content = answer.into_body();
    if !status.is_success() {
        let content = timeout(SILENCE_TIMEOUT, whole(content)).await;
        let content = content.map_err(anyhow::Error::from).flatten().unwrap_or_default();
        return Err(Problem::read(status.as_u16(), &content).into());
    }
    let mut rest = Vec::new();
    loop {
        let frame = timeout(SILENCE_TIMEOUT, content.frame()).await;
        let frame = frame.map_err(|_| anyhow!("nothing came for {} seconds", SILENCE_TIMEOUT.as_secs()));
        let frame = frame.context(broken_off.to_owned())?.transpose().context(broken_off.to_owned())?;
        let Some(frame) = frame else { break };
        let Ok(piece) = frame.into_data() else { continue };
        rest.extend_from_slice(&piece);
        let mut from = 0;
        while let Some(end) = memchr::memchr(b'\n', &rest[from..]) {
            look(&rest[from..from + end], &mut each)?;
            from += end + 1;
        }
        rest.drain(..from);
        anyhow::ensure!(rest.len() <= LINE_BYTES, "the server sent a line of more than {LINE_BYTES} bytes");
    }
    look(&rest, &mut each)
}

fn look(line: &[u8], each: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    if line.trim_ascii().is_empty() { Ok(()) } else { each(line) }
}
