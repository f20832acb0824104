//! Up to where the log is applied.

use prost::Message;

use super::StoreError;
use crate::link::{DecodeError, decode_checked, encode_checked};
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
    /// Up to which record the log was known to be durable when this was written.
    pub durable: u64,
    /// From which record on the log must be read again to go on from here: the beginning of the oldest set that is
    /// neither committed nor dropped, for its parts stand in the log only; else the record after this position.
    pub replay_from: u64,
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
    #[prost(uint64, tag = "5")]
    durable: u64,
    #[prost(uint64, tag = "6")]
    replay_from: u64,
}

impl Position {
    pub(super) fn encode(&self) -> Vec<u8> {
        let message = PositionMessage {
            log_id: self.log_id.0.to_vec(),
            sequence: self.sequence,
            chain: self.chain.0.to_vec(),
            applied_commands: self.partial.map(|applied| applied.commands),
            durable: self.durable,
            replay_from: self.replay_from,
        };
        encode_checked(b"", &message)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        Self::decode_checked(bytes).map_err(|error| StoreError::Damaged { key: "(position)".to_owned(), error })
    }

    fn decode_checked(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message: PositionMessage = decode_checked(b"", bytes)?;
        Ok(Position {
            log_id: LogId(message.log_id.try_into().map_err(|_| DecodeError::Missing("log_id"))?),
            sequence: message.sequence,
            chain: ChainHash(message.chain.try_into().map_err(|_| DecodeError::Missing("chain"))?),
            partial: message.applied_commands.map(|commands| Applied { commands }),
            durable: message.durable,
            replay_from: message.replay_from,
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
            id: [u8; 16], sequence: u64, chain: [u8; 32], durable: u64, commands: Option<u64>, replay_from: u64, flip: usize,
        ) {
            let position = Position {
                log_id: LogId(id),
                sequence,
                chain: ChainHash(chain),
                partial: commands.map(|commands| Applied { commands }),
                durable,
                replay_from,
            };
            let mut bytes = position.encode();
            prop_assert_eq!(&Position::decode(&bytes).unwrap(), &position);
            let flip = flip % (bytes.len() * 8);
            bytes[flip / 8] ^= 1 << (flip % 8);
            prop_assert!(Position::decode(&bytes).is_err());
        }
    }
}
