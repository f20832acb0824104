//! Many commands, all or none.

use std::num::NonZeroU64;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::Api;
use super::super::answer::{self, Answer};
use super::super::body::{BATCH_BYTES, Fields, Given, RequestBody, object};
use super::super::caller::Caller;
use super::super::described::Idempotency;
use super::super::links::{ChainsParameter, HostRules, LinkBody, READ_ONLY, WRITABLE, chains};
use super::super::parameters::InQuery;
use super::super::problem::{FieldError, Kind, Problem};
use super::super::submit::{IdempotencyKey, try_change};
use crate::engine::{SubmitError, Tables};
use crate::limits::BATCH_COMMANDS;
use crate::link::{
    Action, Chains, Change, Command, Link, LinkKey, Outcome, Precondition, Refusal, Scope, SetLink, Subject,
};

/// Most errors that one answer tells.
const ERRORS: usize = 100;

/// Commands that are applied together or not at all.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it only describes what is read")]
#[schema(as = Batch)]
pub(super) struct BatchBody {
    /// In this order; a later one sees what an earlier one did.
    #[schema(min_items = 1, max_items = 1000)]
    commands: Vec<BatchCommandBody>,
}

/// A command of a batch.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it only describes what is read")]
#[schema(as = BatchCommand, example = json!({
    "op": "put", "key": "go.example/sale", "link": {"target": "https://www.example.com/spring"}
}))]
pub(super) struct BatchCommandBody {
    /// What is done.
    #[schema(inline)]
    op: BatchOp,
    /// Which link, in any spelling.
    #[schema(min_length = 1, max_length = 8192)]
    key: String,
    /// The version that it must have. Not with `create`.
    #[schema(minimum = 1)]
    version: Option<u64>,
    /// What the link is to say; for `patch` what is changed of it. Not with `delete`.
    link: Option<LinkBody>,
}

/// What a command does.
#[derive(Clone, Copy, ToSchema)]
#[schema(rename_all = "lowercase")]
enum BatchOp {
    /// A new link; there must be none.
    Create,
    /// A new link, or all of it replaced.
    Put,
    /// Parts of it are changed; there must be one.
    Patch,
    /// It is deleted, if there is one.
    Delete,
}

impl BatchOp {
    const ALL: [BatchOp; 4] = [BatchOp::Create, BatchOp::Put, BatchOp::Patch, BatchOp::Delete];

    fn name(self) -> &'static str {
        match self {
            BatchOp::Create => "create",
            BatchOp::Put => "put",
            BatchOp::Patch => "patch",
            BatchOp::Delete => "delete",
        }
    }
}

/// What became of a batch.
#[derive(Serialize, ToSchema)]
struct BatchOutcomes {
    /// What became of each command, in their order.
    #[schema(max_items = 1000)]
    outcomes: Vec<BatchOutcome>,
}

/// What became of a command.
#[derive(Serialize, ToSchema)]
struct BatchOutcome {
    /// The canonical key.
    key: String,
    /// `unchanged` is what was as asked for already, or was to be deleted and not there.
    #[schema(inline, value_type = OutcomeName)]
    outcome: &'static str,
    /// The version that the link has now. Null if there is none, or if somebody else changed meanwhile what was unchanged.
    #[schema(required, minimum = 1)]
    version: Option<u64>,
}

/// What became of a command.
#[derive(ToSchema)]
#[schema(as = Outcome, rename_all = "lowercase")]
#[allow(dead_code, reason = "it only describes")]
pub(super) enum OutcomeName {
    Created,
    Replaced,
    Unchanged,
    Deleted,
}

