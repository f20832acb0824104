//! The file, and how far it is read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::transfer::CsvError;

/// How an error begins after which nothing was imported.
pub(super) fn not_imported(file: &Path) -> String {
    format!("{} was not imported", file.display())
}

/// What is said if the file is not what it was.
pub(super) fn changed_meanwhile(file: &Path) -> anyhow::Error {
    anyhow!("{} changed while it was read; nothing was imported. Import it again", file.display())
}

/// What is said if the second pass can't read what the first one could: what is wrong with its text now was not there
/// then.
pub(super) fn unreadable(file: &Path, error: CsvError) -> anyhow::Error {
    match error {
        error @ CsvError::Io(_) => anyhow::Error::new(error).context(not_imported(file)),
        _ => changed_meanwhile(file),
    }
}

/// Counts bytes; hidden unless stderr is a terminal.
pub(super) fn bytes_bar(message: &'static str, file: &Path) -> ProgressBar {
    let bytes = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    let bar = ProgressBar::new(bytes).with_message(message);
    bar.set_style(style("{msg} {bar:40} {bytes}/{total_bytes} {eta}"));
    bar
}

pub(super) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates of this file are valid")
}

/// A file that is read to its end, hashed and shown to the progress bar.
pub(super) struct Input<'a> {
    file: File,
    hasher: blake3::Hasher,
    bar: &'a ProgressBar,
}

impl<'a> Input<'a> {
    pub(super) fn open(path: &Path, bar: &'a ProgressBar) -> Result<Self> {
        if path.as_os_str() == "-" {
            bail!("stdin can't be imported, since the file is read twice; save it to a file and name that");
        }
        let file = File::open(path).with_context(|| format!("{} can't be opened", path.display()))?;
        if !file.metadata().with_context(|| path.display().to_string())?.is_file() {
            bail!(
                "{} can't be imported: it is read twice and must be a regular file; save its contents to one",
                path.display()
            );
        }
        Ok(Input { file, hasher: blake3::Hasher::new(), bar })
    }

    /// Of what was read.
    pub(super) fn digest(&self) -> blake3::Hash {
        self.hasher.finalize()
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buf)?;
        self.hasher.update(&buf[..read]);
        self.bar.inc(read as u64);
        Ok(read)
    }
}
