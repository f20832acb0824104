//! What is remembered of an operation, so that sending it again does nothing and is answered as it was at first.

use prost::{Message, Oneof};

use super::codec::DecodeError;
use super::command::{Outcome, Refusal};
use super::destination::LinkId;
use super::key::LinkKey;

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
    #[prost(string, tag = "1")]
    key: String,
    #[prost(uint64, optional, tag = "2")]
    found: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    expected: Option<u64>,
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
        let (key, found, expected) = match refusal {
            Refusal::Exists { key, version } => (key, Some(*version), None),
            Refusal::VersionMismatch { key, expected, found } => (key, Some(*found), Some(*expected)),
            Refusal::NotFound(key) => (key, None, None),
        };
        RefusalMessage { key: key.as_str().to_owned(), found, expected }
    }
}

impl TryFrom<RefusalMessage> for Refusal {
    type Error = DecodeError;

    fn try_from(message: RefusalMessage) -> Result<Self, DecodeError> {
        let key = LinkKey::from_canonical(&message.key).ok_or(DecodeError::Invalid("key", message.key))?;
        match (message.found, message.expected) {
            (Some(version), None) => Ok(Refusal::Exists { key, version }),
            (Some(found), Some(expected)) => Ok(Refusal::VersionMismatch { key, expected, found }),
            (None, None) => Ok(Refusal::NotFound(key)),
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
        ("/[a-z]{1,5}", 0..3, any::<[u64; 2]>()).prop_map(|(key, kind, [found, expected])| {
            let key = LinkKey::parse(&key).unwrap();
            match kind {
                0 => Refusal::Exists { key, version: found },
                1 => Refusal::VersionMismatch { key, expected, found },
                _ => Refusal::NotFound(key),
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
