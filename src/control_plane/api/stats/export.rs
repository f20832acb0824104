//! The counts of links, as lines.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::super::Api;
use super::super::answer::Answer;
use super::super::caller::Caller;
use super::super::parameters::InQuery;
use super::super::places::Places;
use super::super::problem::Problem;
use super::super::stream::{LineSink, NDJSON, streamed};
use super::subject::{self, SubjectParameters};
use super::when::{self, WhenParameters};
use super::{counted, granularity_name, one_of};
use crate::clicks::{ExportRow, Granularity, Subject, TimeRange, VisitClass};

static UNDER_WAY: Places = Places::new("exports of clicks", 4, 2);

/// Most rows that are read at once.
const PAGE: usize = 1_000;

/// Rows are sent together up to about so many bytes: whole pages of the longest keys would be megabytes.
const PAGE_BYTES: usize = 128 * 1024;

/// About how long a row is beside its key, in bytes.
const ROW_BYTES: usize = 128;

/// Most pages that wait for the client.
const PAGES: usize = 2;

/// The columns of CSV.
const COLUMNS: [&str; 7] = ["key", "start", "granularity", "human", "bot", "preview", "head"];

/// How fine rows may be.
const GRANULARITIES: [(&str, Granularity); 3] =
    [("quarter", Granularity::Quarter), ("day", Granularity::Day), ("month", Granularity::Month)];

/// What lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
enum Format {
    /// Objects of JSON.
    Ndjson,
    /// Rows (RFC 4180).
    Csv,
}

const FORMATS: [(&str, Format); 2] = [("ndjson", Format::Ndjson), ("csv", Format::Csv)];

/// As what.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it only describes")]
struct FormParameters {
    /// As lines of JSON, or as CSV (RFC 4180) with a header [default: ndjson]
    #[param(inline, required = false, nullable = false)]
    format: Format,
    /// How fine: quarters of an hour, days or months in UTC. What is kept no finer comes as it is kept [default: day]
    #[param(inline, required = false, nullable = false)]
    granularity: SlotJson,
}

/// How long a slot is.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "it only describes")]
enum SlotJson {
    Quarter,
    Day,
    Month,
}

/// A row.
#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    start: String,
    granularity: &'static str,
    human: u64,
    bot: u64,
    preview: u64,
    head: u64,
}

impl<'a> Row<'a> {
    fn of(row: &'a ExportRow) -> Self {
        let ExportRow { key, start_s, granularity, counts, .. } = row;
        Row {
            key,
            start: when::text(*start_s, &TimeZone::UTC),
            granularity: granularity_name(*granularity),
            human: counts.of(VisitClass::Human),
            bot: counts.of(VisitClass::Bot),
            preview: counts.of(VisitClass::Preview),
            head: counts.of(VisitClass::Head),
        }
    }
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Format::Ndjson => NDJSON,
            Format::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// What stands before all rows.
    fn head(self) -> Vec<u8> {
        match self {
            Format::Ndjson => Vec::new(),
            Format::Csv => (COLUMNS.join(",") + "\r\n").into_bytes(),
        }
    }

    /// Some rows.
    fn rows(self, rows: &[ExportRow]) -> Vec<u8> {
        let rows = rows.iter().map(Row::of);
        match self {
            Format::Ndjson => {
                let mut lines = Vec::new();
                for row in rows {
                    serde_json::to_writer(&mut lines, &row).expect("it is JSON, and memory takes it");
                    lines.push(b'\n');
                }
                lines
            }
            Format::Csv => {
                let mut csv = csv::WriterBuilder::new()
                    .has_headers(false)
                    .terminator(csv::Terminator::CRLF)
                    .from_writer(Vec::new());
                for row in rows {
                    csv.serialize(row).expect("it has no parts, and memory takes it");
                }
                csv.into_inner().expect("memory takes it")
            }
        }
    }
}

/// What is exported.
#[derive(Clone)]
struct Extent {
    subject: Subject,
    range: TimeRange,
    granularity: Granularity,
}

