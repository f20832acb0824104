//! Links as lines of JSON, any number of them.
//!
//! Two tasks: one reads lines and hands them to the writer, at most [`LINES_UNDER_WAY`] at a time, so that one sync makes many of
//! them durable together; the other waits for what became of them, in order, and writes it. A client that takes no answers stops
//! the second, then the first, then itself.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use hyper::body::Body as _;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use utoipa::{IntoParams, ToSchema};

use super::super::Api;
use super::super::answer::Answer;
use super::super::body::{Fields, Given, RequestBody, object, read_json};
use super::super::caller::Caller;
use super::super::described::Idempotency;
use super::super::links::{ChainsParameter, HostRules, READ_ONLY, WRITABLE, chains};
use super::super::parameters::InQuery;
use super::super::places::Places;
use super::super::problem::{Kind, Problem, quoted};
use super::super::stream::{ClientGone, LineSink, NDJSON, PATIENCE, lines};
use super::super::submit::{BegunChange, IdempotencyKey, Unconditional, begin_change};
use super::batch::{OutcomeName, outcome_name};
use super::lines::{LINE_BYTES, Line, Lines};
use crate::engine::SubmitError;
use crate::link::{Action, Actor, Chains, Change, Command, LinkKey, Outcome, Precondition, Refusal, Scope, SetLink};
use crate::log::OperationId;
use crate::transfer::{SchemeAndPort, leads_back};

static UNDER_WAY: Places = Places::new("imports", 4, 2);

/// Most lines of an import of which it is not known yet what became of them.
const LINES_UNDER_WAY: usize = 256;

/// How often a blank line is sent: where only failures are answered, and nothing fails, who waits for the summary would
/// not know whether anybody is still there.
const BEAT: Duration = Duration::from_secs(30);

/// Most JSON values of a line.
const LINE_VALUES: usize = 4_096;

/// What a line says where only destinations are imported.
const DESTINATION: [&str; 3] = ["key", "target", "status"];

/// How an import is made.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it only describes")]
pub(super) struct ImportParameters {
    /// What is done with a link that is there already: `upsert`, the default, replaces it; `create` refuses the line;
    /// `destination` takes lines with `key`, `target` and `status` alone, changes these two, and leaves what else the
    /// link says; where targets lead is judged as with `chains=allow`, so it is not sent with `chains`. A line without `status`
    /// sets the `default_status` of the host. With a scheme in `key`, a target of the line's own key leads back if it has
    /// the same scheme and port
    #[param(inline, required = false, nullable = false)]
    mode: Mode,
    /// Which lines are answered: `all`, the default, or only `failures`. The summary comes in any case
    #[param(inline, required = false, nullable = false)]
    answers: Answers,
}

#[derive(Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
enum Mode {
    Upsert,
    Create,
    Destination,
}

#[derive(Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
enum Answers {
    All,
    Failures,
}

/// A line of the answer: what became of a line, or the summary.
#[derive(ToSchema)]
#[schema(as = ImportAnswer)]
#[allow(dead_code, reason = "it only describes")]
pub(super) struct ImportAnswer {
    /// Which line, from 1; blank ones count.
    #[schema(minimum = 1, required = false, nullable = false)]
    line: Option<u64>,
    /// The key of the line in canonical form, if it has one. A host that ignores case, or slashes at the end, keeps its
    /// link without them.
    #[schema(required = false, nullable = false)]
    key: Option<String>,
    /// What became of the link.
    #[schema(inline, required = false, nullable = false)]
    outcome: Option<OutcomeName>,
    /// The version that the link has now; not for `unchanged`.
    #[schema(minimum = 1, required = false, nullable = false)]
    version: Option<u64>,
    /// Why nothing became of it.
    #[schema(required = false, nullable = false)]
    error: Option<Problem>,
    /// On the last line, and there alone.
    #[schema(required = false, nullable = false)]
    summary: Option<Summary>,
}

