//! The little of an answer that a load generator has to know.

use anyhow::{Context, Result, ensure};
use memchr::memmem;

/// An answer whose end has come.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    /// Status line and fields, with the empty line behind them.
    pub(crate) head: &'a [u8],
    /// Of head and content, in bytes.
    pub(crate) length: usize,
}

impl<'a> Answer<'a> {
    /// The answer at the start of `bytes`, if all of it is there.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Option<Self>> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let head = &bytes[..end + 4];
        ensure!(head.starts_with(b"HTTP/1.1 "), "what came is not HTTP: {}", String::from_utf8_lossy(head));
        let status = number(head.get(9..12).unwrap_or_default()).context("an answer has no status")?;
        let length = field(head, b"content-length").and_then(number).context("an answer has no Content-Length")?;
        let answer = Self { status: u16::try_from(status)?, head, length: head.len() + length };
        Ok((bytes.len() >= answer.length).then_some(answer))
    }

    /// Where it sends whoever asked.
    pub(crate) fn location(&self) -> Option<&'a [u8]> {
        field(self.head, b"location")
    }
}

/// The value of a field, by its name in lower case.
fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = head;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let line = &rest[..end];
        if line.len() > name.len() && line[name.len()] == b':' && line[..name.len()].eq_ignore_ascii_case(name) {
            return Some(line[name.len() + 1..].trim_ascii());
        }
        rest = &rest[end + 1..];
    }
    None
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
