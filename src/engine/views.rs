//! What the state is seen through by those who must not wait for the store.

use std::sync::Arc;

use super::tables::SharedTables;
use crate::cache::{SharedCache, SharedFilter};
use crate::clicks::Uses;

/// What the writer brings up to date before it acknowledges a change.
pub(super) struct Views {
    /// Links.
    pub(super) cache: Arc<SharedCache>,
    /// The keys that there are.
    pub(super) filter: Arc<SharedFilter>,
    /// Hosts and tokens.
    pub(super) tables: Arc<SharedTables>,
    /// The clicks of links with a limit. None where no request is answered.
    pub(super) uses: Option<Arc<Uses>>,
}

impl Views {
    /// Views with a cache of so many bytes, and these clicks.
    pub(super) fn new(cache_bytes: usize, uses: Option<Arc<Uses>>) -> Arc<Self> {
        let cache = Arc::new(SharedCache::new(cache_bytes));
        Arc::new(Views { cache, filter: Arc::default(), tables: Arc::default(), uses })
    }
}
