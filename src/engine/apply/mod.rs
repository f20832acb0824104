//! What a record does to the state: a pure function of both (I3). No clock, no random numbers, no I/O
//! decisions; the state comes through [`State`].

mod chain;
mod hosts;
mod tokens;

use std::borrow::Cow;
use std::sync::Arc;

use crate::link::{
    Action, Chains, Change, Command, Destination, HostRecord, Link, LinkId, LinkKey, LinkOptions, Outcome,
    Precondition, Refusal, StoredEntry, Subject, Tags, decode_count, encode_count,
};
use crate::store::{StoreError, keyspace};

/// The state that changes are applied to.
pub trait State {
    /// The entry of a canonical key; the empty entry if there is none.
    ///
    /// # Errors
    /// If the state can't be read.
    fn entry(&self, key: &str) -> Result<StoredEntry, StoreError>;

    /// Replaces the entry of a canonical key.
    fn set_entry(&mut self, key: &str, entry: StoredEntry);

    /// The value of a typed key that is no entry.
    ///
    /// # Errors
    /// If the state can't be read.
    fn value(&self, typed: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Replaces the value of a typed key that is no entry.
    fn set_value(&mut self, typed: Vec<u8>, value: Option<Vec<u8>>);

    /// The settings of a host, if it has any.
    ///
    /// # Errors
    /// If the state can't be read.
    fn host(&self, host: &str) -> Result<Option<Arc<HostRecord>>, StoreError>;

    /// Takes note that a link is no more.
    fn link_ended(&mut self, id: LinkId);
}

/// By which rules a record is judged: always those of the version of the format that it was written in, so that it leads
/// to what it led to then (I3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rules {
    /// Up to version 2. Versions of links and hosts are counted from 1; what a link on the way does with queries is
    /// judged by its own host; a link of the same host and path is always a loop; what is as it was is judged again; only
    /// targets are followed.
    UpTo2,
    /// From version 4 on.
    #[default]
    From4,
}

impl Rules {
    /// Those of a version of the format of records.
    pub fn of(version: u8) -> Self {
        if version < 4 { Rules::UpTo2 } else { Rules::From4 }
    }
}

/// From where in the log a command comes.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The sequence of the record that holds the command.
    pub sequence: u64,
    /// Its place within the record, from 0.
    pub index: usize,
    /// The time at which it takes effect: that of the record that applies it, in milliseconds since the Unix
    /// epoch.
    pub time_ms: u64,
    /// By which rules it is judged: those of the record that applies it.
    pub rules: Rules,
}

impl Origin {
    /// The version of what is created or changed here, which had this version before, if it was there: the sequence of
    /// the record, so that no version ever comes again, also if a link is deleted and created anew.
    fn version(self, before: Option<u64>) -> u64 {
        match self.rules {
            Rules::UpTo2 => before.map_or(1, |before| before + 1),
            Rules::From4 => self.sequence,
        }
    }

    /// The number of a link that is created here: unique, since no other command has this place.
    fn link_id(self) -> LinkId {
        LinkId::of(self.sequence, self.index)
    }
}

/// How many commands a change has. Each has an outcome.
pub fn commands(change: &Change) -> usize {
    match change {
        Change::Links(commands) => commands.len(),
        Change::Host(_) | Change::Token(_) => 1,
    }
}

/// Applies one command of a change, or tells why it is refused; then nothing changed.
///
/// # Errors
/// If the state can't be read.
///
/// # Panics
/// If the change has no command at the origin's index.
pub fn apply(state: &mut impl State, change: &Change, origin: Origin) -> Result<Result<Outcome, Refusal>, StoreError> {
    match change {
        Change::Links(commands) => apply_to_link(state, &commands[origin.index], origin, |action| match action {
            Action::Set(set) => Some(set.chains),
            Action::Patch(patch, chains) => (!patch.target.is_keep()).then_some(*chains),
            Action::Put(_) => (origin.rules == Rules::From4).then_some(Chains::Allow),
            Action::Delete => None,
        }),
        Change::Host(command) => hosts::apply(state, command, origin),
        Change::Token(command) => tokens::apply(state, command, origin),
    }
}

