//! What those who generate codes ask of the state.

use super::{Engine, apply};
use crate::link::{CodeLength, Host};
use crate::log::OperationId;
use crate::store::{StoreError, keyspace};

impl Engine {
    /// How many links of a host have a generated code of this length for a path.
    ///
    /// # Errors
    /// If the store can't be read, or the count is damaged.
    pub fn generated_codes(&self, host: &Host, length: CodeLength) -> Result<u64, StoreError> {
        let typed = keyspace::codes_key(host.as_str(), length.get());
        self.store.get()?.get(&typed)?.map_or(Ok(0), |value| apply::decode_codes(&typed, &value))
    }

    /// Whether an operation of this name was made; it may be one of those that are to be forgotten.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn knows_operation(&self, operation: OperationId) -> Result<bool, StoreError> {
        Ok(self.store.get()?.get(&keyspace::operation_key(operation.0))?.is_some())
    }
}
