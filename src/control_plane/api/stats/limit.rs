//! How many entries an answer has.

use utoipa::IntoParams;

use super::super::parameters::InQuery;

/// Most values or links of an answer.
const ENTRIES: usize = 100;

/// How many there are unless told otherwise.
const USUAL_ENTRIES: usize = 10;

/// How many.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it only describes")]
pub(super) struct LimitParameter {
    /// Most entries of the answer [default: 10]
    #[param(minimum = 1, maximum = 100, required = false, nullable = false)]
    limit: u32,
}

/// `limit`, within its bounds. What is wrong with it is said by `query`.
pub(super) fn read(query: &mut InQuery) -> usize {
    let limit = query.parse("limit", |text| {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let limit = text.parse::<usize>().ok().filter(|limit| is_number && (1..=ENTRIES).contains(limit));
        limit.ok_or_else(|| format!("a number from 1 to {ENTRIES} is expected"))
    });
    limit.unwrap_or(USUAL_ENTRIES)
}
