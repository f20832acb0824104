//! How often, in all and over time.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::{IntoParams, ToSchema};

use super::super::Api;
use super::super::answer::{self, Answer};
use super::super::caller::Caller;
use super::super::parameters::InQuery;
use super::super::problem::Problem;
use super::step::{POINTS, STEPS, Step, TooMany};
use super::subject::{self, SubjectParameters};
use super::when::{self, When, WhenParameters};
use super::{ask, granularity_name, one_of};
use crate::clicks::{Counts, Granularity, Point, Series, TimeRange, VisitClass};

/// The granularities, for the description.
pub(super) fn granularities() -> ObjectBuilder {
    let names = [Granularity::Minute, Granularity::Quarter, Granularity::Day, Granularity::Month].map(granularity_name);
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).enum_values(Some(names)).description(Some(
        "How fine the counts are that this was made of, the coarsest of them: minutes, quarters of an hour, days or \
         months in UTC. What is kept no finer is counted wholly at the time at which it begins.",
    ))
}

/// How often something was clicked.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z", "human": 9120, "bot": 411, "preview": 37, "head": 5,
    "total": 9573, "granularity": "minute"
}))]
struct ClickTotals {
    /// From when on.
    #[schema(format = "date-time")]
    from: String,
    /// Up to when; it is not in it any more.
    #[schema(format = "date-time")]
    to: String,
    /// Clicks by people.
    #[schema(minimum = 0)]
    human: u64,
    /// Clicks by crawlers, monitors and other programs.
    #[schema(minimum = 0)]
    bot: u64,
    /// Clicks by programs that show a preview of a link, such as those of messengers.
    #[schema(minimum = 0)]
    preview: u64,
    /// Requests with the method HEAD, by whomever.
    #[schema(minimum = 0)]
    head: u64,
    /// All of these.
    #[schema(minimum = 0)]
    total: u64,
    #[schema(schema_with = granularities)]
    granularity: &'static str,
}

impl ClickTotals {
    fn of(counts: &Counts, granularity: Granularity, when: &When) -> Self {
        let When { range: TimeRange { from_s, to_s }, zone } = when;
        ClickTotals {
            from: when::text(*from_s, zone),
            to: when::text(*to_s, zone),
            human: counts.of(VisitClass::Human),
            bot: counts.of(VisitClass::Bot),
            preview: counts.of(VisitClass::Preview),
            head: counts.of(VisitClass::Head),
            total: counts.sum(),
            granularity: granularity_name(granularity),
        }
    }
}

/// How often it was clicked
///
/// Exact counts, by who clicked. What was clicked up to about a second ago is among them.
#[utoipa::path(
    get, path = "/v1/stats/totals", tag = "stats", operation_id = "getClickTotals",
    params(SubjectParameters, WhenParameters),
    responses(
        (status = 200, description = "How often", body = ClickTotals),
        (status = 404, description = "There is no such link", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Clicks are not counted", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn totals(State(api): State<Arc<Api>>, caller: Caller, mut query: InQuery) -> Answer {
    let asked = subject::read(&mut query, &caller, true)?;
    let when = when::read(&mut query, &api).await;
    query.finish()?;
    let range = when.range;
    let (counts, granularity) = ask(&api, asked, move |stats, subject| stats.totals(subject, range)).await?;
    Ok(answer::json(StatusCode::OK, &ClickTotals::of(&counts, granularity, &when)))
}

/// In which steps.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it only describes")]
struct StepParameter {
    /// How long each step is; weeks begin on Monday [default: what fits the range]
    #[param(inline, required = false, nullable = false)]
    step: Step,
}

/// How often something was clicked over time.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct ClickSeries {
    /// When the first step begins.
    #[schema(format = "date-time")]
    from: String,
    /// When the last step ends.
    #[schema(format = "date-time")]
    to: String,
    /// How long each step is.
    #[schema(inline, value_type = Step)]
    step: &'static str,
    /// The time zone of the steps.
    #[schema(example = "Europe/Berlin")]
    zone: String,
    #[schema(schema_with = granularities)]
    granularity: &'static str,
    /// One for each step, also where nothing was clicked.
    #[schema(max_items = 2000)]
    points: Vec<ClickPoint>,
}