/// Change many links at once
///
/// Up to 1,000 commands, at most 512 KiB as the log keeps them, that are applied together or not at all: if one is refused, nothing was
/// changed, and `errors` tells which one.
#[utoipa::path(
    post, path = "/v1/batch", tag = "bulk", operation_id = "batch",
    params(ChainsParameter, Idempotency),
    request_body = BatchBody,
    responses(
        (status = 200, description = "All of it was done", body = BatchOutcomes),
        (status = 404, description = "A link does not exist", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A link exists, or a target leads to another link, or back", body = Problem,
            content_type = "application/problem+json"),
        (status = 412, description = "A link has another version", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "More than one record of the log takes: send it in parts", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn batch(
    State(api): State<Arc<Api>>,
    caller: Caller,
    name: IdempotencyKey,
    mut query: InQuery,
    body: RequestBody,
) -> Answer {
    caller.require(Scope::Write)?;
    let chains = chains(&mut query, &caller)?.unwrap_or_default();
    query.finish()?;
    let body = object(body.json(BATCH_BYTES).await?, "body")?;
    let commands = read(&api.engine.tables(), &caller, body, chains)?;
    let actor = caller.actor();
    let operation = name.operation(&actor);
    let done = try_change(&api, actor, operation, Change::Links(commands.clone())).await;
    let outcomes = match done {
        Ok(done) => done.outcome,
        Err(SubmitError::Refused(refusal)) => {
            let error = place(&api.engine.tables(), &commands, &refusal).map(|index| {
                let key = Value::from(commands[index].key.as_str());
                (format!("commands[{index}]"), key)
            });
            let problem = caller.told(SubmitError::Refused(refusal));
            let error = error.map(|(field, key)| FieldError::new(field, key, problem.detail()));
            return Err(problem.with_errors(error.into_iter().collect()));
        }
        Err(error) => return Err(error.into()),
    };
    // It was made: what can't be read now is left out.
    let outcomes = api
        .blocking(move |engine| {
            let told = commands.iter().zip(outcomes).map(|(command, outcome)| {
                let link = engine.find_link(&command.key).ok().flatten();
                let key = link.as_ref().map_or(&command.key, |link| &link.key).as_str().to_owned();
                let version = match outcome {
                    Outcome::Unchanged => link.filter(|link| is_as_asked(command, link)).map(|link| link.version),
                    outcome => outcome.version(),
                };
                BatchOutcome { key, outcome: outcome_name(outcome), version }
            });
            Ok::<_, Problem>(told.collect::<Vec<_>>())
        })
        .await?;
    Ok(answer::json(StatusCode::OK, &BatchOutcomes { outcomes }))
}

/// Whether a link still is what a command that changed nothing had asked for: somebody else may have changed it since.
fn is_as_asked(command: &Command, link: &Link) -> bool {
    match &command.action {
        Action::Set(set) => set.destination == link.destination && set.options == link.options,
        Action::Put(destination) => *destination == link.destination,
        Action::Patch(patch, _) => {
            patch.apply(link).is_ok_and(|said| said == (link.destination.clone(), link.options.clone()))
        }
        Action::Delete => false,
    }
}

/// The name of what became of a command.
pub(super) fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Created(_) => "created",
        Outcome::Replaced { .. } => "replaced",
        Outcome::Unchanged => "unchanged",
        Outcome::Deleted => "deleted",
    }
}

fn read(
    tables: &Tables,
    caller: &Caller,
    mut body: Map<String, Value>,
    chains: Chains,
) -> Result<Vec<Command>, Problem> {
    let items = match body.remove("commands") {
        Some(Value::Array(items)) => items,
        other => {
            let reason = "a list of commands is expected";
            return Err(Problem::invalid(vec![FieldError::new("commands", other.unwrap_or_default(), reason)]));
        }
    };
    Fields::new(body, &["commands"], &[]).finish()?;
    if !(1..=BATCH_COMMANDS).contains(&items.len()) {
        let reason = format!("it has {} commands; 1 to {BATCH_COMMANDS} are expected", items.len());
        return Err(Problem::invalid(vec![FieldError::new("commands", Value::Null, reason)]));
    }
    let mut commands = Vec::with_capacity(items.len());
    let mut errors = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("commands[{index}]");
        let command = object(item, "").and_then(|map| read_command(tables, caller, map, chains));
        match command {
            Ok(command) => commands.push(command),
            // What the caller may not do is no matter of fields.
            Err(problem) if problem.kind() != Kind::Invalid => return Err(problem),
            Err(problem) => errors.extend(problem.into_errors_within(&path)),
        }
        if errors.len() >= ERRORS {
            errors.truncate(ERRORS);
            break;
        }
    }
    if errors.is_empty() { Ok(commands) } else { Err(Problem::invalid(errors)) }
}

