//! Imports into a data directory that this process has opened: as one set, all or nothing.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::ProgressBar;

use super::input::{Input, bytes_bar, changed_meanwhile, style, unreadable};
use super::survey::Survey;
use super::{ImportOptions, ImportOutcome, Sums};
use crate::cli::text::{self, grouped};
use crate::engine::{Acknowledged, Engine, SetSummary, SetWriter, SubmitError};
use crate::link::Action;
use crate::transfer::{CsvReader, ImportRow};

/// Imports a file as one change, and says so on stdout. Invalid rows are listed on stderr.
///
/// # Errors
/// If the file can't be read or the links can't be written. Then nothing was changed, unless the error says that
/// the outcome is unknown.
pub(in crate::cli) fn import_file(engine: &Engine, file: &Path, options: ImportOptions) -> Result<ImportOutcome> {
    let started = Instant::now();
    let survey = survey(Some(engine), file)?;
    if survey.invalid > 0 && !options.keep_going {
        survey.print_refusal();
        return Ok(ImportOutcome::InvalidRows);
    }
    let left_out = survey.left_out();
    if options.json {
        let Survey { new, changed, unchanged, invalid, .. } = survey;
        if new + changed > 0 {
            let SetSummary { created, replaced, unchanged: same, .. } = write(engine, file, &survey)?.outcome;
            Sums { created, replaced, unchanged: unchanged + same, failed: invalid }.print()?;
        } else {
            Sums { unchanged, failed: invalid, ..Sums::default() }.print()?;
        }
        return Ok(ImportOutcome::Done);
    }
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
pub(super) fn dry_run(engine: Option<&Engine>, file: &Path, options: ImportOptions) -> Result<ImportOutcome> {
    let survey = survey(engine, file)?;
    if survey.invalid > 0 && !options.keep_going {
        survey.print_refusal();
        return Ok(ImportOutcome::InvalidRows);
    }
    survey.print_dry_run(options.json)?;
    Ok(ImportOutcome::Done)
}

/// Compares the file with what is stored, if anything is, and judges it by what is set for hosts.
fn survey(engine: Option<&Engine>, file: &Path) -> Result<Survey> {
    let tables = engine.map(Engine::tables);
    let judge = |row: &ImportRow| match (&tables, row.destination.target()) {
        (Some(tables), Some(target)) if !tables.has_no_hosts() => tables.judge_target(row.key.host(), target),
        // A target with a user name is no row.
        _ => Ok(()),
    };
    Survey::of_allowed(file, judge, |row| {
        let entry = engine.map(|engine| engine.stored_entry(row.key.as_str())).transpose()?;
        Ok(entry.and_then(|entry| entry.link).map(|link| link.destination))
    })
}

/// Writes the rows that differ, as one set.
fn write(engine: &Engine, file: &Path, survey: &Survey) -> Result<Acknowledged<SetSummary>> {
    let unreadable = |error| unreadable(file, error);
    let mut set = engine.begin_set()?;
    let bar = bytes_bar("writing", file);
    let mut input = Input::open(file, &bar)?;
    let mut reader = CsvReader::new(&mut input).map_err(unreadable)?;
    let mut differs = survey.differs.iter();
    while let Some(row) = reader.next_row().map_err(unreadable)? {
        // The invalid ones were listed by the first pass.
        let Ok(row) = row else { continue };
        if *differs.next().ok_or_else(|| changed_meanwhile(file))? {
            set.add(row.key, Action::Put(row.destination))?;
        }
    }
    drop(reader);
    // The same bytes have the same rows, and what the first pass found holds for them. The set is dropped if not.
    if Some(input.digest()) != survey.digest {
        return Err(changed_meanwhile(file));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::open;
    use crate::engine::EngineConfig;

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
            let survey = survey(Some(engine.engine()), &file).unwrap();
            std::fs::write(&file, after).unwrap();
            let error = write(engine.engine(), &file, &survey).unwrap_err().to_string();
            let expected = "links.csv changed while it was read; nothing was imported. Import it again";
            assert!(error.ends_with(expected), "{error}");
            assert_eq!(engine.engine().digest().unwrap().entries, 0, "{after}");
        }
        engine.close().unwrap();
    }
}
