//! The example in docs/format.md.

use std::fmt::Write;

use super::{open, path};
use crate::log::disk::simulated::SimulatedDisk;

#[test]
fn the_document_shows_the_file_as_it_is() {
    let disk = SimulatedDisk::new(0);
    let uses = open(&disk);
    assert!((0..3).all(|_| uses.take(1024, 3)));
    uses.save().unwrap();
    uses.forget(1024);
    uses.save().unwrap();
    let mut dump = String::new();
    for (line, bytes) in disk.content(path()).unwrap().chunks(16).enumerate() {
        write!(dump, "{:08x} ", line * 16).unwrap();
        bytes.iter().for_each(|byte| write!(dump, " {byte:02x}").unwrap());
        dump.push('\n');
    }
    assert!(include_str!("../../../../docs/format.md").contains(&dump), "docs/format.md should show\n{dump}");
}
