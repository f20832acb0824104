//! Requests that are rendered before they are due.

use crate::links::HOST;
use crate::load::{Answer, Traffic};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;

/// One behind the other, over and over.
pub(super) struct Requests {
    text: Vec<u8>,
    ends: Vec<usize>,
    next: usize,
}

impl Requests {
    /// For the paths in a file, one a line.
    pub(super) fn read(sample: &Path) -> Result<Self> {
        let paths = fs::read_to_string(sample).with_context(|| format!("reading {}", sample.display()))?;
        let mut requests = Self { text: Vec::new(), ends: Vec::new(), next: 0 };
        for path in paths.lines() {
            for part in ["GET ", path, " HTTP/1.1\r\nHost: ", HOST, "\r\n\r\n"] {
                requests.text.extend_from_slice(part.as_bytes());
            }
            requests.ends.push(requests.text.len());
        }
        ensure!(!requests.ends.is_empty(), "{} has no paths", sample.display());
        Ok(requests)
    }
}

impl Traffic for Requests {
    fn next(&mut self, out: &mut Vec<u8>) -> u64 {
        let start = self.next.checked_sub(1).map_or(0, |before| self.ends[before]);
        out.extend_from_slice(&self.text[start..self.ends[self.next]]);
        self.next = (self.next + 1) % self.ends.len();
        0
    }

    fn is_right(&mut self, _: u64, answer: &Answer<'_>) -> bool {
        answer.status == 302
    }
}
