//! How many people clicked.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Api;
use super::super::answer::{self, Answer};
use super::super::caller::Caller;
use super::super::parameters::InQuery;
use super::super::problem::Problem;
use super::ask;
use super::subject::{self, SubjectParameters};
use super::when::{self, WhenParameters};
use crate::clicks::Uniques;

/// How many different people clicked.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct ClickUniques {
    /// About how many.
    #[schema(minimum = 0)]
    estimate: u64,
    /// 95 % of the time not fewer.
    #[schema(minimum = 0)]
    lower: u64,
    /// 95 % of the time not more.
    #[schema(minimum = 0)]
    upper: u64,
    /// From when on: days in UTC, or months where no more is kept.
    #[schema(format = "date-time")]
    from: String,
    /// Up to when; it is not in it any more.
    #[schema(format = "date-time")]
    to: String,
}

impl ClickUniques {
    fn of(uniques: &Uniques) -> Self {
        let Uniques { estimate, lower, upper, range } = uniques;
        // Numbers of people are far below where this would be cut.
        let whole = |number: f64| number.round().max(0.0) as u64;
        let estimate = whole(*estimate);
        ClickUniques {
            estimate,
            lower: whole(*lower).min(estimate),
            upper: whole(*upper).max(estimate),
            from: when::text(range.from_s, &TimeZone::UTC),
            to: when::text(range.to_s, &TimeZone::UTC),
        }
    }
}

/// How many people clicked
///
/// The different people of each UTC day, added up: who comes back on another day counts again, for after a day nobody can be
/// recognised. The range is widened to whole days.
#[utoipa::path(
    get, path = "/v1/stats/uniques", tag = "stats", operation_id = "getUniqueVisitors",
    params(SubjectParameters, WhenParameters),
    responses(
        (status = 200, description = "How many", body = ClickUniques),
        (status = 404, description = "There is no such link", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Clicks are not counted", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn uniques(State(api): State<Arc<Api>>, caller: Caller, mut query: InQuery) -> Answer {
    let asked = subject::read(&mut query, &caller, true)?;
    let range = when::read(&mut query, &api).await.range;
    query.finish()?;
    let uniques = ask(&api, asked, move |stats, subject| stats.uniques(subject, range)).await?;
    Ok(answer::json(StatusCode::OK, &ClickUniques::of(&uniques)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clicks::TimeRange;

    #[test]
    fn people_are_whole_and_within_their_bounds() {
        let uniques = |estimate, lower, upper| {
            ClickUniques::of(&Uniques { estimate, lower, upper, range: TimeRange { from_s: 0, to_s: 86_400 } })
        };
        let some = uniques(10.4, 9.6, 11.2);
        assert_eq!((some.estimate, some.lower, some.upper), (10, 10, 11));
        let none = uniques(0.0, -1.0, 0.0);
        assert_eq!((none.estimate, none.lower, none.upper, none.to.as_str()), (0, 0, 0, "1970-01-02T00:00:00Z"));
    }
}
