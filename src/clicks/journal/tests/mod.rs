//! The journal as a whole; the files beside this one have its parts.

mod codec;
mod damage;
mod disk;
mod document;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Journal, JournalConfig, JournalError, JournalReader};
use crate::clicks::batch::{Batch, Entry, LinkCount, LinkName, Visit, Visitor, Window, WindowId};
use crate::log::disk::simulated::SimulatedDisk;

const DIR: &str = "/clicks/journal";

fn config() -> JournalConfig {
    JournalConfig { segment_bytes: 1024, entry_bytes: 512, ..JournalConfig::new(PathBuf::from(DIR)) }
}

fn open(disk: &SimulatedDisk, position: WindowId) -> Result<Journal, JournalError> {
    Journal::open(Arc::new(disk.clone()), config(), position)
}

fn id(boot: u64, number: u64) -> WindowId {
    WindowId { boot, number }
}

/// A batch of one click on a link.
fn click(link: u64) -> Batch {
    Batch { time_s: 1_767_225_600, counts: vec![LinkCount { link, counts: [1, 0, 0, 0] }], ..Batch::default() }
}

fn read(reader: &mut JournalReader) -> Vec<Entry> {
    std::iter::from_fn(|| reader.next().unwrap()).collect()
}

fn read_behind(journal: &Journal, position: WindowId) -> Vec<Entry> {
    read(&mut JournalReader::new(journal, position))
}

/// The links of these entries, in order.
fn links(entries: &[Entry]) -> Vec<u64> {
    let batches = entries.iter().filter_map(|entry| match entry {
        Entry::Window(window) => Some(&window.batch),
        Entry::Forget { .. } => None,
    });
    batches.flat_map(|batch| &batch.counts).map(|count| count.link).collect()
}

fn segments(disk: &SimulatedDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| path.starts_with(DIR)).collect()
}

#[test]
fn what_is_synced_is_read_in_order_also_after_a_restart() {
    let disk = SimulatedDisk::new(0);
    let mut journal = open(&disk, id(0, 0)).unwrap();
    let mut reader = JournalReader::new(&journal, id(0, 0));
    let mut expected = Vec::new();
    assert!(segments(&disk).is_empty(), "there is nothing to be written");
    for number in 1..=200 {
        if number % 7 == 0 {
            journal.forget(number);
            expected.push(Entry::Forget { id: id(1, number), link: number });
        } else {
            journal.put(click(number));
            expected.push(Entry::Window(Window { id: id(1, number), batch: click(number) }));
        }
        assert_eq!(reader.next().unwrap(), None, "it is not durable");
        journal.sync().unwrap();
        assert_eq!(journal.durable(), id(1, number));
        assert_eq!(reader.next().unwrap(), expected.last().cloned());
    }
    assert!(segments(&disk).len() > 4);
    assert_eq!(read_behind(&journal, id(1, 150)), expected[150..]);

    disk.crash();
    let mut journal = open(&disk, id(1, 10)).unwrap();
    assert_eq!(read_behind(&journal, id(1, 10)), expected[10..]);
    journal.put(click(1));
    journal.sync().unwrap();
    assert_eq!(journal.durable(), id(2, 1));
    assert_eq!(read_behind(&journal, id(1, 199)).iter().map(Entry::id).collect::<Vec<_>>(), [id(1, 200), id(2, 1)]);
    let bytes: usize = segments(&disk).iter().map(|path| disk.content(path).unwrap().len()).sum();
    assert_eq!(journal.bytes(), bytes as u64);
}

#[test]
fn files_that_are_not_needed_are_removed_but_the_newest() {
    let disk = SimulatedDisk::new(0);
    let mut journal = open(&disk, id(0, 0)).unwrap();
    for link in 1..=100 {
        journal.put(click(link));
        journal.sync().unwrap();
    }
    let mut reader = JournalReader::new(&journal, id(0, 0));
    let all = segments(&disk);
    reader.remove_before(id(0, 9)).unwrap();
    assert_eq!(segments(&disk), all);
    reader.remove_before(id(1, 50)).unwrap();
    assert!(segments(&disk).len() < all.len());
    assert_eq!(links(&read_behind(&journal, id(1, 50))), (51..=100).collect::<Vec<_>>());
    assert_eq!(read(&mut reader).last().map(Entry::id), Some(id(1, 100)));
    reader.remove_before(id(1, 100)).unwrap();
    assert_eq!(segments(&disk), all[all.len() - 1..]);

    // The newest knows how often it was started.
    let journal = open(&disk, id(1, 100)).unwrap();
    assert_eq!(journal.durable(), id(2, 0));
    let node = journal.node;
    JournalReader::new(&journal, id(1, 100)).remove_before(id(9, 9)).unwrap();
    assert_eq!(open(&disk, id(1, 100)).unwrap().node, node);
}

