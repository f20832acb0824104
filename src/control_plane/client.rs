//! Asks a running server.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::frames::{self, CopyError};
use super::{LINE_BYTES, socket};

/// How long the server may take to begin its answer to a request that is answered at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a server did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It does not let this user in, or can't be reached.
    #[error("the server's control socket in {data} can't be used: {source}. Ask as the user that runs the server")]
    Connect {
        /// The data directory.
        data: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// It broke off.
    #[error("the server did not answer to the end: {0}. Look whether it still runs, and at what it wrote to stderr")]
    BrokenOff(io::Error),
    /// It said no.
    #[error("the server says: {0}")]
    Refused(String),
    /// It was not the server.
    #[error("writing what the server sends: {0}{way_out}", way_out = crate::log::hint(.0))]
    Write(io::Error),
}

/// A connection to the server of a data directory. It takes one request.
pub struct Connection(BufReader<UnixStream>);

impl Connection {
    /// Connects to the server of a data directory; None if none runs there.
    ///
    /// # Errors
    /// If there is one, and it can't be reached.
    pub fn open(data: &Path) -> Result<Option<Self>, AskError> {
        let stream =
            socket::connect(data).map_err(|source| AskError::Connect { data: data.display().to_string(), source })?;
        Ok(stream.map(|stream| Connection(BufReader::new(stream))))
    }

    /// How the server stands: lines `key: value`.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn status(mut self) -> Result<String, AskError> {
        self.0.get_ref().set_read_timeout(Some(PATIENCE)).map_err(AskError::BrokenOff)?;
        self.ask("status")?;
        let mut lines = String::new();
        self.0.take(LINE_BYTES as u64).read_to_string(&mut lines).map_err(AskError::BrokenOff)?;
        Ok(lines)
    }

    /// Writes a snapshot of the server's state to `out`. It may have to wait until another one is taken.
    ///
    /// # Errors
    /// If the server can't take one, or ends meanwhile, or `out` can't be written.
    pub fn backup(mut self, out: &mut impl Write) -> Result<(), AskError> {
        self.ask("backup")?;
        frames::copy(&mut self.0, out).map_err(|error| match error {
            CopyError::Read(error) => AskError::BrokenOff(error),
            CopyError::Write(error) => AskError::Write(error),
        })?;
        self.verdict()
    }

    /// The stream, on whose other end the API answers from here on.
    ///
    /// # Errors
    /// If the server does not have it.
    pub(super) fn api(mut self) -> Result<UnixStream, AskError> {
        self.0.get_ref().set_read_timeout(Some(PATIENCE)).map_err(AskError::BrokenOff)?;
        self.ask("api")?;
        self.0.get_ref().set_read_timeout(None).map_err(AskError::BrokenOff)?;
        // Nothing is read ahead: the server says nothing before it is asked.
        Ok(self.0.into_inner())
    }

    fn ask(&mut self, request: &str) -> Result<(), AskError> {
        // If the server hung up on it, it may have said why before.
        let _ = writeln!(self.0.get_mut(), "{request}");
        self.verdict()
    }

    fn verdict(&mut self) -> Result<(), AskError> {
        let mut line = String::new();
        (&mut self.0).take(LINE_BYTES as u64).read_line(&mut line).map_err(AskError::BrokenOff)?;
        match line.strip_suffix('\n').map(|line| line.split_once(' ').unwrap_or((line, ""))) {
            Some(("ok", "")) => Ok(()),
            Some(("error", reason)) => Err(AskError::Refused(reason.to_owned())),
            _ => Err(AskError::BrokenOff(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}
