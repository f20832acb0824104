//! `carom import`: the links of a file, all or none of them.
//!
//! The file is read twice. The first pass judges every row and compares it with what is stored; only if that
//! leaves something to be done does the second write the rows that differ, as one set.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::Exit;
use super::open::{self, DEFAULT_DATA, StoreArguments};
use super::text::{self, count, grouped};
use crate::engine::{Acknowledged, Engine, EngineConfig, SetSummary, SetWriter, SubmitError};
use crate::link::{Action, shown};
use crate::transfer::{CsvError, CsvReader, ImportRow};

/// Import links from a CSV file, all or none of them
///
/// The first line names the columns: `source`, `target` and, if there is one, `status`; other usual names are
/// known too. A row without status is a 301. A link that exists already takes the destination of its row; links
/// that the file does not name stay as they are.
#[derive(Args)]
pub(super) struct Arguments {
    /// The CSV file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where the links are kept; it is created if it is missing
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
    #[command(flatten)]
    store: StoreArguments,
    /// Change nothing; say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Leave invalid rows out and import the rest
    #[arg(long)]
    keep_going: bool,
}

/// How to import.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImportOptions {
    /// Leave invalid rows out and import the rest.
    pub(super) keep_going: bool,
}

/// How an import ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImportOutcome {
    /// All that is valid in the file, or all of it, is there now.
    Done,
    /// Nothing was changed, since the file has invalid rows.
    InvalidRows,
}

impl From<ImportOutcome> for Exit {
    fn from(outcome: ImportOutcome) -> Self {
        match outcome {
            ImportOutcome::Done => Exit::Done,
            ImportOutcome::InvalidRows => Exit::InvalidRows,
        }
    }
}

/// Imports the file, or says what that would do.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let (file, options) = (&arguments.file, ImportOptions { keep_going: arguments.keep_going });
    check_header(file)?;
    if arguments.dry_run && !arguments.data.join("log").is_dir() {
        return Ok(dry_run(None, file, options)?.into());
    }
    // The caches are for those who serve.
    let config =
        EngineConfig { cache_bytes: 0, store: arguments.store.store, ..EngineConfig::new(arguments.data.clone()) };
    let engine = open::engine(&config)?;
    let outcome = match arguments.dry_run {
        true => dry_run(Some(engine.engine()), file, options),
        false => import_file(engine.engine(), file, options),
    };
    let closed = engine.close();
    let outcome = outcome?;
    closed?;
    Ok(outcome.into())
}

/// Looks whether the file is there and names its columns. To be called before a data directory is created: a file
/// that can't be imported should leave nothing behind.
pub(super) fn check_header(file: &Path) -> Result<()> {
    CsvReader::new(Input::open(file, &ProgressBar::hidden())?).with_context(|| not_imported(file))?;
    Ok(())
}

/// Imports a file as one change, and says so on stdout. Invalid rows are listed on stderr.
///
/// # Errors
/// If the file can't be read or the links can't be written. Then nothing was changed, unless the error says that
/// the outcome is unknown.
pub(super) fn import_file(engine: &Engine, file: &Path, options: ImportOptions) -> Result<ImportOutcome> {
    let started = Instant::now();
    let survey = Survey::of(file, Some(engine))?;
    if survey.invalid > 0 && !options.keep_going {
        survey.print_refusal();
        return Ok(ImportOutcome::InvalidRows);
    }
    let left_out = survey.left_out();
    if survey.new + survey.changed == 0 {
        match survey.unchanged {
            0 => text::say!("Nothing to change: there are no valid rows in {}.{left_out}", file.display()),
            1 => text::say!("Nothing to change: the one link is there already.{left_out}"),
            links => text::say!("Nothing to change: all {} links are there already.{left_out}", grouped(links)),
        }
        return Ok(ImportOutcome::Done);
    }
    let Acknowledged { outcome, durability } = write(engine, file, &survey)?;
    let SetSummary { created, replaced, unchanged, .. } = outcome;
    text::say!(
        "Imported {} in {:.1} s: {} created, {} replaced, {} unchanged. Durability: {}.{left_out}",
        file.display(),
        started.elapsed().as_secs_f64(),
        grouped(created),
        grouped(replaced),
        grouped(survey.unchanged + unchanged),
        durability.name()
    );
    Ok(ImportOutcome::Done)
}

