//! Asks the API: one HTTP/1.1 client, whether over the network, the control socket of a running server, or within this
//! process.
//!
//! - [`PlaceArguments`]: where to ask. [`Client`]: asks. [`Request`]: what. [`Problem`]: what is said instead of an
//!   answer. [`Lost`]: there is no way to the server. `pages`: lists that come in pages. `lines`: what comes, and goes, as
//!   lines without end. `read_on`: an answer counts also if not all of the request was taken.

mod lines;
mod lost;
mod pages;
mod place;
mod problem;
mod read_on;
mod request;

use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(super) use lines::Upload;
pub(super) use lost::Lost;
pub(super) use pages::{List, Page};
pub(super) use place::{PlaceArguments, Purpose, ServerUrl, TOKEN_FILE_VARIABLE};
pub(super) use problem::Problem;
use read_on::ReadOn;
pub(super) use request::Request;

use super::{open, text};
use crate::clicks::{ClicksConfig, Keep, VisitConfig};
use crate::control_plane::{connect_control, connect_local};
use crate::engine::{EngineConfig, OwnedEngine};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may take to begin and to arrive. The server gives up before.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest time that is waited before a request is repeated for which there was no room, in seconds.
const WAIT_S: u64 = 5;

/// How often that is done.
const WAITS: usize = 4;

/// Most bytes of an answer that is held as a whole.
const ANSWER_BYTES: usize = 64 << 20;

/// The `Host` where the way to the server has no name.
const NO_HOST: &str = "localhost";

type Content = Either<Full<Bytes>, Channel<Bytes, std::io::Error>>;

/// A connection to the API.
pub(super) struct Client {
    sender: SendRequest<Content>,
    /// The connection's own task.
    connection: JoinHandle<()>,
    /// Carries the connection whenever something is waited for.
    runtime: Runtime,
    authority: String,
    token: Option<String>,
    /// Who is asked, for messages.
    name: String,
    /// What was opened in this process.
    engine: Option<OwnedEngine>,
}

/// An answer that says that it was done.
pub(super) struct Answer {
    /// Its status.
    pub(super) status: u16,
    /// Its content.
    pub(super) content: Bytes,
}

impl Answer {
    /// Reads its content as JSON.
    ///
    /// # Errors
    /// If there is none: the change was made, and what was changed could not be read any more.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        self.check_is_there()?;
        serde_json::from_slice(&self.content)
            .context("the server's answer can't be read; is it another version of carom?")
    }

    /// Its content as the API wrote it, for `--json`.
    ///
    /// # Errors
    /// As [`read`](Self::read), if there is none.
    pub(super) fn json(&self) -> Result<String> {
        self.check_is_there()?;
        Ok(String::from_utf8_lossy(self.content.trim_ascii_end()).into_owned())
    }

    fn check_is_there(&self) -> Result<()> {
        if self.content.is_empty() {
            bail!("the change was made, but what was changed is gone again, or can't be read just now");
        }
        Ok(())
    }
}

