//! How many clicks of a link are used.

use super::model::LinkJson;
use crate::engine::Engine;
use crate::link::{Link, LinkId};

/// How many clicks of a link were counted while it had `max_clicks`.
pub(crate) fn used_clicks(engine: &Engine, id: LinkId) -> u64 {
    engine.uses().used(id.0)
}

/// A link as it stands at a time.
pub(crate) fn shown(engine: &Engine, link: &Link, now_ms: u64) -> LinkJson {
    LinkJson::of(link, now_ms, used_clicks(engine, link.id))
}