/// Says what an import would do. Without an engine, no link is stored yet.
fn dry_run(engine: Option<&Engine>, file: &Path, options: ImportOptions) -> Result<ImportOutcome> {
    let survey = Survey::of(file, engine)?;
    if survey.invalid > 0 && !options.keep_going {
        survey.print_refusal();
        return Ok(ImportOutcome::InvalidRows);
    }
    text::say!(
        "Dry run, nothing was changed: {} would be created, {} replaced, {} unchanged.{}",
        grouped(survey.new),
        grouped(survey.changed),
        grouped(survey.unchanged),
        survey.left_out()
    );
    Ok(ImportOutcome::Done)
}

fn not_imported(file: &Path) -> String {
    format!("{} was not imported", file.display())
}

/// What the first pass found.
#[derive(Default)]
struct Survey {
    new: u64,
    changed: u64,
    unchanged: u64,
    repeated: u64,
    invalid: u64,
    /// For each valid row, whether it differs from what is stored.
    differs: Vec<bool>,
    /// Of the file, so that the second pass can tell whether it is still the same.
    digest: Option<blake3::Hash>,
}

impl Survey {
    /// Reads the file, lists its invalid rows on stderr, and compares the others with what is stored.
    fn of(file: &Path, engine: Option<&Engine>) -> Result<Self> {
        let mut survey = Survey::default();
        let bar = bytes_bar("reading", file);
        let mut input = Input::open(file, &bar)?;
        let named = || not_imported(file);
        let mut reader = CsvReader::new(&mut input).with_context(named)?;
        if let ignored @ [_, ..] = reader.ignored_columns() {
            bar.suspend(|| text::tell!("carom: columns that are not used: {}", shown(&ignored.join(", "))));
        }
        while let Some(row) = reader.next_row().with_context(named)? {
            match row {
                Ok(row) => survey.compare(&row, engine)?,
                Err(error) => {
                    survey.invalid += 1;
                    bar.suspend(|| text::tell!("{error}"));
                }
            }
        }
        survey.repeated = reader.repeated();
        drop(reader);
        survey.digest = Some(input.digest());
        bar.finish_and_clear();
        Ok(survey)
    }

    fn compare(&mut self, row: &ImportRow, engine: Option<&Engine>) -> Result<()> {
        let entry = engine.map(|engine| engine.stored_entry(row.key.as_str())).transpose()?;
        let stored = entry.and_then(|entry| entry.link);
        let counter = match &stored {
            None => &mut self.new,
            Some(link) if link.destination == row.destination => &mut self.unchanged,
            Some(_) => &mut self.changed,
        };
        *counter += 1;
        self.differs.push(stored.is_none_or(|link| link.destination != row.destination));
        Ok(())
    }

    fn rows(&self) -> u64 {
        self.new + self.changed + self.unchanged + self.repeated + self.invalid
    }

    fn print_refusal(&self) {
        let (are, them) = if self.invalid == 1 { ("is", "it") } else { ("are", "them") };
        text::tell!(
            "carom: {} of {} {are} invalid; nothing was changed. Mend {them}, or import the rest with `carom import --keep-going`.",
            grouped(self.invalid),
            count(self.rows(), "row")
        );
    }

    /// What became of the rows that make no link, as more sentences.
    fn left_out(&self) -> String {
        let mut text = String::new();
        if self.repeated > 0 {
            text += &format!(" {} of an earlier one left out.", count(self.repeated, "repetition"));
        }
        if self.invalid > 0 {
            text += &format!(" {} left out.", count(self.invalid, "invalid row"));
        }
        text
    }
}

