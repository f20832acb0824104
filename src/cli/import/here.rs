//! Imports into a data directory that this process has opened: as one set, all or nothing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::ProgressBar;

use super::input::{Input, bytes_bar, changed_meanwhile, style, unreadable};
use super::onward::{Ground, kept_key};
use super::report::Report;
use super::rules::Rules;
use super::survey::{Fate, Survey};
use super::{ImportOptions, ImportOutcome};
use crate::cli::text::{self, grouped};
use crate::engine::{Acknowledged, Effort, Engine, LinkFilter, Moment, SetSummary, SetWriter, SubmitError};
use crate::link::{Action, Destination, Host, LinkKey};
use crate::transfer::CsvReader;

/// What it may cost to look whether a host has links: one entry shows it.
const FIRST: Effort = Effort { entries: 1, time_ms: 1_000 };

/// Imports a file as one change, and says so on stdout. Invalid rows are listed on stderr.
///
/// # Errors
/// If the file can't be read or the links can't be written. Then nothing was changed, unless the error says that
/// the outcome is unknown.
pub(in crate::cli) fn import_file(engine: &Engine, file: &Path, options: ImportOptions) -> Result<ImportOutcome> {
    let started = Instant::now();
    let survey = Survey::of(file, &mut Opened::new(Some(engine))?, options.chains)?;
    if survey.invalid > 0 && !options.keep_going {
        survey.print_refusal(options.json)?;
        return Ok(ImportOutcome::InvalidRows);
    }
    let remarks = survey.remarks(survey.chained());
    if survey.differing() == 0 {
        let unchanged = survey.count(Fate::Unchanged);
        match unchanged {
            _ if options.json => Report { unchanged, ..survey.report() }.print()?,
            0 => text::say!("Nothing to change: there are no valid rows in {}.{remarks}", file.display()),
            1 => text::say!("Nothing to change: the one link is there already.{remarks}"),
            links => text::say!("Nothing to change: all {} links are there already.{remarks}", grouped(links)),
        }
        return Ok(ImportOutcome::Done);
    }
    let Acknowledged { outcome, durability } = write(engine, file, &survey)?;
    let SetSummary { created, replaced, unchanged, .. } = outcome;
    let unchanged = unchanged + survey.count(Fate::Unchanged);
    if options.json {
        Report { created, replaced, unchanged, ..survey.report() }.print()?;
        return Ok(ImportOutcome::Done);
    }
    text::say!(
        "Imported {} in {:.1} s: {} created, {} replaced, {} unchanged. Durability: {}.{remarks}",
        file.display(),
        started.elapsed().as_secs_f64(),
        grouped(created),
        grouped(replaced),
        grouped(unchanged),
        durability.name()
    );
    Ok(ImportOutcome::Done)
}

/// Says what an import would do. Without an engine, no link is stored yet.
pub(super) fn dry_run(engine: Option<&Engine>, file: &Path, options: ImportOptions) -> Result<ImportOutcome> {
    let survey = Survey::of(file, &mut Opened::new(engine)?, options.chains)?;
    if survey.invalid > 0 && !options.keep_going {
        survey.print_refusal(options.json)?;
        return Ok(ImportOutcome::InvalidRows);
    }
    survey.print_dry_run(options.json)?;
    Ok(ImportOutcome::Done)
}

/// What is stored in the data directory, and set there for hosts.
struct Opened<'a> {
    /// None if there is no link, so that none is looked for.
    engine: Option<&'a Engine>,
    rules: Rules,
    /// Whether these hosts have links.
    hosts: HashMap<String, bool, ahash::RandomState>,
}

impl<'a> Opened<'a> {
    fn new(engine: Option<&'a Engine>) -> Result<Self> {
        let rules = Rules::of(engine.map(Engine::tables).as_deref());
        let first = engine.map(Engine::first_link).transpose()?.flatten();
        Ok(Opened { engine: engine.filter(|_| first.is_some()), rules, hosts: HashMap::default() })
    }
}

impl Ground for Opened<'_> {
    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn find(&mut self, key: &LinkKey) -> Result<(LinkKey, Option<Destination>)> {
        let stored = self.stored(key.as_str())?;
        let kept = kept_key(key, self.rules.folding(key.host()), || Ok(stored.is_some()))?;
        let stored = if kept == *key { stored } else { self.stored(kept.as_str())? };
        Ok((kept, stored))
    }

    fn has_links(&mut self, host: &str) -> Result<bool> {
        let Some(engine) = self.engine else { return Ok(false) };
        if let Some(&has_links) = self.hosts.get(host) {
            return Ok(has_links);
        }
        // What is no host has none.
        let has_links = match Host::parse(host) {
            Ok(host) => {
                let filter = LinkFilter { host: Some(host), ..LinkFilter::default() };
                let page = engine.list(&filter, Moment { now_ms: 0, used: &|_| 0 }, None, 1, FIRST)?;
                !page.links.is_empty() || page.next.is_some()
            }
            Err(_) => false,
        };
        self.hosts.insert(host.to_owned(), has_links);
        Ok(has_links)
    }

    fn stored(&mut self, key: &str) -> Result<Option<Destination>> {
        let entry = self.engine.map(|engine| engine.stored_entry(key)).transpose()?;
        Ok(entry.and_then(|entry| entry.link).map(|link| link.destination))
    }

    fn take(&mut self, _: usize, _: &LinkKey, _: &Destination) {}
}

/// Writes the rows that differ, as one set.
fn write(engine: &Engine, file: &Path, survey: &Survey) -> Result<Acknowledged<SetSummary>> {
    let unreadable = |error| unreadable(file, error);
    let mut set = engine.begin_set()?;
    let bar = bytes_bar("writing", file);
    let mut input = Input::twice(file, &bar)?;
    let mut reader = CsvReader::new(&mut input).map_err(unreadable)?;
    let mut fates = survey.fates();
    while let Some(row) = reader.next_row().map_err(unreadable)? {
        // The invalid ones were listed by the first pass.
        let Ok(row) = row else { continue };
        let fate = fates.next().ok_or_else(|| changed_meanwhile(file))?;
        if matches!(fate, Fate::New | Fate::Changed) {
            set.add(row.key, Action::Put(row.destination))?;
        }
    }
    drop(reader);
    // The same bytes have the same rows, and what the first pass found holds for them. The set is dropped if not.
    if input.digest() != survey.digest {
        return Err(changed_meanwhile(file));
    }
    bar.finish_and_clear();
    Ok(commit(set, survey.differing())?)
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
    use crate::cli::import::RowChains;
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
            let survey = Survey::of(&file, &mut Opened::new(Some(engine.engine())).unwrap(), RowChains::Allow).unwrap();
            std::fs::write(&file, after).unwrap();
            let error = write(engine.engine(), &file, &survey).unwrap_err().to_string();
            let expected = "links.csv changed while it was read; nothing was imported. Import it again";
            assert!(error.ends_with(expected), "{error}");
            assert_eq!(engine.engine().digest().unwrap().entries, 0, "{after}");
        }
        engine.close().unwrap();
    }
}
