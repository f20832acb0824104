//! The first token: whoever may read the data directory may use the API.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::api::{Minted, holds, mint};
use crate::engine::{Engine, Submission, SubmitError};
use crate::link::{Actor, Change, Scope, Title, TokenCommand, TokenRecord};

/// The name of its file in the data directory.
const NAME: &str = "admin.token";

/// The same while it is written.
const NEW: &str = "admin.token.new";

/// Why there is no first token.
#[derive(Debug, thiserror::Error)]
pub enum FirstTokenError {
    /// The system has no randomness.
    #[error("no token can be made: {0}")]
    Random(#[from] getrandom::Error),
    /// Its file can't be written.
    #[error("writing {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It can't be put into the log.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// Most bytes of a file with a token that are read: more than a token has.
const TOKEN_BYTES: u64 = 256;

/// The file of the first token, if the token in it still allows anything.
pub fn valid_token_file(engine: &Engine) -> Option<PathBuf> {
    let path = engine.data().join(NAME);
    let mut token = String::new();
    // What can't be read, or is something else, is no token.
    File::open(&path).and_then(|file| file.take(TOKEN_BYTES).read_to_string(&mut token)).ok()?;
    holds(&engine.tables(), token.trim()).then_some(path)
}

/// Makes a token named `first` that may do all, if there is none at all; whether it did.
///
/// # Errors
/// If its file can't be written, or no change is accepted.
pub fn ensure_first_token(engine: &Arc<Engine>) -> Result<bool, FirstTokenError> {
    if engine.tables().token_count() > 0 {
        return Ok(false);
    }
    let Minted { token, id, secret_hash } = mint()?;
    // The file first: should it end here, the next start finds no token still, and makes another file.
    let path = engine.data().join(NAME);
    write(engine.data(), &token).map_err(|source| FirstTokenError::Write { path, source })?;
    let name = Title::parse("first").expect("it is a title");
    let record = TokenRecord {
        id,
        name,
        secret_hash,
        scope: Scope::Admin,
        hosts: Vec::new(),
        created_at_ms: 0,
        expires_at_ms: None,
    };
    let change = Change::Token(TokenCommand::Create(Box::new(record)));
    engine.change(Submission { actor: Actor::local(), operation: None, change })?;
    Ok(true)
}

/// Writes the file so that nobody else ever may read it, and that it is there whole or not at all.
fn write(data: &Path, token: &str) -> io::Result<()> {
    let new = data.join(NEW);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    std::fs::rename(&new, data.join(NAME))?;
    File::open(data)?.sync_all()
}
