//! `/v1/hosts`: what is set for hosts.
//!
//! `view` is what is answered, `edit` how a body becomes settings, `ways` where fallbacks lead.

mod edit;
mod view;
mod ways;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, Answer, Found, Page};
use super::body::RequestBody;
use super::described::{HostPath, IfMatch, IfNoneMatch, Paging};
use super::parameters::{InPath, InQuery, PAGE_ENTRIES_MAX, cursor, page};
use super::problem::{Kind, Problem, quoted};
use super::submit::{Preconditions, Unnamed, change, not_changed, try_change_holding};
use super::{Api, Caller};
use crate::engine::{HostEntry, SubmitError};
use crate::limits::HOSTS;
use crate::link::{Change, Host, HostCommand, HostRecord, HostSettings, Outcome, Precondition, Refusal, Scope};
use edit::{Base, HostBody, read};
use view::{HostList, HostView};

/// How often a change of parts is tried again when somebody else changed the same host meanwhile.
const MERGES: usize = 8;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, put, patch, delete))
}

/// All hosts that have settings
///
/// In the order of their names. A token that is restricted to hosts sees only these.
#[utoipa::path(
    get, path = "/v1/hosts", tag = "hosts", operation_id = "listHosts",
    params(Paging),
    responses((status = 200, description = "A page of hosts", body = HostList)),
)]
async fn list(State(api): State<Arc<Api>>, caller: Caller, mut query: InQuery) -> Answer {
    caller.require(Scope::Read)?;
    let limit = query.limit(PAGE_ENTRIES_MAX);
    let after = query.cursor(|place| Some(place.to_vec())).unwrap_or_default();
    query.finish()?;
    let actor = caller.actor();
    // All names are looked at, which takes milliseconds where there are many.
    let bytes = api.blocking(move |engine| {
        let tables = engine.tables();
        let hosts = match caller.hosts() {
            None => tables.hosts_after(&after, limit + 1, |_| true),
            // These are sorted, and few.
            Some(own) => {
                let own = own.iter().map(|host| host.as_str().as_bytes()).filter(|name| *name > &*after);
                own.filter_map(|name| tables.host(name)).take(limit + 1).collect()
            }
        };
        let (hosts, next) = page(hosts, limit, |entry| entry.record.host.as_str().as_bytes().to_vec());
        let push = |page: &mut Page, entry: &&Arc<HostEntry>| page.push(&HostView::from(&*entry.record));
        let place = |entry: &&Arc<HostEntry>| cursor(entry.record.host.as_str());
        Ok::<_, Problem>(answer::list("hosts", &hosts, next, push, place)?)
    });
    answer::page(actor, bytes.await?)
}

