//! Builds the store anew, from snapshot and log, in place of the one that is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::applier::Applier;
use super::ground::Ground;
use super::lock::DirectoryLock;
use super::place::{DirectoryPlace, NAME, NAME_BESIDE, StorePlace};
use super::recover::{self, Recovery};
use super::{EngineConfig, OpenError, StateDigest};
use crate::clock;
use crate::log::{KnownDurable, Log};
use crate::store::{Store, StoreKind};

/// What was built.
#[derive(Debug)]
pub struct Rebuilt {
    /// What is in the new store.
    pub state: StateDigest,
    /// What was in the old one, brought to the end of the log; or why that can't be said.
    pub before: Result<StateDigest, String>,
    /// Which kind the old one was, as far as known.
    pub kind_before: Option<StoreKind>,
    /// Where the old one lies now, if it was kept.
    pub kept: Option<PathBuf>,
    /// What was done to build the new one.
    pub report: Recovery,
}

impl Rebuilt {
    /// Whether the old store, if it could be read, held the same.
    pub fn agrees(&self) -> bool {
        self.before.as_ref().is_ok_and(|before| *before == self.state) || self.before.is_err()
    }
}

/// Builds the store that `config` names from the newest snapshot and the log. The one that is there is set aside first
/// and removed when the new one holds the same; it is kept if it does not, or if `keep` says so. If the new one can't
/// be built, it is put back.
///
/// # Errors
/// If the directory is in use, the log is damaged, or the new store can't be built.
pub fn rebuild(config: &EngineConfig, keep: bool) -> Result<Rebuilt, OpenError> {
    let _lock = DirectoryLock::take(&config.data)?;
    let usual = config.data.join(NAME);
    let place = DirectoryPlace::new(config);
    let beside = config.data.join(NAME_BESIDE);
    // Opening the usual one renames one that was built beside it.
    let kind_before = StoreKind::lying_in(&beside).or_else(|| StoreKind::lying_in(&usual));
    let kind = config.store_kind();
    let ground = Ground::new(config);
    let mut known = recover::snapshots_taken(&ground)?;
    let found = match usual.exists() || beside.exists() {
        // Whatever is wrong with it is what this is for.
        true => {
            let place = place.of_kind(kind_before.unwrap_or(kind));
            let found = place.open().unwrap_or_else(|error| Err(error.to_string()));
            found.map_err(|reason| (reason, place.of_kind(kind)))
        }
        false => Err(("there was none".to_owned(), place.of_kind(kind))),
    };
    let (found, place) = match found {
        Ok(store) => (Ok(store), place),
        Err((reason, place)) => (Err(reason), place),
    };
    if let Ok(Some(position)) = found.as_ref().map_or(Ok(None), |store| store.position()) {
        known.push(KnownDurable { log_id: position.log_id, sequence: position.durable });
    }
    let opened = ground.log.open(&known)?;
    let before = found.and_then(|store| digest_at_end(store, &opened.log));
    let aside = set_aside(&config.data, &usual)?;
    let ground = Ground { place: Box::new(place), ..ground };
    let mut report = Recovery { torn: opened.torn, ..Recovery::default() };
    let built = build(&ground, &opened.log, &mut report);
    let state = match built {
        Ok(state) => state,
        Err(error) => {
            put_back(&ground, aside.as_deref(), &usual)?;
            return Err(error);
        }
    };
    let mut rebuilt = Rebuilt { state, before, kind_before, kept: aside, report };
    if !keep
        && matches!(&rebuilt.before, Ok(before) if *before == rebuilt.state)
        && let Some(aside) = rebuilt.kept.take()
    {
        remove(&aside)?;
    }
    Ok(rebuilt)
}

/// What a store holds at the end of the log, if it is of this log.
fn digest_at_end(store: Arc<dyn Store>, log: &Log) -> Result<StateDigest, String> {
    let text = |error: OpenError| error.to_string();
    let position = store.position().map_err(|error| error.to_string())?;
    let position = position.ok_or_else(|| "its building had not finished".to_owned())?;
    if let Some(reason) = recover::unusable_because(&position, log).map_err(|error| text(error.into()))? {
        return Err(reason);
    }
    let mut applier = Applier::new(Arc::clone(&store), position).map_err(|error| error.to_string())?;
    applier.set_durable(log.durable());
    recover::replay(log, &mut applier).map_err(text)?;
    StateDigest::of(store.as_ref()).map_err(|error| error.to_string())
}

fn build(ground: &Ground, log: &Log, report: &mut Recovery) -> Result<StateDigest, OpenError> {
    let applier = recover::bring_up(ground, ground.place.open()?, log, report)?;
    Ok(StateDigest::of(applier.store().as_ref())?)
}

/// Moves the old store out of the way; where to, if there was one.
fn set_aside(data: &Path, usual: &Path) -> Result<Option<PathBuf>, OpenError> {
    if !usual.exists() {
        return Ok(None);
    }
    let aside = data.join(format!("{NAME}.before-rebuild-{}", clock::unix_time_ms()));
    std::fs::rename(usual, &aside).map_err(|error| OpenError::Io(format!("renaming {}", usual.display()), error))?;
    Ok(Some(aside))
}

/// Makes an end of the new store and puts the old one in its place again.
fn put_back(ground: &Ground, aside: Option<&Path>, usual: &Path) -> Result<(), OpenError> {
    ground.place.remove()?;
    match aside {
        Some(aside) => std::fs::rename(aside, usual)
            .map_err(|error| OpenError::Io(format!("renaming {} to {}", aside.display(), usual.display()), error)),
        None => Ok(()),
    }
}

fn remove(path: &Path) -> Result<(), OpenError> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed
        .map_err(|error| OpenError::Io(format!("the store is built; removing the old one, {}", path.display()), error))
}