fn read_command(tables: &Tables, caller: &Caller, map: Map<String, Value>, chains: Chains) -> Result<Command, Problem> {
    let mut fields = Fields::new(map, &["op", "key", "version", "link"], &[]);
    fields.require("op");
    fields.require("key");
    let op = fields.name("op", &BatchOp::ALL, BatchOp::name).given();
    let key = fields.text("key", LinkKey::parse).given();
    let version = fields.number("version", NonZeroU64::try_from).given().map(NonZeroU64::get);
    let link = fields.take("link").filter(|link| !link.is_null());
    let (Some(op), Some(key)) = (op, key) else {
        let problem = fields.finish().expect_err("a field is missing or wrong");
        return Err(Problem::invalid(problem.into_errors_within(".")));
    };
    caller.require_for(Scope::Write, key.host())?;
    if let (BatchOp::Create, Some(version)) = (op, version) {
        fields.fail("version", version, "what is created has no version yet; leave it out, or use `put`");
    }
    let mut errors = Vec::new();
    let action = match (op, link) {
        (BatchOp::Delete, None) => Some(Action::Delete),
        (BatchOp::Delete, Some(link)) => {
            fields.fail("link", link, "nothing is said of what is deleted; leave it out");
            None
        }
        (_, None) => {
            fields.fail("link", Value::Null, "is missing");
            None
        }
        (op, Some(link)) => match object(link, "").and_then(|map| read_link(tables, &key, op, map, chains)) {
            Ok(action) => Some(action),
            Err(problem) => {
                errors = problem.into_errors_within(".link");
                None
            }
        },
    };
    let others = fields.finish().map_err(|problem| problem.into_errors_within("."));
    errors.extend(others.err().into_iter().flatten());
    let precondition = match (op, version) {
        (_, Some(version)) => Precondition::Version(version),
        (BatchOp::Create, None) => Precondition::Absent,
        (BatchOp::Patch, None) => Precondition::Present,
        (BatchOp::Put | BatchOp::Delete, None) => Precondition::None,
    };
    match action.filter(|_| errors.is_empty()) {
        Some(action) => Ok(Command { key, action, precondition }),
        None => Err(Problem::invalid(errors)),
    }
}

/// Errors have a path that begins with `.`, or is empty.
fn read_link(
    tables: &Tables,
    key: &LinkKey,
    op: BatchOp,
    map: Map<String, Value>,
    chains: Chains,
) -> Result<Action, Problem> {
    let mut fields = Fields::new(map, &WRITABLE, &READ_ONLY);
    if let Some(said) = fields.text("key", LinkKey::parse).given()
        && said != *key
    {
        fields.fail("key", said.as_str(), format!("the command is about `{key}`; leave it out here"));
    }
    let rules = HostRules::of(tables, key.host());
    let action = match op {
        BatchOp::Patch => Some(Action::Patch(Box::new(rules.read_patch(&mut fields)), chains)),
        _ => rules.read_link(&mut fields).map(|(destination, options)| {
            Action::Set(Box::new(SetLink { destination, options, chains, is_generated: false }))
        }),
    };
    match fields.finish() {
        Ok(()) => Ok(action.expect("nothing is wrong")),
        Err(problem) => Err(Problem::invalid(problem.into_errors_within("."))),
    }
}

/// Which command was refused: the refusal says which link it was, and what was asked of it.
fn place(tables: &Tables, commands: &[Command], refusal: &Refusal) -> Option<usize> {
    let key = match refusal {
        Refusal::Exists { subject: Subject::Link(key), .. }
        | Refusal::VersionMismatch { subject: Subject::Link(key), .. }
        | Refusal::NotFound(Subject::Link(key))
        | Refusal::Invalid { key, .. }
        | Refusal::Chain { key, .. }
        | Refusal::Loop { key, .. } => key,
        _ => return None,
    };
    let folding = tables.host(key.host().as_bytes()).map(|host| host.record.settings.folding());
    let is_it = |command: &Command| {
        let demands = match refusal {
            Refusal::Exists { .. } => command.precondition == Precondition::Absent,
            Refusal::VersionMismatch { expected, .. } => command.precondition == Precondition::Version(*expected),
            Refusal::NotFound(_) => {
                matches!(command.precondition, Precondition::Present | Precondition::Version(_))
            }
            Refusal::Invalid { .. } => matches!(command.action, Action::Patch(..)),
            Refusal::Chain { .. } | Refusal::Loop { .. } => {
                matches!(command.action, Action::Patch(..) | Action::Set(_))
            }
        };
        demands
            && (command.key == *key || folding.and_then(|folding| command.key.folded(folding)).as_ref() == Some(key))
    };
    commands.iter().position(is_it)
}
