//! The example in docs/format.md.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use super::super::Journal;
use super::{DIR, config, id};
use crate::clicks::batch::{Batch, Country, Detail, Device, Language, LinkCount, LinkName, Visit, VisitClass, Visitor};
use crate::log::disk::simulated::SimulatedDisk;

#[test]
fn the_document_shows_the_file_as_it_is() {
    let disk = SimulatedDisk::new(0);
    let mut journal = Journal::open(Arc::new(disk.clone()), config(), id(0, 0)).unwrap();
    journal.node = 0x0100_0000_0000_0080_0040_0000_006d_70ca;
    let visitor = Visitor(0x05_0403_0201);
    journal.put(Batch {
        time_s: 1_767_225_600,
        names: vec![LinkName { link: 1024, key: (*b"*/old").into() }],
        counts: vec![LinkCount { link: 1024, counts: [3, 0, 0, 0] }, LinkCount { link: 2048, counts: [20, 1, 0, 0] }],
        details: vec![Detail {
            link: 1024,
            time_ms: 1_767_225_600_300,
            class: VisitClass::Human,
            weight: 1,
            referrer: "example.org".into(),
            country: Country(*b"DE"),
            device: Device::Phone,
            language: Language(*b"de\0"),
            visitor: Some(visitor),
        }],
        visits: vec![Visit { link: 1024, visitor }],
    });
    journal.sync().unwrap();
    journal.forget(1024);
    journal.sync().unwrap();
    let mut dump = String::new();
    let file = Path::new(DIR).join("0000000000000001.clicks");
    for (line, bytes) in disk.content(&file).unwrap().chunks(16).enumerate() {
        write!(dump, "{:08x} ", line * 16).unwrap();
        bytes.iter().for_each(|byte| write!(dump, " {byte:02x}").unwrap());
        dump.push('\n');
    }
    assert!(include_str!("../../../../docs/format.md").contains(&dump), "docs/format.md should show\n{dump}");
}