/// What a link is to say after a command.
struct Said {
    destination: Destination,
    options: LinkOptions,
    /// Whether the path is a generated code, should the link be new.
    is_generated: bool,
}

/// Applies one command of a set, which is accepted in any state: where its target leads is not judged.
///
/// # Errors
/// If the state can't be read.
pub fn apply_of_set(
    state: &mut impl State,
    command: &Command,
    origin: Origin,
) -> Result<Result<Outcome, Refusal>, StoreError> {
    debug_assert!(command.is_certain(), "it may be refused: {command:?}");
    apply_to_link(state, command, origin, |_| None)
}

/// Applies one command to a link. `chains` says what is done with a target that leads to another link, and whether that is
/// judged at all.
fn apply_to_link(
    state: &mut impl State,
    command: &Command,
    origin: Origin,
    chains: impl FnOnce(&Action) -> Option<Chains>,
) -> Result<Result<Outcome, Refusal>, StoreError> {
    let key = &*kept_key(state, &command.key)?;
    let entry = state.entry(key.as_str())?;
    let found = entry.link.as_ref().map(|link| link.version);
    if let Err(refusal) = judge(command.precondition, found, || Subject::Link(key.clone())) {
        return Ok(Err(refusal));
    }
    let mut said = match (&command.action, &entry.link) {
        (Action::Delete, None) => return Ok(Ok(Outcome::Unchanged)),
        (Action::Delete, Some(link)) => {
            let link = link.clone();
            state.set_entry(key.as_str(), StoredEntry { link: None, ..entry });
            count_query_link(state, key, -1)?;
            index_tags(state, key, &link.options.tags, &Tags::default());
            if link.is_generated {
                count_code(state, key, -1)?;
            }
            state.link_ended(link.id);
            return Ok(Ok(Outcome::Deleted));
        }
        (Action::Put(destination), link) => Said {
            destination: destination.clone(),
            options: link.as_ref().map_or_else(LinkOptions::default, |link| link.options.clone()),
            is_generated: false,
        },
        (Action::Set(set), _) => {
            Said { destination: set.destination.clone(), options: set.options.clone(), is_generated: set.is_generated }
        }
        (Action::Patch(..), None) => return Ok(Err(Refusal::NotFound(Subject::Link(key.clone())))),
        (Action::Patch(patch, _), Some(link)) => match patch.apply(link) {
            Ok((destination, options)) => Said { destination, options, is_generated: false },
            Err(error) => return Ok(Err(Refusal::Invalid { key: key.clone(), reason: error.to_string() })),
        },
    };
    // A file names the source; a request to the API need not.
    let is_source_judged = matches!(command.action, Action::Put(_));
    let leads = chain::Judge { state, key, rules: origin.rules, is_source_judged };
    let before = entry.link.as_ref().filter(|_| origin.rules == Rules::From4);
    // What stays was judged when it came.
    if let Some(chains) = chains(&command.action)
        && before.is_none_or(|link| link.destination.target() != said.destination.target())
        && let Err(refusal) = leads.target(&mut said.destination, chains)?
    {
        return Ok(Err(refusal));
    }
    if let Some(target) = &said.options.expired_target
        && before.is_none_or(|link| link.options.expired_target.as_ref() != Some(target))
        && !matches!(command.action, Action::Put(_))
        && let Err(refusal) = leads.expired_target(target)?
    {
        return Ok(Err(refusal));
    }
    Ok(Ok(match entry.link {
        None => {
            let id = origin.link_id();
            let tags = said.options.tags.clone();
            let link = Link {
                id,
                key: key.clone(),
                destination: said.destination,
                options: said.options,
                is_generated: said.is_generated,
                created_at_ms: origin.time_ms,
                updated_at_ms: origin.time_ms,
                version: origin.version(None),
            };
            state.set_entry(key.as_str(), StoredEntry { link: Some(link), ..entry });
            count_query_link(state, key, 1)?;
            index_tags(state, key, &Tags::default(), &tags);
            if said.is_generated {
                count_code(state, key, 1)?;
            }
            Outcome::Created(id)
        }
        Some(link) if link.destination == said.destination && link.options == said.options => Outcome::Unchanged,
        Some(mut link) => {
            index_tags(state, key, &link.options.tags, &said.options.tags);
            link.destination = said.destination;
            link.options = said.options;
            link.updated_at_ms = origin.time_ms;
            link.version = origin.version(Some(link.version));
            let version = link.version;
            state.set_entry(key.as_str(), StoredEntry { link: Some(link), ..entry });
            Outcome::Replaced { version }
        }
    }))
}

