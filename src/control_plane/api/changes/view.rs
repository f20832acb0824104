//! Records of the log as they are answered.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::super::hosts::said_of_host;
use super::super::time;
use crate::engine::ChangeRecord;
use crate::link::{
    Action, Change, Command, Destination, Edit, HostCommand, LinkOptions, LinkPatch, Payload, Precondition, SetId,
    SetLink, TokenCommand,
};

/// A page of changes.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it only describes; a page is written piece by piece")]
pub(super) struct ChangeList {
    /// The changes, newest first; after `after`, oldest first.
    #[schema(max_items = 100)]
    changes: Vec<ChangeJson>,
    /// Where the next page begins; null if this is the last one.
    #[schema(required)]
    next_cursor: Option<String>,
    /// The first change that the log still has, or will have.
    #[schema(minimum = 0)]
    oldest: u64,
    /// The last change that was acknowledged; 0 if none was.
    #[schema(minimum = 0)]
    newest: u64,
    /// Whether the log does not have all changes any more that came after the one in `after`: then the page begins with
    /// `oldest`, and what was before it can't be told.
    missed: bool,
}

/// What stands beside the changes of a page.
#[derive(Debug, Serialize)]
pub(super) struct BesideChanges {
    /// Where the next page begins.
    pub(super) next_cursor: Option<String>,
    /// The first change that the log still has, or will have.
    pub(super) oldest: u64,
    /// The last change that was acknowledged.
    pub(super) newest: u64,
    /// Whether some are gone between the one that was seen and the first of the page.
    pub(super) missed: bool,
}

/// A change.
#[derive(ToSchema)]
#[schema(as = Change)]
#[allow(dead_code, reason = "it only describes `ChangeView`")]
struct ChangeJson {
    /// Its number in the log.
    #[schema(minimum = 1)]
    sequence: u64,
    /// When it was made.
    #[schema(format = "date-time")]
    time: String,
    /// Who made it: `local` or `token` and its id; empty if that is not known.
    actor: String,
    /// The name of the operation, if it was given one by an `Idempotency-Key`.
    #[schema(required, format = "uuid")]
    operation_id: Option<String>,
    /// Whether it was refused, and so changed nothing: it has a name, which may not be given to something else. Not told
    /// of changes that versions before this one wrote.
    refused: bool,
    /// What it was about.
    #[schema(inline)]
    kind: Kind,
    /// The change that began the import that this one belongs to.
    #[schema(required, minimum = 1)]
    import: Option<u64>,
    /// What was asked for.
    commands: Vec<CommandView>,
}

/// A change.
#[derive(Debug, Serialize)]
pub(super) struct ChangeView<'a> {
    sequence: u64,
    time: String,
    actor: &'a str,
    operation_id: Option<String>,
    refused: bool,
    kind: Kind,
    import: Option<u64>,
    commands: Commands<'a>,
}

/// The commands of a change. Each is shown when it is written, and dropped then: a thousand of them take megabytes.
#[derive(Debug)]
enum Commands<'a> {
    Links(&'a [Command]),
    Host(&'a HostCommand),
    Token(&'a TokenCommand, bool),
}

impl Serialize for Commands<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Commands::Links(commands) => serializer.collect_seq(commands.iter().map(link)),
            Commands::Host(command) => serializer.collect_seq([host(command)]),
            Commands::Token(command, is_told) => {
                let command = token(command);
                let says = command.says.filter(|_| *is_told);
                serializer.collect_seq([CommandView { says, ..command }])
            }
        }
    }
}

/// What a change is about.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Links,
    Host,
    Token,
    ImportBegin,
    ImportPart,
    ImportCommit,
}

/// What was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangeCommand)]
struct CommandView {
    /// What was to be done.
    #[schema(inline)]
    op: Op,
    /// The key of the link, the name of the host, or the id of the token.
    key: String,
    /// What had to be true: `absent`, `present`, or the version that it had to have.
    #[schema(required, pattern = "^(absent|present|[0-9]+)$")]
    precondition: Option<String>,
    /// What was to be said from then on, by the names that the fields have elsewhere; null is not said any more.
    /// What was said of tokens is told only to those with the scope `admin`.
    #[schema(required, value_type = Option<Object>)]
    says: Option<Map<String, Value>>,
}

/// What is done by a command.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Op {
    Create,
    Put,
    Patch,
    Delete,
}

impl<'a> ChangeView<'a> {
    /// A record. What tokens are is told only to who may ask for that elsewhere.
    pub(super) fn of(record: &'a ChangeRecord, tells_tokens: bool) -> Self {
        let ChangeRecord { sequence, time_ms, actor, operation, is_refused, payload } = record;
        let none = Commands::Links(&[]);
        let (kind, import, commands) = match payload {
            Payload::Change(Change::Links(commands)) => (Kind::Links, None, Commands::Links(commands)),
            Payload::Change(Change::Host(command)) => (Kind::Host, None, Commands::Host(command)),
            Payload::Change(Change::Token(command)) => (Kind::Token, None, Commands::Token(command, tells_tokens)),
            Payload::SetBegin => (Kind::ImportBegin, Some(*sequence), none),
            Payload::SetPart(SetId(set), commands) => (Kind::ImportPart, Some(*set), Commands::Links(commands)),
            Payload::SetCommit(SetId(set)) => (Kind::ImportCommit, Some(*set), none),
        };
        ChangeView {
            sequence: *sequence,
            time: time::text(*time_ms),
            actor: actor.as_str(),
            operation_id: operation.map(|operation| operation.to_string()),
            refused: *is_refused,
            kind,
            import,
            commands,
        }
    }
}