/// What became of an import, in lines.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ImportSummary)]
pub(super) struct Summary {
    /// Links that are new.
    created: u64,
    /// Links that say something else.
    replaced: u64,
    /// Links that were as asked for already.
    unchanged: u64,
    /// Lines of which nothing became.
    failed: u64,
    /// All lines but blank ones.
    lines: u64,
}

/// Import links
///
/// Lines of JSON (`application/x-ndjson`), each with a `key` and what PUT takes, at most 64 KiB, any number of them; blank ones are passed
/// over. They take effect one by one, in order, as they come in; what became of each is answered in order, while the rest is still being sent,
/// and a line that fails does not hold up others. Read answers while sending: about 2 MiB of them are kept for a client that
/// does not, then no more lines are read; `answers=failures` keeps them few. Every 30 seconds there is a blank line, to be passed over. The last line of the answer is the summary; without it, the import broke off. With
/// an `Idempotency-Key` the same lines can be sent again, and none is made twice.
#[utoipa::path(
    post, path = "/v1/import", tag = "bulk", operation_id = "importLinks",
    params(ImportParameters, ChainsParameter, Idempotency),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "A line for each line, and the summary", body = ImportAnswer,
            content_type = "application/x-ndjson"),
        (status = 415, description = "The content type is another one", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Four imports are under way", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn import(
    State(api): State<Arc<Api>>,
    caller: Caller,
    name: IdempotencyKey,
    _: Unconditional,
    mut query: InQuery,
    body: RequestBody,
) -> Answer {
    caller.require(Scope::Write)?;
    let modes = [("upsert", Mode::Upsert), ("create", Mode::Create), ("destination", Mode::Destination)];
    let mode = choice(&mut query, "mode", &modes);
    let answers = choice(&mut query, "answers", &[("all", Answers::All), ("failures", Answers::Failures)]);
    let said = chains(&mut query, &caller)?;
    if let (Mode::Destination, Some(chains)) = (mode, said) {
        query.fail(
            "chains",
            chains.name(),
            "where only destinations are imported, chains are allowed as far as they can be followed",
        );
    }
    let chains = said.unwrap_or_default();
    query.finish()?;
    if body.media_type().as_deref() != Some(NDJSON) {
        let found = body.media_type().map_or("there is no content type".to_owned(), |found| {
            format!("the content type {} is not read here", quoted(&found))
        });
        return Err(Problem::new(Kind::MediaType, format!("{found}; send `{NDJSON}`")));
    }
    let actor = caller.actor();
    let place = UNDER_WAY.take(actor.clone())?;
    let (response, sink) = lines(&caller);
    let (handed, taken) = mpsc::channel(LINES_UNDER_WAY);
    let operation = name.operation(&actor);
    let told = caller.clone();
    let importer = Importer { api, caller, actor, operation, mode, chains };
    tokio::spawn(async move {
        let _place = place;
        tokio::join!(importer.read(body.into_stream(), handed), tell(taken, sink, answers, &told, BEAT));
    });
    Ok(response)
}

/// One of several names; the first, if there is none.
fn choice<T: Copy>(query: &mut InQuery, name: &'static str, all: &[(&'static str, T)]) -> T {
    let chosen = query.parse(name, |text| {
        let known = all.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        known.ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
            format!("{} is none of {}", quoted(text), names.join(", "))
        })
    });
    chosen.unwrap_or(all[0].1)
}

/// What became of a line, or will.
struct LineUnderWay {
    line: u64,
    key: Option<LinkKey>,
    change: Result<BegunChange, Problem>,
}

/// What comes out of the reader.
enum Read {
    Line(LineUnderWay),
    /// The client broke off, or may not go on.
    Broken,
}

struct Importer {
    api: Arc<Api>,
    caller: Caller,
    actor: Actor,
    operation: Option<OperationId>,
    mode: Mode,
    chains: Chains,
}

