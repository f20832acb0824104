//! Which links are clicked most.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::super::Api;
use super::super::answer::{self, Answer};
use super::super::caller::Caller;
use super::super::links::TagJson;
use super::super::parameters::InQuery;
use super::super::problem::Problem;
use super::ask;
use super::limit::{self, LimitParameter};
use super::subject;
use super::when::{self, WhenParameters};
use crate::clicks::TopLink;

/// Of which links.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it only describes")]
struct GroupParameters {
    /// Of the links on this host; `*` is those of any host
    #[param(min_length = 1, required = false, nullable = false, example = "go.example")]
    host: String,
    /// Of the links that had this tag when they were clicked. Not together with `host`
    #[param(inline, required = false, nullable = false)]
    tag: TagJson,
}

/// The links that were clicked most.
#[derive(Debug, Serialize, ToSchema)]
struct ClickTop {
    /// From when on; with `tag`, whole days in UTC, or months where no more is kept.
    #[schema(format = "date-time")]
    from: String,
    /// Up to when; it is not in it any more.
    #[schema(format = "date-time")]
    to: String,
    /// The one that was clicked most first.
    #[schema(max_items = 100)]
    links: Vec<ClickTopLink>,
}

/// A link that was clicked often.
#[derive(Debug, Serialize, ToSchema)]
struct ClickTopLink {
    /// Its key when it was clicked; it may have been deleted since.
    key: String,
    /// How often, by people and programs.
    #[schema(minimum = 0)]
    clicks: u64,
    /// The number may be this much too high.
    #[schema(minimum = 0)]
    error: u64,
}

/// Which links are clicked most
///
/// Of a host and of all, in just the range. Those of a tag are counted by day: the range is widened to whole days in UTC, or to
/// months where no more is kept; `from` and `to` say to which.
#[utoipa::path(
    get, path = "/v1/stats/top", tag = "stats", operation_id = "getTopLinks",
    params(GroupParameters, WhenParameters, LimitParameter),
    responses(
        (status = 200, description = "The links", body = ClickTop),
        (status = 409, description = "Clicks are not counted", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn top(State(api): State<Arc<Api>>, caller: Caller, mut query: InQuery) -> Answer {
    let asked = subject::read(&mut query, &caller, false)?;
    let when = when::read(&mut query, &api).await;
    let limit = limit::read(&mut query);
    query.finish()?;
    let range = when.range;
    let found = ask(&api, asked, move |stats, subject| {
        Ok((stats.top(subject, range, limit)?, stats.top_range(subject, range)?))
    });
    let (links, range) = found.await?;
    let links = links.into_iter().map(|TopLink { key, clicks, error, .. }| ClickTopLink { key, clicks, error });
    let (from, to) = when.texts(range);
    let top = ClickTop { from, to, links: links.collect() };
    Ok(answer::json(StatusCode::OK, &top))
}
