//! Imports over the API: lines go to the server while their outcomes come back.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use super::input::{Input, bytes_bar, not_imported};
use super::survey::Survey;
use super::{ImportOptions, ImportOutcome, Sums};
use crate::cli::Exit;
use crate::cli::client::{PlaceArguments, Problem, Purpose, Request, Upload};
use crate::cli::text::{self, count, grouped};
use crate::limits::IMPORT_RECORD_BYTES;
use crate::link::{Destination, Target};
use crate::transfer::CsvReader;

/// A line of the API's answer.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    line: u64,
    #[serde(default)]
    error: Option<Problem>,
    #[serde(default)]
    summary: Option<Summary>,
}

/// Its last line.
#[derive(Deserialize)]
struct Summary {
    created: u64,
    replaced: u64,
    unchanged: u64,
    failed: u64,
}

/// As much of an exported link as a row says.
#[derive(Deserialize)]
struct Exported {
    key: String,
    status: u16,
    target: Option<String>,
}

/// Imports the rows of a CSV file. A link that is there takes the destination of its row, and keeps what else it says.
pub(super) fn rows(file: &Path, place: &PlaceArguments, options: ImportOptions) -> Result<Exit> {
    let survey = Survey::of(file, |_| Ok(None))?;
    if survey.invalid > 0 && !options.keep_going {
        survey.print_refusal();
        return Ok(ImportOutcome::InvalidRows.into());
    }
    // A map of redirects may hold chains: with this mode rows are not judged for them.
    let request = Request::post_lines(&["import"]).parameter("mode", "destination").parameter("answers", "failures");
    // Where the rows stand in the file, as the lines that are sent.
    let lines = Mutex::new(Vec::new());
    // The first pass could read all of it.
    let changed_meanwhile = || {
        anyhow!(
            "{} changed while it was sent; some of its rows may have been imported. Import it again",
            file.display()
        )
    };
    let send = |upload: &mut Upload| {
        let bar = bytes_bar("sending", file);
        let mut input = Input::open(file, &bar)?;
        let mut reader = CsvReader::new(&mut input).map_err(|_| changed_meanwhile())?;
        while let Some(row) = reader.next_row().map_err(|_| changed_meanwhile())? {
            // The invalid ones were listed by the first pass.
            let Ok(row) = row else { continue };
            lines.lock().push(row.line);
            let target = row.destination.target().map(Target::as_str);
            let link = json!({"key": row.key.as_str(), "target": target, "status": row.destination.status().code()});
            writeln!(upload, "{link}")?;
        }
        drop(reader);
        bar.finish_and_clear();
        match Some(input.digest()) == survey.digest {
            true => Ok(()),
            false => Err(changed_meanwhile()),
        }
    };
    let row = |line: u64| {
        let at = usize::try_from(line).ok().and_then(|line| line.checked_sub(1));
        at.and_then(|at| lines.lock().get(at).copied()).unwrap_or(line)
    };
    import(file, place, options, &request, send, row, &survey)
}

/// Imports lines of JSON, as they are.
pub(super) fn lines(file: &Path, place: &PlaceArguments, options: ImportOptions) -> Result<Exit> {
    // Before a data directory is created.
    Input::open(file, &indicatif::ProgressBar::hidden())?;
    let request = Request::post_lines(&["import"]).parameter("chains", "allow").parameter("answers", "failures");
    let send = |upload: &mut Upload| {
        let bar = bytes_bar("sending", file);
        let mut input = BufReader::with_capacity(IMPORT_RECORD_BYTES, Input::open(file, &bar)?);
        loop {
            let read = input.fill_buf().with_context(|| format!("{} can't be read", file.display()))?;
            if read.is_empty() {
                bar.finish_and_clear();
                return Ok(());
            }
            let bytes = read.len();
            upload.write_all(read)?;
            input.consume(bytes);
        }
    };
    import(file, place, options, &request, send, |line| line, &Survey::default())
}

fn import(
    file: &Path,
    place: &PlaceArguments,
    options: ImportOptions,
    request: &Request,
    send: impl FnOnce(&mut Upload) -> Result<()> + Send,
    row: impl Fn(u64) -> u64,
    survey: &Survey,
) -> Result<Exit> {
    let started = Instant::now();
    let mut summary = None;
    place.with(Purpose::Write, |client| {
        client.send_lines(request, send, |line| {
            let said: Said = serde_json::from_slice(line).context("the server's answer can't be read")?;
            if let Some(problem) = said.error {
                text::tell!("line {}: {problem}", row(said.line));
            }
            summary = said.summary.or(summary.take());
            Ok(())
        })
    })?;
    let Some(Summary { created, replaced, unchanged, failed }) = summary else {
        bail!(
            "the server broke off while {} was imported; some of its links may be there. Look whether it still runs, and \
             import the file again: what is there already stays as it is",
            file.display()
        );
    };
    if options.json {
        Sums { created, replaced, unchanged, failed: failed + survey.invalid }.print()?;
    } else {
        text::say!(
            "Imported {} in {:.1} s: {} created, {} replaced, {} unchanged.{}",
            file.display(),
            started.elapsed().as_secs_f64(),
            grouped(created),
            grouped(replaced),
            grouped(unchanged),
            survey.left_out()
        );
    }
    if failed == 0 {
        return Ok(Exit::Done);
    }
    text::tell!("carom: {} refused, as listed; all others are imported", count(failed, "line"));
    Ok(Exit::Failed)
}

/// Says what an import of a CSV file would do, by what the server exports.
pub(super) fn dry_run(file: &Path, place: &PlaceArguments, options: ImportOptions) -> Result<Exit> {
    let mut rows: HashMap<String, Destination, ahash::RandomState> = HashMap::default();
    let mut survey = Survey::of(file, |row| {
        rows.insert(row.key.as_str().to_owned(), row.destination.clone());
        Ok(None)
    })?;
    if survey.invalid > 0 && !options.keep_going {
        survey.print_refusal();
        return Ok(ImportOutcome::InvalidRows.into());
    }
    place.with(Purpose::Read, |client| {
        client.lines(&Request::get(&["export"]), |line| {
            let link: Exported = serde_json::from_slice(line).with_context(|| not_imported(file))?;
            if let Some(destination) = rows.get(&link.key) {
                survey.new -= 1;
                let is_same = destination.status().code() == link.status
                    && destination.target().map(Target::as_str) == link.target.as_deref();
                *if is_same { &mut survey.unchanged } else { &mut survey.changed } += 1;
            }
            Ok(())
        })
    })?;
    survey.print_dry_run(options.json)?;
    Ok(Exit::Done)
}
