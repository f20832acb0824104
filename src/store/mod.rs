//! The store: the state that the log leads to, kept so that a start need not read the whole log (I1).
//!
//! A store maps canonical keys ([`LinkKey`](crate::link::LinkKey)) to encoded
//! [`StoredEntry`](crate::link::StoredEntry) values, and holds the [`Position`] up to which the log is applied.

mod memory;
mod position;
mod sled;

use std::ops::ControlFlow;

use crate::log::hint;
pub use memory::MemoryStore;
pub use position::{Applied, Position};
pub use sled::SledStore;

/// One change of the store: a value for a key, or none to delete it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The canonical key.
    pub key: Vec<u8>,
    /// The encoded entry.
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
         Stop carom, delete the directory `store` and start again: it is rebuilt from the log."
    )]
    Damaged {
        /// Of which key.
        key: String,
        /// What is wrong with it.
        error: crate::link::DecodeError,
    },
}

/// Most writes in one [`Store::apply`].
///
/// sled 0.34 keeps the memory of a batch far longer than the batch: with 1,000 random keys a batch it grew
/// without bound, with 100 it does not. The position is one more write.
pub const WRITES_PER_APPLY: usize = 99;

/// Looks at a key and its entry, and says whether the scan goes on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// What a store must do. Readers call [`get`](Store::get) from many threads while the one writer applies (I2).
pub trait Store: Send + Sync {
    /// The encoded entry of a key.
    ///
    /// # Errors
    /// If the store can't be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Makes the writes, at most [`WRITES_PER_APPLY`], and the position, all or none of them. They need not be
    /// durable: the log is.
    ///
    /// # Errors
    /// If the store can't be written.
    fn apply(&self, writes: &[Write], position: &Position) -> Result<(), StoreError>;

    /// Up to where the log is applied.
    ///
    /// # Errors
    /// If the store can't be read, or its position is damaged.
    fn position(&self) -> Result<Option<Position>, StoreError>;

    /// Calls `visit` with every key and entry, in the order of the keys, until it breaks.
    ///
    /// # Errors
    /// If the store can't be read.
    fn scan(&self, visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Writes what is in memory to disk, so that the next start need not apply it again.
    ///
    /// # Errors
    /// If the store can't be written.
    fn flush(&self) -> Result<(), StoreError>;
}
