//! How commands stand in the log and links in the store: protobuf, so that fields can be added for years.
//! `docs/format.md` has the schema.

use prost::{Message, Oneof};

use super::command::{Action, Command, Payload, Precondition, SetId};
use super::destination::{Destination, Link, LinkId, Status};
use super::key::LinkKey;
use super::target::Target;
use crate::limits::BATCH_COMMANDS;

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

#[derive(Message)]
struct PayloadMessage {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4")]
    kind: Option<Kind>,
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

#[derive(Message)]
struct CommandMessage {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(oneof = "ActionMessage", tags = "2, 3")]
    action: Option<ActionMessage>,
    #[prost(oneof = "PreconditionMessage", tags = "4, 5")]
    precondition: Option<PreconditionMessage>,
}

#[derive(Oneof)]
enum ActionMessage {
    #[prost(message, tag = "2")]
    Put(DestinationMessage),
    #[prost(bool, tag = "3")]
    Delete(bool),
}

#[derive(Oneof)]
enum PreconditionMessage {
    #[prost(bool, tag = "4")]
    Absent(bool),
    #[prost(uint64, tag = "5")]
    Version(u64),
}

#[derive(Message)]
struct DestinationMessage {
    #[prost(uint32, tag = "1")]
    status: u32,
    #[prost(string, tag = "2")]
    target: String,
}

#[derive(Message)]
struct EntryMessage {
    #[prost(message, optional, tag = "1")]
    link: Option<LinkMessage>,
    #[prost(uint64, tag = "2")]
    query_links: u64,
}

#[derive(Message)]
struct LinkMessage {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, optional, tag = "2")]
    destination: Option<DestinationMessage>,
    #[prost(uint64, tag = "3")]
    created_at_ms: u64,
    #[prost(uint64, tag = "4")]
    updated_at_ms: u64,
    #[prost(uint64, tag = "5")]
    version: u64,
}

impl From<&Destination> for DestinationMessage {
    fn from(destination: &Destination) -> Self {
        DestinationMessage {
            status: u32::from(destination.status().code()),
            target: destination.target().map_or(String::new(), |target| target.as_str().to_owned()),
        }
    }
}

impl TryFrom<DestinationMessage> for Destination {
    type Error = DecodeError;

    fn try_from(message: DestinationMessage) -> Result<Self, DecodeError> {
        let status = u16::try_from(message.status).ok().and_then(Status::from_code);
        let status = status.ok_or_else(|| DecodeError::Invalid("status", message.status.to_string()))?;
        let target = match message.target.as_str() {
            "" => None,
            text => Some(Target::from_stored(text).ok_or_else(|| DecodeError::Invalid("target", text.to_owned()))?),
        };
        Destination::new(status, target).map_err(|error| DecodeError::Invalid("destination", error.to_string()))
    }
}

impl From<&Command> for CommandMessage {
    fn from(command: &Command) -> Self {
        CommandMessage {
            key: command.key.as_str().to_owned(),
            action: Some(match &command.action {
                Action::Put(destination) => ActionMessage::Put(destination.into()),
                Action::Delete => ActionMessage::Delete(true),
            }),
            precondition: match command.precondition {
                Precondition::None => None,
                Precondition::Absent => Some(PreconditionMessage::Absent(true)),
                Precondition::Version(version) => Some(PreconditionMessage::Version(version)),
            },
        }
    }
}

impl TryFrom<CommandMessage> for Command {
    type Error = DecodeError;

