//! Which store, and whose files lie in a directory.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::{FjallStore, SledStore, Store, StoreError};

/// The stores on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// A tree of pages that are written anew when they change: [`SledStore`].
    Sled,
    /// Sorted, compressed files that are merged in the background: [`FjallStore`]. It takes far less disk, and random
    /// keys far faster.
    Fjall,
}

/// There is no store of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no store; there are sled and fjall")]
pub struct UnknownStore(String);

impl StoreKind {
    /// All of them.
    pub const ALL: [StoreKind; 2] = [StoreKind::Sled, StoreKind::Fjall];

    /// Its name, as arguments and messages have it.
    pub fn name(self) -> &'static str {
        match self {
            StoreKind::Sled => "sled",
            StoreKind::Fjall => "fjall",
        }
    }

    /// The kind of a store that is begun, unless told otherwise.
    pub const OF_NEW: StoreKind = StoreKind::Sled;

    /// The kind whose files lie in a directory, if any do.
    pub fn lying_in(dir: &Path) -> Option<StoreKind> {
        StoreKind::ALL.into_iter().find(|kind| kind.lies_in(dir))
    }

    fn lies_in(self, dir: &Path) -> bool {
        self.marks().iter().any(|name| dir.join(name).exists())
    }

    /// What lies in a directory where a store of this kind was opened once, and in no directory of another kind.
    fn marks(self) -> &'static [&'static str] {
        match self {
            StoreKind::Sled => &["conf", "db"],
            StoreKind::Fjall => &["current", "tables"],
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for StoreKind {
    type Err = UnknownStore;

    fn from_str(name: &str) -> Result<Self, UnknownStore> {
        let kind = StoreKind::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| UnknownStore(name.to_owned()))
    }
}

/// Opens the store in `dir`, or begins one there. Without a `kind` it is the one that lies there, or sled.
///
/// `cache_bytes` bounds what the store caches of its pages or blocks; links that are asked for are cached elsewhere,
/// so it can be small.
///
/// # Errors
/// If the directory can't be used, or holds nothing that this kind of store can read. What another kind wrote is
/// [`StoreError::Corrupt`], and is left as it is: it can be set aside and built again.
pub fn open(kind: Option<StoreKind>, dir: &Path, cache_bytes: u64) -> Result<Arc<dyn Store>, StoreError> {
    let kind = kind.or_else(|| StoreKind::lying_in(dir)).unwrap_or(StoreKind::OF_NEW);
    // Neither library minds the other's files: it would begin an empty store among them.
    if let Some(other) = StoreKind::ALL.into_iter().find(|other| *other != kind && other.lies_in(dir)) {
        return Err(StoreError::Corrupt(format!("it was written by {other}, and {kind} is configured")));
    }
    Ok(match kind {
        StoreKind::Sled => Arc::new(SledStore::open(dir, cache_bytes)?),
        StoreKind::Fjall => Arc::new(FjallStore::open(dir, cache_bytes)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_of_another_kind_is_not_opened() {
        for (written, configured) in [(StoreKind::Sled, StoreKind::Fjall), (StoreKind::Fjall, StoreKind::Sled)] {
            let dir = tempfile::tempdir().unwrap();
            drop(open(Some(written), dir.path(), 1 << 20).unwrap());
            match open(Some(configured), dir.path(), 1 << 20).map(drop) {
                Err(StoreError::Corrupt(reason)) => {
                    assert_eq!(reason, format!("it was written by {written}, and {configured} is configured"));
                }
                other => panic!("{other:?}"),
            }
            open(Some(written), dir.path(), 1 << 20).unwrap();
        }
    }

    #[test]
    fn unless_told_otherwise_the_kind_is_the_one_that_lies_there() {
        for kind in StoreKind::ALL {
            let dir = tempfile::tempdir().unwrap();
            drop(open(Some(kind), dir.path(), 1 << 20).unwrap());
            drop(open(None, dir.path(), 1 << 20).unwrap());
            assert_eq!(StoreKind::lying_in(dir.path()), Some(kind));
        }
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(StoreKind::lying_in(dir.path()), None);
        drop(open(None, dir.path(), 1 << 20).unwrap());
        assert_eq!(StoreKind::lying_in(dir.path()), Some(StoreKind::Sled));
    }

    #[test]
    fn kinds_have_names() {
        for kind in StoreKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let error = "rocks".parse::<StoreKind>().unwrap_err().to_string();
        assert_eq!(error, "`rocks` is no store; there are sled and fjall");
    }
}
