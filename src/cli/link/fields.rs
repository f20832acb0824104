//! What can be said of a link in arguments, and the same as the API takes it.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueHint};
use serde_json::{Map, Value};

use crate::link::{Chains, QueryPolicy};

/// Most clicks that a link may be answered: what every reader of JSON takes for the same number (RFC 8259 §6).
const MAX_CLICKS: u64 = (1 << 53) - 1;

/// What else can be done about a target that leads to another link.
pub(super) const CHAIN: (&str, &str) =
    ("chain", "`--chains flatten` takes the target at its end, `--chains allow` takes it as it is");

/// What else can be done about a version that it does not have any more.
pub(super) const VERSION: (&str, &str) = ("version-mismatch", "look at what was changed with `carom link get`");

/// Reads one of the statuses that there are.
pub(in crate::cli) fn status_parser() -> impl TypedValueParser<Value = u16> {
    PossibleValuesParser::new(STATUSES).map(|code| code.parse().expect("the statuses are numbers"))
}

/// The statuses of links.
const STATUSES: [&str; 6] = ["301", "302", "303", "307", "308", "410"];

/// What a link says beside its target.
#[derive(Args)]
pub(super) struct Fields {
    /// 301, 302, 303, 307, 308, or 410 for what is gone, which has no target [default: what its host says; 302 unless
    /// that is set]
    #[arg(long, value_name = "N", value_parser = status_parser())]
    status: Option<u16>,
    /// What becomes of a request's query [default: what its host says]
    #[arg(long, value_name = "POLICY", value_parser = QueryPolicy::ALL.map(QueryPolicy::name))]
    query_policy: Option<String>,
    /// From when on it is answered, such as 2030-01-31T08:00:00Z
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
    /// From when on it is not answered any more
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// How many clicks by people it is answered; programs and HEAD take none
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_CLICKS))]
    max_clicks: Option<u64>,
    /// Where requests are sent once it has expired or its clicks are used up [default: nowhere, 410]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    expired_target: Option<String>,
    /// How long its answer may be kept, such as `no-store` or `public, max-age=60` [default: what its host says]
    #[arg(long, value_name = "VALUE")]
    cache_control: Option<String>,
    /// A tag, by which links are grouped; may be given several times, and those that are given are all that it has
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// What it is called
    #[arg(long)]
    title: Option<String>,
    /// What there is to say about it
    #[arg(long)]
    note: Option<String>,
    /// Answer as if it were not there; `--disabled=false` for it to be answered again
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disabled: Option<bool>,
    /// Count its clicks and keep no details or visitors of them; `--untracked=false` for them to be kept again
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    untracked: Option<bool>,
    /// What is done with a target that leads to another link [default: refuse]
    #[arg(long, value_name = "HOW", value_parser = Chains::ALL.map(Chains::name))]
    pub(super) chains: Option<String>,
}

impl Fields {
    /// What was given.
    pub(super) fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let given = [
            ("status", self.status.map(Value::from)),
            ("query_policy", text(&self.query_policy)),
            ("not_before", text(&self.not_before)),
            ("expires_at", text(&self.expires_at)),
            ("max_clicks", self.max_clicks.map(Value::from)),
            ("expired_target", text(&self.expired_target)),
            ("cache_control", text(&self.cache_control)),
            ("tags", Some(Value::from(self.tags.clone())).filter(|_| !self.tags.is_empty())),
            ("title", text(&self.title)),
            ("note", text(&self.note)),
            ("disabled", self.disabled.map(Value::from)),
            ("untracked", self.untracked.map(Value::from)),
        ];
        object.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        object
    }
}

/// What of a link can be cleared, as arguments have it.
pub(super) const CLEARED: [&str; 10] = [
    "status",
    "query-policy",
    "not-before",
    "expires-at",
    "max-clicks",
    "expired-target",
    "cache-control",
    "tags",
    "title",
    "note",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Status;

    #[test]
    fn the_statuses_are_those_of_links() {
        assert_eq!(STATUSES.map(str::to_owned), Status::ALL.map(|status| status.code().to_string()));
    }
}
