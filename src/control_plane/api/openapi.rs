//! What is added to the description that the areas give of themselves: what holds for all of them.
//!
//! `examples`: one of each answer, and of what is sent and answered as lines.

mod examples;

use std::collections::BTreeSet;

use serde_json::Value;
use utoipa::OpenApi as _;
use utoipa::openapi::link::Link;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{AdditionalProperties, Schema, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Header, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder};

use super::problem::{CONTENT_TYPE, FieldError, Kind, Problem};
use super::stats::ClickJson;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Carom",
        version = "1",
        description = "Redirects: links, the hosts they are on, and who may change them. What is not done is answered \
                       with problem details (RFC 9457), whose `type` is stable. Within `/v1`, fields, parameters and \
                       kinds of problems are added and never taken away; clients ignore what they do not know.",
    ),
    servers((url = "/", description = "The admin address")),
    security(("token" = [])),
    components(schemas(Problem, FieldError, ClickJson)),
    tags(
        (name = "links", description = "What redirects where, one by one and many at once"),
        (name = "hosts", description = "What is set for the links of a host"),
        (name = "tokens", description = "Who may ask what"),
        (name = "changes", description = "What was changed, by whom and when"),
        (name = "stats", description = "What was clicked"),
        (name = "server", description = "How the server stands, and what the API is"),
    ),
)]
struct Frame;

/// What stands around the areas.
pub(super) fn frame() -> OpenApi {
    Frame::openapi()
}

/// Adds what holds for all.
pub(super) fn finish(mut api: OpenApi) -> OpenApi {
    for item in api.paths.paths.values_mut() {
        for operation in operations(item) {
            answer_with_problems(operation);
            lead_on(operation);
        }
    }
    if let Some(components) = &mut api.components {
        let mut token = Http::new(HttpAuthScheme::Bearer);
        token.bearer_format = Some("carom_ID_SECRET".to_owned());
        token.description = Some("A token, as `POST /v1/tokens` gives it; the first lies in `admin.token`".to_owned());
        components.add_security_scheme("token", SecurityScheme::Http(token));
        name_kinds(components.schemas.get_mut("Problem"));
    }
    close_requests(&mut api);
    examples::add(&mut api);
    api
}

