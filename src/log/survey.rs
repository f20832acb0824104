//! Looks for all that is wrong with a log, and changes nothing.

use super::LogError;
use super::directory::{LogDirectory, LogEnd, TornTail};
use super::disk::Disk;
use super::record::{MAGIC as RECORD_MAGIC, RECORD_BYTES, Record};
use super::segment::{Cursor, Reader};
use super::tail::{End, check_end};

/// What was found in a log.
#[derive(Debug, Default)]
pub struct LogSurvey {
    /// How many segments there are.
    pub segments: u64,
    /// The record with which the oldest segment begins, by its name.
    pub first: Option<u64>,
    /// How many records can be read.
    pub records: u64,
    /// How the newest segment that can be read ends.
    pub end: Option<LogEnd>,
    /// All that is wrong, in the order in which it stands in the log.
    pub damages: Vec<LogError>,
}

/// Where the segment before ended.
struct Seam {
    reader: Reader,
    cursor: Cursor,
}

impl LogDirectory {
    /// Reads the whole log and checks every record and seam; calls `seen` with each record that can be read. Unlike
    /// [`verify`](LogDirectory::verify), it goes on behind what is damaged.
    ///
    /// # Errors
    /// If the directory can't be read. What is wrong with the files in it is in the answer.
    pub fn survey(&self, seen: &mut dyn FnMut(&Record<'_>)) -> Result<LogSurvey, LogError> {
        let segments = self.segments()?;
        let mut survey = LogSurvey {
            segments: segments.len() as u64,
            first: segments.first().map(|&(first, _)| first),
            ..LogSurvey::default()
        };
        let newest = segments.last().map(|&(first, _)| first);
        let mut before: Option<Seam> = None;
        for (first, path) in &segments {
            let opened = Reader::open(self.disk.as_ref() as &dyn Disk, path);
            let Ok(reader) = opened.map_err(|error| survey.damages.push(error)) else {
                before = None;
                continue;
            };
            let mut seam = Seam { cursor: Cursor::at_start(&reader.header), reader };
            if let Some(before) = &before {
                survey.damages.extend(seam.not_behind(before));
            }
            if let Err(error) = survey.read(&mut seam, Some(*first) == newest, seen) {
                survey.damages.push(error);
            }
            before = Some(seam);
        }
        Ok(survey)
    }
}

impl Seam {
    /// What is wrong between this segment, which was not read yet, and the one before it.
    fn not_behind(&self, before: &Seam) -> Option<LogError> {
        let (header, last) = (self.reader.header, before.cursor);
        if header.log_id != before.reader.header.log_id {
            let reason = format!(
                "the segment is of the log {}, the one before it of {}",
                header.log_id, before.reader.header.log_id
            );
            return Some(LogError::damaged(&self.reader.path, 0, reason));
        }
        if header.first_sequence != last.next_sequence {
            let (ends, begins) = (last.next_sequence - 1, header.first_sequence);
            let reason = format!("the records end with {ends}, but the next segment begins with {begins}");
            return Some(LogError::damaged(&before.reader.path, last.offset as u64, reason));
        }
        let reason = "the segment does not continue the one before it: its chain hash differs";
        (header.chain != last.chain).then(|| LogError::damaged(&self.reader.path, 0, reason))
    }
}

impl LogSurvey {
    /// Reads one segment up to its end, over what is damaged.
    fn read(&mut self, seam: &mut Seam, is_newest: bool, seen: &mut dyn FnMut(&Record<'_>)) -> Result<(), LogError> {
        let Seam { reader, cursor } = seam;
        let mut torn = None;
        loop {
            while let Some(record) = cursor.next(reader)? {
                self.records += 1;
                seen(&record);
            }
            match check_end(reader, cursor) {
                Ok(End::Clean) => break,
                Ok(End::Torn(reason)) if is_newest => {
                    let (path, offset) = (reader.path.clone(), cursor.offset as u64);
                    torn = Some(TornTail { path, offset, reason, sequence: cursor.next_sequence });
                    break;
                }
                // Before a new segment is begun the last one is synced: no write can be torn here.
                Ok(End::Torn(reason)) => {
                    self.damages.push(LogError::damaged(&reader.path, cursor.offset as u64, reason.to_string()));
                }
                Err(error) => self.damages.push(error),
            }
            match next_record(reader, cursor)? {
                Some(found) => *cursor = found,
                None => break,
            }
        }
        let (log_id, epoch) = (reader.header.log_id, reader.header.epoch);
        self.end = Some(LogEnd { log_id, epoch, sequence: cursor.next_sequence - 1, chain: cursor.chain, torn });
        Ok(())
    }
}

/// The next whole record of the same log that is not older than what is missing at the cursor.
fn next_record(reader: &mut Reader, from: &Cursor) -> Result<Option<Cursor>, LogError> {
    let log_id = reader.header.log_id;
    let mut at = from.offset;
    while at < reader.file_bytes {
        let bytes = reader.at(at, RECORD_BYTES)?;
        let Some(found) = memchr::memmem::find(bytes, &RECORD_MAGIC) else {
            // A magic may begin in the last bytes of the window.
            at += bytes.len().saturating_sub(RECORD_MAGIC.len() - 1).max(1);
            continue;
        };
        at += found;
        match Record::decode(reader.at(at, RECORD_BYTES)?) {
            Ok((record, _)) if record.log_id == log_id && record.sequence >= from.next_sequence => {
                return Ok(Some(Cursor { offset: at, next_sequence: record.sequence, chain: record.chain }));
            }
            _ => at += 1,
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::log::{Beginning, OperationId};

    /// A log of three segments with their records, and where each record begins.
    fn write(dir: &std::path::Path) -> (LogDirectory, Vec<(PathBuf, u64)>) {
        let disk = std::sync::Arc::new(crate::log::disk::RealDisk);
        let directory = LogDirectory { segment_bytes: 4_096, ..LogDirectory::new(disk, dir.to_owned()) };
        let mut log = directory.begin(Beginning::genesis()).unwrap();
        let mut places = Vec::new();
        for _ in 0..20 {
            let location = log.append(1, OperationId::NONE, &[7; 500]).unwrap();
            places.push((dir.join(format!("{:020}.log", location.segment)), location.offset));
            log.sync().unwrap();
        }
        (directory, places)
    }

    fn damaged_at(survey: &LogSurvey) -> Vec<(PathBuf, u64)> {
        let at = |error: &LogError| match error {
            LogError::Damaged { path, offset, .. } => (path.clone(), *offset),
            other => panic!("{other}"),
        };
        survey.damages.iter().map(at).collect()
    }

    #[test]
    fn every_damage_is_found_and_the_rest_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (directory, places) = write(dir.path());
        let whole = directory.survey(&mut |_| ()).unwrap();
        assert!(whole.damages.is_empty() && whole.segments > 2, "{whole:?}");
        assert_eq!((whole.records, whole.first, whole.end.as_ref().unwrap().sequence), (20, Some(1), 20));

        let hit = [2, 4, 9, 12];
        for index in hit {
            let (path, offset) = &places[index];
            let mut bytes = std::fs::read(path).unwrap();
            bytes[*offset as usize + 200] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
        let mut seen = Vec::new();
        let survey = directory.survey(&mut |record| seen.push(record.sequence)).unwrap();
        assert_eq!(damaged_at(&survey), hit.map(|index| places[index].clone()));
        let readable: Vec<u64> = (1..=20).filter(|sequence| !hit.contains(&(*sequence as usize - 1))).collect();
        assert_eq!(seen, readable);
        assert_eq!(survey.end.unwrap().chain, whole.end.unwrap().chain);
    }

    #[test]
    fn a_missing_segment_is_a_seam_that_does_not_hold() {
        let dir = tempfile::tempdir().unwrap();
        let (directory, _) = write(dir.path());
        let segments = directory.segments().unwrap();
        std::fs::remove_file(&segments[1].1).unwrap();
        let survey = directory.survey(&mut |_| ()).unwrap();
        assert_eq!(survey.damages.len(), 1);
        assert_eq!(damaged_at(&survey)[0].0, segments[0].1);
        assert_eq!(survey.end.unwrap().sequence, 20);
    }
}
