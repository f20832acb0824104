//! By what clicks differ.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::super::Api;
use super::super::answer::{self, Answer};
use super::super::caller::Caller;
use super::super::parameters::InQuery;
use super::super::problem::Problem;
use super::limit::{self, LimitParameter};
use super::subject::{self, SubjectParameters};
use super::when::{self, When, WhenParameters};
use super::{ask, one_of};
use crate::clicks::{Breakdown, Dimension, Share};

/// How many standard errors lie on each side of what holds 95 % of the time.
const DEVIATIONS: f64 = 1.96;

/// The dimensions, by their names.
const DIMENSIONS: [(&str, Dimension); 4] = [
    ("referrer", Dimension::Referrer),
    ("country", Dimension::Country),
    ("device", Dimension::Device),
    ("language", Dimension::Language),
];

/// By what.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it only describes")]
struct ByParameter {
    /// By what clicks are told apart
    #[param(inline)]
    by: DimensionJson,
}

/// By what clicks are told apart.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "it only describes")]
enum DimensionJson {
    Referrer,
    Country,
    Device,
    Language,
}

/// By what the clicks of people differ.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z", "by": "country",
    "shares": [{"value": "DE", "clicks": 6121, "share": 0.671, "sampling_error": 0.0124}],
    "total": 9120, "error": 0, "details": 5231
}))]
struct ClickBreakdown {
    /// From when on: whole days in UTC, or months where no more is kept.
    #[schema(format = "date-time")]
    from: String,
    /// Up to when; it is not in it any more.
    #[schema(format = "date-time")]
    to: String,
    /// By what clicks are told apart.
    #[schema(inline, value_type = DimensionJson)]
    by: &'static str,
    /// The most frequent first.
    #[schema(max_items = 100)]
    shares: Vec<ClickShare>,
    /// The clicks of all values, also of those that are not among them.
    #[schema(minimum = 0)]
    total: u64,
    /// Each number of clicks may be this much too low or too high because only the frequent values are kept, in addition to
    /// `sampling_error`.
    #[schema(minimum = 0)]
    error: u64,
    /// Of how many clicks details were kept.
    #[schema(minimum = 0)]
    details: u64,
}

/// One value.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct ClickShare {
    /// The value; null where it is not said or not known. Referring hosts, countries by ISO 3166-1, the devices `desktop`,
    /// `phone`, `tablet` and `other`, languages by RFC 5646.
    #[schema(required)]
    value: Option<String>,
    /// How many clicks by people.
    #[schema(minimum = 0)]
    clicks: u64,
    /// Which part of all values that is.
    #[schema(minimum = 0, maximum = 1)]
    share: f64,
    /// 95 % of the time `share` is not further off than this because details of some clicks were not kept, and others stand
    /// for them; 0 if those of all were kept.
    #[schema(minimum = 0)]
    sampling_error: f64,
}

/// 95 % of the time a share of `part` is not further off than this, of a `total` of clicks that is the sum of the weights of
/// details, whose squares have the sum `squares`.
///
/// A click that was kept with the probability 1/w and counts w times adds w - 1 to the variance of the sum (Horvitz and
/// Thompson, "A generalization of sampling without replacement from a finite universe", 1952), which over all clicks is
/// estimated by w² - w of each that was kept. The sum of all is estimated from the same details, so that of each its
/// distance to the share counts, p(1-p) on average (Särndal, Swensson and Wretman, Model Assisted Survey Sampling, §5.6).
fn sampling_error(part: f64, total: u64, squares: u64) -> f64 {
    if total == 0 {
        return 0.0;
    }
    // Each weight is at least 1, and its square is its own only where nothing was left out.
    let left_to_chance = squares.saturating_sub(total) as f64;
    DEVIATIONS * (part * (1.0 - part) * left_to_chance).sqrt() / total as f64
}

/// So many digits are more than can be known.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

impl ClickBreakdown {
    fn of(breakdown: Breakdown, dimension: Dimension, asked: &When) -> Self {
        let Breakdown { shares, total, error, details, squares, range } = breakdown;
        let share = |Share { value, clicks }: Share| {
            let part = if total == 0 { 0.0 } else { (clicks as f64 / total as f64).min(1.0) };
            ClickShare {
                value: Some(value).filter(|value| !value.is_empty()),
                clicks,
                share: rounded(part),
                sampling_error: rounded(sampling_error(part, total, squares)),
            }
        };
        let (from, to) = asked.texts(range);
        ClickBreakdown {
            from,
            to,
            by: DIMENSIONS.iter().find(|(_, known)| *known == dimension).map_or("", |(name, _)| name),
            shares: shares.into_iter().map(share).collect(),
            total,
            error,
            details,
        }
    }
}

