//! The REST API: `/v1/...`, JSON in and out, described by an OpenAPI document that is made from this code.
//!
//! - One file or folder an area: `links`, `bulk`, `hosts`, `tokens`, `changes`, `stats`, `status`. Each gives its routes.
//! - `problem`: what is said when something is not done. `gate` and `caller`: who asks, and what they may. `body` and
//!   `parameters`: what comes in. `submit`: the way to the writer. `answer`: what goes out. `held`: how
//!   much is held of both at a time.
//!   `stream`: answers that are sent while they are made; `places`: how many of them at a time.
//! - `openapi`: what is added to the description that the areas give of themselves.

mod answer;
mod body;
mod bulk;
mod caller;
mod changes;
mod described;
mod gate;
mod held;
mod hosts;
mod links;
mod openapi;
mod parameters;
mod places;
mod problem;
mod stats;
mod status;
mod stream;
mod submit;
mod targets;
mod time;
mod tokens;

use std::any::Any;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::sync::{Mutex, Semaphore};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_axum::router::OpenApiRouter;

pub(crate) use caller::{Caller, Peer};
use gate::Gate;
pub(crate) use gate::{Minted, holds, mint};
use problem::{Kind, Problem, quoted};
pub(crate) use stream::Closing;

use super::refusals::Refusals;
use crate::engine::Engine;

/// How long a request may take, but for those that stream.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Most reads of the store that are under way at a time; more wait.
const READS_UNDER_WAY: usize = 16;

/// Requests per second and token, unless told otherwise.
pub(crate) const RATE: NonZeroU32 = NonZeroU32::new(50_000).expect("it is not zero");

/// What all handlers share.
pub(crate) struct Api {
    /// The engine.
    pub(crate) engine: Arc<Engine>,
    /// Since when it is served.
    since: Instant,
    gate: Gate,
    /// What was not done as it was asked.
    refusals: Arc<Refusals>,
    changes: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    codes: Arc<links::CodeSecret>,
    /// Held while hosts and tokens are changed, until the writer has answered, for what is judged before that.
    counted: Arc<Mutex<()>>,
}

impl Api {
    /// Of an engine, with so many requests per second and token. What is refused is counted.
    pub(crate) fn new(engine: Arc<Engine>, rate: NonZeroU32, refusals: Arc<Refusals>) -> Arc<Self> {
        Arc::new(Api {
            engine,
            since: Instant::now(),
            gate: Gate::new(rate),
            refusals,
            changes: Arc::new(Semaphore::new(submit::CHANGES_UNDER_WAY)),
            reads: Arc::new(Semaphore::new(READS_UNDER_WAY)),
            codes: Arc::default(),
            counted: Arc::default(),
        })
    }

    /// Does what blocks, as reading the store does, on a thread of its own.
    ///
    /// # Errors
    /// What `work` gives, as a problem; 500 if it panics.
    pub(crate) async fn blocking<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        &self,
        work: impl FnOnce(&Engine) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = Arc::clone(&self.reads).acquire_owned().await.expect("nobody closes it");
        let engine = Arc::clone(&self.engine);
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&engine)
        });
        match done.await {
            Ok(result) => result.map_err(Into::into),
            Err(error) => Err(Problem::internal(&error)),
        }
    }
}

/// The areas with their descriptions. Those that stream have to see to their time themselves, with [`in_time`] where
/// they do not.
fn areas() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(links::routes())
        .merge(hosts::routes())
        .merge(tokens::routes())
        .merge(changes::routes())
        .merge(status::routes())
        .merge(stats::routes())
        .layer(middleware::from_fn(in_time))
        .merge(bulk::routes())
        .merge(stats::streams())
}

/// All routes.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let (router, _) = areas().split_for_parts();
    router
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_such_path)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .layer(SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), counted))
        .with_state(api)
}

/// The description of the API (OpenAPI 3.1).
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    openapi::finish(areas().split_for_parts().1)
}

/// Gives up on a request that takes too long.
async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            Kind::Timeout,
            "the request took too long. If it was to change something, it may have, or still may",
        )
        .into_response(),
    }
}

/// Counts what is not done as it was asked.
async fn counted(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    api.refusals.answered(response.status().as_u16());
    response
}

async fn no_such_path(uri: Uri) -> Problem {
    if let Some(key) = uri.path().strip_prefix(links::PATH).filter(|key| key.contains('/')) {
        let meant = format!("{}{}", links::PATH, key.replace('/', "%2F"));
        let detail = format!("a link's key is one segment of the path, with `/` as %2F: {}", quoted(&meant));
        return Problem::new(Kind::NotFound, detail);
    }
    Problem::new(
        Kind::NotFound,
        format!("there is no path {} here; GET /v1/openapi.json describes all", quoted(uri.path())),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        format!("{} does not take {method}; `Allow` says what it takes", quoted(uri.path())),
    )
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Problem::internal(&format!("a request panicked: {}", said.unwrap_or("without a word"))).into_response()
}
