//! All links, or some, as lines of JSON.

use std::sync::Arc;

use axum::extract::State;

use super::super::Api;
use super::super::answer::Answer;
use super::super::caller::Caller;
use super::super::links::{FilterParameters, read_filter, shown_page};
use super::super::parameters::InQuery;
use super::super::places::Places;
use super::super::problem::Problem;
use super::super::stream::{LineSink, lines};
use crate::engine::LinkFilter;

static UNDER_WAY: Places = Places::new("exports", 4, 2);

/// Links that are read at once.
const PAGE: usize = 1_000;

/// Export links
///
/// Links as lines of JSON, in the order of their keys, each as `GET /v1/links/{key}` shows it: what `POST /v1/import` takes. Links that are
/// changed meanwhile are shown as they were before or after; those that nobody touches are there exactly once. An answer that breaks off without the
/// last chunk is not whole.
#[utoipa::path(
    get, path = "/v1/export", tag = "bulk", operation_id = "exportLinks",
    params(FilterParameters),
    responses(
        (status = 200, description = "A link on each line", content_type = "application/x-ndjson", body = String),
        (status = 503, description = "Four exports are under way", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn export(State(api): State<Arc<Api>>, caller: Caller, mut query: InQuery) -> Answer {
    let filter = read_filter(&mut query, &caller)?;
    query.finish()?;
    let place = UNDER_WAY.take(caller.actor())?;
    let (response, sink) = lines(&caller);
    tokio::spawn(async move {
        let _place = place;
        send(&api, &caller, filter, sink).await;
    });
    Ok(response)
}

async fn send(api: &Api, caller: &Caller, filter: LinkFilter, mut sink: LineSink) {
    let filter = Arc::new(filter);
    let mut after = None;
    loop {
        // A token may be revoked or expire while links are sent: then it gets no more of them.
        if caller.check_holds(&api.engine.tables()).is_err() {
            return sink.break_off().await;
        }
        let filter = Arc::clone(&filter);
        let page = api.blocking(move |engine| shown_page(engine, &filter, after.as_ref(), PAGE)).await;
        // Why it can't be read stands on stderr already.
        let Ok((links, next)) = page else { return sink.break_off().await };
        for link in &links {
            if sink.write(link).await.is_err() {
                return;
            }
        }
        match next {
            None => return sink.end().await,
            next => after = next,
        }
    }
}