impl Importer {
    /// Reads lines and hands them on, until there are no more or nobody takes them.
    async fn read(&self, mut body: Body, handed: mpsc::Sender<Read>) {
        let mut lines = Lines::default();
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            let piece = next_piece(&mut body, deadline).await;
            match &piece {
                Ok(Some(piece)) => lines.add(piece),
                Ok(None) => lines.end(),
                Err(Broken) => {
                    // If nobody takes it, the other end is gone already.
                    let _ = handed.send(Read::Broken).await;
                    return;
                }
            }
            for line in &mut lines {
                let number = line.number;
                // A place first: what is under way is bounded by them.
                let Ok(place) = handed.reserve().await else { return };
                // A token may be revoked or expire while lines come in: from then on it changes nothing.
                if let Err(problem) = self.caller.check_holds(&self.api.engine.tables()) {
                    place.send(Read::Line(LineUnderWay { line: number, key: None, change: Err(problem) }));
                    let _ = handed.send(Read::Broken).await;
                    return;
                }
                let (key, change) = self.begin(line).await;
                place.send(Read::Line(LineUnderWay { line: number, key, change }));
                deadline = Instant::now() + PATIENCE;
            }
            if let Ok(None) = piece {
                return;
            }
        }
    }

    async fn begin(&self, line: Line) -> (Option<LinkKey>, Result<BegunChange, Problem>) {
        let number = line.number;
        let (key, link) = match self.read_line(line) {
            Ok(said) => said,
            Err((key, problem)) => return (key, Err(problem)),
        };
        let precondition = match self.mode {
            Mode::Upsert | Mode::Destination => Precondition::None,
            Mode::Create => Precondition::Absent,
        };
        let action = match self.mode {
            Mode::Destination => Action::Put(link.destination),
            Mode::Upsert | Mode::Create => Action::Set(Box::new(link)),
        };
        let command = Command { key: key.clone(), action, precondition };
        let operation = self.operation.map(|operation| line_id(operation, number));
        let begun = begin_change(&self.api, self.actor.clone(), operation, Change::Links(vec![command])).await;
        (Some(key), begun.map_err(Problem::from))
    }

    fn read_line(&self, line: Line) -> Result<(LinkKey, SetLink), (Option<LinkKey>, Problem)> {
        let malformed = |detail: String| (None, Problem::new(Kind::Malformed, detail));
        let text = line.text.ok_or_else(|| malformed(format!("the line has more than {LINE_BYTES} bytes")))?;
        let value = read_json("line", &text, LINE_VALUES).map_err(|problem| (None, problem))?;
        let map = object(value, "line").map_err(|problem| (None, problem))?;
        let mut fields = match self.mode {
            Mode::Destination => Fields::new(map, &DESTINATION, &[]),
            Mode::Upsert | Mode::Create => Fields::new(map, &WRITABLE, &READ_ONLY),
        };
        fields.require("key");
        let source = |text: &str| LinkKey::parse(text).map(|key| (key, SchemeAndPort::of_source(text)));
        let Some((key, origin)) = fields.text("key", source).given() else {
            return Err((None, fields.finish().expect_err("the key is missing or wrong")));
        };
        let said = || {
            self.caller.require_for(Scope::Write, key.host())?;
            let said = HostRules::of(&self.api.engine.tables(), key.host()).read_link(&mut fields);
            fields.finish()?;
            let (destination, options) = said.expect("nothing is wrong");
            // As in CSV: a key with another scheme than its target has may be answered by another server.
            let leads_to_itself = || destination.target().is_some_and(|target| leads_back(origin, &key, target));
            if self.mode == Mode::Destination && leads_to_itself() {
                return Err(Refusal::Loop { key: key.clone(), through: key.clone() }.into());
            }
            Ok((destination, options))
        };
        match said() {
            Ok((destination, options)) => {
                Ok((key, SetLink { destination, options, chains: self.chains, is_generated: false }))
            }
            Err(problem) => Err((Some(key), problem)),
        }
    }
}

/// The name of a line of an operation.
fn line_id(operation: OperationId, line: u64) -> OperationId {
    let mut hasher = blake3::Hasher::new_derive_key("carom 2026 line of an import");
    hasher.update(&operation.0).update(&line.to_le_bytes());
    OperationId(*hasher.finalize().as_bytes().first_chunk().expect("32 bytes"))
}