/// Export the counts of links
///
/// A row for each link and slot in which it was clicked, with the counts by class: `key`, `start`, `granularity`, `human`, `bot`, `preview`, `head`. Ordered by
/// the age of links, then by time. An answer that breaks off without the last chunk is not whole.
#[utoipa::path(
    get, path = "/v1/stats/export", tag = "stats", operation_id = "exportClicks",
    params(SubjectParameters, WhenParameters, FormParameters),
    responses(
        (status = 200, description = "A row on each line",
            content((String = "application/x-ndjson"), (String = "text/csv"))),
        (status = 404, description = "There is no such link", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Clicks are not counted", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Four exports of clicks are under way", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn export(State(api): State<Arc<Api>>, caller: Caller, mut query: InQuery) -> Answer {
    let asked = subject::read(&mut query, &caller, true)?;
    let range = when::read(&mut query, &api).await.range;
    let format = query.parse("format", |text| one_of("format", text, &FORMATS)).unwrap_or(Format::Ndjson);
    let granularity = query.parse("granularity", |text| one_of("granularity", text, &GRANULARITIES));
    let granularity = granularity.unwrap_or(Granularity::Day);
    query.finish()?;
    let place = UNDER_WAY.take(caller.actor())?;
    let subject = api.blocking(move |engine| counted(engine).and_then(|_| asked.subject(engine))).await?;
    let extent = Extent { subject, range, granularity };
    // What can't be read at all is said before there is an answer.
    let first = page(&api, &extent, None, format).await?;
    let (mut response, sink) = streamed(&caller, format.content_type(), PAGES);
    if format == Format::Csv {
        let name = HeaderValue::from_static("attachment; filename=\"clicks.csv\"");
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    tokio::spawn(async move {
        let _place = place;
        send(&api, &caller, &extent, format, first, sink).await;
    });
    Ok(response)
}

/// Rows as they are sent, and behind which one the next page begins, if there is one.
type Page = (Vec<u8>, Option<(u64, u64)>);

/// How many of these rows are sent together: at least one, if there is one.
fn fitting(rows: &[ExportRow]) -> usize {
    let mut bytes = 0;
    let fits = rows.iter().take_while(|row| {
        let is_room = bytes < PAGE_BYTES;
        bytes += row.key.len() + ROW_BYTES;
        is_room
    });
    fits.count()
}

async fn page(api: &Api, extent: &Extent, after: Option<(u64, u64)>, format: Format) -> Result<Page, Problem> {
    let Extent { subject, range, granularity } = extent.clone();
    api.blocking(move |engine| {
        let rows = counted(engine)?.export(&subject, range, granularity, after, PAGE)?;
        let sent = &rows[..fitting(&rows)];
        let is_last = sent.len() == rows.len() && rows.len() < PAGE;
        let next = sent.last().filter(|_| !is_last).map(|row| (row.link, row.start_s));
        Ok::<_, Problem>((format.rows(sent), next))
    })
    .await
}

async fn send(api: &Api, caller: &Caller, extent: &Extent, format: Format, first: Page, mut sink: LineSink) {
    if sink.write_raw(&format.head()).await.is_err() {
        return;
    }
    let (mut rows, mut next) = first;
    loop {
        if sink.write_raw(&rows).await.is_err() {
            return;
        }
        let Some(after) = next else { return sink.end().await };
        // A token may be revoked or expire meanwhile: then it gets no more of them.
        if caller.check_holds(&api.engine.tables()).is_err() {
            return sink.break_off().await;
        }
        match page(api, extent, Some(after), format).await {
            Ok(page) => (rows, next) = page,
            // Why it can't be read stands on stderr already.
            Err(_) => return sink.break_off().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clicks::Counts;

    fn rows() -> [ExportRow; 2] {
        let row = |key: &str, start_s, granularity, counts| ExportRow {
            link: 7,
            key: key.to_owned(),
            start_s,
            granularity,
            counts: Counts(counts),
        };
        [
            row("go.example/sale", 1_795_305_600, Granularity::Day, [4, 3, 2, 1]),
            row("*/a?b=1,\"2\"", 900, Granularity::Quarter, [1, 0, 0, 0]),
        ]
    }

    #[test]
    fn csv_has_a_header_and_quotes_what_needs_it() {
        let csv = [Format::Csv.head(), Format::Csv.rows(&rows())].concat();
        assert_eq!(
            String::from_utf8(csv).unwrap(),
            "key,start,granularity,human,bot,preview,head\r\n\
             go.example/sale,2026-11-22T00:00:00Z,day,4,3,2,1\r\n\
             \"*/a?b=1,\"\"2\"\"\",1970-01-01T00:15:00Z,quarter,1,0,0,0\r\n"
        );
        assert_eq!(Format::Csv.rows(&[]), b"");
    }

    #[test]
    fn long_keys_are_sent_in_more_pages() {
        let row = |length: usize| ExportRow { key: "k".repeat(length), ..rows()[0].clone() };
        assert_eq!(fitting(&[]), 0);
        assert_eq!(fitting(&vec![row(20); PAGE / 2]), PAGE / 2);
        assert_eq!(fitting(&[row(2 * PAGE_BYTES), row(1)]), 1);
        let long = vec![row(2_048); PAGE];
        assert!((50..100).contains(&fitting(&long)), "{}", fitting(&long));
        assert!(Format::Ndjson.rows(&long[..fitting(&long)]).len() < PAGE_BYTES + 4_096);
    }

    #[test]
    fn lines_of_json_have_the_same_fields() {
        let lines = String::from_utf8(Format::Ndjson.rows(&rows())).unwrap();
        assert_eq!(
            lines.lines().next(),
            Some(
                r#"{"key":"go.example/sale","start":"2026-11-22T00:00:00Z","granularity":"day","human":4,"bot":3,"preview":2,"head":1}"#
            )
        );
        for line in lines.lines() {
            let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            assert!(COLUMNS.iter().all(|column| fields.contains_key(*column)), "{line}");
        }
    }
}