impl Client {
    /// Connects to the admin address of a server.
    fn of_server(url: &ServerUrl, token: String) -> Result<Self> {
        let runtime = runtime()?;
        let name = format!("the server at http://{}", url.authority);
        let address = (url.host.as_str(), url.port);
        let stream = runtime.block_on(async { timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await });
        let stream = match stream {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let reason = format!(
                    "{error}. Look whether it runs, and whether its `--admin` address, which it prints when it starts, is \
                     this one"
                );
                return Err(Lost::Unreachable { name, reason }.into());
            }
            Err(_) => {
                let reason = format!(
                    "it did not answer within {} seconds. Look whether a firewall stands before it",
                    CONNECT_TIMEOUT.as_secs()
                );
                return Err(Lost::Unreachable { name, reason }.into());
            }
        };
        if !stream.peer_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback()) {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                text::tell!(
                    "carom: WARNING: {name} is not on this machine, and the token travels there in the clear; whoever \
                     reads it on the way may do what it allows. Reach the server through a tunnel, such as `ssh -L \
                     9090:127.0.0.1:9090 HOST`"
                );
            });
        }
        stream.set_nodelay(true).with_context(|| name.clone())?;
        let authority = url.authority.clone();
        Client::over(runtime, name, authority, Some(token), None, || Ok(stream))
    }

    /// Connects to the server of a data directory, if one runs there.
    fn of_running(data: &Path) -> Result<Option<Self>> {
        let Some(stream) = connect_control(data)? else { return Ok(None) };
        let name = format!("the server of {}", data.display());
        let stream = || {
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        };
        Client::over(runtime()?, name, NO_HOST.to_owned(), None, None, stream).map(Some)
    }

    /// Connects to the server of a data directory, or opens it.
    fn of_data(data: &Path, purpose: Purpose) -> Result<Self> {
        loop {
            if let Some(client) = Client::of_running(data)? {
                return Ok(client);
            }
            if purpose != Purpose::Write {
                open::check_is_data(data)?;
            }
            // The caches are for those who serve.
            let mut config = EngineConfig { cache_bytes: 0, ..EngineConfig::new(data.to_owned()) };
            if purpose == Purpose::AskClicks {
                let visits = VisitConfig { keep: Keep::Untouched, ..VisitConfig::default() };
                let mut clicks = ClicksConfig { visits, ..ClicksConfig::new(config.clicks_dir()) };
                // How long what is kept, the server was told, and this command was not: it must make nothing coarser,
                // and delete nothing.
                clicks.pipeline.maintain_interval = Duration::MAX;
                config.clicks = Some(clicks);
            }
            // A server that has begun to answer meanwhile is asked.
            let Some(engine) = open::unless_served(&config)? else { continue };
            let runtime = runtime()?;
            let shared = std::sync::Arc::clone(engine.engine());
            let name = format!("the data directory {}", data.display());
            return Client::over(runtime, name, NO_HOST.to_owned(), None, Some(engine), || Ok(connect_local(&shared)));
        }
    }

    fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        runtime: Runtime,
        name: String,
        authority: String,
        token: Option<String>,
        engine: Option<OwnedEngine>,
        stream: impl FnOnce() -> std::io::Result<S>,
    ) -> Result<Self> {
        let connected = runtime.block_on(async {
            let (sender, connection) = http1::handshake(TokioIo::new(ReadOn::new(stream()?))).await?;
            // Why it ends is said to whoever waits for an answer.
            let connection = tokio::spawn(async {
                let _ = connection.await;
            });
            Ok::<_, anyhow::Error>((sender, connection))
        });
        let (sender, connection) = connected.with_context(|| name.clone())?;
        Ok(Client { sender, connection, runtime, authority, token, name, engine })
    }

    /// Ends it, and closes what was opened.
    fn close(self) -> Result<()> {
        let Client { sender, runtime, engine, .. } = self;
        drop(sender);
        runtime.shutdown_timeout(ANSWER_TIMEOUT);
        Ok(engine.map_or(Ok(()), OwnedEngine::close)?)
    }

    /// Sends a request and waits for its answer; also for a while if there are too many requests just now.
    ///
    /// # Errors
    /// A [`Problem`] if the API does not do it; otherwise whatever came in between.
    pub(super) fn ask(&mut self, request: Request) -> Result<Answer> {
        patiently(|| self.ask_now(&request))
    }

    fn ask_now(&mut self, request: &Request) -> Result<Answer> {
        let content = match &request.content {
            Some(content) => Bytes::from(serde_json::to_vec(content)?),
            None => Bytes::new(),
        };
        let (not_sent, broken_off) = (self.not_sent(), self.broken_off(request));
        let request = self.head(request)?.body(Either::Left(Full::new(content)))?;
        let sender = &mut self.sender;
        self.runtime.block_on(sender.ready()).with_context(not_sent)?;
        let answered = async {
            let answer = sender.send_request(request).await?;
            let (status, wait_s) = (answer.status(), retry_after_s(answer.headers()));
            Ok::<_, anyhow::Error>((status, wait_s, whole(answer.into_body()).await?))
        };
        // The clock belongs to the runtime, and starts within it.
        let answered = self.runtime.block_on(async { timeout(ANSWER_TIMEOUT, answered).await });
        let (status, retry_after_s, content) = answered
            .map_err(|_| anyhow!("it did not answer within {} seconds", ANSWER_TIMEOUT.as_secs()))
            .flatten()
            .with_context(broken_off)?;
        if status.is_success() {
            Ok(Answer { status: status.as_u16(), content })
        } else {
            Err(Problem::read(status.as_u16(), &content).with_retry_after(retry_after_s).into())
        }
    }

    /// What is said when no whole answer to a request comes.
    fn broken_off(&self, request: &Request) -> impl Fn() -> Lost + use<> {
        let (name, is_change) = (self.name.clone(), request.is_change());
        move || Lost::BrokenOff { name: name.clone(), is_change }
    }

    /// What is said when the connection is gone before a request.
    fn not_sent(&self) -> impl FnOnce() -> Lost + use<> {
        let name = self.name.clone();
        move || Lost::NotSent { name }
    }

    fn head(&self, request: &Request) -> Result<hyper::http::request::Builder> {
        let mut head = hyper::Request::builder()
            .method(request.method.clone())
            .uri(&request.target)
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, concat!("carom/", env!("CARGO_PKG_VERSION")));
        if request.content.is_some() {
            let kind = if request.method == hyper::Method::PATCH {
                "application/merge-patch+json"
            } else {
                "application/json"
            };
            head = head.header(header::CONTENT_TYPE, kind);
        }
        if let Some(token) = &self.token {
            let mut value = header::HeaderValue::try_from(format!("Bearer {token}"))?;
            value.set_sensitive(true);
            head = head.header(header::AUTHORIZATION, value);
        }
        for (name, value) in &request.fields {
            head = head.header(*name, value);
        }
        Ok(head)
    }
}

