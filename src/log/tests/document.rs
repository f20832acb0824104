//! The example in docs/format.md.

use crate::link::{
    Action, Actor, Change, Command, Destination, LinkKey, Payload, Precondition, Status, Target, encode_payload,
};
use crate::log::record::{ChainHash, LogId, OperationId, Record, VERSION};
use crate::log::segment::SegmentHeader;
use std::fmt::Write;

/// The log that `docs/format.md` takes apart.
fn example() -> Vec<u8> {
    let log_id = LogId(*b"\xca\x70\x6d\x00\x00\x00\x40\x00\x80\x00\x00\x00\x00\x00\x00\x01");
    let chain = ChainHash::genesis(log_id);
    let target = Target::parse("https://www.example.com/new").unwrap();
    let command = Command {
        key: LinkKey::parse("/old").unwrap(),
        action: Action::Put(Destination::new(Status::MovedPermanently, Some(target)).unwrap()),
        precondition: Precondition::Absent,
    };
    let payload = encode_payload(&Payload::Change(Change::Links(vec![command])), &Actor::default());
    let mut bytes = SegmentHeader { log_id, epoch: 1, first_sequence: 1, chain }.encode().to_vec();
    let record = Record {
        version: VERSION,
        log_id,
        epoch: 1,
        sequence: 1,
        durable: 0,
        time_ms: 1_767_225_600_000,
        operation: OperationId(*b"\x00\x00\x00\x00\x00\x00\x40\x00\x80\x00\x00\x00\x00\x00\x00\x02"),
        is_refused: false,
        chain,
        payload: &payload,
    };
    record.encode_into(&mut bytes);
    bytes
}

#[test]
fn the_document_shows_the_log_as_it_is() {
    let mut dump = String::new();
    for (line, bytes) in example().chunks(16).enumerate() {
        write!(dump, "{:08x} ", line * 16).unwrap();
        bytes.iter().for_each(|byte| write!(dump, " {byte:02x}").unwrap());
        dump.push('\n');
    }
    assert!(include_str!("../../../docs/format.md").contains(&dump), "docs/format.md should show\n{dump}");
}
