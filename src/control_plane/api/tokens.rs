//! `/v1/tokens`: who may ask what.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, Answer};
use super::body::{Fields, Given, RequestBody};
use super::described::{Paging, TokenPath};
use super::gate::{Minted, mint};
use super::links::TitleJson;
use super::parameters::{InPath, InQuery, PAGE_ENTRIES_MAX, page};
use super::problem::{Kind, Problem, quoted};
use super::submit::try_change_holding;
use super::{Api, Caller, time};
use crate::clock::unix_time_ms;
use crate::limits::{TOKEN_HOSTS, TOKENS};
use crate::link::{Change, Host, Scope, Subject, Title, TokenCommand, TokenId, TokenRecord};

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
    /// The only hosts whose links it allows to read and change; left out or empty is all. `*` stands for the links of
    /// any host, and not for all hosts.
    #[schema(max_items = 100)]
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
#[derive(Debug, Serialize, ToSchema)]
struct TokenList {
    /// In the order of their ids.
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
        }
    }
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
    let tables = api.engine.tables();
    let (tokens, next_cursor) = page(tables.tokens_after(after, limit + 1), limit, |token| token.id.0.to_vec());
    let tokens = tokens.into_iter().map(|token| TokenView::from(&**token)).collect();
    Ok(answer::json(StatusCode::OK, &TokenList { tokens, next_cursor }))
}

/// Create a token
///
/// The answer shows it this once. An answer that got lost can't be asked for again: revoke what was created, and create
/// another one.
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
async fn create(State(api): State<Arc<Api>>, caller: Caller, body: RequestBody) -> Answer {
    caller.require_everywhere(Scope::Admin)?;
    let mut fields = Fields::new(body.object().await?, &["name", "scope", "hosts", "expires_at"], &[]);
    fields.require("name");
    fields.require("scope");
    let name = fields.text("name", Title::parse).given();
    let scope = fields.name("scope", &Scope::ALL, Scope::name).given();
    let hosts = fields.texts("hosts", |texts| hosts(&texts)).given().unwrap_or_default();
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
    if api.engine.tables().token_count() >= TOKENS {
        return Err(Problem::new(
            Kind::Conflict,
            format!("there are {TOKENS} tokens, the most there can be; revoke some"),
        ));
    }
    let record = TokenRecord { id, name, secret_hash, scope, hosts, created_at_ms: 0, expires_at_ms };
    let create = Change::Token(TokenCommand::Create(Box::new(record)));
    try_change_holding(&api, held, caller.actor(), create).await?;
    let tables = api.engine.tables();
    let TokenView { id, name, scope, hosts, created_at, expires_at } = TokenView::from(&**found(&tables, id)?);
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
async fn own(caller: Caller) -> Answer {
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
async fn get(State(api): State<Arc<Api>>, caller: Caller, InPath(id): InPath<String>) -> Answer {
    caller.require_everywhere(Scope::Admin)?;
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
async fn revoke(State(api): State<Arc<Api>>, caller: Caller, InPath(id): InPath<String>) -> Answer {
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

fn hosts(texts: &[&str]) -> Result<Vec<Host>, String> {
    if texts.len() > TOKEN_HOSTS {
        return Err(format!("{} hosts are too many; a token has at most {TOKEN_HOSTS}", texts.len()));
    }
    let mut hosts = Vec::new();
    for text in texts {
        hosts.push(Host::parse(text).map_err(|error| error.to_string())?);
    }
    hosts.sort();
    hosts.dedup();
    Ok(hosts)
}

fn read_id(text: &str) -> Result<TokenId, Problem> {
    TokenId::parse(text).ok_or_else(|| Problem::not_found(format_args!("a token with the id {}", quoted(text))))
}

fn found(tables: &crate::engine::Tables, id: TokenId) -> Result<&Arc<TokenRecord>, Problem> {
    tables.token(id).ok_or_else(|| Problem::not_found(Subject::Token(id)))
}
