//! What is in a snapshot, for people.

use super::text::{count, count_of, hex, timestamp};
use crate::engine::Manifest;

/// What is in a snapshot, a line each.
pub(super) fn snapshot(manifest: &Manifest) -> String {
    let Manifest { header, entries, link_entries, operations, digest, .. } = manifest;
    format!(
        "Taken:    {}\n\
         Holds:    {}: {} of links, {}\n\
         Position: record {} of the log {}, epoch {}\n\
         Chain:    {}\n\
         Digest:   {}",
        timestamp(header.taken_at_ms),
        count_of(*entries, "entry", "entries"),
        super::text::grouped(*link_entries),
        count(*operations, "remembered operation"),
        header.sequence,
        header.log_id,
        header.epoch,
        hex(&header.chain.0),
        hex(digest)
    )
}
