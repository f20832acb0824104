//! How changes stand in the log and links, hosts and tokens in the store: protobuf, so that fields can be added for
//! years. `docs/format.md` has the schema.

mod checked;
mod command;
mod count;
mod host;
mod link;
mod plain;
#[cfg(test)]
mod tests;
mod token;

use prost::{Message, Oneof};

use super::command::{Authored, Change, Command, Payload, SetId};
use super::token::Actor;
use crate::limits::BATCH_COMMANDS;
pub(crate) use checked::{decode_checked, encode_checked};
use command::CommandMessage;
pub use count::{decode_count, encode_count};
use host::HostCommandMessage;
pub use host::{decode_host, encode_host};
pub use link::StoredEntry;
pub use plain::PlainEntry;
use token::TokenCommandMessage;
pub use token::{decode_token, encode_token};

/// Bytes that passed their checksum and yet say nothing that this version understands.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not the protobuf message expected.
    #[error("not a valid message: {0}")]
    Message(String),
    /// A field that must be there is not.
    #[error("the field `{0}` is missing or not known to this version")]
    Missing(&'static str),
    /// A field with a value it can't have.
    #[error("the field `{0}` has the invalid value `{1}`")]
    Invalid(&'static str, String),
    /// The bytes are not the ones that were written.
    #[error("the checksum is {found:08x} and should be {expected:08x}")]
    Checksum {
        /// As stored.
        expected: u32,
        /// As computed.
        found: u32,
    },
}

impl From<prost::DecodeError> for DecodeError {
    fn from(error: prost::DecodeError) -> Self {
        DecodeError::Message(error.to_string())
    }
}

/// Gives a field that must be there.
fn required<T>(field: Option<T>, name: &'static str) -> Result<T, DecodeError> {
    field.ok_or(DecodeError::Missing(name))
}

/// Gives what was read of a field, or says that it is invalid.
fn valid<T, E>(field: &'static str, value: impl ToString, read: Result<T, E>) -> Result<T, DecodeError> {
    read.map_err(|_| DecodeError::Invalid(field, value.to_string()))
}

/// Reads a text that may be missing, which is the empty one.
fn optional<T, E>(
    field: &'static str,
    text: &str,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, DecodeError> {
    if text.is_empty() { Ok(None) } else { valid(field, text, read(text)).map(Some) }
}

#[derive(Message)]
struct PayloadMessage {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    kind: Option<Kind>,
    #[prost(string, tag = "14")]
    actor: String,
    #[prost(bytes = "vec", tag = "15")]
    end: Vec<u8>,
}

/// What a payload ends with. A write that is cut short leaves zeros behind it: so the end is missing if, and only if,
/// the last byte is zero, and no single bit makes one look like the other.
const END: u8 = 0xff;

#[derive(Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Batch(CommandsMessage),
    #[prost(message, tag = "2")]
    SetBegin(SetMessage),
    #[prost(message, tag = "3")]
    SetPart(CommandsMessage),
    #[prost(message, tag = "4")]
    SetCommit(SetMessage),
    #[prost(message, tag = "5")]
    Host(Box<HostCommandMessage>),
    #[prost(message, tag = "6")]
    Token(TokenCommandMessage),
}

#[derive(Message)]
struct CommandsMessage {
    #[prost(message, repeated, tag = "1")]
    commands: Vec<CommandMessage>,
    #[prost(uint64, tag = "2")]
    set: u64,
}

#[derive(Message)]
struct SetMessage {
    #[prost(uint64, tag = "1")]
    set: u64,
}

fn commands_to_message(commands: &[Command], set: u64) -> CommandsMessage {
    CommandsMessage { commands: commands.iter().map(CommandMessage::from).collect(), set }
}

fn commands_from_message(message: CommandsMessage) -> Result<Vec<Command>, DecodeError> {
    // Ids of links are made of a record's sequence and the place in it, which has room for so many.
    if message.commands.len() > BATCH_COMMANDS {
        return Err(DecodeError::Invalid("commands", format!("{} of them", message.commands.len())));
    }
    message.commands.into_iter().map(Command::try_from).collect()
}

/// Encodes what a record carries.
pub fn encode_payload(payload: &Payload, actor: &Actor) -> Vec<u8> {
    let kind = match payload {
        Payload::Change(Change::Links(commands)) => Kind::Batch(commands_to_message(commands, 0)),
        Payload::Change(Change::Host(command)) => Kind::Host(Box::new(command.into())),
        Payload::Change(Change::Token(command)) => Kind::Token(command.into()),
        Payload::SetBegin => Kind::SetBegin(SetMessage { set: 0 }),
        Payload::SetPart(set, commands) => Kind::SetPart(commands_to_message(commands, set.0)),
        Payload::SetCommit(set) => Kind::SetCommit(SetMessage { set: set.0 }),
    };
    PayloadMessage { kind: Some(kind), actor: actor.as_str().to_owned(), end: vec![END] }.encode_to_vec()
}

/// Decodes what a record carries.
///
/// # Errors
/// If the bytes are not what [`encode_payload`] writes.
pub fn decode_payload(bytes: &[u8]) -> Result<Payload, DecodeError> {
    Ok(decode_authored(bytes)?.payload)
}

/// Decodes what a record carries, and who asked for it.
///
/// # Errors
/// If the bytes are not what [`encode_payload`] writes.
pub fn decode_authored(bytes: &[u8]) -> Result<Authored, DecodeError> {
    let PayloadMessage { kind, actor, .. } = PayloadMessage::decode(bytes)?;
    let actor = Actor::from_stored(&actor).ok_or(DecodeError::Invalid("actor", actor))?;
    let payload = match required(kind, "payload")? {
        Kind::Batch(message) => Payload::Change(Change::Links(commands_from_message(message)?)),
        Kind::Host(message) => Payload::Change(Change::Host((*message).try_into()?)),
        Kind::Token(message) => Payload::Change(Change::Token(message.try_into()?)),
        Kind::SetBegin(_) => Payload::SetBegin,
        Kind::SetPart(message) => {
            let set = SetId(message.set);
            let commands = commands_from_message(message)?;
            if let Some(command) = commands.iter().find(|command| !command.is_certain()) {
                return Err(DecodeError::Invalid(
                    "commands",
                    format!("that of `{}`, which a set can't hold", command.key),
                ));
            }
            Payload::SetPart(set, commands)
        }
        Kind::SetCommit(message) => Payload::SetCommit(SetId(message.set)),
    };
    Ok(Authored { actor, payload })
}
