//! Asks the API: one HTTP/1.1 client, whether over the network, the control socket of a running server, or within this
//! process.
//!
//! - [`PlaceArguments`]: where to ask. [`Client`]: asks. [`Request`]: what. [`Problem`]: what is said instead of an
//!   answer. `pages`: lists that come in pages. `lines`: what comes, and goes, as lines without end. `read_on`: an
//!   answer counts also if not all of the request was taken.

mod lines;
mod pages;
mod place;
mod problem;
mod read_on;
mod request;

use std::path::Path;
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
pub(super) use pages::List;
pub(super) use place::{PlaceArguments, Purpose, ServerUrl};
pub(super) use problem::Problem;
use read_on::ReadOn;
pub(super) use request::Request;

use super::open;
use crate::clicks::{ClicksConfig, Keep, VisitConfig};
use crate::control_plane::{connect_control, connect_local};
use crate::engine::{EngineConfig, OwnedEngine, holder};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may take to begin and to arrive. The server gives up before.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

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
        if self.content.is_empty() {
            bail!("the change was made, but what was changed is gone again, or can't be read just now");
        }
        serde_json::from_slice(&self.content)
            .context("the server's answer can't be read; is it another version of carom?")
    }

    /// Its content as the API wrote it, for `--json`.
    pub(super) fn json(&self) -> String {
        String::from_utf8_lossy(self.content.trim_ascii_end()).into_owned()
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
            Ok(Err(error)) => bail!(
                "{name} can't be reached: {error}. Look whether it runs, and whether its `--admin` address, which it \
                 prints when it starts, is this one"
            ),
            Err(_) => bail!(
                "{name} can't be reached: it did not answer within {} seconds. Look whether a firewall stands before it",
                CONNECT_TIMEOUT.as_secs()
            ),
        };
        stream.set_nodelay(true).with_context(|| name.clone())?;
        let authority = url.authority.clone();
        Client::over(runtime, name, authority, Some(token), None, || Ok(stream))
    }

    /// Connects to the server of a data directory, or opens it.
    fn of_data(data: &Path, purpose: Purpose) -> Result<Self> {
        let runtime = runtime()?;
        if let Some(stream) = connect_control(data)? {
            let name = format!("the server of {}", data.display());
            return Client::over(runtime, name, NO_HOST.to_owned(), None, None, || {
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream)
            });
        }
        if let Some(holder) = holder(data)? {
            bail!(
                "the data directory {} is in use by {holder}, which takes no requests: it is another command, or a \
                 server that has not finished starting, or one without control socket. Try again when it has ended, or \
                 listens",
                data.display()
            );
        }
        if purpose != Purpose::Write {
            open::check_is_data(data)?;
        }
        // The caches are for those who serve.
        let mut config = EngineConfig { cache_bytes: 0, ..EngineConfig::new(data.to_owned()) };
        if purpose == Purpose::AskClicks {
            let visits = VisitConfig { keep: Keep::Untouched, ..VisitConfig::default() };
            let mut clicks = ClicksConfig { visits, ..ClicksConfig::new(config.clicks_dir()) };
            // How long what is kept, the server was told, and this command was not: it must make nothing coarser, and
            // delete nothing.
            clicks.pipeline.maintain_interval = Duration::MAX;
            config.clicks = Some(clicks);
        }
        let engine = open::engine(&config)?;
        let shared = std::sync::Arc::clone(engine.engine());
        let name = format!("the data directory {}", data.display());
        Client::over(runtime, name, NO_HOST.to_owned(), None, Some(engine), || Ok(connect_local(&shared)))
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

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// A [`Problem`] if the API does not do it; otherwise whatever came in between.
    pub(super) fn ask(&mut self, request: Request) -> Result<Answer> {
        let content = match &request.content {
            Some(content) => Bytes::from(serde_json::to_vec(content)?),
            None => Bytes::new(),
        };
        let broken_off = self.broken_off();
        let request = self.head(&request)?.body(Either::Left(Full::new(content)))?;
        let sender = &mut self.sender;
        let answered = async {
            sender.ready().await?;
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            Ok::<_, anyhow::Error>((status, whole(answer.into_body()).await?))
        };
        // The clock belongs to the runtime, and starts within it.
        let answered = self.runtime.block_on(async { timeout(ANSWER_TIMEOUT, answered).await });
        let (status, content) = answered
            .map_err(|_| anyhow!("it did not answer within {} seconds", ANSWER_TIMEOUT.as_secs()))
            .flatten()
            .context(broken_off)?;
        if status.is_success() {
            Ok(Answer { status: status.as_u16(), content })
        } else {
            Err(Problem::read(status.as_u16(), &content).into())
        }
    }

    /// What is said when no whole answer comes.
    fn broken_off(&self) -> String {
        format!("{} did not answer to the end, and what it did is not known; look whether it still runs", self.name)
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

fn runtime() -> Result<Runtime> {
    // One thread: it waits, and what blocks in the engine has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the runtime that carries requests can't be started")
}

/// All of an answer's content.
async fn whole(content: Incoming) -> Result<Bytes> {
    let whole = Limited::new(content, ANSWER_BYTES).collect().await;
    Ok(whole.map_err(|error| anyhow!(error))?.to_bytes())
}