/// Asks the server of a data directory; None if none runs there.
///
/// # Errors
/// As [`Client::ask`].
pub(super) fn ask_running(data: &Path, request: Request) -> Result<Option<Answer>> {
    let Some(mut client) = Client::of_running(data)? else { return Ok(None) };
    let asked = client.ask(request);
    client.close()?;
    asked.map(Some)
}

fn runtime() -> Result<Runtime> {
    // One thread: it waits, and what blocks in the engine has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the runtime that carries requests can't be started")
}

/// Repeats what was not done because there were too many requests, as often and as long as is reasonable.
fn patiently<T>(mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    patiently_if(|| (ask(), true))
}

/// The same; `ask` says also whether it can be asked again.
fn patiently_if<T>(mut ask: impl FnMut() -> (Result<T>, bool)) -> Result<T> {
    let mut waits = 0;
    loop {
        let (asked, is_repeatable) = ask();
        let problem = asked.as_ref().err().and_then(|error| error.downcast_ref::<Problem>());
        // Such a request was not even looked at.
        let wait_s = problem.filter(|problem| problem.status == 429).and_then(|problem| problem.retry_after_s);
        match wait_s.filter(|wait_s| is_repeatable && *wait_s <= WAIT_S && waits < WAITS) {
            Some(wait_s) => std::thread::sleep(Duration::from_secs(wait_s)),
            None => return asked,
        }
        waits += 1;
    }
}

/// How long is to be waited before a request is repeated, in seconds, if the answer says so (RFC 9110 §10.2.3).
fn retry_after_s(fields: &header::HeaderMap) -> Option<u64> {
    fields.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// All of an answer's content.
async fn whole(content: Incoming) -> Result<Bytes> {
    let whole = Limited::new(content, ANSWER_BYTES).collect().await;
    Ok(whole.map_err(|error| anyhow!(error))?.to_bytes())
}
