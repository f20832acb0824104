//! A number for who asks that means nothing on another day.
//!
//! - [`DayKey`]: from an address to a number. `file`: the key of the day on disk. [`VisitorKeys`]: a new one each day.

mod file;
mod keys;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use crate::clicks::batch::Visitor;

pub use file::VisitorKeyError;
pub use keys::VisitorKeys;

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Seconds of a UTC day: there are no leap seconds in Unix time.
const DAY_S: u64 = 24 * 60 * 60;

/// The key of a UTC day. It has no `Debug`: whoever has the key can try all addresses.
#[derive(Clone, PartialEq, Eq)]
pub struct DayKey {
    /// Of which day, in days since 1970.
    pub day: u64,
    key: [u8; KEY_BYTES],
}

impl DayKey {
    /// The number of who asks: the first 40 bits of the keyed BLAKE3 hash of address and User-Agent. The fingerprint of the
    /// User-Agent is that of [`AgentEntry`](super::AgentEntry).
    ///
    /// An IPv4 address in an IPv6 one counts as IPv4, and of other IPv6 addresses the first 64 bits: what is behind them
    /// changes by the hour on the same device (RFC 8981). With n visitors a day, each has a chance of n / 2^40 of having
    /// the number of another.
    pub fn visitor(&self, address: IpAddr, user_agent_fingerprint: u32) -> Visitor {
        let mut said = [0; 1 + 8 + 4];
        match address.to_canonical() {
            IpAddr::V4(address) => {
                said[0] = 4;
                said[1..5].copy_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                said[0] = 6;
                said[1..9].copy_from_slice(&address.octets()[..8]);
            }
        }
        said[9..].copy_from_slice(&user_agent_fingerprint.to_le_bytes());
        let hash = blake3::keyed_hash(&self.key, &said);
        let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
        Visitor(u64::from_le_bytes(*first) & ((1 << Visitor::BITS) - 1))
    }
}