/// How often something was clicked in one step.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct ClickPoint {
    /// When the step begins, in the time zone of the steps.
    #[schema(format = "date-time", example = "2026-11-22T00:00:00+01:00")]
    start: String,
    /// Clicks by people.
    #[schema(minimum = 0)]
    human: u64,
    /// Clicks by crawlers, monitors and other programs.
    #[schema(minimum = 0)]
    bot: u64,
    /// Clicks by programs that show a preview of a link.
    #[schema(minimum = 0)]
    preview: u64,
    /// Requests with the method HEAD.
    #[schema(minimum = 0)]
    head: u64,
}

impl ClickSeries {
    fn of(series: &Series, times_s: &[u64], step: Step, When { zone, .. }: &When) -> Self {
        let time = |time_s: Option<&u64>| time_s.map_or_else(String::new, |time_s| when::text(*time_s, zone));
        let point = |Point { start_s, counts }: &Point| ClickPoint {
            start: when::text(*start_s, zone),
            human: counts.of(VisitClass::Human),
            bot: counts.of(VisitClass::Bot),
            preview: counts.of(VisitClass::Preview),
            head: counts.of(VisitClass::Head),
        };
        ClickSeries {
            from: time(times_s.first()),
            to: time(times_s.last()),
            step: step.name(),
            zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            granularity: granularity_name(series.granularity),
            points: series.points.iter().map(point).collect(),
        }
    }
}

/// How often it was clicked over time
///
/// The range is widened to whole steps, at most 2,000 of them. Steps are those of the time zone: where the clocks change, a
/// day has 23 or 25 hours, and each hour that there is twice is a step of its own.
#[utoipa::path(
    get, path = "/v1/stats/series", tag = "stats", operation_id = "getClickSeries",
    params(SubjectParameters, WhenParameters, StepParameter),
    responses(
        (status = 200, description = "How often in each step", body = ClickSeries),
        (status = 404, description = "There is no such link", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Clicks are not counted", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn series(State(api): State<Arc<Api>>, caller: Caller, mut query: InQuery) -> Answer {
    let asked = subject::read(&mut query, &caller, true)?;
    let when = when::read(&mut query, &api).await;
    let step = query.parse("step", |text| one_of("step", text, &STEPS)).unwrap_or(Step::fit_for(when.range));
    let times_s = step.times(when.range, &when.zone).unwrap_or_else(|TooMany { coarser }| {
        let reason =
            format!("that would be more than {POINTS} points; ask for less time, or give the step `{coarser}`");
        query.fail("step", step.name(), reason);
        Vec::new()
    });
    query.finish()?;
    let times_s = Arc::new(times_s);
    let asked_times_s = Arc::clone(&times_s);
    let series = ask(&api, asked, move |stats, subject| stats.series(subject, &asked_times_s)).await?;
    Ok(answer::json(StatusCode::OK, &ClickSeries::of(&series, &times_s, step, &when)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;
    use serde_json::json;

    #[test]
    fn counts_are_told_by_class() {
        let when = When { range: TimeRange { from_s: 0, to_s: 86_400 }, zone: TimeZone::UTC };
        let totals = ClickTotals::of(&Counts([4, 3, 2, 1]), Granularity::Quarter, &when);
        assert_eq!(
            serde_json::to_value(&totals).unwrap(),
            json!({"from": "1970-01-01T00:00:00Z", "to": "1970-01-02T00:00:00Z", "human": 4, "bot": 3, "preview": 2,
                "head": 1, "total": 10, "granularity": "quarter"})
        );
    }

    #[test]
    fn points_begin_at_times_of_the_zone() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let when = When { range: TimeRange { from_s: 82_800, to_s: 100_000 }, zone };
        let times_s = Step::Day.times(when.range, &when.zone).unwrap();
        let series = Series {
            points: vec![Point { start_s: times_s[0], counts: Counts([1, 0, 0, 0]) }],
            granularity: Granularity::Minute,
        };
        let json = serde_json::to_value(ClickSeries::of(&series, &times_s, Step::Day, &when)).unwrap();
        assert_eq!(
            (&json["from"], &json["to"], &json["zone"], &json["step"]),
            (
                &json!("1970-01-02T00:00:00+01:00"),
                &json!("1970-01-03T00:00:00+01:00"),
                &json!("Europe/Berlin"),
                &json!("day")
            )
        );
        assert_eq!(
            json["points"],
            json!([{"start": "1970-01-02T00:00:00+01:00", "human": 1, "bot": 0, "preview": 0, "head": 0}])
        );
    }
}
