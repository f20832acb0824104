//! `/v1/tokens`: who may ask what.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, Answer, Page};
use super::body::{Fields, Given, RequestBody};
use super::described::{Paging, TokenPath};
use super::gate::{Minted, mint};
use super::links::TitleJson;
use super::parameters::{InPath, InQuery, PAGE_ENTRIES_MAX, cursor, page};
use super::problem::{Kind, Problem, quoted};
use super::submit::{Plain, try_change, try_change_holding};
use super::{Api, Caller, time};
use crate::clock::unix_time_ms;
use crate::engine::{SubmitError, Tables};
use crate::limits::{TOKEN_HOSTS, TOKENS};
use crate::link::{Change, Host, Refusal, Scope, Subject, Title, TokenCommand, TokenId, TokenRecord};

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(own)).routes(routes!(get, revoke))
}

/// What a new token is to be.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it only describes what `read` reads")]
#[schema(example = json!({"name": "deploy", "scope": "write", "hosts": ["go.example.com"]}))]
struct NewToken {
    /// What it is called.
    name: TitleJson,
    /// What it allows; each allows what stands before it, too.
    #[schema(schema_with = scope)]
    scope: String,
    /// The only hosts whose links it allows to read and change; left out it is all. `*` stands for the links of any host,
    /// and not for all hosts.
    #[schema(min_items = 1, max_items = 100)]
    hosts: Option<Vec<String>>,
    /// From when on it allows nothing.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
struct TokenView {
    /// Its public half.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    id: String,
    /// What it is called.
    name: String,
    /// What it allows.
    #[schema(schema_with = scope)]
    scope: &'static str,
    /// The only hosts whose links it allows to read and change; empty is all.
    hosts: Vec<String>,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// From when on it allows nothing; null is never.
    #[schema(required, format = "date-time")]
    expires_at: Option<String>,
    /// Whether that time has come.
    expired: bool,
}

/// A token that was just made.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedToken {
    /// Its public half.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    id: String,
    /// What it is called.
    name: String,
    /// What it allows.
    #[schema(schema_with = scope)]
    scope: &'static str,
    /// The only hosts whose links it allows to read and change; empty is all.
    hosts: Vec<String>,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// From when on it allows nothing; null is never.
    #[schema(required, format = "date-time")]
    expires_at: Option<String>,
    /// The token. It is shown this once: only a hash of it is kept.
    #[schema(pattern = "^carom_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$")]
    token: String,
}

/// A page of tokens.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it only describes; a page is written piece by piece")]
struct TokenList {
    /// In the order of their ids. They may be fewer than asked for though there are more.
    #[schema(max_items = 1000)]
    tokens: Vec<TokenView>,
    /// Where the next page begins; null if this is the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
struct Identity {
    /// The name under which changes are made: `token` and its id, or `local`.
    actor: String,
    /// What is allowed.
    #[schema(schema_with = scope)]
    scope: &'static str,
    /// The only hosts whose links may be read and changed; empty is all.
    hosts: Vec<String>,
    /// The token; null for who comes through the data directory.
    #[schema(required)]
    token: Option<TokenView>,
}

fn scope() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .enum_values(Some(Scope::ALL.map(|scope| serde_json::Value::from(scope.name()))))
}

impl From<&TokenRecord> for TokenView {
    fn from(record: &TokenRecord) -> Self {
        TokenView {
            id: record.id.to_string(),
            name: record.name.as_str().to_owned(),
            scope: record.scope.name(),
            hosts: record.hosts.iter().map(|host| host.as_str().to_owned()).collect(),
            created_at: time::text(record.created_at_ms),
            expires_at: record.expires_at_ms.map(time::text),
            expired: has_expired(record, unix_time_ms()),
        }
    }
}

fn has_expired(token: &TokenRecord, now_ms: u64) -> bool {
    token.expires_at_ms.is_some_and(|end| now_ms >= end)
}

/// All tokens
#[utoipa::path(
    get, path = "/v1/tokens", tag = "tokens", operation_id = "listTokens",
    params(Paging),
    responses((status = 200, description = "A page of tokens", body = TokenList)),
)]
async fn list(State(api): State<Arc<Api>>, caller: Caller, mut query: InQuery) -> Answer {
    caller.require_everywhere(Scope::Admin)?;
    let limit = query.limit(PAGE_ENTRIES_MAX);
    let after = query.cursor(|place| Some(TokenId(place.try_into().ok()?)));
    query.finish()?;
    let bytes = api.blocking(move |engine| {
        let tables = engine.tables();
        let (tokens, next) = page(tables.tokens_after(after, limit + 1), limit, |token| token.id.0.to_vec());
        let push = |page: &mut Page, token: &&Arc<TokenRecord>| page.push(&TokenView::from(&***token));
        Ok::<_, Problem>(answer::list("tokens", &tokens, next, push, |token| cursor(token.id.0))?)
    });
    answer::page(caller.actor(), bytes.await?)
}