/// The description as it is given out.
///
/// # Errors
/// If it is no JSON, which it is.
pub(super) fn compact(api: &OpenApi) -> Result<String, serde_json::Error> {
    // utoipa 5.5 writes this name of links in snake case; as a property of a schema it has no text behind it.
    Ok(api.to_json()?.replace(r#""operation_id":""#, r#""operationId":""#))
}

/// The same for people.
#[cfg(test)]
fn pretty(api: &OpenApi) -> Result<String, serde_json::Error> {
    Ok(api.to_pretty_json()?.replace(r#""operation_id": ""#, r#""operationId": ""#))
}

/// Where an answer leads: the operation that gave it, its statuses, where to, the parameter to give there, and where that
/// stands in the answer.
type Lead = (&'static str, &'static [&'static str], &'static [&'static str], &'static str, &'static str);

const LEADS: [Lead; 8] = [
    ("createLink", &["200", "201"], &["getLink", "putLink", "patchLink", "deleteLink"], "key", "$response.body#/key"),
    ("putLink", &["200", "201"], &["getLink", "patchLink", "deleteLink"], "key", "$response.body#/key"),
    ("createToken", &["201"], &["getToken", "revokeToken"], "id", "$response.body#/id"),
    ("putHost", &["200", "201"], &["getHost", "patchHost", "deleteHost"], "host", "$response.body#/host"),
    ("listLinks", &["200"], &["listLinks"], "cursor", "$response.body#/next_cursor"),
    ("listHosts", &["200"], &["listHosts"], "cursor", "$response.body#/next_cursor"),
    ("listTokens", &["200"], &["listTokens"], "cursor", "$response.body#/next_cursor"),
    ("listChanges", &["200"], &["listChanges"], "cursor", "$response.body#/next_cursor"),
];

/// Says where the answers of an operation lead.
fn lead_on(operation: &mut Operation) {
    for (from, statuses, to, parameter, value) in LEADS {
        if operation.operation_id.as_deref() != Some(from) {
            continue;
        }
        for status in statuses {
            let Some(RefOr::T(response)) = operation.responses.responses.get_mut(*status) else { continue };
            for operation in to {
                let link = Link::builder().operation_id(*operation).parameter(parameter, value).build();
                response.links.insert((*operation).to_owned(), RefOr::T(link));
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

/// Adds the problems that come from what an operation takes, and not from what it does.
fn answer_with_problems(operation: &mut Operation) {
    // An operation that says nothing of security has that of the whole.
    let takes_token = operation.security.is_none();
    let takes_body = operation.request_body.is_some();
    let mut add = |status: &str, description: &str, header: Option<(&str, Type)>| {
        let responses = &mut operation.responses.responses;
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(problem(description, header)));
    };
    // Also where there are none: parameters that are not known are refused.
    add("400", "The request can't be read", None);
    if takes_token {
        add("401", "There is no token, or none that holds", Some(("WWW-Authenticate", Type::String)));
        add("403", "The token does not allow it", None);
        add("429", "Too many requests", Some(("Retry-After", Type::Integer)));
    }
    if takes_body {
        add("413", "The body is too large", None);
        add("415", "The content type is not read here", None);
        add("422", "The body holds what can't be taken; `errors` says which fields, and why", None);
    }
    add("500", "The server failed", None);
    add("503", "This is not possible just now, or took too long", Some(("Retry-After", Type::Integer)));
    // Said by what reads the head, before there is an operation: without content.
    let too_large = ResponseBuilder::new().description("The head of the request is too large").build();
    operation.responses.responses.insert("431".to_owned(), RefOr::T(too_large));
}

fn problem(description: &str, header: Option<(&str, Type)>) -> Response {
    let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
    let mut response = ResponseBuilder::new().description(description).content(CONTENT_TYPE, content);
    if let Some((name, kind)) = header {
        response = response.header(name, Header::new(ObjectBuilder::new().schema_type(SchemaType::new(kind)).build()));
    }
    response.build()
}

/// Says which kinds of problems there are. They are no enumeration: there will be more.
fn name_kinds(problem: Option<&mut RefOr<Schema>>) {
    if let Some(RefOr::T(Schema::Object(problem))) = problem
        && let Some(RefOr::T(Schema::Object(kind))) = problem.properties.get_mut("type")
    {
        let kinds: Vec<String> = Kind::ALL.iter().map(|kind| format!("`{}`", kind.uri())).collect();
        let about = kind.description.take().unwrap_or_default();
        kind.description = Some(format!("{about} There may be more one day than these: {}.", kinds.join(", ")));
    }
}

/// Says of the objects that are sent that they have no other properties than those that are described, for others are
/// refused. Those that are answered get more in time.
fn close_requests(api: &mut OpenApi) {
    let Ok(whole) = serde_json::to_value(&*api) else { return };
    let Some(components) = &mut api.components else { return };
    for name in sent(&whole) {
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(&name)
            && !object.properties.is_empty()
            && object.additional_properties.is_none()
        {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

/// The names of the schemas that bodies of requests are made of.
fn sent(whole: &Value) -> BTreeSet<String> {
    let items = whole["paths"].as_object().into_iter().flat_map(|paths| paths.values());
    let operations = items.filter_map(Value::as_object).flat_map(|item| item.values());
    let mut names = BTreeSet::new();
    let mut left: Vec<&Value> = operations.map(|operation| &operation["requestBody"]).collect();
    while let Some(value) = left.pop() {
        match value {
            Value::Array(values) => left.extend(values),
            Value::Object(fields) => {
                let name = fields.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
                if let Some(name) = name
                    && names.insert(name.to_owned())
                {
                    left.push(&whole["components"]["schemas"][name]);
                }
                left.extend(fields.values());
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn what_is_sent_is_closed_and_what_is_answered_is_open() {
        let api = serde_json::to_value(super::super::openapi()).unwrap();
        let closed = |name: &str| api["components"]["schemas"][name].get("additionalProperties") == Some(&false.into());
        for name in ["NewToken", "HostBody", "NewLink", "LinkBody", "LinkPatch", "Batch", "BatchCommand"] {
            assert!(closed(name), "{name}");
        }
        for name in ["TokenView", "HostView", "Link", "Problem", "StatusView", "ChangeList", "Change"] {
            assert!(!closed(name), "{name}");
        }
        let kinds = &api["components"]["schemas"]["Problem"]["properties"]["type"];
        assert!(kinds["description"].as_str().unwrap().contains("`/problems/outcome-unknown`"), "{kinds}");
    }

    const GOLDEN: &str = "tests/data/openapi.json";

    #[test]
    fn the_description_is_the_one_that_is_kept() {
        let text = super::pretty(&super::super::openapi()).unwrap() + "\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
        if std::env::var_os("CAROM_RENEW").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == text,
            "{GOLDEN} is not what the code describes. Look at the difference after \
             `CAROM_RENEW=1 cargo test --lib control_plane::api::openapi`, for clients rely on it"
        );
    }
}
