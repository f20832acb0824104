//! Lines without end: what is exported comes as such, and what is imported goes as such while its outcomes come.

use std::io::{self, Write};
use std::pin::pin;
use std::sync::mpsc::{self, TryRecvError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt, Either, Full};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::header;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::{Client, Content, Lost, Problem, Request, patiently, retry_after_s, whole};

/// How long nothing may come. Where there is nothing to say, the server sends a blank line every 30 seconds.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(300);

/// Pieces of what is sent that wait for the network.
const PIECES_WAITING: usize = 16;

/// How long a server has to refuse the request before lines are sent: then none is taken, and all can be sent again.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);

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
    pub(in crate::cli) fn lines(&mut self, request: &Request, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        patiently(|| self.lines_now(request, &mut each))
    }

    fn lines_now(&mut self, request: &Request, each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let broken_off = self.broken_off(request);
        let not_sent = self.not_sent();
        let request = self.head(request)?.body(Either::Left(Full::new(Bytes::new())))?;
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            sender.ready().await.with_context(not_sent)?;
            let answer = answered(sender.send_request(request)).await.with_context(&broken_off)?;
            split(answer, &broken_off, each).await
        })
    }

    /// Sends lines that `produce` writes on a thread of its own, and has each line of the answer looked at while they
    /// are sent. If `produce` fails, the request breaks off; if the answer is over before all is sent, the connection
    /// is, too, and `produce` fails when it writes: it is not waited for, since it may wait for input that never comes.
    /// If the request is refused at once, `produce` stays where it is, and can be given to another try.
    ///
    /// # Errors
    /// What `produce` gives; else as [`lines`](Self::lines).
    pub(super) fn send_lines<P: FnOnce(&mut Upload) -> Result<()> + Send + 'static>(
        &mut self,
        request: &Request,
        produce: &mut Option<P>,
        each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let (pieces, content) = Channel::new(PIECES_WAITING);
        let (not_sent, broken_off) = (self.not_sent(), self.broken_off(request));
        let request = self.head(request)?.header(header::CONTENT_TYPE, LINES_TYPE);
        let request = request.body(Content::Right(content))?;
        let sender = &mut self.sender;
        let connection = &mut self.connection;
        let runtime = &self.runtime;
        let mut upload = Upload { pieces: Some(pieces), buffer: Vec::new(), handle: runtime.handle().clone() };
        let (end, ended) = mpsc::channel();
        let start = || {
            let Some(produce) = produce.take() else { return };
            std::thread::spawn(move || {
                let produced = produce(&mut upload).and_then(|()| Ok(upload.flush()?));
                let is_whole = produced.is_ok();
                // It is there before the server can answer because of it. If nobody wants to know, that is no news.
                let _ = end.send(produced);
                // Without an end, the server does not take it for all.
                if let Some(pieces) = upload.pieces.take()
                    && !is_whole
                {
                    pieces.abort(io::Error::other("the lines broke off"));
                }
            });
        };
        let answered = runtime.block_on(async {
            sender.ready().await.with_context(not_sent)?;
            let mut answer = pin!(answered(sender.send_request(request)));
            let answer = match timeout(REFUSAL_TIMEOUT, &mut answer).await {
                Ok(answer) => {
                    if answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
                        start();
                    }
                    answer
                }
                // What stands before the server may want all of the request before it hands it on.
                Err(_) => {
                    start();
                    answer.await
                }
            };
            split(answer.with_context(&broken_off)?, &broken_off, each).await
        });
        let produced = match ended.try_recv() {
            Ok(produced) => Some(produced),
            Err(TryRecvError::Disconnected) if produce.is_none() => Some(Err(anyhow!("reading the file failed"))),
            // It goes on, or never began.
            Err(_) => None,
        };
        if answered.is_err() || produced.is_none() {
            // Nobody carries the connection from here on: what waits for it to take something would wait for ever.
            connection.abort();
            if !connection.is_finished() {
                // That it was aborted is no news.
                let _ = runtime.block_on(connection);
            }
        }
        match (produced, answered) {
            // What was wrong here made the server's answer, unless it did not even want the rest.
            (Some(Err(error)), _) if !is_hung_up(&error) => Err(error),
            // An answer before the end, to what was not all sent.
            (None | Some(Err(_)), Ok(())) => Err(broken_off().into()),
            (_, answered) => answered,
        }
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

async fn split(
    answer: Response<Incoming>,
    broken_off: &impl Fn() -> Lost,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let status = answer.status();
    let retry_after_s = retry_after_s(answer.headers());
    let mut content = answer.into_body();
    if !status.is_success() {
        let content = timeout(SILENCE_TIMEOUT, whole(content)).await;
        let content = content.map_err(anyhow::Error::from).flatten().unwrap_or_default();
        return Err(Problem::read(status.as_u16(), &content).with_retry_after(retry_after_s).into());
    }
    let mut rest = Vec::new();
    loop {
        let frame = timeout(SILENCE_TIMEOUT, content.frame()).await;
        let frame = frame.map_err(|_| anyhow!("nothing came for {} seconds", SILENCE_TIMEOUT.as_secs()));
        let frame = frame.with_context(broken_off)?.transpose().with_context(broken_off)?;
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