fn link(command: &Command) -> CommandView {
    let Command { key, action, precondition } = command;
    let (op, says) = match action {
        Action::Put(destination) => (Op::Put, Some(said_of_destination(destination))),
        Action::Set(set) => {
            let is_new = *precondition == Precondition::Absent;
            (if is_new { Op::Create } else { Op::Put }, Some(said_of_link(set)))
        }
        Action::Patch(patch, _) => (Op::Patch, Some(said_of_patch(patch))),
        Action::Delete => (Op::Delete, None),
    };
    CommandView { op, key: key.as_str().to_owned(), precondition: said_of_precondition(*precondition), says }
}

fn host(command: &HostCommand) -> CommandView {
    let HostCommand { host, settings, precondition } = command;
    CommandView {
        op: if settings.is_some() { Op::Put } else { Op::Delete },
        key: host.as_str().to_owned(),
        precondition: said_of_precondition(*precondition),
        says: settings.as_ref().map(|settings| said_of_host(host, settings)),
    }
}

fn token(command: &TokenCommand) -> CommandView {
    let (op, id, says) = match command {
        TokenCommand::Create(token) => {
            // What it is recognised by is nobody's business.
            let hosts: Vec<&str> = token.hosts.iter().map(|host| host.as_str()).collect();
            let says = object(json!({
                "name": token.name.as_str(),
                "scope": token.scope.name(),
                "hosts": hosts,
                "expires_at": token.expires_at_ms.map(time::text),
            }));
            (Op::Create, token.id, Some(says))
        }
        TokenCommand::Revoke(id) => (Op::Delete, *id, None),
    };
    CommandView { op, key: id.to_string(), precondition: None, says }
}

fn said_of_precondition(precondition: Precondition) -> Option<String> {
    match precondition {
        Precondition::None => None,
        Precondition::Absent => Some("absent".to_owned()),
        Precondition::Present => Some("present".to_owned()),
        Precondition::Version(version) => Some(version.to_string()),
    }
}

fn said_of_destination(destination: &Destination) -> Map<String, Value> {
    object(json!({
        "status": destination.status().code(),
        "target": destination.target().map(|target| target.as_str()),
    }))
}

fn said_of_link(set: &SetLink) -> Map<String, Value> {
    let mut says = said_of_destination(&set.destination);
    // All of them, so that a new one is not forgotten here.
    let LinkOptions {
        query_policy,
        not_before_ms,
        expires_at_ms,
        max_clicks,
        expired_target,
        cache_control,
        tags,
        title,
        note,
        is_disabled,
        is_untracked,
    } = &set.options;
    says.extend(object(json!({
        "query_policy": query_policy.map(|policy| policy.name()),
        "not_before": not_before_ms.map(time::text),
        "expires_at": expires_at_ms.map(time::text),
        "max_clicks": max_clicks,
        "expired_target": expired_target.as_ref().map(|target| target.as_str()),
        "cache_control": cache_control.map(|control| control.to_string()),
        "tags": tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(),
        "title": title.as_ref().map(|title| title.as_str()),
        "note": note.as_ref().map(|note| note.as_str()),
        "disabled": is_disabled,
        "untracked": is_untracked,
    })));
    says
}

fn said_of_patch(patch: &LinkPatch) -> Map<String, Value> {
    let LinkPatch {
        status,
        target,
        query_policy,
        not_before_ms,
        expires_at_ms,
        max_clicks,
        expired_target,
        cache_control,
        tags,
        title,
        note,
        is_disabled,
        is_untracked,
    } = patch;
    let mut says = Map::new();
    let given = |value: Option<Value>| value.map_or(Edit::Keep, Edit::Set);
    let tags = tags.as_ref().map(|tags| tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>().into());
    for (field, value) in [
        ("status", given(status.map(|status| status.code().into()))),
        ("target", edited(target, |target| target.as_str().into())),
        ("query_policy", edited(query_policy, |policy| policy.name().into())),
        ("not_before", edited(not_before_ms, |ms| time::text(*ms).into())),
        ("expires_at", edited(expires_at_ms, |ms| time::text(*ms).into())),
        ("max_clicks", edited(max_clicks, |clicks| clicks.get().into())),
        ("expired_target", edited(expired_target, |target| target.as_str().into())),
        ("cache_control", edited(cache_control, |control| control.to_string().into())),
        ("tags", given(tags)),
        ("title", edited(title, |title| title.as_str().into())),
        ("note", edited(note, |note| note.as_str().into())),
        ("disabled", given(is_disabled.map(Value::from))),
        ("untracked", given(is_untracked.map(Value::from))),
    ] {
        match value {
            Edit::Keep => continue,
            Edit::Clear => says.insert(field.to_owned(), Value::Null),
            Edit::Set(value) => says.insert(field.to_owned(), value),
        };
    }
    says
}

fn edited<T>(edit: &Edit<T>, show: impl Fn(&T) -> Value) -> Edit<Value> {
    match edit {
        Edit::Keep => Edit::Keep,
        Edit::Clear => Edit::Clear,
        Edit::Set(value) => Edit::Set(show(value)),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
