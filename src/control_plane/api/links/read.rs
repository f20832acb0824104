//! Reading one link, and lists of them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use utoipa::ToSchema;

use super::super::Api;
use super::super::answer::{self, Answer};
use super::super::caller::Caller;
use super::super::described::{IfNewer, Paging};
use super::super::parameters::{InQuery, PAGE_ENTRIES_MAX};
use super::super::problem::Problem;
use super::super::submit::{Unconditional, entity_tag, is_known, means_nothing};
use super::cursor;
use super::filter::{self, FilterParameters};
use super::model::LinkJson;
use super::path::InPathKey;
use super::shapes::KeyPath;
use super::used::{shown, used_clicks};
use crate::clock::unix_time_ms;
use crate::engine::{Effort, Engine, LinkFilter, LinkPage, Moment};
use crate::link::{Link, LinkKey, LinkOptions, Scope};
use crate::store::StoreError;

/// What one page of a list may cost, so that a search for what is rare does not hold others up.
pub(crate) const PAGE_EFFORT: Effort = Effort { entries: 20_000, time_ms: 10 };

/// A link
#[utoipa::path(
    get, path = "/v1/links/{key}", tag = "links", operation_id = "getLink",
    params(KeyPath, IfNewer),
    responses(
        (status = 200, description = "The link", body = LinkJson,
            headers(("etag" = String, description = "Its version, for If-Match"))),
        (status = 304, description = "It still has the version that is known. Not of a link with a time or `max_clicks`, whose state changes without a new version"),
        (status = 404, description = "There is no such link", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPathKey(key): InPathKey,
    query: InQuery,
    fields: HeaderMap,
) -> Answer {
    caller.require_for(Scope::Read, key.host())?;
    query.finish()?;
    means_nothing(&fields, &[header::IF_MATCH])?;
    let asked = key.clone();
    let found = api.blocking(move |engine| engine.find_link(&asked)).await?;
    let link = found.ok_or_else(|| Problem::not_found(format!("the link `{key}`")))?;
    let tag = entity_tag(link.version);
    if !changes_by_itself(&link) && is_known(&fields, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    Ok(answer::tagged(StatusCode::OK, link.version, &shown(&api.engine, &link, unix_time_ms())))
}

/// Whether what is shown of a link changes without a new version: with the time, or with clicks. Then it is always shown.
fn changes_by_itself(link: &Link) -> bool {
    let LinkOptions { not_before_ms, expires_at_ms, max_clicks, .. } = &link.options;
    not_before_ms.is_some() || expires_at_ms.is_some() || max_clicks.is_some()
}

/// A page of links.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it only describes; a page is written piece by piece")]
struct LinkList {
    /// The links, in the order of their keys. They may be fewer than asked for, or none, though there are more.
    #[schema(max_items = 1000)]
    links: Vec<LinkJson>,
    /// Where the next page begins. Null if this was the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Links
///
/// In the order of their keys; those of any host come first. What a page costs is bounded: it ends after 10 ms or 20,000 links that were
/// looked at, even if few of them or none were such as asked for. Only a `next_cursor` of null says that there are no more.
#[utoipa::path(
    get, path = "/v1/links", tag = "links", operation_id = "listLinks",
    params(FilterParameters, Paging),
    responses((status = 200, description = "A page of links", body = LinkList)),
)]
pub(super) async fn list(State(api): State<Arc<Api>>, caller: Caller, _: Unconditional, mut query: InQuery) -> Answer {
    let filter = filter::read(&mut query, &caller)?;
    let limit = query.limit(PAGE_ENTRIES_MAX);
    let after = query.parse("cursor", |text| cursor::decode(text, &filter));
    query.finish()?;
    let actor = caller.actor();
    let page = api.blocking(move |engine| {
        let (links, next) = shown_page(engine, &filter, after.as_ref(), limit)?;
        let next = next.map(|next| cursor::encode(&next, &filter));
        let place = |link: &LinkJson| {
            let key = LinkKey::parse(&link.key).expect("it is the key of a link");
            cursor::encode(&key, &filter)
        };
        Ok::<_, Problem>(answer::list("links", &links, next, |page, link| page.push(link), place)?)
    });
    answer::page(actor, page.await?)
}

/// One page of links as they are shown, and behind which one the next begins. Blocks.
///
/// # Errors
/// If the store can't be read.
pub(crate) fn shown_page(
    engine: &Engine,
    filter: &LinkFilter,
    after: Option<&LinkKey>,
    limit: usize,
) -> Result<(Vec<LinkJson>, Option<LinkKey>), StoreError> {
    let now_ms = unix_time_ms();
    let moment = Moment { now_ms, used: &|id| used_clicks(engine, id) };
    let LinkPage { links, next, .. } = engine.list(filter, moment, after, limit, PAGE_EFFORT)?;
    Ok((links.iter().map(|link| shown(engine, link, now_ms)).collect(), next))
}