/// The client broke off, or sends nothing any more.
struct Broken;

/// The next piece of a body; None at its end. Pieces without a whole line do not move the deadline, so that nobody keeps
/// an import open with a byte now and then.
async fn next_piece(body: &mut Body, deadline: Instant) -> Result<Option<Bytes>, Broken> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        match tokio::time::timeout_at(deadline, frame).await {
            Ok(None) => return Ok(None),
            // What is no data is a field behind the body; there is none that means something here.
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(piece) => return Ok(Some(piece)),
                Err(_) => continue,
            },
            Ok(Some(Err(_))) | Err(_) => return Err(Broken),
        }
    }
}

/// A line of the answer.
#[derive(Serialize)]
struct Told<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem>,
}

/// The last line of the answer.
#[derive(Serialize)]
struct Last {
    summary: Summary,
}

/// Waits for what became of each line, and tells it, with a blank line every `beat`.
async fn tell(mut taken: mpsc::Receiver<Read>, mut sink: LineSink, answers: Answers, caller: &Caller, beat: Duration) {
    let mut summary = Summary::default();
    let mut beat_at = Instant::now() + beat;
    loop {
        if Instant::now() >= beat_at {
            if sink.write_raw(b"\n").await.is_err() || sink.flush().await.is_err() {
                return;
            }
            beat_at = Instant::now() + beat;
        }
        let read = match taken.try_recv() {
            Ok(read) => Some(read),
            Err(_) => {
                // Nothing more just now: what is known already should not wait for it.
                if sink.flush().await.is_err() {
                    return;
                }
                match timeout_at(beat_at, taken.recv()).await {
                    Ok(read) => read,
                    Err(_) => continue,
                }
            }
        };
        match read {
            Some(Read::Line(line)) => {
                if tell_line(line, &mut summary, &mut sink, answers, caller).await.is_err() {
                    return;
                }
            }
            Some(Read::Broken) => return sink.break_off().await,
            None => {
                if sink.write(&Last { summary }).await.is_ok() {
                    sink.end().await;
                }
                return;
            }
        }
    }
}

async fn tell_line(
    line: LineUnderWay,
    summary: &mut Summary,
    sink: &mut LineSink,
    answers: Answers,
    caller: &Caller,
) -> Result<(), ClientGone> {
    let LineUnderWay { line, key, change } = line;
    let done = match change {
        Ok(begun) => begun.wait().await.map_err(|error: SubmitError| caller.told(error)),
        Err(problem) => Err(problem),
    };
    summary.lines += 1;
    let (outcome, error) = match done {
        Ok(done) => (done.outcome.first().copied(), None),
        Err(problem) => (None, Some(problem)),
    };
    match outcome {
        Some(Outcome::Created(_)) => summary.created += 1,
        Some(Outcome::Replaced { .. }) => summary.replaced += 1,
        Some(Outcome::Unchanged | Outcome::Deleted) => summary.unchanged += 1,
        None => summary.failed += 1,
    }
    if error.is_none() && answers == Answers::Failures {
        return Ok(());
    }
    let version = outcome.and_then(Outcome::version);
    let key = key.as_ref().map(LinkKey::as_str);
    sink.write(&Told { line, key, outcome: outcome.map(outcome_name), version, error }).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn who_waits_for_the_summary_sees_that_somebody_is_there() {
        let (response, sink) = lines(&Caller::Local);
        let (handed, taken) = mpsc::channel(1);
        let client = async {
            let mut body = response.into_body();
            for _ in 0..2 {
                assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "\n");
            }
            drop(handed);
            let rest = body.collect().await.unwrap().to_bytes();
            String::from_utf8(rest.to_vec()).unwrap()
        };
        let beat = Duration::from_millis(10);
        let ((), rest) = tokio::join!(tell(taken, sink, Answers::Failures, &Caller::Local, beat), client);
        assert!(rest.trim_start().starts_with("{\"summary\":"), "{rest}");
    }
}
