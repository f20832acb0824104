//! A stream of unknown length that says how it ended.

use std::io::{self, Read, Write};

/// Most bytes of a frame.
const FRAME_BYTES: usize = 1 << 20;

/// Writes frames.
pub(super) struct FrameWriter<W> {
    out: W,
}

impl<W: Write> FrameWriter<W> {
    pub(super) fn new(out: W) -> Self {
        FrameWriter { out }
    }

    /// Ends the stream; gives back what it goes through, for a word about it.
    pub(super) fn end(mut self) -> io::Result<W> {
        self.out.write_all(&0u32.to_le_bytes())?;
        Ok(self.out)
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(FRAME_BYTES)];
        if !bytes.is_empty() {
            self.out.write_all(&(bytes.len() as u32).to_le_bytes())?;
            self.out.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Copies the frames of a stream up to the one that ends it; how many bytes.
pub(super) fn copy(input: &mut impl Read, out: &mut impl Write) -> Result<u64, CopyError> {
    let mut buffer = Vec::new();
    let mut copied = 0;
    loop {
        let mut length = [0; 4];
        input.read_exact(&mut length).map_err(CopyError::Read)?;
        let length = u32::from_le_bytes(length) as usize;
        if length == 0 {
            return Ok(copied);
        }
        if length > FRAME_BYTES {
            return Err(CopyError::Read(io::Error::new(io::ErrorKind::InvalidData, "a frame of no known length")));
        }
        buffer.resize(length, 0);
        input.read_exact(&mut buffer).map_err(CopyError::Read)?;
        out.write_all(&buffer).map_err(CopyError::Write)?;
        copied += length as u64;
    }
}

/// Which side failed.
#[derive(Debug)]
pub(super) enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_copied_up_to_their_end() {
        let mut frames = FrameWriter::new(Vec::new());
        let large = vec![7; FRAME_BYTES + 5];
        frames.write_all(b"one").unwrap();
        frames.write_all(b"").unwrap();
        frames.write_all(&large).unwrap();
        let mut bytes = frames.end().unwrap();
        bytes.extend_from_slice(b"ok\n");
        let (mut input, mut out) = (bytes.as_slice(), Vec::new());
        assert_eq!(copy(&mut input, &mut out).unwrap(), 3 + large.len() as u64);
        assert_eq!((input, out), (&b"ok\n"[..], [&b"one"[..], &large].concat()));
        for cut in [0, 3, 5, 7, 20, bytes.len() - 4] {
            assert!(matches!(copy(&mut &bytes[..cut], &mut Vec::new()), Err(CopyError::Read(_))), "{cut}");
        }
    }
}