/// Create a token
///
/// The answer shows it this once. An answer that got lost can't be asked for again: revoke what was created, and create
/// another one. If there are as many as there can be, the one that expired first is revoked for it.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens", operation_id = "createToken",
    request_body = NewToken,
    responses(
        (status = 201, description = "The token", body = CreatedToken,
            headers(("location" = String, description = "Where it can be looked at, without its secret"))),
        (status = 409, description = "There are as many tokens as there can be", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
async fn create(State(api): State<Arc<Api>>, caller: Caller, _: Plain, body: RequestBody) -> Answer {
    caller.require_everywhere(Scope::Admin)?;
    let mut fields = Fields::new(body.object().await?, &["name", "scope", "hosts", "expires_at"], &[]);
    fields.require("name");
    fields.require("scope");
    let name = fields.text("name", Title::parse).given();
    let scope = fields.name("scope", &Scope::ALL, Scope::name).given();
    let hosts = hosts(&mut fields);
    let expires_at = fields.text("expires_at", |text| match time::parse(text)? {
        end if end <= unix_time_ms() => Err(format!("{} is over already", quoted(text))),
        end => Ok(end),
    });
    let expires_at_ms = expires_at.given();
    fields.finish()?;
    let (Some(name), Some(scope)) = (name, scope) else {
        return Err(Problem::internal(&"a field that is required was not read"));
    };
    let Minted { token, id, secret_hash } = mint().map_err(|error| Problem::internal(&error))?;
    let held = Arc::clone(&api.counted).lock_owned().await;
    let place = place_for_one_more(&api.engine.tables(), TOKENS, unix_time_ms())?;
    let record = TokenRecord { id, name, secret_hash, scope, hosts, created_at_ms: 0, expires_at_ms };
    let create = Change::Token(TokenCommand::Create(Box::new(record)));
    if let Some(expired) = place {
        // While the lock is held: nobody else takes the place.
        match try_change(&api, caller.actor(), None, Change::Token(TokenCommand::Revoke(expired))).await {
            // Somebody else revoked it meanwhile: the place is free all the same.
            Ok(_) | Err(SubmitError::Refused(Refusal::NotFound(_), _)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    try_change_holding(&api, held, caller.actor(), create).await?;
    let tables = api.engine.tables();
    let TokenView { id, name, scope, hosts, created_at, expires_at, .. } = TokenView::from(&**found(&tables, id)?);
    let location = HeaderValue::try_from(format!("/v1/tokens/{id}")).expect("an id is made of digits");
    let created = CreatedToken { id, name, scope, hosts, created_at, expires_at, token };
    let mut response = answer::json(StatusCode::CREATED, &created);
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Who asks
///
/// What the token of this very request allows.
#[utoipa::path(
    get, path = "/v1/tokens/self", tag = "tokens", operation_id = "getSelf",
    responses((status = 200, description = "Who asks", body = Identity)),
)]
async fn own(caller: Caller, query: InQuery) -> Answer {
    query.finish()?;
    let token = match &caller {
        Caller::Token(record) => Some(TokenView::from(&**record)),
        Caller::Local => None,
    };
    let identity = Identity {
        actor: caller.actor().as_str().to_owned(),
        scope: token.as_ref().map_or(Scope::Admin.name(), |token| token.scope),
        hosts: token.as_ref().map(|token| token.hosts.clone()).unwrap_or_default(),
        token,
    };
    Ok(answer::json(StatusCode::OK, &identity))
}

/// A token, without its secret
#[utoipa::path(
    get, path = "/v1/tokens/{id}", tag = "tokens", operation_id = "getToken",
    params(TokenPath),
    responses(
        (status = 200, description = "The token", body = TokenView),
        (status = 404, description = "There is none of this id", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn get(State(api): State<Arc<Api>>, caller: Caller, InPath(id): InPath<String>, query: InQuery) -> Answer {
    caller.require_everywhere(Scope::Admin)?;
    query.finish()?;
    let tables = api.engine.tables();
    Ok(answer::json(StatusCode::OK, &TokenView::from(&**found(&tables, read_id(&id)?)?)))
}

/// Revoke a token
///
/// It allows nothing from the answer on. The last admin token that neither expires nor is restricted can be revoked
/// only on the machine itself, through the data directory.
#[utoipa::path(
    delete, path = "/v1/tokens/{id}", tag = "tokens", operation_id = "revokeToken",
    params(TokenPath),
    responses(
        (status = 204, description = "It allows nothing any more"),
        (status = 404, description = "There is none of this id", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Nobody could create tokens any more", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
async fn revoke(State(api): State<Arc<Api>>, caller: Caller, InPath(id): InPath<String>, _: Plain) -> Answer {
    caller.require_everywhere(Scope::Admin)?;
    let id = read_id(&id)?;
    let held = Arc::clone(&api.counted).lock_owned().await;
    let tables = api.engine.tables();
    found(&tables, id)?;
    let is_master =
        |token: &TokenRecord| token.scope == Scope::Admin && token.hosts.is_empty() && token.expires_at_ms.is_none();
    let mut masters = tables.tokens().filter(|token| is_master(token));
    let is_last = masters.next().is_some_and(|token| token.id == id) && masters.next().is_none();
    if is_last && !matches!(caller, Caller::Local) {
        return Err(Problem::new(
            Kind::Conflict,
            "this is the last admin token that neither expires nor is restricted to hosts: without it nobody could create \
             another one. Create another one first, or revoke it on the machine itself with the command line",
        ));
    }
    try_change_holding(&api, held, caller.actor(), Change::Token(TokenCommand::Revoke(id))).await?;
    Ok(answer::no_content())
}

/// The hosts of a new token. What is wrong is said of each by itself.
fn hosts(fields: &mut Fields) -> Vec<Host> {
    let listed = fields.read("hosts", |value| match value {
        Value::Array(listed) if listed.is_empty() => {
            Err("an empty list allows no host; leave it out for all hosts".to_owned())
        }
        Value::Array(listed) if listed.len() > TOKEN_HOSTS => {
            Err(format!("{} hosts are too many; a token has at most {TOKEN_HOSTS}", listed.len()))
        }
        Value::Array(listed) => Ok(listed.clone()),
        _ => Err("a list of hosts is expected".to_owned()),
    });
    let mut hosts = Vec::new();
    for (index, value) in listed.given().unwrap_or_default().into_iter().enumerate() {
        match value.as_str().map(Host::parse) {
            Some(Ok(host)) => hosts.push(host),
            Some(Err(error)) => fields.fail(&format!("hosts[{index}]"), value, error),
            None => fields.fail(&format!("hosts[{index}]"), value, "a text is expected"),
        }
    }
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Whether there is a place for another token where there are at most so many: one that is free, or that of the token
/// which expired first, which is to be revoked before.
///
/// # Errors
/// 409 if there are as many, and none has expired.
fn place_for_one_more(tables: &Tables, most: usize, now_ms: u64) -> Result<Option<TokenId>, Problem> {
    if tables.token_count() < most {
        return Ok(None);
    }
    let expired = tables.tokens().filter(|token| has_expired(token, now_ms));
    match expired.min_by_key(|token| (token.expires_at_ms, token.id)) {
        Some(token) => Ok(Some(token.id)),
        None => {
            Err(Problem::new(Kind::Conflict, format!("there are {most} tokens, the most there can be; revoke some")))
        }
    }
}

fn read_id(text: &str) -> Result<TokenId, Problem> {
    TokenId::parse(text).ok_or_else(|| Problem::not_found(format_args!("a token with the id {}", quoted(text))))
}

fn found(tables: &Tables, id: TokenId) -> Result<&Arc<TokenRecord>, Problem> {
    tables.token(id).ok_or_else(|| Problem::not_found(Subject::Token(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_has_expired_makes_room_for_another() {
        let token = |id: u8, expires_at_ms| TokenRecord {
            id: TokenId([id; 8]),
            name: Title::parse("t").unwrap(),
            secret_hash: [0; 32],
            scope: Scope::Read,
            hosts: Vec::new(),
            created_at_ms: 0,
            expires_at_ms,
        };
        let tables =
            Tables::of_tokens(vec![token(1, None), token(2, Some(50)), token(3, Some(40)), token(4, Some(60))]);
        assert_eq!(place_for_one_more(&tables, 5, 55).unwrap(), None);
        assert_eq!(place_for_one_more(&tables, 4, 55).unwrap(), Some(TokenId([3; 8])));
        assert_eq!(place_for_one_more(&tables, 4, 39).unwrap_err().status(), 409);
    }
}
