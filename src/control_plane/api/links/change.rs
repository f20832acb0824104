//! Creating, replacing, changing and deleting one link.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde_json::{Map, Value};

use super::super::Api;
use super::super::answer::{self, Answer, Found};
use super::super::body::{Fields, Given, RequestBody};
use super::super::caller::Caller;
use super::super::described::{Idempotency, IfMatch, IfNoneMatch};
use super::super::parameters::InQuery;
use super::super::problem::{Problem, quoted};
use super::super::submit::{IdempotencyKey, Preconditions, try_change};
use super::asked::{Asked, check_key, refused};
use super::generate;
use super::model::{LinkJson, READ_ONLY};
use super::path::{InPathKey, location};
use super::said::{HostRules, WRITABLE};
use super::shapes::{ChainsParameter, KeyPath, LinkBody, LinkPatchBody, NewLinkBody, Upsert};
use super::used::shown;
use crate::clock::unix_time_ms;
use crate::link::{Action, Chains, Change, Command, Host, LinkKey, Outcome, Precondition, Scope, SetLink};

/// Creates a link
///
/// With `key`, or with `host` and a generated code. A code is drawn uniformly at random from the host's `code_alphabet` and has its
/// `code_length`. With an `Idempotency-Key` a repeated request gets the same code.
#[utoipa::path(
    post,
    path = "/v1/links",
    tag = "links",
    operation_id = "createLink",
    params(Upsert, ChainsParameter, IfMatch, IfNoneMatch, Idempotency),
    request_body(content = NewLinkBody, content_type = "application/json"),
    responses(
        (status = 201, description = "It was created.", body = LinkJson, headers(
            ("location" = String, description = "Where it is found"),
            ("etag" = String, description = "Its version, for If-Match"),
        )),
        (status = 200, description = "It was there, and was replaced (`upsert`).", body = LinkJson,
            headers(("etag" = String, description = "Its version, for If-Match"))),
        (status = 204, description = "The same, and it can't be shown: it was deleted since, or can't be read.",
            headers(("location" = String, description = "Where it was"))),
        (status = 409, description = "It exists; its target leads to another link, or back; or the host has as many codes as are safe.",
            body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It has another version, or there is one or none.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller,
    name: IdempotencyKey,
    Preconditions(precondition): Preconditions,
    mut query: InQuery,
    body: RequestBody,
) -> Answer {
    caller.require(Scope::Write)?;
    let upsert = query.flag("upsert").unwrap_or(false);
    let chains = chains(&mut query, &caller)?.unwrap_or_default();
    query.finish()?;
    let new = read_new(&api, &caller, body.object().await?, chains, upsert)?;
    let (asked, outcome) = match new.place {
        Place::Key(key) => {
            let demanded = demanded(precondition, upsert)?;
            let command = Command { key, action: Action::Set(Box::new(new.link)), precondition: demanded };
            one(&api, &caller, &name, command, precondition).await?
        }
        Place::CodeOn(host) => {
            if precondition != Precondition::None {
                let field = if precondition == Precondition::Absent { "if-none-match" } else { "if-match" };
                return Err(Problem::malformed(field, Value::Null, "a generated code is new; leave the field out"));
            }
            let operation = name.operation(&caller.actor());
            generate::create(&api, &caller, operation, &host, new.link).await?
        }
    };
    Ok(stored(&api, asked, outcome).await)
}

/// What is demanded of a link that is to be created, or with `upsert` replaced.
fn demanded(precondition: Precondition, upsert: bool) -> Result<Precondition, Problem> {
    match precondition {
        Precondition::None if !upsert => Ok(Precondition::Absent),
        Precondition::Present | Precondition::Version(_) if !upsert => Err(Problem::malformed(
            "if-match",
            Value::Null,
            "what is created is not there yet; replace it with `upsert=true`, or leave the field out",
        )),
        precondition => Ok(precondition),
    }
}

/// Where a new link is to be.
enum Place {
    Key(LinkKey),
    /// On this host, under a generated code.
    CodeOn(Host),
}

struct NewLink {
    place: Place,
    link: SetLink,
}

fn read_new(
    api: &Api,
    caller: &Caller,
    map: Map<String, Value>,
    chains: Chains,
    upsert: bool,
) -> Result<NewLink, Problem> {
    let mut fields = Fields::new(map, &[&WRITABLE[..], &["host"]].concat(), &READ_ONLY);
    let key = fields.text("key", LinkKey::parse).given();
    let host = fields.text("host", Host::parse).given();
    if key.is_some() && host.is_some() {
        fields.fail("host", host.as_ref().map(Host::to_string), "give `key`, or `host` for a generated code; not both");
    }
    if upsert && key.is_none() && fields.is_fine() {
        fields.fail("key", Value::Null, "is missing: only a link whose key is given can be replaced");
    }
    let place = match (key, host) {
        (Some(key), _) => Place::Key(key),
        (None, host) => Place::CodeOn(host.unwrap_or(Host::any())),
    };
    let host = match &place {
        Place::Key(key) => key.host(),
        Place::CodeOn(host) => host.as_str(),
    };
    // What can't be read does not say which host is meant: then that is said, and not that the host is another one.
    if fields.is_fine() {
        caller.require_for(Scope::Write, host)?;
    }
    let rules_of = if caller.may_see(host) { host } else { Host::ANY };
    let said = HostRules::of(&api.engine.tables(), rules_of).read_link(&mut fields);
    fields.finish()?;
    let (destination, options) = said.expect("nothing is wrong");
    let is_generated = matches!(place, Place::CodeOn(_));
    Ok(NewLink { place, link: SetLink { destination, options, chains, is_generated } })
}

/// Creates or replaces a link
///
/// All that the body does not say is not said any more. What GET answers can be sent back.
#[utoipa::path(
    put,
    path = "/v1/links/{key}",
    tag = "links",
    operation_id = "putLink",
    params(KeyPath, ChainsParameter, IfMatch, IfNoneMatch, Idempotency),
    request_body(content = LinkBody, content_type = "application/json"),
    responses(
        (status = 201, description = "It was created.", body = LinkJson, headers(
            ("location" = String, description = "Where it is found"),
            ("etag" = String, description = "Its version, for If-Match"),
        )),
        (status = 200, description = "It was replaced, or is as asked for already.", body = LinkJson,
            headers(("etag" = String, description = "Its version, for If-Match"))),
        (status = 204, description = "The same, and it can't be shown: it was deleted since, or can't be read.",
            headers(("location" = String, description = "Where it was"))),
        (status = 409, description = "Its target leads to another link, or back.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It has another version, or there is one or none.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPathKey(key): InPathKey,
    name: IdempotencyKey,
    Preconditions(precondition): Preconditions,
    mut query: InQuery,
    body: RequestBody,
) -> Answer {
    caller.require_for(Scope::Write, key.host())?;
    let chains = chains(&mut query, &caller)?.unwrap_or_default();
    query.finish()?;
    let mut fields = Fields::new(body.object().await?, &WRITABLE, &READ_ONLY);
    check_key(&api.engine.tables(), &mut fields, &key, "the path");
    let said = HostRules::of(&api.engine.tables(), key.host()).read_link(&mut fields);
    fields.finish()?;
    let (destination, options) = said.expect("nothing is wrong");
    let link = SetLink { destination, options, chains, is_generated: false };
    let command = Command { key, action: Action::Set(Box::new(link)), precondition };
    let (asked, outcome) = one(&api, &caller, &name, command, precondition).await?;
    Ok(stored(&api, asked, outcome).await)
}

/// Changes parts of a link
///
/// A merge patch (RFC 7396): what is absent stays, what is null is not said any more.
#[utoipa::path(
    patch,
    path = "/v1/links/{key}",
    tag = "links",
    operation_id = "patchLink",
    params(KeyPath, ChainsParameter, IfMatch, Idempotency),
    request_body(content(
        (LinkPatchBody = "application/merge-patch+json"),
        (LinkPatchBody = "application/json"),
    )),
    responses(
        (status = 200, description = "It was changed, or is as asked for already.", body = LinkJson,
            headers(("etag" = String, description = "Its version, for If-Match"))),
        (status = 204, description = "The same, and it can't be shown: it was deleted since, or can't be read.",
            headers(("location" = String, description = "Where it was"))),
        (status = 404, description = "There is no such link.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its target leads to another link, or back.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It has another version.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields can't be taken or don't go with the rest of the link, or the key was used for another request.",
            body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPathKey(key): InPathKey,
    name: IdempotencyKey,
    Preconditions(precondition): Preconditions,
    mut query: InQuery,
    body: RequestBody,
) -> Answer {
    caller.require_for(Scope::Write, key.host())?;
    let precondition = or_present(precondition)?;
    let chains = chains(&mut query, &caller)?.unwrap_or_default();
    query.finish()?;
    let mut fields = Fields::new(body.merge_patch().await?, &WRITABLE, &READ_ONLY);
    check_key(&api.engine.tables(), &mut fields, &key, "the path");
    let patch = HostRules::of(&api.engine.tables(), key.host()).read_patch(&mut fields);
    fields.finish()?;
    let action = Action::Patch(Box::new(patch), chains);
    let command = Command { key, action, precondition };
    let (asked, outcome) = one(&api, &caller, &name, command, precondition).await?;
    Ok(stored(&api, asked, outcome).await)
}

/// Deletes a link
#[utoipa::path(
    delete,
    path = "/v1/links/{key}",
    tag = "links",
    operation_id = "deleteLink",
    params(KeyPath, IfMatch, Idempotency),
    responses(
        (status = 204, description = "It was deleted."),
        (status = 404, description = "There is no such link.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It has another version.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPathKey(key): InPathKey,
    name: IdempotencyKey,
    Preconditions(precondition): Preconditions,
    query: InQuery,
) -> Answer {
    caller.require_for(Scope::Write, key.host())?;
    let precondition = or_present(precondition)?;
    query.finish()?;
    one(&api, &caller, &name, Command { key, action: Action::Delete, precondition }, precondition).await?;
    Ok(answer::no_content())
}

/// What is to be changed or deleted must be there.
fn or_present(precondition: Precondition) -> Result<Precondition, Problem> {
    match precondition {
        Precondition::None => Ok(Precondition::Present),
        Precondition::Absent => {
            Err(Problem::malformed("if-none-match", "*", "only what is there can be deleted or changed in parts"))
        }
        precondition => Ok(precondition),
    }
}

/// The parameter that says what is done with a target that leads to another link.
///
/// # Errors
/// 403 if a chain is to be flattened for who may not see all hosts: its end would tell where links of others lead.
pub(crate) fn chains(query: &mut InQuery, caller: &Caller) -> Result<Option<Chains>, Problem> {
    let chains = query.parse("chains", |text| {
        let names = Chains::ALL.map(Chains::name).join(", ");
        Chains::from_name(text).ok_or_else(|| format!("{} is none of {names}", quoted(text)))
    });
    if chains == Some(Chains::Flatten) && caller.hosts().is_some() {
        return Err(Problem::forbidden(
            "this token is restricted to hosts, and a chain may lead through links of others: give the target at its end, \
             or leave it as it is with chains=allow",
        ));
    }
    Ok(chains)
}

/// Makes a change of one link.
async fn one(
    api: &Api,
    caller: &Caller,
    name: &IdempotencyKey,
    command: Command,
    demanded: Precondition,
) -> Result<(Asked, Outcome), Problem> {
    let actor = caller.actor();
    let operation = name.operation(&actor);
    let asked = Asked::now(command.clone(), operation);
    let done = try_change(api, actor, operation, Change::Links(vec![command])).await;
    let done = done.map_err(|error| refused(&api.engine.tables(), caller, &asked.command, error, demanded))?;
    Ok((asked, done.outcome[0]))
}

/// The answer to a change that was made, whatever comes of reading what is there now.
async fn stored(api: &Api, asked: Asked, outcome: Outcome) -> Response {
    let location = |key: &LinkKey| HeaderValue::from_str(&location(key)).expect("it is percent-encoded");
    let key = asked.command.key.clone();
    let at = location(&key);
    // What was written just now is in memory: reading that here does not block, and a thread for each would cost more.
    let at_once = outcome.version().and_then(|_| api.engine.try_find_link(&key)).and_then(Result::ok);
    let link = match at_once {
        Some(link) => link,
        // What is wrong with the store is said on stderr.
        None => api.blocking(move |engine| engine.find_link(&key)).await.ok().flatten(),
    };
    let found = link.as_ref().map(|link| Found {
        version: link.version,
        is_its: match outcome {
            // It may have been deleted since, and created by somebody else.
            Outcome::Created(id) => link.id == id && outcome.version() == Some(link.version),
            Outcome::Replaced { version } => version == link.version,
            Outcome::Unchanged | Outcome::Deleted => asked.is_met_by(link),
        },
        value: shown(&api.engine, link, unix_time_ms()),
    });
    let mut response = answer::changed_to(outcome, found);
    if matches!(outcome, Outcome::Created(_)) || link.is_none() {
        let location = link.map_or(at, |link| location(&link.key));
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
