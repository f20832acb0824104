//! The store: the state that the log leads to, kept so that a start need not read the whole log (I1).
//!
//! A store maps typed keys ([`keyspace`]) to values, and holds the [`Position`] up to which the log is applied. Which
//! store it is ([`StoreKind`]) makes no difference to what is in it.

mod fjall;
pub mod keyspace;
mod kind;
mod memory;
mod position;
mod sled;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use crate::log::hint;
pub use fjall::{FjallOptions, FjallStore};
pub use kind::{StoreKind, UnknownStore, open};
pub use memory::MemoryStore;
pub use position::{Applied, Position};
pub use sled::SledStore;

/// One change of the store: a value for a key, or none to delete it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The typed key; see [`keyspace`].
    pub key: Vec<u8>,
    /// The value.
    pub value: Option<Vec<u8>>,
}

/// Why the store can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store's own error.
    #[error("the store: {0}")]
    Backend(String),
    /// The operating system refused. The store may well be intact.
    #[error("the store: {0}{way_out}", way_out = hint(.0))]
    Io(std::io::Error),
    /// What lies there is not what the store wrote (I8).
    #[error("the store: {0}")]
    Corrupt(String),
    /// A value is not as it was written (I8).
    #[error(
        "the store's entry of `{key}` is damaged: {error}. \
         Stop carom and run `carom rebuild`: the store is built again from snapshots and log."
    )]
    Damaged {
        /// Of which key.
        key: String,
        /// What is wrong with it.
        error: crate::link::DecodeError,
    },
}

/// Looks at a typed key and its value, and says whether the scan goes on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// What a store must do. Readers call [`get`](Store::get) from many threads while the one writer applies (I2).
pub trait Store: Send + Sync {
    /// The value of a typed key.
    ///
    /// # Errors
    /// If the store can't be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Makes the writes, at most [`writes_per_apply`](Store::writes_per_apply), and the position, all or none of
    /// them. They need not be durable: the log is.
    ///
    /// # Errors
    /// If the store can't be written.
    fn apply(&self, writes: &[Write], position: &Position) -> Result<(), StoreError>;

    /// Makes writes, at most [`writes_per_apply`](Store::writes_per_apply), without a position: for a store that is
    /// being built from a snapshot, with keys in ascending order, also from call to call; or for one that has positions
    /// of its own among its entries, in any order.
    ///
    /// Such a store has no position until the first [`apply`](Store::apply). One that has entries and no position
    /// is one whose building did not finish, and of no use.
    ///
    /// # Errors
    /// If the store can't be written.
    fn load(&self, writes: &[Write]) -> Result<(), StoreError>;

    /// Whether nothing was ever applied or loaded: there are neither entries nor a position.
    ///
    /// # Errors
    /// If the store can't be read.
    fn is_empty(&self) -> Result<bool, StoreError>;

    /// Up to where the log is applied.
    ///
    /// # Errors
    /// If the store can't be read, or its position is damaged.
    fn position(&self) -> Result<Option<Position>, StoreError>;

    /// Calls `visit` with every typed key that is not less than `from`, and its value, in the order of the keys,
    /// until it breaks. The position is not among them.
    ///
    /// The writer may apply meanwhile, and `visit` may read. A key that is not changed meanwhile is visited exactly
    /// once; one that is, once or not at all, with a value of before or after.
    ///
    /// # Errors
    /// If the store can't be read.
    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// About how many keys there are; cheap to ask, and far from it at times. 0 if it can't tell.
    fn estimated_keys(&self) -> u64 {
        0
    }

    /// Writes what is in memory to disk, so that the next start need not apply it again.
    ///
    /// # Errors
    /// If the store can't be written.
    fn flush(&self) -> Result<(), StoreError>;

    /// Waits until the next writes need not wait for what was written before, so that they hold a lock but shortly: the
    /// next call that writes does not wait.
    ///
    /// # Errors
    /// If the store can't be written.
    fn wait_for_room(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Most writes that one [`apply`](Store::apply) or [`load`](Store::load) takes.
    fn writes_per_apply(&self) -> usize;
}
