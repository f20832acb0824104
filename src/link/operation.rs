//! What is remembered of an operation, so that sending it again does nothing and is answered as it was at first.

use prost::{Message, Oneof};

use super::codec::DecodeError;
use super::command::{Outcome, Refusal, Subject};
use super::destination::LinkId;
use super::host::Host;
use super::key::LinkKey;
use super::token::TokenId;

/// An operation that was made, or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The time of its record, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Tells its commands from others: the first half of the BLAKE3 hash of their encoding.
    pub fingerprint: [u8; 16],
    /// What became of it.
    pub result: Result<Vec<Outcome>, Refusal>,
}

#[derive(Message)]
struct OperationMessage {
    #[prost(uint64, tag = "1")]
    time_ms: u64,
    #[prost(bytes = "vec", tag = "2")]
    fingerprint: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    outcomes: Vec<OutcomeMessage>,
    #[prost(message, optional, tag = "4")]
    refusal: Option<RefusalMessage>,
}

#[derive(Message)]
struct OutcomeMessage {
    #[prost(oneof = "OutcomeKind", tags = "1, 2, 3, 4")]
    kind: Option<OutcomeKind>,
}

#[derive(Oneof)]
enum OutcomeKind {
    #[prost(uint64, tag = "1")]
    Created(u64),
    #[prost(uint64, tag = "2")]
    Replaced(u64),
    #[prost(bool, tag = "3")]
    Unchanged(bool),
    #[prost(bool, tag = "4")]
    Deleted(bool),
}

#[derive(Message)]
struct RefusalMessage {
    /// The link, where it is one.
    #[prost(string, tag = "1")]
    key: String,
    #[prost(uint64, optional, tag = "2")]
    found: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    expected: Option<u64>,
    #[prost(string, tag = "4")]
    host: String,
    #[prost(bytes = "vec", tag = "5")]
    token: Vec<u8>,
    /// What does not go together.
    #[prost(string, tag = "6")]
    reason: String,
    /// The link that the target leads to.
    #[prost(string, tag = "7")]
    chain: String,
    /// The link through which the target leads back.
    #[prost(string, tag = "8")]
    leads_back: String,
}

impl From<&Outcome> for OutcomeMessage {
    fn from(outcome: &Outcome) -> Self {
        let kind = match *outcome {
            Outcome::Created(id) => OutcomeKind::Created(id.0),
            Outcome::Replaced { version } => OutcomeKind::Replaced(version),
            Outcome::Unchanged => OutcomeKind::Unchanged(true),
            Outcome::Deleted => OutcomeKind::Deleted(true),
        };
        OutcomeMessage { kind: Some(kind) }
    }
}

impl TryFrom<OutcomeMessage> for Outcome {
    type Error = DecodeError;

    fn try_from(message: OutcomeMessage) -> Result<Self, DecodeError> {
        match message.kind {
            Some(OutcomeKind::Created(id)) => Ok(Outcome::Created(LinkId(id))),
            Some(OutcomeKind::Replaced(version)) => Ok(Outcome::Replaced { version }),
            Some(OutcomeKind::Unchanged(true)) => Ok(Outcome::Unchanged),
            Some(OutcomeKind::Deleted(true)) => Ok(Outcome::Deleted),
            _ => Err(DecodeError::Missing("outcome")),
        }
    }
}

impl From<&Refusal> for RefusalMessage {
    fn from(refusal: &Refusal) -> Self {
        let mut message = RefusalMessage::default();
        match refusal {
            Refusal::Exists { subject, version } => {
                message.set_subject(subject);
                message.found = Some(*version);
            }
            Refusal::VersionMismatch { subject, expected, found } => {
                message.set_subject(subject);
                message.found = Some(*found);
                message.expected = Some(*expected);
            }
            Refusal::NotFound(subject) => message.set_subject(subject),
            Refusal::Invalid { key, reason } => {
                message.key = key.as_str().to_owned();
                message.reason = reason.clone();
            }
            Refusal::Chain { key, through } => {
                message.key = key.as_str().to_owned();
                message.chain = through.as_str().to_owned();
            }
            Refusal::Loop { key, through } => {
                message.key = key.as_str().to_owned();
                message.leads_back = through.as_str().to_owned();
            }
        }
        message
    }
}

impl RefusalMessage {
    fn set_subject(&mut self, subject: &Subject) {
        match subject {
            Subject::Link(key) => self.key = key.as_str().to_owned(),
            Subject::Host(host) => self.host = host.as_str().to_owned(),
            Subject::Token(id) => self.token = id.0.to_vec(),
        }
    }

    fn subject(&self) -> Result<Subject, DecodeError> {
        if !self.host.is_empty() {
            let host = Host::parse(&self.host);
            return host.map(Subject::Host).map_err(|_| DecodeError::Invalid("host", self.host.clone()));
        }
        match <[u8; 8]>::try_from(self.token.as_slice()) {
            Ok(id) => Ok(Subject::Token(TokenId(id))),
            Err(_) => read_key("key", &self.key).map(Subject::Link),
        }
    }
}

