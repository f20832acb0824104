//! Links: one at a time, and lists of them.
//!
//! - `change` and `read`: the routes. `generate`: links without a chosen key.
//! - `model`: a link as JSON. `said`: what a body says of one. `shapes`: how bodies are described.
//! - `filter`: which links a list holds. `cursor`: where it goes on. `path`: a key in the path of a request.
//! - `asked`: what was asked for, held against what became of it. `texts`: what texts may hold. `code`: generated codes. `used`: used clicks.

mod asked;
mod change;
mod code;
mod cursor;
mod filter;
mod generate;
mod model;
mod path;
mod read;
mod said;
mod shapes;
mod texts;
mod used;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
pub(crate) use asked::{Asked, blamed, check_key, kept};
pub(crate) use change::chains;
pub(crate) use code::CodeSecret;
pub(crate) use filter::{FilterParameters, read as read_filter};
pub(crate) use model::READ_ONLY;
pub(crate) use read::shown_page;
pub(crate) use said::{HostRules, WRITABLE};
pub(crate) use shapes::{ChainsParameter, LinkBody};
pub(crate) use texts::{CacheControlJson, TagJson, TitleJson};

/// What stands before the key of a link in a path.
pub(super) const PATH: &str = "/v1/links/";

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(change::create, read::list)).routes(routes!(
        read::get,
        change::put,
        change::patch,
        change::delete
    ))
}
