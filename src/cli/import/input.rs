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

/// A file that is read to its end, and shown to the progress bar.
pub(super) struct Input {
    file: Box<dyn Read + Send>,
    /// Of what is read twice.
    hasher: Option<blake3::Hasher>,
    bar: ProgressBar,
}

/// Whether this names what stands on stdin.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

impl Input {
    /// Opens a file that is read twice.
    pub(super) fn twice(path: &Path, bar: &ProgressBar) -> Result<Self> {
        if is_stdin(path) {
            bail!(
                "stdin can't be imported as CSV, since the file is read twice; save it to a file and name that. Lines of JSON \
                 can: say so with --format ndjson"
            );
        }
        let file = open(path)?;
        if !file.metadata().with_context(|| path.display().to_string())?.is_file() {
            bail!(
                "{} can't be imported: it is read twice and must be a regular file; save its contents to one",
                path.display()
            );
        }
        Ok(Input { file: Box::new(file), hasher: Some(blake3::Hasher::new()), bar: bar.clone() })
    }

    /// Opens a file, a pipe, or stdin, which is read once.
    pub(super) fn once(path: &Path, bar: &ProgressBar) -> Result<Self> {
        let file: Box<dyn Read + Send> = if is_stdin(path) {
            Box::new(std::io::stdin())
        } else {
            let file = open(path)?;
            if file.metadata().with_context(|| path.display().to_string())?.is_dir() {
                bail!("{} is a directory; name a file", path.display());
            }
            Box::new(file)
        };
        Ok(Input { file, hasher: None, bar: bar.clone() })
    }

    /// Of what was read, if it is a file that is read twice.
    pub(super) fn digest(&self) -> Option<blake3::Hash> {
        self.hasher.as_ref().map(blake3::Hasher::finalize)
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("{} can't be opened", path.display()))
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buf)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buf[..read]);
        }
        self.bar.inc(read as u64);
        Ok(read)
    }
}
