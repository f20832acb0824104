//! Many links at once.
//!
//! - `batch`: up to a record of the log, all or none. `import` and `export`: any number, as lines of JSON.
//! - `lines`: lines from pieces, without I/O.

mod batch;
mod export;
mod import;
mod lines;

use std::sync::Arc;

use axum::middleware;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(batch::batch))
        .layer(middleware::from_fn(super::in_time))
        // These have no end that is known before, and see to their time themselves.
        .routes(routes!(import::import))
        .routes(routes!(export::export))
}