    fn try_from(message: CommandMessage) -> Result<Self, DecodeError> {
        Ok(Command {
            key: LinkKey::from_canonical(&message.key).ok_or(DecodeError::Invalid("key", message.key))?,
            action: match message.action {
                Some(ActionMessage::Put(destination)) => Action::Put(destination.try_into()?),
                Some(ActionMessage::Delete(true)) => Action::Delete,
                _ => return Err(DecodeError::Missing("action")),
            },
            precondition: match message.precondition {
                None => Precondition::None,
                Some(PreconditionMessage::Absent(true)) => Precondition::Absent,
                Some(PreconditionMessage::Absent(false)) => {
                    return Err(DecodeError::Invalid("absent", "false".to_owned()));
                }
                Some(PreconditionMessage::Version(version)) => Precondition::Version(version),
            },
        })
    }
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
pub fn encode_payload(payload: &Payload) -> Vec<u8> {
    let kind = match payload {
        Payload::Batch(commands) => Kind::Batch(commands_to_message(commands, 0)),
        Payload::SetBegin => Kind::SetBegin(SetMessage { set: 0 }),
        Payload::SetPart(set, commands) => Kind::SetPart(commands_to_message(commands, set.0)),
        Payload::SetCommit(set) => Kind::SetCommit(SetMessage { set: set.0 }),
    };
    PayloadMessage { kind: Some(kind), end: vec![END] }.encode_to_vec()
}

/// Decodes what a record carries.
///
/// # Errors
/// If the bytes are not what [`encode_payload`] writes.
pub fn decode_payload(bytes: &[u8]) -> Result<Payload, DecodeError> {
    Ok(match PayloadMessage::decode(bytes)?.kind.ok_or(DecodeError::Missing("payload"))? {
        Kind::Batch(message) => Payload::Batch(commands_from_message(message)?),
        Kind::SetBegin(_) => Payload::SetBegin,
        Kind::SetPart(message) => {
            let set = SetId(message.set);
            let commands = commands_from_message(message)?;
            if let Some(command) = commands.iter().find(|command| command.precondition != Precondition::None) {
                return Err(DecodeError::Invalid("precondition", format!("of `{}` in a set", command.key)));
            }
            Payload::SetPart(set, commands)
        }
        Kind::SetCommit(message) => Payload::SetCommit(SetId(message.set)),
    })
}

/// What the store holds under a key: the link, if there is one, and, under a key without query, how many links
/// there are of the same host and path that are keyed with a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredEntry {
    /// The link of exactly this key.
    pub link: Option<Link>,
    /// How many links share host and path and have a query.
    pub query_links: u64,
}

impl StoredEntry {
    /// Encodes the entry under a checksum (I8) that covers its key, so that a value in a wrong place is found.
    pub fn encode(&self, key: &[u8]) -> Vec<u8> {
        let message = EntryMessage {
            link: self.link.as_ref().map(|link| LinkMessage {
                id: link.id.0,
                destination: Some((&link.destination).into()),
                created_at_ms: link.created_at_ms,
                updated_at_ms: link.updated_at_ms,
                version: link.version,
            }),
            query_links: self.query_links,
        };
        encode_checked(key, &message)
    }

    /// Decodes what [`encode`](Self::encode) wrote under `key`.
    ///
    /// # Errors
    /// If the bytes are damaged, or of another key.
    pub fn decode(key: &[u8], bytes: &[u8]) -> Result<Self, DecodeError> {
        let message: EntryMessage = decode_checked(key, bytes)?;
        let link = match message.link {
            None => None,
            Some(link) => Some(Link {
                id: LinkId(link.id),
                key: std::str::from_utf8(key)
                    .ok()
                    .and_then(LinkKey::from_canonical)
                    .ok_or_else(|| DecodeError::Invalid("key", String::from_utf8_lossy(key).into_owned()))?,
                destination: link.destination.ok_or(DecodeError::Missing("destination"))?.try_into()?,
                created_at_ms: link.created_at_ms,
                updated_at_ms: link.updated_at_ms,
                version: link.version,
            }),
        };
        Ok(StoredEntry { link, query_links: message.query_links })
    }
}

