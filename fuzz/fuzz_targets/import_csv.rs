//! Any bytes as a file to import: no panic, an end, lines that rise, and rows that are links.

#![no_main]

use carom::link::{LinkKey, Target};
use carom::transfer::CsvReader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    read(file);
    // Few inputs have a header, and without one there are no rows.
    read(&[b"source,target,status\n", file].concat());
});

fn read(file: &[u8]) {
    let Ok(mut reader) = CsvReader::new(file) else { return };
    let mut last_line = 0;
    while let Ok(Some(row)) = reader.next_row() {
        let line = match &row {
            Ok(row) => row.line,
            Err(error) => error.line,
        };
        assert!(line > last_line);
        last_line = line;
        if let Ok(row) = row {
            assert_eq!(LinkKey::parse(row.key.as_str()).as_ref(), Ok(&row.key));
            if let Some(target) = row.destination.target() {
                assert_eq!(Target::parse(target.as_str()).as_ref(), Ok(target));
            }
        }
    }
}
