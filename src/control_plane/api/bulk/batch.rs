//! Many commands, all or none.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::Api;
use super::super::answer::{self, Answer};
use super::super::body::{Fields, Given, RequestBody, object};
use super::super::caller::Caller;
use super::super::described::Idempotency;
use super::super::links::{Asked, ChainsParameter, HostRules, LinkBody, READ_ONLY, WRITABLE};
use super::super::links::{blamed, chains, check_key, kept};
use super::super::parameters::InQuery;
use super::super::problem::{ERRORS, FieldError, Kind, Problem};
use super::super::submit::{IdempotencyKey, Unconditional, try_change};
use crate::engine::{Engine, SubmitError, Tables};
use crate::limits::BATCH_COMMANDS;
use crate::link::{
    Action, Chains, Change, Command, Link, LinkId, LinkKey, Outcome, Precondition, Refusal, Scope, SetLink, Subject,
};

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
    /// The version that the link has after all of the batch. Null if there is none, or if somebody else changed meanwhile
    /// what was unchanged.
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
    _: Unconditional,
    mut query: InQuery,
    body: RequestBody,
) -> Answer {
    caller.require(Scope::Write)?;
    let chains = chains(&mut query, &caller)?.unwrap_or_default();
    query.finish()?;
    let (server, by) = (Arc::clone(&api), caller.clone());
    // The commands count as held until the answer, as the body did.
    let (commands, _share) = body.batch(move |body| read(&server.engine.tables(), &by, body, chains)).await?;
    let actor = caller.actor();
    let operation = name.operation(&actor);
    let asked: Vec<Asked> = commands.iter().map(|command| Asked::now(command.clone(), operation)).collect();
    let done = try_change(&api, actor, operation, Change::Links(commands)).await;
    let outcomes = match done {
        Ok(done) => done.outcome,
        Err(SubmitError::Refused(refusal, index)) => {
            let work = move |engine: &Engine| Ok::<_, Problem>(refused(engine, &caller, &asked, refusal, index));
            return Err(api.blocking(work).await.unwrap_or_else(|problem| problem));
        }
        Err(error) => return Err(error.into()),
    };
    // It was made: what can't be read now is left out.
    let told = move |engine: &Engine| serde_json::to_vec(&BatchOutcomes { outcomes: told(engine, &asked, &outcomes) });
    let bytes = api.blocking(told).await?;
    Ok(answer::json_bytes(bytes))
}

/// What became of each command.
fn told(engine: &Engine, asked: &[Asked], outcomes: &[Outcome]) -> Vec<BatchOutcome> {
    let tables = engine.tables();
    let mut versions: HashMap<String, Option<u64>> = HashMap::new();
    let mut keys = Vec::with_capacity(asked.len());
    for (asked, outcome) in asked.iter().zip(outcomes) {
        let key = &asked.command.key;
        let link = engine.find_link(key).ok().flatten();
        let key = link.as_ref().map_or_else(|| kept(&tables, key), |link| link.key.clone()).as_str().to_owned();
        match outcome {
            Outcome::Created(id) => {
                let version = created_version(*id, link.as_ref());
                versions.insert(key.clone(), Some(version));
            }
            Outcome::Unchanged => {
                // After another command of the batch, it is as that left it.
                let now = || link.filter(|link| asked.is_met_by(link)).map(|link| link.version);
                versions.entry(key.clone()).or_insert_with(now);
            }
            outcome => drop(versions.insert(key.clone(), outcome.version())),
        }
        keys.push(key);
    }
    let outcome = |(key, outcome): (String, &Outcome)| {
        let version = versions.get(&key).copied().flatten();
        BatchOutcome { key, outcome: outcome_name(*outcome), version }
    };
    keys.into_iter().zip(outcomes).map(outcome).collect()
}

/// The version of a link that was created, which is `link` if it is still there: the number of the change that made it.
/// But what is remembered of records of older formats is of links whose versions began at 1.
fn created_version(id: LinkId, link: Option<&Link>) -> u64 {
    link.filter(|link| link.id == id).map_or(id.sequence(), |link| link.version.min(id.sequence()))
}