/// By what clicks differ
///
/// The most frequent values of a dimension among the clicks of people, from the details that were kept, each with the number of
/// clicks that it stands for. When more is clicked than can be kept, details are a sample. They are kept by day, so that the
/// range is widened to whole days in UTC, or to months where no more is kept; `from` and `to` say to which.
#[utoipa::path(
    get, path = "/v1/stats/breakdown", tag = "stats", operation_id = "getClickBreakdown",
    params(SubjectParameters, WhenParameters, ByParameter, LimitParameter),
    responses(
        (status = 200, description = "The most frequent values", body = ClickBreakdown),
        (status = 404, description = "There is no such link", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Clicks are not counted", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn breakdown(State(api): State<Arc<Api>>, caller: Caller, mut query: InQuery) -> Answer {
    let asked = subject::read(&mut query, &caller, true)?;
    let when = when::read(&mut query, &api).await;
    let given = query.all("by");
    let dimension = match given.as_slice() {
        [text] => one_of("dimension", text, &DIMENSIONS).unwrap_or_else(|reason| {
            query.fail("by", text.as_str(), reason);
            Dimension::Referrer
        }),
        _ => {
            let names = DIMENSIONS.map(|(name, _)| name).join(", ");
            query.fail("by", serde_json::Value::Null, format!("has to be given once, as one of {names}"));
            Dimension::Referrer
        }
    };
    let limit = limit::read(&mut query);
    query.finish()?;
    let range = when.range;
    let breakdown = ask(&api, asked, move |stats, subject| stats.breakdown(subject, dimension, range, limit)).await?;
    Ok(answer::json(StatusCode::OK, &ClickBreakdown::of(breakdown, dimension, &when)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clicks::TimeRange;
    use jiff::tz::TimeZone;
    use serde_json::json;

    const DAY: TimeRange = TimeRange { from_s: 0, to_s: 86_400 };

    fn json_of(breakdown: Breakdown, when: &When) -> serde_json::Value {
        serde_json::to_value(ClickBreakdown::of(breakdown, Dimension::Country, when)).unwrap()
    }

    fn sampled() -> Breakdown {
        let share = |value: &str, clicks| Share { value: value.to_owned(), clicks };
        Breakdown {
            shares: vec![share("DE", 500_000), share("", 250_000)],
            total: 1_000_000,
            error: 7,
            details: 10_000,
            // Each for a hundred clicks.
            squares: 10_000 * 100 * 100,
            range: DAY,
        }
    }

    #[test]
    fn a_share_says_how_far_it_may_be_off() {
        let json = json_of(sampled(), &When { range: DAY, zone: TimeZone::UTC });
        assert_eq!((&json["by"], &json["error"], &json["details"]), (&json!("country"), &json!(7), &json!(10_000)));
        // 1.96 · √(0.5 · 0.5 · (10^8 - 10^6)) / 10^6
        assert_eq!(
            json["shares"][0],
            json!({"value": "DE", "clicks": 500_000, "share": 0.5, "sampling_error": 0.009751})
        );
        assert_eq!(json["shares"][1]["value"], json!(null));
    }

    #[test]
    fn a_range_that_was_widened_is_said_in_whole_days_of_utc() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let asked = json_of(sampled(), &When { range: DAY, zone: zone.clone() });
        assert_eq!(
            (&asked["from"], &asked["to"]),
            (&json!("1970-01-01T01:00:00+01:00"), &json!("1970-01-02T01:00:00+01:00"))
        );
        let widened = json_of(sampled(), &When { range: TimeRange { from_s: 3_600, to_s: 86_400 }, zone });
        assert_eq!(
            (&widened["from"], &widened["to"]),
            (&json!("1970-01-01T00:00:00Z"), &json!("1970-01-02T00:00:00Z"))
        );
    }

    #[test]
    fn nothing_is_left_to_chance_where_all_was_kept() {
        assert_eq!(sampling_error(0.5, 3, 3), 0.0);
        assert_eq!(sampling_error(0.0, 0, 0), 0.0);
        assert!(sampling_error(0.5, 1_000_000, 100_000_000) > sampling_error(0.5, 1_000_000, 10_000_000));
    }

    #[test]
    fn few_that_stand_for_many_count_for_more_than_many_that_stand_for_few() {
        // A hundred clicks: 50 for themselves, and one for 50. Or 50 for two each.
        let unequal = sampling_error(0.5, 100, 50 + 50 * 50);
        let equal = sampling_error(0.5, 100, 50 * 4);
        assert!((unequal - 1.96 * 0.5 * f64::sqrt(2_450.0) / 100.0).abs() < 1e-12, "{unequal}");
        assert!((equal - 0.098).abs() < 1e-12, "{equal}");
    }
}