/// Encodes a message behind a checksum that covers the key it is stored under.
pub(crate) fn encode_checked(key: &[u8], message: &impl Message) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    message.encode(&mut bytes).expect("a vector grows");
    let checksum = checksum(key, &bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Decodes what [`encode_checked`] wrote under the same key.
pub(crate) fn decode_checked<M: Message + Default>(key: &[u8], bytes: &[u8]) -> Result<M, DecodeError> {
    let (head, body) = bytes.split_first_chunk::<4>().ok_or(DecodeError::Missing("checksum"))?;
    let (expected, found) = (u32::from_le_bytes(*head), checksum(key, body));
    if expected != found {
        return Err(DecodeError::Checksum { expected, found });
    }
    Ok(M::decode(body)?)
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn destination() -> impl Strategy<Value = Destination> {
        (0..Status::ALL.len(), "https://[a-z]{1,8}\\.example/[a-z?&=]{0,12}").prop_map(|(status, target)| {
            let status = Status::ALL[status];
            let target = (status != Status::Gone).then(|| Target::parse(&target).unwrap());
            Destination::new(status, target).unwrap()
        })
    }

    fn key() -> impl Strategy<Value = LinkKey> {
        "(/|[a-z]{1,5}/)[a-z]{0,8}(\\?[a-z]{1,3})?".prop_map(|text| LinkKey::parse(&text).unwrap())
    }

    fn command() -> impl Strategy<Value = Command> {
        let action = prop_oneof![destination().prop_map(Action::Put), Just(Action::Delete)];
        let precondition = prop_oneof![
            Just(Precondition::None),
            Just(Precondition::Absent),
            any::<u64>().prop_map(Precondition::Version)
        ];
        (key(), action, precondition).prop_map(|(key, action, precondition)| Command { key, action, precondition })
    }

    fn payload() -> impl Strategy<Value = Payload> {
        prop_oneof![
            proptest::collection::vec(command(), 0..5).prop_map(Payload::Batch),
            Just(Payload::SetBegin),
            (any::<u64>(), proptest::collection::vec(command(), 0..5)).prop_map(|(set, mut commands)| {
                commands.iter_mut().for_each(|command| command.precondition = Precondition::None);
                Payload::SetPart(SetId(set), commands)
            }),
            any::<u64>().prop_map(|set| Payload::SetCommit(SetId(set))),
        ]
    }

    proptest! {
        #[test]
        fn payloads_decode_to_what_was_encoded(payload in payload()) {
            let bytes = encode_payload(&payload);
            prop_assert_eq!(bytes.last(), Some(&END));
            prop_assert_eq!(decode_payload(&bytes), Ok(payload));
        }

        #[test]
        fn entries_decode_to_what_was_encoded(
            key in key(), destination in proptest::option::of(destination()), numbers: [u64; 5],
        ) {
            let [id, created_at_ms, updated_at_ms, version, query_links] = numbers;
            let link = destination.map(|destination| Link {
                id: LinkId(id), key: key.clone(), destination, created_at_ms, updated_at_ms, version,
            });
            let entry = StoredEntry { link, query_links };
            let bytes = entry.encode(key.as_str().as_bytes());
            prop_assert_eq!(StoredEntry::decode(key.as_str().as_bytes(), &bytes), Ok(entry));
            prop_assert!(StoredEntry::decode(b"another/key", &bytes).is_err());
        }

        #[test]
        fn a_flipped_bit_is_found(flip in 0usize..8 * 40) {
            let entry = StoredEntry { link: None, query_links: u64::MAX };
            let mut bytes = entry.encode(b"a/b");
            let flip = flip % (bytes.len() * 8);
            bytes[flip / 8] ^= 1 << (flip % 8);
            prop_assert!(StoredEntry::decode(b"a/b", &bytes).is_err());
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = decode_payload(&bytes);
            let _ = StoredEntry::decode(b"a/b", &bytes);
        }
    }

    #[test]
    fn more_commands_than_a_record_takes_are_refused() {
        let command =
            Command { key: LinkKey::parse("/a").unwrap(), action: Action::Delete, precondition: Precondition::None };
        let payloads = |count| {
            let commands = vec![command.clone(); count];
            [Payload::Batch(commands.clone()), Payload::SetPart(SetId(7), commands)]
        };
        for payload in payloads(BATCH_COMMANDS) {
            assert!(decode_payload(&encode_payload(&payload)).is_ok());
        }
        for payload in payloads(BATCH_COMMANDS + 1) {
            assert!(matches!(decode_payload(&encode_payload(&payload)), Err(DecodeError::Invalid("commands", _))));
        }
    }

    #[test]
    fn a_precondition_that_is_false_is_refused() {
        let command = |absent| CommandMessage {
            key: "*/a".to_owned(),
            action: Some(ActionMessage::Delete(true)),
            precondition: Some(PreconditionMessage::Absent(absent)),
        };
        assert_eq!(Command::try_from(command(true)).unwrap().precondition, Precondition::Absent);
        assert!(matches!(Command::try_from(command(false)), Err(DecodeError::Invalid("absent", _))));
    }

    #[test]
    fn a_precondition_in_a_set_is_refused() {
        let command =
            Command { key: LinkKey::parse("/a").unwrap(), action: Action::Delete, precondition: Precondition::Absent };
        let bytes = encode_payload(&Payload::SetPart(SetId(7), vec![command]));
        assert!(matches!(decode_payload(&bytes), Err(DecodeError::Invalid("precondition", _))));
    }
}
