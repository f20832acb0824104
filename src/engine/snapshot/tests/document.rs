//! That `docs/format.md` shows a snapshot as it is. Its bytes are read, not made again: zstd may pack them otherwise.

use super::*;
use crate::link::{Destination, Link, LinkId, LinkKey, Status, StoredEntry, Target};

const DOCUMENT: &str = include_str!("../../../../docs/format.md");

/// The bytes that a section shows, and the table behind them: where, which bytes.
fn example(heading: &str) -> (Vec<u8>, Vec<(usize, &'static str)>) {
    let section = DOCUMENT.split_once(heading).expect("the section is there").1;
    let section = section.split("\n## ").next().unwrap();
    let [_, dump, table] = section.split("```").collect::<Vec<_>>()[..] else { panic!("one block of bytes") };
    let mut bytes = Vec::new();
    for line in dump.trim().lines() {
        let (offset, shown) = line.split_once("  ").unwrap();
        assert_eq!(usize::from_str_radix(offset, 16), Ok(bytes.len()));
        bytes.extend(shown.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    let row = |line: &'static str| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let at = usize::from_str_radix(cells.get(1)?, 16).ok()?;
        Some((at, cells.get(2)?.trim_matches('`')))
    };
    (bytes, table.lines().filter_map(row).collect())
}

/// Numbers that are shown in hex, without the `…` that stands for some of them.
fn hex(shown: &str) -> Vec<u8> {
    shown.split(' ').filter(|byte| !byte.is_empty()).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn each_row_of_the_table_names_the_bytes_that_are_there() {
    let (bytes, rows) = example("## An example of a snapshot");
    assert!(rows.len() > 40);
    for (index, &(at, shown)) in rows.iter().enumerate() {
        // A row reaches to the next one, so all bytes are in one.
        let end = rows.get(index + 1).map_or(bytes.len(), |&(next, _)| next);
        let there = &bytes[at..end];
        match shown.split_once('…') {
            None => assert_eq!(there, hex(shown), "{at:x}"),
            Some((begin, "")) => {
                let begin = hex(begin);
                assert!(there.starts_with(&begin) && there[begin.len()..].iter().all(|&byte| byte == 0), "{at:x}");
            }
            Some((begin, end)) => {
                assert!(there.starts_with(&hex(begin)) && there.ends_with(&hex(end)), "{at:x}");
            }
        }
    }
    assert_eq!(rows[0].0, 0);
}

#[test]
fn the_document_shows_the_snapshot_of_the_log_that_it_shows() {
    let (log, _) = example("## An example\n");
    let (bytes, _) = example("## An example of a snapshot");
    let created_at_ms = 1_767_225_600_000;
    let log_id = LogId(log[0x10..0x20].try_into().unwrap());
    let header = SnapshotHeader {
        log_id,
        epoch: 1,
        sequence: 1,
        chain: ChainHash::genesis(log_id).after(&log[0x80..]),
        taken_at_ms: created_at_ms + 24 * 60 * 60 * 1_000,
        replay_from: 2,
    };
    let key = LinkKey::parse("/old").unwrap();
    let target = Target::parse("https://www.example.com/new").unwrap();
    let link = Link {
        id: LinkId(1_024),
        key: key.clone(),
        destination: Destination::new(Status::MovedPermanently, Some(target)).unwrap(),
        options: Default::default(),
        is_generated: false,
        created_at_ms,
        updated_at_ms: created_at_ms,
        version: 1,
    };
    let value = StoredEntry { link: Some(link), query_links: 0 }.encode(key.as_str().as_bytes());
    let contents = vec![(b"E*/old".to_vec(), value)];
    let (_, manifest) = write(&header, &contents, CHUNK_BYTES);

    let (shown, ended) = read(&bytes[..]);
    assert_eq!(shown, contents);
    assert_eq!(ended.unwrap(), manifest);
    assert_eq!(bytes[..HEADER_BYTES], header.encode());
    let last = chunks(&bytes).pop().unwrap();
    assert_eq!(bytes[last][CHUNK_HEADER_BYTES..], manifest.encode());
}
