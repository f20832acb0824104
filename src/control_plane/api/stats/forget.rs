//! Deleting the clicks of a link.

use std::sync::Arc;

use axum::extract::State;
use utoipa::IntoParams;

use super::super::Api;
use super::super::answer::{self, Answer};
use super::super::caller::Caller;
use super::super::parameters::InQuery;
use super::super::problem::{Problem, quoted};
use super::super::submit::Bare;
use super::{counted, subject};
use crate::control_plane::tell;
use crate::link::{LinkKey, Scope};

/// Of which link.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it only describes")]
struct KeyParameter {
    /// The key of the link
    #[param(min_length = 1, required = true, example = "go.example/spring")]
    key: String,
}

/// Delete the clicks of a link
///
/// All that was counted of it until now: counts, visitors, details. It is counted on, and the link itself stays. What is kept of its host, its tags
/// and all links together stays, too, for none of it says by which link it came. Done again, it is the same. To delete a
/// link and its clicks, delete the clicks first: afterwards it is not found any more. It is no change of the log; the server says
/// on its stderr who did it.
#[utoipa::path(
    delete, path = "/v1/stats", tag = "stats", operation_id = "deleteClicks",
    params(KeyParameter),
    responses(
        (status = 204, description = "They are gone, durably"),
        (status = 404, description = "There is no such link", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Clicks are not counted", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn forget(State(api): State<Arc<Api>>, caller: Caller, _: Bare, mut query: InQuery) -> Answer {
    caller.require(Scope::Write)?;
    let given = query.all("key");
    let mut key = None;
    match given.as_slice() {
        [text] => match LinkKey::parse(text) {
            Ok(parsed) => key = Some(parsed),
            Err(error) => query.fail("key", text.as_str(), error),
        },
        _ => query.fail("key", serde_json::Value::Null, "has to be given once: the key of the link"),
    }
    if let Some(key) = &key {
        caller.require_for(Scope::Write, key.host())?;
    }
    query.finish()?;
    let Some(key) = key else { return Err(Problem::malformed("key", serde_json::Value::Null, "is missing")) };
    api.blocking(move |engine| {
        let stats = counted(engine)?;
        let link = subject::link(engine, &key)?;
        stats.forget(link.id.0).map_err(Problem::from)?;
        // The log has no clicks, and so not who has deleted them either.
        tell(&format!("{} deleted the clicks of {}", caller.actor().as_str(), quoted(key.as_str())));
        Ok::<_, Problem>(())
    })
    .await?;
    Ok(answer::no_content())
}