/// What is said of a batch that was refused: which command it was, and which field of it.
fn refused(engine: &Engine, caller: &Caller, asked: &[Asked], refusal: Refusal, index: Option<usize>) -> Problem {
    let tables = engine.tables();
    let now = || refused_link(&refusal).and_then(|key| engine.find_link(key).ok().flatten()).map(|link| link.version);
    // Of what was refused before, only the refusal is remembered.
    let index = index.or_else(|| place(&tables, asked, &refusal, now()));
    let error = index.map(|index| {
        let command = &asked[index].command;
        match blamed(&tables, command, &refusal) {
            Some((field, value)) => (format!("commands[{index}].link.{field}"), value),
            None => (format!("commands[{index}]"), Value::from(command.key.as_str())),
        }
    });
    let problem = caller.told(SubmitError::Refused(refusal, index));
    let error = error.map(|(field, value)| FieldError::new(field, value, problem.detail()));
    problem.with_errors(error.into_iter().collect())
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
    let items = body.remove("commands");
    let unknown = Fields::new(body, &["commands"], &[]).finish().err();
    let mut wrong = unknown.map_or_else(Vec::new, |problem| problem.into_errors_within(""));
    let items = match items {
        Some(Value::Array(items)) if wrong.is_empty() => items,
        Some(Value::Array(_)) => return Err(Problem::invalid(wrong)),
        other => {
            wrong.push(FieldError::new("commands", other.unwrap_or_default(), "a list of commands is expected"));
            return Err(Problem::invalid(wrong));
        }
    };
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

fn version(number: u64) -> Result<u64, &'static str> {
    if number > 0 { Ok(number) } else { Err("a version is at least 1; leave it out if any will do") }
}

fn read_command(tables: &Tables, caller: &Caller, map: Map<String, Value>, chains: Chains) -> Result<Command, Problem> {
    let mut fields = Fields::new(map, &["op", "key", "version", "link"], &[]);
    fields.require("op");
    fields.require("key");
    let op = fields.name("op", &BatchOp::ALL, BatchOp::name).given();
    let key = fields.text("key", LinkKey::parse).given();
    let version = fields.number("version", version).given();
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
    check_key(tables, &mut fields, key, "the command");
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

/// Which command was refused: the refusal says which link it was, and what was asked of it. `now` is the version of that
/// link; if somebody changes it meanwhile, it may be another command that asks the same.
fn place(tables: &Tables, asked: &[Asked], refusal: &Refusal, now: Option<u64>) -> Option<usize> {
    let key = refused_link(refusal)?;
    let is_about = |command: &Command| command.key == *key || kept(tables, &command.key) == *key;
    let of_link = || asked.iter().map(|asked| &asked.command).enumerate().filter(|(_, command)| is_about(command));
    let asks = |command: &Command| match refusal {
        Refusal::Exists { .. } => command.precondition == Precondition::Absent,
        Refusal::VersionMismatch { expected, .. } => command.precondition == Precondition::Version(*expected),
        Refusal::NotFound(_) => matches!(command.precondition, Precondition::Present | Precondition::Version(_)),
        Refusal::Invalid { .. } => matches!(command.action, Action::Patch(..)),
        Refusal::Chain { .. } | Refusal::Loop { .. } => matches!(command.action, Action::Patch(..) | Action::Set(_)),
    };
    // How the link is before each command; changed by one before, it has a version that nobody can demand.
    let (mut is_there, mut version) = (now.is_some(), now);
    for (index, command) in of_link() {
        let is_refused = match refusal {
            Refusal::Exists { .. } => is_there,
            Refusal::VersionMismatch { expected, .. } => is_there && version != Some(*expected),
            Refusal::NotFound(_) => !is_there,
            Refusal::Invalid { .. } | Refusal::Chain { .. } | Refusal::Loop { .. } => true,
        };
        if is_refused && asks(command) {
            return Some(index);
        }
        (is_there, version) = (!matches!(command.action, Action::Delete), None);
    }
    of_link().find(|(_, command)| asks(command)).map(|(index, _)| index)
}

/// The link that a refusal is about.
fn refused_link(refusal: &Refusal) -> Option<&LinkKey> {
    match refusal {
        Refusal::Exists { subject: Subject::Link(key), .. }
        | Refusal::VersionMismatch { subject: Subject::Link(key), .. }
        | Refusal::NotFound(Subject::Link(key))
        | Refusal::Invalid { key, .. }
        | Refusal::Chain { key, .. }
        | Refusal::Loop { key, .. } => Some(key),
        _ => None,
    }
}