#[test]
fn ids_go_on_behind_the_position_also_if_all_files_were_moved_away() {
    let disk = SimulatedDisk::new(0);
    let mut journal = open(&disk, id(7, 300)).unwrap();
    journal.put(click(1));
    journal.sync().unwrap();
    assert_eq!(journal.durable(), id(8, 1));
    assert_eq!(links(&read_behind(&journal, id(7, 300))), [1]);
}

#[test]
fn a_batch_that_is_too_long_for_one_entry_becomes_several() {
    let disk = SimulatedDisk::new(0);
    let mut journal = open(&disk, id(0, 0)).unwrap();
    let name = |link| LinkName { link, key: format!("example.com/{link}").into_bytes().into() };
    let mut batch = click(1);
    batch.names = (0..100).map(name).collect();
    batch.counts = (0..500).flat_map(|link| click(link).counts).collect();
    batch.visits = (0..300).map(|link| Visit { link, visitor: Visitor(link << 30) }).collect();
    let too_long = LinkName { link: 1, key: vec![b'x'; 1_000].into() };
    batch.names.push(too_long);
    journal.put(batch.clone());
    journal.sync().unwrap();
    batch.names.pop();
    let mut whole = Batch { time_s: batch.time_s, ..Batch::default() };
    let entries = read_behind(&journal, id(0, 0));
    assert!(entries.len() > 30);
    for entry in entries {
        let Entry::Window(Window { batch, .. }) = entry else { panic!("{entry:?}") };
        assert!(batch.names.is_empty() || whole.counts.is_empty(), "names come first");
        whole.names.extend(batch.names);
        whole.counts.extend(batch.counts);
        whole.visits.extend(batch.visits);
    }
    assert_eq!(whole, batch);
}

#[test]
fn a_journal_that_nobody_reads_gets_no_longer_than_it_may() {
    let disk = SimulatedDisk::new(0);
    let config = JournalConfig { bytes_max: 4_096, ..config() };
    let mut journal = Journal::open(Arc::new(disk.clone()), config, id(0, 0)).unwrap();
    for link in 1..=1_000 {
        journal.put(click(link));
        if let Err(error) = journal.sync() {
            assert!(matches!(error, JournalError::Full { .. }), "{error}");
        }
    }
    assert!(journal.bytes() < 4_096 + 100 && journal.waiting() > 500);
    let mut reader = JournalReader::new(&journal, id(0, 0));
    let mut read_links = links(&read(&mut reader));
    reader.remove_before(journal.durable()).unwrap();
    journal.sync().unwrap();
    read_links.extend(links(&read(&mut reader)));
    assert_eq!(read_links, (1..=1_000).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_loses_no_click_and_files_that_failed_are_not_written_again() {
    let disk = SimulatedDisk::new(0);
    let mut journal = open(&disk, id(0, 0)).unwrap();
    journal.put(click(1));
    journal.sync().unwrap();
    disk.set_capacity(Some(0));
    for _ in 0..5_000 {
        journal.put(click(2));
        journal.put(click(3));
        let text = journal.sync().unwrap_err().to_string();
        assert!(text.contains("Free some space"), "{text}");
    }
    assert!(journal.waiting() < 1_100, "{}", journal.waiting());
    disk.set_capacity(None);
    journal.sync().unwrap();
    assert_eq!(journal.take_squeezed().clicks, 0);
    let sum = |link| {
        let entries = read_behind(&journal, id(0, 0)).into_iter().map(|entry| match entry {
            Entry::Window(window) => window.batch.counts,
            Entry::Forget { .. } => Vec::new(),
        });
        entries.flatten().filter(|count| count.link == link).map(|count| count.counts[0]).sum::<u32>()
    };
    assert_eq!((sum(1), sum(2), sum(3)), (1, 5_000, 5_000));
    assert_eq!(segments(&disk)[0], Path::new(DIR).join("0000000000000001.clicks"));
}
