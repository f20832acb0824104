//! What was asked of a link, held against what became of it.

use serde_json::Value;

use super::super::body::{Fields, Given};
use super::super::caller::Caller;
use super::super::problem::{FieldError, Problem};
use super::super::submit::not_changed;
use super::super::time;
use crate::clock::unix_time_ms;
use crate::engine::{SubmitError, Tables};
use crate::link::{
    Action, Chains, Command, Edit, Link, LinkKey, LinkPatch, OptionsError, Precondition, Refusal, Target,
};
use crate::log::OperationId;

/// A key as its host keeps those of new links.
pub(crate) fn kept(tables: &Tables, key: &LinkKey) -> LinkKey {
    let folding = tables.host(key.host().as_bytes()).map(|host| host.record.settings.folding());
    folding.and_then(|folding| key.folded(folding)).unwrap_or_else(|| key.clone())
}

/// Looks whether a key in a body, if there is one, is that of the link which is to be changed, in any spelling: a link
/// keeps its key. `named_by` is what says which link that is.
pub(crate) fn check_key(tables: &Tables, fields: &mut Fields, key: &LinkKey, named_by: &str) {
    let Some(said) = fields.text("key", LinkKey::parse).given() else { return };
    if said != *key && kept(tables, &said) != kept(tables, key) {
        let reason = format!("{named_by} names `{key}`. A link keeps its key: create another one, and delete this");
        fields.fail("key", said.as_str(), reason);
    }
}

/// A command, and what is known of when it was sent.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) command: Command,
    /// Before it was handed to the writer.
    begun_ms: u64,
    /// It may have been made earlier than now.
    is_named: bool,
}

impl Asked {
    /// Of what is handed to the writer next.
    pub(crate) fn now(command: Command, operation: Option<OperationId>) -> Self {
        Asked { command, begun_ms: unix_time_ms(), is_named: operation.is_some() }
    }

    /// Whether a link that is there now, which the command left as it was, still is that: somebody else may have changed
    /// it since.
    pub(crate) fn is_met_by(&self, link: &Link) -> bool {
        let is_as_said = match &self.command.action {
            Action::Set(set) => set.destination == link.destination && set.options == link.options,
            Action::Put(destination) => *destination == link.destination,
            Action::Patch(patch, _) => {
                patch.apply(link).is_ok_and(|said| said == (link.destination.clone(), link.options.clone()))
            }
            Action::Delete => return false,
        };
        let is_flattened = match &self.command.action {
            Action::Set(set) => set.chains == Chains::Flatten,
            Action::Patch(_, chains) => *chains == Chains::Flatten,
            Action::Put(_) | Action::Delete => false,
        };
        // The end of a chain is not what was said. But what was last changed before this was asked for is what the writer
        // compared with.
        is_as_said || is_flattened && !self.is_named && link.updated_at_ms < self.begun_ms
    }
}

/// What is said of a command that was not made: [`not_changed`], and which field of the link it is about, if it is one.
pub(crate) fn refused(
    tables: &Tables,
    caller: &Caller,
    command: &Command,
    error: SubmitError,
    precondition: Precondition,
) -> Problem {
    let blamed = match &error {
        SubmitError::Refused(refusal, _) => blamed(tables, command, refusal),
        _ => None,
    };
    let is_put = matches!(command.action, Action::Set(_));
    let problem = not_changed(caller, error, precondition, is_put);
    match blamed {
        Some((field, value)) => {
            let reason = problem.detail().to_owned();
            problem.with_errors(vec![FieldError::new(field, value, reason)])
        }
        None => problem,
    }
}

/// Which field of a link a refusal is about, and what the command says of it; None if it is about all of it.
pub(crate) fn blamed(tables: &Tables, command: &Command, refusal: &Refusal) -> Option<(&'static str, Value)> {
    let said = |target: Option<&Target>| target.map_or(Value::Null, |target| target.as_str().into());
    match refusal {
        Refusal::Chain { through, .. } | Refusal::Loop { through, .. } => {
            let (target, expired_target) = targets(&command.action);
            let leads = |target: Option<&Target>| target.is_some_and(|target| leads_to(tables, target, through));
            // A loop of the one for afterwards goes through another link and back: `through` is the link itself then.
            match expired_target.is_some() && !leads(target) {
                true => Some(("expired_target", said(expired_target))),
                false => Some(("target", said(target))),
            }
        }
        Refusal::Invalid { reason, .. } => match &command.action {
            Action::Patch(patch, _) => Some(unfit(patch, reason)),
            _ => None,
        },
        Refusal::Exists { .. } | Refusal::VersionMismatch { .. } | Refusal::NotFound(_) => None,
    }
}

/// The target and the one for afterwards that a command gives.
fn targets(action: &Action) -> (Option<&Target>, Option<&Target>) {
    fn given(edit: &Edit<Target>) -> Option<&Target> {
        match edit {
            Edit::Set(target) => Some(target),
            Edit::Keep | Edit::Clear => None,
        }
    }
    match action {
        Action::Set(set) => (set.destination.target(), set.options.expired_target.as_ref()),
        Action::Patch(patch, _) => (given(&patch.target), given(&patch.expired_target)),
        Action::Put(destination) => (destination.target(), None),
        Action::Delete => (None, None),
    }
}

