//! Up to where the log is applied.

use prost::Message;

use super::StoreError;
use crate::link::{DecodeError, SetId};
use crate::log::{ChainHash, LogId};

/// Up to where a store holds the log, and how far within the next record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Which log.
    pub log_id: LogId,
    /// The last record that is applied wholly.
    pub sequence: u64,
    /// The chain hash after that record.
    pub chain: ChainHash,
    /// What of the next record is applied, if it is applied in part.
    pub partial: Option<Applied>,
    /// The sets that were begun up to here and are neither committed nor dropped. Their parts stand in the log
    /// before this position and are read again when it is resumed.
    pub open_sets: Vec<SetId>,
}

/// How much of a record, or of the set that it commits, is applied. Whether it is applied at all was judged
/// before the first of it: it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// How many commands.
    pub commands: u64,
}

#[derive(Message)]
struct PositionMessage {
    #[prost(bytes = "vec", tag = "1")]
    log_id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    sequence: u64,
    #[prost(bytes = "vec", tag = "3")]
    chain: Vec<u8>,
    #[prost(uint64, optional, tag = "4")]
    applied_commands: Option<u64>,
    #[prost(uint64, repeated, tag = "5")]
    open_sets: Vec<u64>,
}

impl Position {
    pub(super) fn encode(&self) -> Vec<u8> {
        let message = PositionMessage {
            log_id: self.log_id.0.to_vec(),
            sequence: self.sequence,
            chain: self.chain.0.to_vec(),
            applied_commands: self.partial.map(|applied| applied.commands),
            open_sets: self.open_sets.iter().map(|set| set.0).collect(),
        };
        let mut bytes = vec![0; 4];
        message.encode(&mut bytes).expect("a vector grows");
        let checksum = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        Self::decode_checked(bytes).map_err(|error| StoreError::Damaged { key: "(position)".to_owned(), error })
    }

    fn decode_checked(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (head, body) = bytes.split_first_chunk::<4>().ok_or(DecodeError::Missing("checksum"))?;
        let (expected, found) = (u32::from_le_bytes(*head), crc32c::crc32c(body));
        if expected != found {
            return Err(DecodeError::Checksum { expected, found });
        }
        let message = PositionMessage::decode(body)?;
        Ok(Position {
            log_id: LogId(message.log_id.try_into().map_err(|_| DecodeError::Missing("log_id"))?),
            sequence: message.sequence,
            chain: ChainHash(message.chain.try_into().map_err(|_| DecodeError::Missing("chain"))?),
            partial: message.applied_commands.map(|commands| Applied { commands }),
            open_sets: message.open_sets.into_iter().map(SetId).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn positions_decode_to_what_was_encoded(
            id: [u8; 16], sequence: u64, chain: [u8; 32], commands: Option<u64>, sets: Vec<u64>, flip: usize,
        ) {
            let position = Position {
                log_id: LogId(id),
                sequence,
                chain: ChainHash(chain),
                partial: commands.map(|commands| Applied { commands }),
                open_sets: sets.into_iter().map(SetId).collect(),
            };
            let mut bytes = position.encode();
            prop_assert_eq!(&Position::decode(&bytes).unwrap(), &position);
            let flip = flip % (bytes.len() * 8);
            bytes[flip / 8] ^= 1 << (flip % 8);
            prop_assert!(Position::decode(&bytes).is_err());
        }
    }
}
