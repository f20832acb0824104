//! Who builds the filter of all keys: a part of the store now, and the rest after whatever else happens.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Driver;
use crate::cache::{FilterBuild, HeldFilter};
use crate::store::{StoreError, keyspace};

/// A filter that is being built.
pub(super) struct Building {
    build: FilterBuild,
    /// The typed key that is read next.
    next: Vec<u8>,
    keys: u64,
}

impl Driver {
    /// Goes on with the filter that is being built, or begins another.
    pub(super) fn build_filter(&mut self) {
        if self.building.is_none() {
            let Some(running) = &self.world.running else { return };
            let Some(build) = running.views.filter.begin(0) else {
                self.world.seen.count("a filter not begun");
                return;
            };
            self.building = Some(Building { build, next: vec![keyspace::ENTRY], keys: 0 });
        }
        let most = self.rng.usize(0..20);
        self.read_keys(most);
        if self.rng.bool() {
            self.finish_filter();
        }
    }

    /// Reads all that is left, as the end of a long scan would.
    pub(super) fn finish_filter(&mut self) {
        if self.building.is_some() {
            self.read_keys(usize::MAX);
        }
    }

    fn read_keys(&mut self, most: usize) {
        let (Some(running), Some(mut building)) = (&self.world.running, self.building.take()) else { return };
        let (cache, filter) = (&running.views.cache, &running.views.filter);
        if building.build.is_cancelled().load(Ordering::Relaxed) {
            // The scan stops there, and the next one begins where it may.
            assert!(!filter.publish(&building.build, building.keys));
            return self.world.seen.count("a filter cancelled");
        }
        let mut read = 0;
        let scanned = running.slot.get().and_then(|store| {
            store.scan(&building.next.clone(), &mut |typed, _| match keyspace::split(typed) {
                Some((keyspace::ENTRY, key)) if read < most => {
                    building.build.add(&[cache.hash(key)]);
                    building.next = [typed, &[0]].concat();
                    (building.keys, read) = (building.keys + 1, read + 1);
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Break(()),
            })
        });
        match scanned {
            Ok(()) if most == usize::MAX => {
                assert!(filter.publish(&building.build, building.keys), "nobody has cancelled it");
                self.world.seen.count("a filter built");
            }
            Ok(()) => self.building = Some(building),
            Err(StoreError::Io(_) | StoreError::Backend(_)) => {
                filter.fail(&building.build, "the store can't be read".to_owned());
                self.world.seen.count("a filter that could not be built");
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A filter of the process as it is now.
    pub(super) fn filter(&self) -> Option<HeldFilter> {
        self.world.running.as_ref().map(|running| HeldFilter::new(Arc::clone(&running.views.filter)))
    }
}
