//! What counting clicks has to do with links.

use std::sync::Arc;

use super::read;
use super::slot::StoreSlot;
use crate::clicks::LinkTags;

/// The tags of links, from the store.
pub(super) struct StoredTags(pub(super) Arc<StoreSlot>);

impl LinkTags for StoredTags {
    /// None while the store can't be read: the click is counted, and no tag's.
    fn tags(&self, key: &[u8]) -> Vec<String> {
        let Some(store) = self.0.try_get() else { return Vec::new() };
        let link = read::stored_entry(store.as_ref(), key).ok().and_then(|entry| entry.link);
        link.map_or(Vec::new(), |link| link.options.tags.iter().map(|tag| tag.as_str().to_owned()).collect())
    }
}