/// Writes the rows that differ, as one set.
fn write(engine: &Engine, file: &Path, survey: &Survey) -> Result<Acknowledged<SetSummary>> {
    let changed_meanwhile =
        || anyhow!("{} changed while it was read; nothing was imported. Import it again", file.display());
    // The first pass could read all of it: what is wrong with its text now was not there then.
    let unreadable = |error| match error {
        error @ CsvError::Io(_) => anyhow::Error::new(error).context(not_imported(file)),
        _ => changed_meanwhile(),
    };
    let mut set = engine.begin_set()?;
    let bar = bytes_bar("writing", file);
    let mut input = Input::open(file, &bar)?;
    let mut reader = CsvReader::new(&mut input).map_err(unreadable)?;
    let mut differs = survey.differs.iter();
    while let Some(row) = reader.next_row().map_err(unreadable)? {
        // The invalid ones were listed by the first pass.
        let Ok(row) = row else { continue };
        if *differs.next().ok_or_else(changed_meanwhile)? {
            set.add(row.key, Action::Put(row.destination))?;
        }
    }
    drop(reader);
    // The same bytes have the same rows, and what the first pass found holds for them. The set is dropped if not.
    if Some(input.digest()) != survey.digest {
        return Err(changed_meanwhile());
    }
    bar.finish_and_clear();
    Ok(commit(set, survey.new + survey.changed)?)
}

/// Commits the set and shows how far it is.
fn commit(set: SetWriter, commands: u64) -> Result<Acknowledged<SetSummary>, SubmitError> {
    let bar = ProgressBar::new(commands).with_message("applying");
    bar.set_style(style("{msg} {bar:40} {human_pos}/{human_len} {eta}"));
    let (applied, done) = (set.applied(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&applied, &done, &bar));
        let summary = set.commit();
        done.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        summary
    })
}

fn watch(applied: &AtomicU64, done: &AtomicBool, bar: &ProgressBar) {
    while !done.load(Ordering::Relaxed) {
        bar.set_position(applied.load(Ordering::Relaxed));
        std::thread::park_timeout(Duration::from_millis(100));
    }
    bar.finish_and_clear();
}

/// Counts bytes; hidden unless stderr is a terminal.
fn bytes_bar(message: &'static str, file: &Path) -> ProgressBar {
    let bytes = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    let bar = ProgressBar::new(bytes).with_message(message);
    bar.set_style(style("{msg} {bar:40} {bytes}/{total_bytes} {eta}"));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates of this file are valid")
}

/// A file that is read to its end, hashed and shown to the progress bar.
struct Input<'a> {
    file: File,
    hasher: blake3::Hasher,
    bar: &'a ProgressBar,
}

impl<'a> Input<'a> {
    fn open(path: &Path, bar: &'a ProgressBar) -> Result<Self> {
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
    fn digest(&self) -> blake3::Hash {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_between_the_passes_changes_no_link() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("links.csv");
        let config = EngineConfig { cache_bytes: 0, ..EngineConfig::new(place.path().join("data")) };
        let engine = open::engine(&config).unwrap();
        let before = "source,target\n/a,https://x.example/\n";
        for after in [
            "source,target\n/a,https://y.example/\n",
            "source,target\n/a,https://x.example/\n/b,https://x.example/\n",
            "source,target\n/a,https://x.example/\n/b,nowhere\n",
            "source,target\n/a,\"https://x.example/\n",
            "source,target\n",
            "",
        ] {
            std::fs::write(&file, before).unwrap();
            let survey = Survey::of(&file, Some(engine.engine())).unwrap();
            std::fs::write(&file, after).unwrap();
            let error = write(engine.engine(), &file, &survey).unwrap_err().to_string();
            let expected = "links.csv changed while it was read; nothing was imported. Import it again";
            assert!(error.ends_with(expected), "{error}");
            assert_eq!(engine.engine().digest().unwrap().entries, 0, "{after}");
        }
        engine.close().unwrap();
    }
}
