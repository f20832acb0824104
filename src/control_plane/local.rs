//! The API without a network: within the process, and over the control socket.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::os::unix::net::UnixStream;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use super::api::{Api, Caller, RATE, router};
use super::{AskError, Connection};
use crate::engine::Engine;

/// Bytes that lie between both ends of a stream within the process.
const DUPLEX_BYTES: usize = 64 * 1024;

/// One end of a stream on whose other end the API answers, with all rights. Within a tokio runtime with time that runs
/// as long as the stream is used.
pub fn connect_local(engine: &Arc<Engine>) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(DUPLEX_BYTES);
    let service = local_router(Api::new(Arc::clone(engine), RATE, Arc::default()));
    tokio::spawn(async move {
        // Who hangs up does not want to know.
        let _ = serve_stream(service, theirs).await;
    });
    ours
}

/// A stream on whose other end the API of the server of a data directory answers, with all rights; None if none runs
/// there.
///
/// # Errors
/// If there is one, and it can't be reached.
pub fn connect_control(data: &Path) -> Result<Option<UnixStream>, AskError> {
    Connection::open(data)?.map(Connection::api).transpose()
}

/// The API for those who may do all.
pub(super) fn local_router(api: Arc<Api>) -> Router {
    router(api).layer(axum::Extension(Caller::Local))
}

/// Answers on a stream until it ends.
pub(super) async fn serve_stream(
    service: Router,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(), hyper::Error> {
    let service = TowerToHyperService::new(service);
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await
}
