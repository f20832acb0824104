//! Imports over the API: lines go to the server while their outcomes come back.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use super::input::{Input, bytes_bar, is_stdin};
use super::onward::{Ground, kept_key};
use super::report::Report;
use super::rules::Rules;
use super::survey::{Fate, Survey};
use super::{ImportChains, ImportOptions, ImportOutcome, Mode};
use crate::cli::Exit;
use crate::cli::client::{Lost, PlaceArguments, Problem, Purpose, Request, Upload};
use crate::cli::text::{self, count, grouped};
use crate::limits::IMPORT_RECORD_BYTES;
use crate::link::{Destination, LinkKey, Target};
use crate::transfer::{CsvReader, ImportRow, KeyHash, SchemeAndPort};

const UNREADABLE: &str = "the server's answer can't be read; is it another version of carom?";

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

/// What a running server says of itself before it gets rows.
struct Served<'a> {
    place: &'a PlaceArguments,
    rules: Rules,
    /// Of hosts that ignore differences between paths, the keys of links that are kept with them.
    spellings: HashMap<String, HashSet<KeyHash>, ahash::RandomState>,
    /// The rows so far by their keys, and what they lead to, where it is wanted.
    rows: Option<HashMap<String, (usize, Destination), ahash::RandomState>>,
}

impl<'a> Served<'a> {
    fn ask(place: &'a PlaceArguments) -> Result<Self> {
        let rules = place.with(Purpose::Read, Rules::ask)?;
        Ok(Served { place, rules, spellings: HashMap::default(), rows: None })
    }

    /// Whether there is a link in a spelling that its host ignores. Such links are few, and as many as all links of the
    /// host are looked at to find them, once.
    fn has_spelling(&mut self, key: &LinkKey) -> Result<bool> {
        let host = key.host();
        if !self.spellings.contains_key(host) {
            let folding = self.rules.folding(host).unwrap_or_default();
            let mut found = HashSet::new();
            self.place.with(Purpose::Read, |client| {
                client.lines(&Request::get(&["export"]).parameter("host", host), |line| {
                    let Exported { key, .. } = read_line(line)?;
                    if LinkKey::parse(&key).is_ok_and(|key| key.folded(folding).is_some()) {
                        found.insert(KeyHash::of(key.as_bytes()));
                    }
                    Ok(())
                })
            })?;
            self.spellings.insert(host.to_owned(), found);
        }
        Ok(self.spellings[host].contains(&KeyHash::of(key.as_str().as_bytes())))
    }
}

impl Ground for Served<'_> {
    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn find(&mut self, key: &LinkKey) -> Result<(LinkKey, Option<Destination>)> {
        let folding = self.rules.folding(key.host());
        Ok((kept_key(key, folding, || self.has_spelling(key))?, None))
    }

    /// What is stored is judged by the server.
    fn has_links(&mut self, _: &str) -> Result<bool> {
        Ok(false)
    }

    fn stored(&mut self, _: &str) -> Result<Option<Destination>> {
        Ok(None)
    }

    fn take(&mut self, number: usize, key: &LinkKey, destination: &Destination) {
        if let Some(rows) = &mut self.rows {
            rows.insert(key.as_str().to_owned(), (number, destination.clone()));
        }
    }
}

/// Imports the rows of a CSV file. A link that is there takes the destination of its row, and keeps what else it says.
pub(super) fn rows(file: &Path, place: &PlaceArguments, options: ImportOptions) -> Result<Exit> {
    let survey = Survey::of(file, &mut Served::ask(place)?, options.chains)?;
    if survey.invalid > 0 && !options.keep_going {
        survey.print_refusal(options.json)?;
        return Ok(ImportOutcome::InvalidRows.into());
    }
    // A map of redirects may hold chains: with this mode they are allowed, as far as the server follows them.
    let request = Request::post_lines(&["import"]).parameter("mode", "destination").parameter("answers", "failures");
    // Where the rows stand in the file, as the lines that are sent.
    let lines = Arc::new(Mutex::new(Vec::new()));
    let survey = Arc::new(survey);
    let sending = Sending { file: file.to_owned(), survey: Arc::clone(&survey), lines: Arc::clone(&lines) };
    let row = |line: u64| {
        let at = usize::try_from(line).ok().and_then(|line| line.checked_sub(1));
        at.and_then(|at| lines.lock().get(at).copied()).unwrap_or(line)
    };
    import(file, place, options.json, &request, |upload| sending.send(upload), row, Some(&survey))
}

/// The second pass over a file.
struct Sending {
    file: PathBuf,
    survey: Arc<Survey>,
    /// The lines of the rows that were sent.
    lines: Arc<Mutex<Vec<u64>>>,
}

impl Sending {
    /// Sends the rows that are to be links, as lines.
    fn send(self, upload: &mut Upload) -> Result<()> {
        let Sending { file, survey, lines } = self;
        // The first pass could read all of it.
        let changed_meanwhile = || {
            anyhow!(
                "{} changed while it was sent; some of its rows may have been imported. Import it again",
                file.display()
            )
        };
        let bar = bytes_bar("sending", &file);
        let mut input = Input::twice(&file, &bar)?;
        let mut reader = CsvReader::new(&mut input).map_err(|_| changed_meanwhile())?;
        let mut fates = survey.fates();
        while let Some(row) = reader.next_row().map_err(|_| changed_meanwhile())? {
            // The invalid ones were listed by the first pass.
            let Ok(row) = row else { continue };
            if matches!(fates.next().ok_or_else(changed_meanwhile)?, Fate::Invalid | Fate::Repeated) {
                continue;
            }
            lines.lock().push(row.line);
            let target = row.destination.target().map(Target::as_str);
            let link = json!({"key": source(&row), "target": target, "status": row.destination.status().code()});
            writeln!(upload, "{link}")?;
        }
        drop(reader);
        bar.finish_and_clear();
        match input.digest() == survey.digest {
            true => Ok(()),
            false => Err(changed_meanwhile()),
        }
    }
}

