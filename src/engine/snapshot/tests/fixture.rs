//! Backups that exist must be read by every later version.

use super::*;
use crate::link::{Destination, Link, LinkId, LinkKey, Status, StoredEntry, Target};

/// Written once, by format 1, and never again: it stands for the backups that people keep.
const BACKUP_V1: &[u8] = include_bytes!("../../../../tests/data/backup-v1.snapshot");

const TAKEN_AT_MS: u64 = 1_767_225_600_000;

fn backup_header() -> SnapshotHeader {
    let log_id = LogId(*b"\xca\x70\x6d\x00\x00\x00\x40\x00\x80\x00\x00\x00\x00\x00\x00\x01");
    let chain = ChainHash::genesis(log_id);
    SnapshotHeader { log_id, epoch: 1, sequence: 7, chain, taken_at_ms: TAKEN_AT_MS, replay_from: 8 }
}

/// The five links of the backup: source, status, target, version.
const LINKS: [(&str, u16, Option<&str>, u64); 5] = [
    ("http://a.example/detail?itemid=7", 302, Some("https://www.example.com/items/seven"), 1),
    ("http://a.example/gone", 410, None, 2),
    ("http://a.example/old", 301, Some("https://www.example.com/new?from=a#top"), 3),
    ("http://b.example/", 308, Some("https://www.example.com/b/"), 1),
    ("http://b.example/form", 307, Some("http://forms.example.com/"), 1),
];

/// What a store holds of these links: a link for each, and the path that has a link with a query.
fn stored_entries() -> Vec<(LinkKey, StoredEntry)> {
    let mut entries: Vec<_> = LINKS
        .iter()
        .zip(1..)
        .map(|(&(source, status, target, version), number)| {
            let key = LinkKey::parse(source).unwrap();
            let target = target.map(|target| Target::parse(target).unwrap());
            let link = Link {
                id: LinkId(number << 10),
                key: key.clone(),
                destination: Destination::new(Status::from_code(status).unwrap(), target).unwrap(),
                options: Default::default(),
                is_generated: false,
                created_at_ms: TAKEN_AT_MS - 1_000 * number,
                updated_at_ms: TAKEN_AT_MS - number,
                version,
            };
            (key, StoredEntry { link: Some(link), query_links: 0 })
        })
        .collect();
    let path = LinkKey::parse("http://a.example/detail").unwrap();
    entries.push((path, StoredEntry { link: None, query_links: 1 }));
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    entries
}

/// The entries of the backup, as they were given to the writer that made it.
fn backup_contents() -> Contents {
    let encode = |(key, entry): &(LinkKey, StoredEntry)| {
        let key = key.as_str().as_bytes();
        ([b"E", key].concat(), entry.encode(key))
    };
    stored_entries().iter().map(encode).collect()
}

#[test]
fn a_backup_of_format_1_is_read() {
    let (contents, ended) = read(BACKUP_V1);
    let manifest = ended.unwrap();
    assert_eq!(manifest.header, backup_header());
    assert_eq!((manifest.entries, manifest.link_entries, manifest.operations, manifest.chunks), (6, 6, 0, 1));
    let stored = stored_entries();
    assert_eq!(contents.len(), stored.len());
    for ((typed_key, value), (key, entry)) in contents.iter().zip(&stored) {
        assert_eq!(typed_key.strip_prefix(b"E"), Some(key.as_str().as_bytes()));
        assert_eq!(StoredEntry::decode(&typed_key[1..], value).as_ref(), Ok(entry));
    }
}

/// How the backup was made. Its bytes may differ today, since zstd packs as it likes; what is in it may not.
#[test]
fn a_backup_of_the_same_links_has_the_same_contents() {
    let contents = backup_contents();
    let (today, manifest) = write(&backup_header(), &contents, CHUNK_BYTES);
    let (then, then_manifest) = read(BACKUP_V1);
    assert_eq!(read(&today[..]).0, contents);
    assert_eq!(then, contents);
    assert_eq!(then_manifest.unwrap(), manifest);
}
