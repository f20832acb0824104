//! What can be said of a link in arguments, and the same as the API takes it.

use clap::Args;
use serde_json::{Map, Value};

use crate::link::{Chains, QueryPolicy};

/// What a link says beside its target.
#[derive(Args)]
pub(super) struct Fields {
    /// 301, 302, 303, 307, 308, or 410 for what is gone, which has no target [default: what its host says; 302 unless
    /// that is set]
    #[arg(long, value_name = "N")]
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
    #[arg(long, value_name = "N")]
    max_clicks: Option<u64>,
    /// Where requests are sent once it has expired or its clicks are used up [default: nowhere, 410]
    #[arg(long, value_name = "URL")]
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
