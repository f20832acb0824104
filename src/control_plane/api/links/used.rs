//! How many clicks of a link are used.

use super::model::LinkJson;
use crate::engine::Engine;
use crate::link::{Link, LinkId};

/// How many clicks of a link that has `max_clicks` are used.
pub(crate) fn used_clicks(engine: &Engine, id: LinkId) -> u64 {
    engine.uses().used(id.0)
}

/// A link as it stands at a time.
pub(crate) fn shown(engine: &Engine, link: &Link, now_ms: u64) -> LinkJson {
    LinkJson::of(link, now_ms, link.options.max_clicks.map_or(0, |_| used_clicks(engine, link.id)))
}
