//! `/v1/changes`: what was changed, by whom and when, as the log has it.

mod view;

use std::sync::Arc;

use axum::extract::State;
use tokio::sync::Semaphore;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, Answer, Page};
use super::parameters::{InQuery, cursor};
use super::problem::Problem;
use super::{Api, Caller};
use crate::engine::{ChangesError, ChangesPage, ChangesRange, Engine};
use crate::link::Scope;
use view::{BesideChanges, ChangeList, ChangeView};

/// Most records of a page; each may hold as many commands as a record of the log does.
const RECORDS: usize = 100;

/// Most pages that are made at a time; more wait. What one is made of takes several times its own bytes.
const PAGES_IN_THE_MAKING: usize = 2;

static MAKING: Semaphore = Semaphore::const_new(PAGES_IN_THE_MAKING);

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which changes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it only describes what `list` reads")]
struct Which {
    /// Only those before this one, newest first. Not together with the others
    #[param(minimum = 0, maximum = 9007199254740991u64, required = false, nullable = false)]
    before: u64,
    /// Only those after this one, oldest first. Not together with the others
    #[param(minimum = 0, maximum = 9007199254740991u64, required = false, nullable = false)]
    after: u64,
    /// `next_cursor` of the page before. Not together with the others
    #[param(pattern = "^[A-Za-z0-9_-]+$", required = false, nullable = false)]
    cursor: String,
    /// Most entries of the page; it has fewer if they are large
    #[param(minimum = 1, maximum = 100, required = false, nullable = false)]
    limit: u32,
}

/// What was changed
///
/// The records of the log, newest first: what was asked for, by whom and when. The log reaches back to one of the
/// snapshots that are kept; `oldest` says how far. To follow it, ask for what comes `after` the last one that was seen.
#[utoipa::path(
    get, path = "/v1/changes", tag = "changes", operation_id = "listChanges",
    params(Which),
    responses((status = 200, description = "A page of changes", body = ChangeList)),
)]
async fn list(State(api): State<Arc<Api>>, caller: Caller, mut query: InQuery) -> Answer {
    caller.require_everywhere(Scope::Read)?;
    let limit = query.limit(RECORDS);
    let ranges = [
        query.number("before").map(|sequence| ChangesRange::Before(Some(sequence))),
        query.number("after").map(ChangesRange::After),
        query.cursor(read_place),
    ];
    let mut ranges = ranges.into_iter().flatten();
    let range = ranges.next().unwrap_or(ChangesRange::Before(None));
    if ranges.next().is_some() {
        query.fail("before", serde_json::Value::Null, "only one of before, after and cursor can be given");
    }
    query.finish()?;
    let tells_tokens = caller.require(Scope::Admin).is_ok();
    let _making = MAKING.acquire().await.expect("nobody closes it");
    let actor = caller.actor();
    answer::page(actor, api.blocking(move |engine| shown_page(engine, range, limit, tells_tokens)).await?)
}

/// A page as it is sent. Blocks.
///
/// # Errors
/// If log or store can't be read.
fn shown_page(engine: &Engine, range: ChangesRange, limit: usize, tells_tokens: bool) -> Result<Vec<u8>, Problem> {
    let ChangesPage { records, oldest, newest } = engine.changes(range, limit)?;
    let mut page = Page::new("changes");
    let mut last = None;
    // Shown, a record may be ten times what it is in the log: the page may end before they do.
    for record in &records {
        if !page.has_room() {
            break;
        }
        page.push(&ChangeView::of(record, tells_tokens))?;
        last = Some(record.sequence);
    }
    let next = match (range, last) {
        (_, None) => None,
        (ChangesRange::Before(_), Some(last)) => (last > oldest).then_some(ChangesRange::Before(Some(last))),
        (ChangesRange::After(_), Some(last)) => (last < newest).then_some(ChangesRange::After(last)),
    };
    let next_cursor = next.and_then(place).map(cursor);
    let missed = matches!(range, ChangesRange::After(seen) if seen.saturating_add(1) < oldest);
    Ok(page.end(&BesideChanges { next_cursor, oldest, newest, missed })?)
}

impl From<ChangesError> for Problem {
    fn from(error: ChangesError) -> Self {
        Problem::internal(&error)
    }
}

/// What stands for a place in the log, and the direction.
fn place(range: ChangesRange) -> Option<Vec<u8>> {
    let (direction, sequence) = match range {
        ChangesRange::Before(sequence) => (b'b', sequence?),
        ChangesRange::After(sequence) => (b'a', sequence),
    };
    Some([&[direction][..], &sequence.to_be_bytes()].concat())
}

fn read_place(bytes: &[u8]) -> Option<ChangesRange> {
    let (direction, sequence) = bytes.split_first()?;
    let sequence = u64::from_be_bytes(sequence.try_into().ok()?);
    match direction {
        b'b' => Some(ChangesRange::Before(Some(sequence))),
        b'a' => Some(ChangesRange::After(sequence)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back_as_themselves() {
        for range in [ChangesRange::Before(Some(7)), ChangesRange::After(u64::MAX)] {
            assert_eq!(read_place(&place(range).unwrap()), Some(range));
        }
        assert_eq!((read_place(b""), read_place(b"b"), read_place(b"c00000000")), (None, None, None));
    }
}