/// The key of a row with its scheme, if it has one: by that the server knows which redirects lead back to their own
/// link.
fn source(row: &ImportRow) -> String {
    let ImportRow { key, origin, .. } = row;
    match origin {
        Some(SchemeAndPort { is_https: true, port: 443 }) => format!("https://{key}"),
        Some(SchemeAndPort { is_https: false, port: 80 }) => format!("http://{key}"),
        Some(SchemeAndPort { is_https, port }) => {
            let scheme = if *is_https { "https" } else { "http" };
            format!("{scheme}://{}:{port}{}", key.host(), key.path_and_query())
        }
        None => key.as_str().to_owned(),
    }
}

/// Imports lines of JSON, as they are.
pub(super) fn lines(
    file: &Path,
    place: &PlaceArguments,
    mode: Option<Mode>,
    chains: Option<ImportChains>,
    json: bool,
) -> Result<Exit> {
    let bar = bytes_bar("sending", file);
    // Before a data directory is created.
    let input = Input::once(file, &bar)?;
    // The API itself refuses chains if nothing is said of them, and takes no word on them where only destinations change.
    let chains = chains.or_else(|| (mode != Some(Mode::Destination)).then_some(ImportChains::Allow));
    let request = Request::post_lines(&["import"])
        .parameter("answers", "failures")
        .parameter_if("mode", mode.map(Mode::name))
        .parameter_if("chains", chains.map(ImportChains::name));
    let name = file.display().to_string();
    let send = move |upload: &mut Upload| {
        let mut input = BufReader::with_capacity(IMPORT_RECORD_BYTES, input);
        loop {
            let read = input.fill_buf().with_context(|| format!("{name} can't be read"))?;
            if read.is_empty() {
                bar.finish_and_clear();
                return Ok(());
            }
            let bytes = read.len();
            upload.write_all(read)?;
            // What comes from a program that still runs takes effect when it comes.
            upload.flush()?;
            input.consume(bytes);
        }
    };
    import(file, place, json, &request, send, |line| line, None)
}

fn import(
    file: &Path,
    place: &PlaceArguments,
    json: bool,
    request: &Request,
    send: impl FnOnce(&mut Upload) -> Result<()> + Send + 'static,
    row: impl Fn(u64) -> u64,
    survey: Option<&Survey>,
) -> Result<Exit> {
    let started = Instant::now();
    let mut summary = None;
    let mut failures = survey.map(|survey| survey.failures.clone()).unwrap_or_default();
    let mut chained = survey.map(Survey::chained);
    let name = if is_stdin(file) { "stdin".into() } else { file.display().to_string() };
    let sent = place.send_lines(request, send, |line| {
        let said: Said = read_line(line)?;
        if let Some(problem) = said.error {
            let line = row(said.line);
            failures.tell(line, &problem, problem.field());
            if survey.is_some_and(|survey| survey.leads_on(line)) {
                chained = chained.map(|chained| chained.saturating_sub(1));
            }
        }
        summary = said.summary.or(summary.take());
        Ok(())
    });
    sent.map_err(|error| match Lost::is_broken_off(&error) {
        true => error.context(format!(
            "{name} was not imported to the end; some of its links may be there. Import it again when the server answers: what \
             is there already stays as it is"
        )),
        false => error,
    })?;
    let Summary { created, replaced, unchanged, failed } = summary.context(UNREADABLE)?;
    if json {
        let left_out = survey.map_or(0, |survey| survey.invalid);
        let repeated = survey.map(|survey| survey.count(Fate::Repeated));
        let failed = failed + left_out;
        Report { created, replaced, unchanged, failed, repeated, chained, failures: &failures }.print()?;
    } else {
        text::say!(
            "Imported {} in {:.1} s: {} created, {} replaced, {} unchanged.{}",
            name,
            started.elapsed().as_secs_f64(),
            grouped(created),
            grouped(replaced),
            grouped(unchanged),
            survey.map(|survey| survey.remarks(chained.unwrap_or(0))).unwrap_or_default()
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
    let mut served = Served { rows: Some(HashMap::default()), ..Served::ask(place)? };
    let mut survey = Survey::of(file, &mut served, options.chains)?;
    if survey.invalid > 0 && !options.keep_going {
        survey.print_refusal(options.json)?;
        return Ok(ImportOutcome::InvalidRows.into());
    }
    let rows = served.rows.unwrap_or_default();
    place.with(Purpose::Read, |client| {
        client.lines(&Request::get(&["export"]), |line| {
            let link: Exported = read_line(line)?;
            if let Some((row, destination)) = rows.get(&link.key) {
                let is_same = destination.status().code() == link.status
                    && destination.target().map(Target::as_str) == link.target.as_deref();
                survey.compare(*row, is_same);
            }
            Ok(())
        })
    })?;
    survey.print_dry_run(options.json)?;
    Ok(Exit::Done)
}

fn read_line<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T> {
    serde_json::from_slice(line).context(UNREADABLE)
}
