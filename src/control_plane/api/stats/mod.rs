//! `/v1/stats`: what was clicked.
//!
//! - `counts`: totals, and counts over time. `breakdown`: by what clicks differ. `top`: which links are clicked most.
//!   `uniques`: how many people.
//! - `live`: clicks as they come; `disguise`: their numbers for those who may not know how many there are. `export`: the counts of links, as lines. `forget`: deleting those of a link.
//! - `subject`: of what it is asked. `when`: from when to when. `limit`: how much. `step`: the steps of counts over time, as
//!   a time zone has them.

mod breakdown;
mod counts;
mod disguise;
mod export;
mod forget;
mod limit;
mod live;
mod step;
mod subject;
mod top;
mod uniques;
mod when;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::problem::{Kind, Problem};
use crate::clicks::{Granularity, Stats, StatsError, Subject};
use crate::engine::Engine;
pub(crate) use live::ClickJson;
use subject::Asked;

/// What is answered at once.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(counts::totals))
        .routes(routes!(counts::series))
        .routes(routes!(breakdown::breakdown))
        .routes(routes!(top::top))
        .routes(routes!(uniques::uniques))
        .routes(routes!(forget::forget))
}

/// What has no end that is known before, and sees to its time itself.
pub(super) fn streams() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(live::live)).routes(routes!(export::export))
}

/// What can be asked of the clicks.
///
/// # Errors
/// 409 if the engine was opened without them. Where they are only not counted any more, those of before can be asked for.
fn counted(engine: &Engine) -> Result<&Stats, Problem> {
    engine.stats().ok_or_else(|| {
        Problem::new(
            Kind::ClicksNotCounted,
            "clicks are not counted here; `carom serve` counts them, and with `--clicks none` still tells of those before. \
             Without a server, `carom stats --data DIR` does",
        )
    })
}

/// Asks on a thread that may wait for the disk.
async fn ask<T: Send + 'static>(
    api: &Api,
    asked: Asked,
    question: impl FnOnce(&Stats, &Subject) -> Result<T, StatsError> + Send + 'static,
) -> Result<T, Problem> {
    api.blocking(move |engine| {
        let stats = counted(engine)?;
        let subject = asked.subject(engine)?;
        question(stats, &subject).map_err(Problem::from)
    })
    .await
}

impl From<StatsError> for Problem {
    fn from(error: StatsError) -> Self {
        Problem::internal(&error)
    }
}

/// The name of a granularity in answers.
fn granularity_name(granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Minute => "minute",
        Granularity::Quarter => "quarter",
        Granularity::Day => "day",
        Granularity::Month => "month",
    }
}

/// A value that has to be one of some names.
fn one_of<T: Copy>(what: &str, text: &str, all: &[(&'static str, T)]) -> Result<T, String> {
    match all.iter().find(|(name, _)| *name == text) {
        Some((_, value)) => Ok(*value),
        None => Err(super::body::unknown(what, text, &all.iter().map(|(name, _)| *name).collect::<Vec<_>>())),
    }
}