fn read_key(field: &'static str, text: &str) -> Result<LinkKey, DecodeError> {
    LinkKey::from_canonical(text).ok_or_else(|| DecodeError::Invalid(field, text.to_owned()))
}

impl TryFrom<RefusalMessage> for Refusal {
    type Error = DecodeError;

    fn try_from(message: RefusalMessage) -> Result<Self, DecodeError> {
        let key = || read_key("key", &message.key);
        if !message.reason.is_empty() {
            return Ok(Refusal::Invalid { key: key()?, reason: message.reason.clone() });
        }
        if !message.chain.is_empty() {
            return Ok(Refusal::Chain { key: key()?, through: read_key("chain", &message.chain)? });
        }
        if !message.leads_back.is_empty() {
            return Ok(Refusal::Loop { key: key()?, through: read_key("leads_back", &message.leads_back)? });
        }
        let subject = message.subject()?;
        match (message.found, message.expected) {
            (Some(version), None) => Ok(Refusal::Exists { subject, version }),
            (Some(found), Some(expected)) => Ok(Refusal::VersionMismatch { subject, expected, found }),
            (None, None) => Ok(Refusal::NotFound(subject)),
            (None, Some(_)) => Err(DecodeError::Missing("found")),
        }
    }
}

impl Operation {
    /// Tells commands from others by their encoding.
    pub fn fingerprint_of(payload: &[u8]) -> [u8; 16] {
        *blake3::hash(payload).as_bytes().first_chunk().expect("32 bytes")
    }

    /// Encodes it under a checksum (I8) that covers its id, so that a value in a wrong place is found.
    pub fn encode(&self, id: [u8; 16]) -> Vec<u8> {
        let message = OperationMessage {
            time_ms: self.time_ms,
            fingerprint: self.fingerprint.to_vec(),
            outcomes: self.result.iter().flatten().map(OutcomeMessage::from).collect(),
            refusal: self.result.as_ref().err().map(RefusalMessage::from),
        };
        super::codec::encode_checked(&id, &message)
    }

    /// Decodes what [`encode`](Self::encode) wrote under `id`.
    ///
    /// # Errors
    /// If the bytes are damaged, or of another id.
    pub fn decode(id: [u8; 16], bytes: &[u8]) -> Result<Self, DecodeError> {
        let message: OperationMessage = super::codec::decode_checked(&id, bytes)?;
        Ok(Operation {
            time_ms: message.time_ms,
            fingerprint: message.fingerprint.try_into().map_err(|_| DecodeError::Missing("fingerprint"))?,
            result: match message.refusal {
                Some(refusal) => Err(refusal.try_into()?),
                None => Ok(message.outcomes.into_iter().map(Outcome::try_from).collect::<Result<_, _>>()?),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            any::<u64>().prop_map(|id| Outcome::Created(LinkId(id))),
            any::<u64>().prop_map(|version| Outcome::Replaced { version }),
            Just(Outcome::Unchanged),
            Just(Outcome::Deleted),
        ]
    }

    fn refusal() -> impl Strategy<Value = Refusal> {
        let key = || "/[a-z]{1,5}".prop_map(|text| LinkKey::parse(&text).unwrap());
        let subject = prop_oneof![
            key().prop_map(Subject::Link),
            "[a-z]{1,5}\\.example".prop_map(|text| Subject::Host(Host::parse(&text).unwrap())),
            any::<[u8; 8]>().prop_map(|id| Subject::Token(TokenId(id))),
        ];
        (subject, key(), key(), any::<[u64; 2]>(), 0..6).prop_map(|(subject, key, through, [found, expected], kind)| {
            match kind {
                0 => Refusal::Exists { subject, version: found },
                1 => Refusal::VersionMismatch { subject, expected, found },
                2 => Refusal::NotFound(subject),
                3 => Refusal::Invalid { key, reason: "no".to_owned() },
                4 => Refusal::Chain { key, through },
                _ => Refusal::Loop { key, through },
            }
        })
    }

    proptest! {
        #[test]
        fn operations_decode_to_what_was_encoded_and_a_flipped_bit_is_found(
            time_ms: u64,
            fingerprint: [u8; 16],
            result in prop_oneof![
                proptest::collection::vec(outcome(), 0..5).prop_map(Ok),
                refusal().prop_map(Err),
            ],
            id: [u8; 16],
            flip: usize,
        ) {
            let operation = Operation { time_ms, fingerprint, result };
            let mut bytes = operation.encode(id);
            prop_assert_eq!(Operation::decode(id, &bytes), Ok(operation));
            prop_assert!(Operation::decode([!id[0]; 16], &bytes).is_err());
            let flip = flip % (bytes.len() * 8);
            bytes[flip / 8] ^= 1 << (flip % 8);
            prop_assert!(Operation::decode(id, &bytes).is_err());
        }
    }
}