/// The key under which a link is kept: as it was given if there is such a link, else without what its host ignores.
///
/// # Errors
/// If the state can't be read.
pub fn kept_key<'a>(state: &impl State, key: &'a LinkKey) -> Result<Cow<'a, LinkKey>, StoreError> {
    let Some(host) = state.host(key.host())? else { return Ok(Cow::Borrowed(key)) };
    match key.folded(host.settings.folding()) {
        Some(folded) if state.entry(key.as_str())?.link.is_none() => Ok(Cow::Owned(folded)),
        _ => Ok(Cow::Borrowed(key)),
    }
}

/// Compares what a command demands with the version that was found.
fn judge(precondition: Precondition, found: Option<u64>, subject: impl FnOnce() -> Subject) -> Result<(), Refusal> {
    match (precondition, found) {
        (Precondition::None, _) | (Precondition::Absent, None) | (Precondition::Present, Some(_)) => Ok(()),
        (Precondition::Absent, Some(version)) => Err(Refusal::Exists { subject: subject(), version }),
        (Precondition::Present | Precondition::Version(_), None) => Err(Refusal::NotFound(subject())),
        (Precondition::Version(expected), Some(found)) if expected == found => Ok(()),
        (Precondition::Version(expected), Some(found)) => {
            Err(Refusal::VersionMismatch { subject: subject(), expected, found })
        }
    }
}

/// Keeps count of the links of one path that are keyed with a query, so that a request with a query need not
/// look for one where there is none.
fn count_query_link(state: &mut impl State, key: &LinkKey, change: i64) -> Result<(), StoreError> {
    if !key.has_query() {
        return Ok(());
    }
    let mut entry = state.entry(key.path_key())?;
    entry.query_links = entry.query_links.checked_add_signed(change).expect("as many are deleted as were created");
    state.set_entry(key.path_key(), entry);
    Ok(())
}

/// Keeps count of a host's generated codes of one length, so that no more are generated when they could be guessed.
fn count_code(state: &mut impl State, key: &LinkKey, change: i64) -> Result<(), StoreError> {
    let typed = codes_key(key);
    let count = state.value(&typed)?.map_or(Ok(0), |value| decode_codes(&typed, &value))?;
    let count = count.checked_add_signed(change).expect("as many are deleted as were created");
    let value = (count > 0).then(|| encode_count(&typed, count));
    state.set_value(typed, value);
    Ok(())
}

fn codes_key(key: &LinkKey) -> Vec<u8> {
    keyspace::codes_key(key.host(), code_length(key))
}

/// How long the generated code is that is the path of a key.
pub(super) fn code_length(key: &LinkKey) -> u8 {
    let length = key.path_key().len() - key.host().len() - 1;
    u8::try_from(length).expect("a code is short")
}

/// Decodes the count that is kept under a key of type [`keyspace::CODES`].
///
/// # Errors
/// If it is damaged.
pub fn decode_codes(typed: &[u8], value: &[u8]) -> Result<u64, StoreError> {
    let name = || String::from_utf8_lossy(typed).into_owned();
    decode_count(typed, value).map_err(|error| StoreError::Damaged { key: name(), error })
}

/// Keeps the index of tags.
fn index_tags(state: &mut impl State, key: &LinkKey, before: &Tags, after: &Tags) {
    for tag in before.iter().filter(|tag| !after.contains(tag)) {
        state.set_value(keyspace::tag_key(tag.as_str(), key.as_str()), None);
    }
    for tag in after.iter().filter(|tag| !before.contains(tag)) {
        state.set_value(keyspace::tag_key(tag.as_str(), key.as_str()), Some(Vec::new()));
    }
}