/// Whether a request for a target is answered by the link with this key.
fn leads_to(tables: &Tables, target: &Target, through: &LinkKey) -> bool {
    let keys = target.link_keys();
    let all = keys.iter().cloned().chain(keys.iter().map(LinkKey::on_any_host));
    all.into_iter().any(|key| key == *through || kept(tables, &key) == *through)
}

/// Which field of a patch does not go with the rest of the link, for this reason.
fn unfit(patch: &LinkPatch, reason: &str) -> (&'static str, Value) {
    fn value<T>(edit: &Edit<T>, show: impl Fn(&T) -> Value) -> Value {
        match edit {
            Edit::Set(value) => show(value),
            Edit::Keep | Edit::Clear => Value::Null,
        }
    }
    let target = |edit: &Edit<Target>| value(edit, |target| target.as_str().into());
    let time = |edit: &Edit<u64>| value(edit, |ms| time::text(*ms).into());
    if reason == OptionsError::ExpiresBeforeItBegins.to_string() {
        match &patch.expires_at_ms {
            Edit::Keep => ("not_before", time(&patch.not_before_ms)),
            expires_at_ms => ("expires_at", time(expires_at_ms)),
        }
    } else if reason == OptionsError::NeverExpires.to_string() {
        match (&patch.expired_target, &patch.expires_at_ms) {
            (Edit::Keep, Edit::Clear) => ("expires_at", Value::Null),
            (Edit::Keep, _) => ("max_clicks", Value::Null),
            (expired_target, _) => ("expired_target", target(expired_target)),
        }
    } else {
        ("target", target(&patch.target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Destination, LinkId, LinkOptions, SetLink, Status};

    fn target(text: &str) -> Target {
        Target::parse(text).unwrap()
    }

    fn set(text: &str, chains: Chains) -> Command {
        let destination = Destination::new(Status::Found, Some(target(text))).unwrap();
        let link = SetLink { destination, options: LinkOptions::default(), chains, is_generated: false };
        Command {
            key: LinkKey::parse("go.example/a").unwrap(),
            action: Action::Set(Box::new(link)),
            precondition: Precondition::None,
        }
    }

    fn link(text: &str, updated_at_ms: u64) -> Link {
        Link {
            id: LinkId(7),
            key: LinkKey::parse("go.example/a").unwrap(),
            destination: Destination::new(Status::Found, Some(target(text))).unwrap(),
            options: LinkOptions::default(),
            is_generated: false,
            created_at_ms: 1,
            updated_at_ms,
            version: 3,
        }
    }

    #[test]
    fn what_was_left_as_it_was_is_told_from_what_somebody_else_changed_since() {
        let (own, other) = ("https://own.example/", "https://other.example/");
        let begun = |mut asked: Asked| {
            asked.begun_ms = 100;
            asked
        };
        let asked = begun(Asked::now(set(own, Chains::Refuse), None));
        assert!(asked.is_met_by(&link(own, 200)) && !asked.is_met_by(&link(other, 99)));
        let flattened = begun(Asked::now(set(own, Chains::Flatten), None));
        assert!(flattened.is_met_by(&link(other, 99)) && !flattened.is_met_by(&link(other, 100)));
        let named = begun(Asked::now(set(own, Chains::Flatten), Some(OperationId([1; 16]))));
        assert!(named.is_met_by(&link(own, 200)) && !named.is_met_by(&link(other, 99)));
    }

    #[test]
    fn a_refusal_is_about_the_field_that_can_mend_it() {
        let tables = Tables::default();
        let invalid = |patch: LinkPatch| {
            let reason = patch.apply(&link("https://b.example/", 1)).unwrap_err().to_string();
            let key = LinkKey::parse("go.example/a").unwrap();
            let command = Command {
                key: key.clone(),
                action: Action::Patch(Box::new(patch), Chains::Refuse),
                precondition: Precondition::Present,
            };
            blamed(&tables, &command, &Refusal::Invalid { key, reason }).unwrap()
        };
        let both = LinkPatch { not_before_ms: Edit::Set(2), expires_at_ms: Edit::Set(1), ..LinkPatch::default() };
        assert_eq!(invalid(both), ("expires_at", "1970-01-01T00:00:00.001Z".into()));
        let over = Edit::Set(target("https://c.example/"));
        let never = LinkPatch { expired_target: over, ..LinkPatch::default() };
        assert_eq!(invalid(never), ("expired_target", "https://c.example/".into()));
        let gone = LinkPatch {
            status: Some(Status::Gone),
            target: Edit::Set(target("https://c.example/")),
            ..LinkPatch::default()
        };
        assert_eq!(invalid(gone), ("target", "https://c.example/".into()));
        let nowhere = LinkPatch { target: Edit::Clear, ..LinkPatch::default() };
        assert_eq!(invalid(nowhere), ("target", Value::Null));
        let key = LinkKey::parse("go.example/a").unwrap();
        let through = LinkKey::parse("*/b").unwrap();
        let command = set("https://go.example/b", Chains::Refuse);
        assert_eq!(
            blamed(&tables, &command, &Refusal::Chain { key: key.clone(), through: through.clone() }),
            Some(("target", "https://go.example/b".into()))
        );
        let expired_target = Edit::Set(target("https://go.example/b"));
        let patch = LinkPatch { expired_target, ..LinkPatch::default() };
        let action = Action::Patch(Box::new(patch), Chains::Refuse);
        let command = Command { action, ..command };
        assert_eq!(
            blamed(&tables, &command, &Refusal::Loop { key: key.clone(), through }),
            Some(("expired_target", "https://go.example/b".into()))
        );
    }
}
