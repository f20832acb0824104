//! The admin plane: the thread that answers the API on an address of its own, and on streams that come in through the
//! control socket.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::{Extension, Router, middleware};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use super::api::{Api, Caller, Closing, Peer, router};
use super::patient::Patient;
use super::refusals::Refusals;
use super::room::{Place, Room, mark_busy};
use crate::engine::Engine;

/// Most connections to the admin address at a time. For one more, the one that is idle for longest is closed.
const CONNECTIONS: usize = 1_024;

/// Most of them from one address of another machine, or one /64 network of IPv6. A proxy on this machine may have all.
const CONNECTIONS_OF_ONE: usize = CONNECTIONS / 2;

/// Most streams that wait to be taken over from the control socket.
const STREAMS: usize = 16;

/// How long a request's head may take to arrive, and a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take nothing of what is written to it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long requests may go on when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Most threads that do what blocks.
const BLOCKING_THREADS: usize = 32;

/// Most bytes of a request's head.
const HEAD_BYTES: usize = 32 * 1024;

/// How the API is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where it listens; port 0 takes a free one. None serves only what comes through the control socket.
    pub listen: Option<SocketAddr>,
    /// Requests per second that one token may make.
    pub rate: NonZeroU32,
}

/// Why the API is not served.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address can't be had.
    #[error(
        "the admin API can't listen on {address}: {source}. `--admin 127.0.0.1:0` takes a free port, `--admin ADDR` \
         another address, and `--admin none` goes without it"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system refused a thread or what it waits with.
    #[error("the thread of the admin API can't be started: {0}")]
    Start(#[from] io::Error),
}

/// The thread of the admin plane. Stopping it ends it.
pub struct AdminPlane {
    address: Option<SocketAddr>,
    door: Door,
    refusals: Arc<Refusals>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Hands streams over to the admin plane.
#[derive(Clone)]
pub(super) struct Door(mpsc::Sender<UnixStream>);

impl Door {
    /// Hands over a stream of somebody who may do all; gives it back if that is not possible just now.
    pub(super) fn take(&self, stream: UnixStream) -> Result<(), UnixStream> {
        self.0.try_send(stream).map_err(|error| error.into_inner())
    }
}

impl AdminPlane {
    /// Starts it. From here on it takes requests.
    ///
    /// # Errors
    /// If it can't listen there, or a thread can't be started.
    pub fn start(engine: &Arc<Engine>, config: &AdminConfig) -> Result<Self, AdminError> {
        let listener = match config.listen {
            Some(address) => {
                // The standard library sets SO_REUSEADDR, so that a restart need not wait for old connections.
                let listener = TcpListener::bind(address).map_err(|source| AdminError::Listen { address, source })?;
                listener.set_nonblocking(true)?;
                Some(listener)
            }
            None => None,
        };
        let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()?;
        let (streams, taken) = mpsc::channel(STREAMS);
        let (stop, stopped) = oneshot::channel();
        let refusals = Arc::new(Refusals::default());
        let router = router(Api::new(Arc::clone(engine), config.rate, Arc::clone(&refusals)));
        let room = Room::new(CONNECTIONS, CONNECTIONS_OF_ONE, Arc::clone(&refusals));
        let body = move || run(runtime, listener, taken, stopped, router, &room);
        let thread = std::thread::Builder::new().name("carom-admin".to_owned()).spawn(body)?;
        Ok(AdminPlane { address, door: Door(streams), refusals, stop, thread })
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What was not done as it was asked.
    pub(super) fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.refusals)
    }

    /// The way in for streams of the control socket.
    pub(super) fn door(&self) -> Door {
        self.door.clone()
    }

    /// Ends it: takes no more requests, and lets those under way end within a few seconds.
    pub fn stop(self) {
        let AdminPlane { stop, thread, .. } = self;
        // If it has ended already, it need not be told.
        let _ = stop.send(());
        let _ = thread.join();
    }
}

fn run(
    runtime: Runtime,
    listener: Option<TcpListener>,
    mut streams: mpsc::Receiver<UnixStream>,
    stopped: oneshot::Receiver<()>,
    router: Router,
    room: &Arc<Room>,
) {
    runtime.block_on(async {
        let (closing, _) = watch::channel(false);
        // Every connection holds the sender; when all have let go, the receiver ends.
        let (open, mut all_closed) = mpsc::channel::<()>(1);
        let router = router.layer(Extension(Closing(closing.subscribe())));
        let connections = Connections { router, closing, open };
        let listener = listener.and_then(|listener| match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => Some(listener),
            Err(error) => {
                super::tell(&format!("the admin API does not listen: {error}"));
                None
            }
        });
        tokio::select! {
            () = accept(listener, room, &connections) => {}
            () = take_over(&mut streams, &connections) => {}
            // Also if whoever could stop it is gone.
            _ = stopped => {}
        }
        let Connections { closing, open, .. } = connections;
        closing.send_replace(true);
        drop(open);
        // Those that have not ended by then are cut.
        let _ = tokio::time::timeout(DRAIN, all_closed.recv()).await;
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
}

/// Accepts connections, for ever.
async fn accept(listener: Option<tokio::net::TcpListener>, room: &Arc<Room>, connections: &Connections) {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Who gets no place is closed.
                let Some(place) = room.enter(peer.ip()).await else { continue };
                // Answers are written whole; there is nothing to wait for.
                let _ = stream.set_nodelay(true);
                let activity = place.activity();
                let busy = middleware::from_fn(move |request, next| mark_busy(activity.clone(), request, next));
                let router = connections.router.clone().layer(Extension(Peer(peer.ip()))).layer(busy);
                connections.serve(stream, router, Some(place));
            }
            // Out of files, most likely: that passes, and must not be waited for in a circle.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Serves streams of the control socket, for ever.
async fn take_over(streams: &mut mpsc::Receiver<UnixStream>, connections: &Connections) {
    while let Some(stream) = streams.recv().await {
        let stream = stream.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(stream));
        // Whoever is on the other end sees it closed.
        let Ok(stream) = stream else { continue };
        connections.serve(stream, connections.router.clone().layer(Extension(Caller::Local)), None);
    }
    std::future::pending().await
}

/// What connections share.
struct Connections {
    router: Router,
    closing: watch::Sender<bool>,
    open: mpsc::Sender<()>,
}

impl Connections {
    /// Answers on a stream until it ends, or its place is taken from it. `place` is held until then.
    fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        router: Router,
        place: Option<Place>,
    ) {
        let stream = Patient::new(stream, WRITE_TIMEOUT, place.as_ref().map(Place::activity));
        let (mut closing, open) = (self.closing.subscribe(), self.open.clone());
        tokio::spawn(async move {
            let _open = open;
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
            let mut connection = std::pin::pin!(connection);
            // What fails here is the client's connection, which is the client's matter.
            tokio::select! {
                // First: a connection that always has something to do must not keep a place that is another's.
                biased;
                () = lost(place.as_ref()) => return,
                _ = connection.as_mut() => return,
                _ = closing.wait_for(|is_closing| *is_closing) => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        });
    }
}

/// Waits until the place of a connection is taken from it.
async fn lost(place: Option<&Place>) {
    match place {
        Some(place) => place.closed().await,
        None => std::future::pending().await,
    }
}