/// What is set for a host
#[utoipa::path(
    get, path = "/v1/hosts/{host}", tag = "hosts", operation_id = "getHost",
    params(HostPath),
    responses(
        (status = 200, description = "Its settings", body = HostView,
            headers(("etag" = String, description = "Its version, for If-Match"))),
        (status = 404, description = "Nothing is set for it", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn get(State(api): State<Arc<Api>>, caller: Caller, InPath(host): InPath<String>, query: InQuery) -> Answer {
    let host = host_of(&host)?;
    query.finish()?;
    caller.require_for(Scope::Read, host.as_str())?;
    let record = stored(&api.engine.tables(), &host)?;
    Ok(answer::tagged(StatusCode::OK, record.version, &HostView::from(&*record)))
}

/// Set all that is set for a host
///
/// What the body leaves out becomes what it is without settings. Safe to repeat.
#[utoipa::path(
    put, path = "/v1/hosts/{host}", tag = "hosts", operation_id = "putHost",
    params(HostPath, IfMatch, IfNoneMatch),
    request_body = HostBody,
    responses(
        (status = 200, description = "It is set", body = HostView, headers(("etag" = String, description = "Its version"))),
        (status = 201, description = "It is set, and was not before", body = HostView,
            headers(("etag" = String, description = "Its version"))),
        (status = 204, description = "The same, and somebody took the settings away since"),
        (status = 409, description = "No more hosts can be", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It has another version, or something is set, or nothing", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
async fn put(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(host): InPath<String>,
    Preconditions(precondition): Preconditions,
    _: Unnamed,
    body: RequestBody,
) -> Answer {
    let host = host_of(&host)?;
    caller.require_for(Scope::Admin, host.as_str())?;
    let body = body.object().await?;
    // Before it is judged where the fallback leads: two that close a circle together can't both be let in.
    let held = Arc::clone(&api.counted).lock_owned().await;
    let settings = read(body, &api.engine.tables(), &host, Base::Defaults)?;
    room_for_one_more(&api, &host)?;
    let command = HostCommand { host: host.clone(), settings: Some(Box::new(settings.clone())), precondition };
    let done = try_change_holding(&api, held, caller.actor(), Change::Host(command)).await;
    let done = done.map_err(|error| not_changed(&caller, error, precondition, true))?;
    Ok(changed(&api, &host, done.outcome[0], &settings))
}

/// Change parts of what is set for a host
///
/// What the body leaves out stays; null makes it what it is without settings. Without `If-Match`, a change that somebody
/// else makes meanwhile to other parts stays, too.
#[utoipa::path(
    patch, path = "/v1/hosts/{host}", tag = "hosts", operation_id = "patchHost",
    params(HostPath, IfMatch),
    request_body(content(
        (HostBody = "application/json"),
        (HostBody = "application/merge-patch+json"),
    )),
    responses(
        (status = 200, description = "It is changed", body = HostView, headers(("etag" = String, description = "Its version"))),
        (status = 204, description = "The same, and somebody took the settings away since"),
        (status = 404, description = "Nothing is set for it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It has another version", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn patch(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(host): InPath<String>,
    Preconditions(precondition): Preconditions,
    _: Unnamed,
    body: RequestBody,
) -> Answer {
    let host = host_of(&host)?;
    caller.require_for(Scope::Admin, host.as_str())?;
    if precondition == Precondition::Absent {
        return Err(Problem::malformed("if-none-match", "*", "only what is there can be changed in parts"));
    }
    let body = body.merge_patch().await?;
    let mut tries = 0;
    loop {
        let held = Arc::clone(&api.counted).lock_owned().await;
        let tables = api.engine.tables();
        let current = stored(&tables, &host)?;
        let settings = read(body.clone(), &tables, &host, Base::Current(&current.settings))?;
        // What was merged with is what must still be there.
        let expected = match precondition {
            Precondition::Version(version) => version,
            _ => current.version,
        };
        let command = HostCommand {
            host: host.clone(),
            settings: Some(Box::new(settings.clone())),
            precondition: Precondition::Version(expected),
        };
        match try_change_holding(&api, held, caller.actor(), Change::Host(command)).await {
            Ok(done) => return Ok(changed(&api, &host, done.outcome[0], &settings)),
            Err(SubmitError::Refused(Refusal::VersionMismatch { .. }, _))
                if tries < MERGES && !matches!(precondition, Precondition::Version(_)) =>
            {
                tries += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Take all settings of a host away
///
/// Its links stay.
#[utoipa::path(
    delete, path = "/v1/hosts/{host}", tag = "hosts", operation_id = "deleteHost",
    params(HostPath, IfMatch),
    responses(
        (status = 204, description = "Nothing is set for it any more"),
        (status = 404, description = "Nothing is set for it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It has another version", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn delete(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(host): InPath<String>,
    Preconditions(precondition): Preconditions,
    _: Unnamed,
) -> Answer {
    let host = host_of(&host)?;
    caller.require_for(Scope::Admin, host.as_str())?;
    let precondition = match precondition {
        Precondition::Absent => {
            return Err(Problem::malformed("if-none-match", "*", "only what is there can be deleted"));
        }
        Precondition::None => Precondition::Present,
        precondition => precondition,
    };
    let command = HostCommand { host, settings: None, precondition };
    change(&api, caller.actor(), None, Change::Host(command)).await?;
    Ok(answer::no_content())
}

/// The host of a path, in any spelling.
fn host_of(text: &str) -> Result<Host, Problem> {
    Host::parse(text).map_err(|error| Problem::malformed("host", text, error.to_string()))
}

fn stored(tables: &crate::engine::Tables, host: &Host) -> Result<Arc<HostRecord>, Problem> {
    let entry = tables.host(host.as_str().as_bytes());
    entry
        .map(|entry| Arc::clone(&entry.record))
        .ok_or_else(|| Problem::new(Kind::NotFound, format!("nothing is set for the host {}", quoted(host.as_str()))))
}

/// The answer to a change to these settings that was made.
fn changed(api: &Api, host: &Host, outcome: Outcome, settings: &HostSettings) -> Response {
    let record = stored(&api.engine.tables(), host).ok();
    let found = record.map(|record| Found {
        version: record.version,
        is_its: outcome.version().is_none_or(|made| made == record.version) && record.settings == *settings,
        value: HostView::from(&*record),
    });
    answer::changed_to(outcome, found)
}

fn room_for_one_more(api: &Api, host: &Host) -> Result<(), Problem> {
    let tables = api.engine.tables();
    if tables.host_count() < HOSTS || tables.host(host.as_str().as_bytes()).is_some() {
        return Ok(());
    }
    Err(Problem::new(Kind::Conflict, format!("{HOSTS} hosts have settings, the most there can be")))
}

/// What holds for a host without settings.
fn defaults() -> HostSettings {
    HostSettings::default()
}

/// What settings say, by the names that they are set with.
pub(super) fn said_of_host(host: &Host, settings: &HostSettings) -> Map<String, Value> {
    let record =
        HostRecord { host: host.clone(), settings: settings.clone(), created_at_ms: 0, updated_at_ms: 0, version: 0 };
    let Ok(Value::Object(mut says)) = serde_json::to_value(HostView::from(&record)) else { return Map::new() };
    edit::READ_ONLY.iter().for_each(|field| drop(says.remove(*field)));
    says
}
