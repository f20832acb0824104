//! Rollups and what they answer, against a plain model.

mod answers;
mod bounds;
mod model;
mod store;
mod trouble;

use std::sync::Arc;

use super::super::batch::{Batch, LinkCount, LinkName, Window, WindowId};
use super::super::stats::Stats;
use super::{LinkTags, Rollups, RollupsConfig};
use crate::clicks::Entry;
use store::Files;

/// A link's host is the number that it has modulo 3; every second link has a tag, every sixth another one.
struct Tags;

impl LinkTags for Tags {
    fn tags(&self, key: &[u8]) -> Vec<String> {
        let key = std::str::from_utf8(key).unwrap();
        let link: u64 = key.split_once('/').unwrap().1.parse().unwrap();
        tags_of(link)
    }
}

fn tags_of(link: u64) -> Vec<String> {
    [(2, "even"), (6, "sixth")]
        .into_iter()
        .filter(|(by, _)| link.is_multiple_of(*by))
        .map(|(_, tag)| tag.to_owned())
        .collect()
}

fn host_of(link: u64) -> String {
    format!("h{}.example", link % 3)
}

fn key_of(link: u64) -> String {
    format!("{}/{link}", host_of(link))
}

fn name(link: u64) -> LinkName {
    LinkName { link, key: key_of(link).into_bytes().into() }
}

fn open(files: &Files, config: &RollupsConfig) -> (Rollups, Stats) {
    Rollups::open_with(config.clone(), Arc::new(Tags), files.opener()).unwrap()
}

fn config(dir: &tempfile::TempDir) -> RollupsConfig {
    RollupsConfig { open_months: 2, ..RollupsConfig::new(dir.path().join("clicks")) }
}

/// A window in which links are named and clicked once by a person.
fn clicks(number: u64, time_s: u64, links: &[u64]) -> Entry {
    let counts = links.iter().map(|link| LinkCount { link: *link, counts: [1, 0, 0, 0] }).collect();
    let names = links.iter().map(|link| name(*link)).collect();
    let batch = Batch { time_s, names, counts, ..Batch::default() };
    Entry::Window(Window { id: WindowId { boot: 1, number }, batch })
}
