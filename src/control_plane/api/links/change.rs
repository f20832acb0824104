//! Creating, replacing, changing and deleting one link.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde_json::{Map, Value};

use super::super::Api;
use super::super::answer::{self, Answer};
use super::super::body::{Fields, Given, RequestBody};
use super::super::caller::Caller;
use super::super::described::{Idempotency, IfMatch, IfNoneMatch};
use super::super::parameters::InQuery;
use super::super::problem::{Problem, quoted};
use super::super::submit::{IdempotencyKey, Preconditions, not_changed, try_change};
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
    params(Upsert, ChainsParameter, Idempotency),
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
    ),
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller,
    name: IdempotencyKey,
    mut query: InQuery,
    body: RequestBody,
) -> Answer {
    caller.require(Scope::Write)?;
    let upsert = query.flag("upsert").unwrap_or(false);
    let chains = chains(&mut query, &caller)?.unwrap_or_default();
    query.finish()?;
    let new = read_new(&api, &caller, body.object().await?, chains, upsert)?;
    let actor = caller.actor();
    let operation = name.operation(&actor);
    let (key, done) = match new.place {
        Place::Key(key) => {
            let precondition = if upsert { Precondition::None } else { Precondition::Absent };
            let command = Command { key: key.clone(), action: Action::Set(Box::new(new.link)), precondition };
            let done = try_change(&api, actor, operation, Change::Links(vec![command])).await;
            (key, done.map_err(|error| caller.told(error))?)
        }
        Place::CodeOn(host) => generate::create(&api, &caller, operation, &host, new.link).await?,
    };
    Ok(stored(&api, key, done.outcome[0]).await)
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
    check_key(&api, &mut fields, &key);
    let said = HostRules::of(&api.engine.tables(), key.host()).read_link(&mut fields);
    fields.finish()?;
    let (destination, options) = said.expect("nothing is wrong");
    let link = SetLink { destination, options, chains, is_generated: false };
    let command = Command { key: key.clone(), action: Action::Set(Box::new(link)), precondition };
    let outcome = one(&api, &caller, &name, command).await?;
    Ok(stored(&api, key, outcome).await)
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
    let chains = chains(&mut query, &caller)?.unwrap_or_default();
    query.finish()?;
    let mut fields = Fields::new(body.merge_patch().await?, &WRITABLE, &READ_ONLY);
    check_key(&api, &mut fields, &key);
    let patch = HostRules::of(&api.engine.tables(), key.host()).read_patch(&mut fields);
    fields.finish()?;
    let action = Action::Patch(Box::new(patch), chains);
    let command = Command { key: key.clone(), action, precondition: or_present(precondition) };
    let outcome = one(&api, &caller, &name, command).await?;
    Ok(stored(&api, key, outcome).await)
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
    query.finish()?;
    one(&api, &caller, &name, Command { key, action: Action::Delete, precondition: or_present(precondition) }).await?;
    Ok(answer::no_content())
}

/// What is to be changed or deleted must be there.
fn or_present(precondition: Precondition) -> Precondition {
    match precondition {
        Precondition::None => Precondition::Present,
        precondition => precondition,
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

/// Looks whether a key in the body, if there is one, is that of the path: a link keeps its key.
fn check_key(api: &Api, fields: &mut Fields, key: &LinkKey) {
    let Some(said) = fields.text("key", LinkKey::parse).given() else { return };
    let tables = api.engine.tables();
    let kept = |key: &LinkKey| {
        let folding = tables.host(key.host().as_bytes()).map(|host| host.record.settings.folding());
        folding.and_then(|folding| key.folded(folding)).unwrap_or_else(|| key.clone())
    };
    if said != *key && kept(&said) != kept(key) {
        let reason = format!("the path names `{key}`. A link keeps its key: create another one, and delete this");
        fields.fail("key", said.as_str(), reason);
    }
}

/// Makes a change of one link.
async fn one(api: &Api, caller: &Caller, name: &IdempotencyKey, command: Command) -> Result<Outcome, Problem> {
    let precondition = command.precondition;
    let is_put = matches!(command.action, Action::Set(_));
    let actor = caller.actor();
    let operation = name.operation(&actor);
    let done = try_change(api, actor, operation, Change::Links(vec![command])).await;
    let done = done.map_err(|error| not_changed(caller, error, precondition, is_put))?;
    Ok(done.outcome[0])
}

/// The answer to a change that was made, whatever comes of reading what is there now.
async fn stored(api: &Api, key: LinkKey, outcome: Outcome) -> Response {
    let location = |key: &LinkKey| HeaderValue::from_str(&location(key)).expect("it is percent-encoded");
    let asked = location(&key);
    // What was written just now is in memory: reading that here does not block, and a thread for each would cost more.
    let at_once = outcome.version().and_then(|_| api.engine.try_find_link(&key)).and_then(Result::ok);
    let link = match at_once {
        Some(link) => link,
        // What is wrong with the store is said on stderr.
        None => api.blocking(move |engine| engine.find_link(&key)).await.ok().flatten(),
    };
    let found = link.as_ref().map(|link| (link.version, shown(&api.engine, link, unix_time_ms())));
    let mut response = answer::changed(outcome, found);
    if matches!(outcome, Outcome::Created(_)) || link.is_none() {
        let location = link.map_or(asked, |link| location(&link.key));
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
