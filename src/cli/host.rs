//! `carom host`: what is set for hosts.

use anyhow::Result;
use clap::{Args, Subcommand, ValueHint};
use serde_json::{Map, Value};

use super::client::{List, PlaceArguments, Problem, Purpose, Request};
use super::link::status_parser;
use super::table::PagedTable;
use super::{Exit, exit, misused, text};
use crate::limits::{CODE_CHARACTERS_MAX, CODE_CHARACTERS_MIN};
use crate::link::{HostSettings, Percent, QueryPolicy, UnknownHosts};

/// Read and change what is set for hosts: codes, queries, caching, fallbacks, allowed targets
#[derive(Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(after_help = exit::HELP)]
    List(ListArguments),
    #[command(after_help = exit::HELP)]
    Get(GetArguments),
    #[command(after_help = exit::HELP)]
    Set(Box<SetArguments>),
    #[command(after_help = exit::HELP)]
    Rm(RemoveArguments),
}

/// List the hosts that have settings
#[derive(Args)]
struct ListArguments {
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print the API's JSON, a line for each host
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Show what is set for a host
#[derive(Args)]
struct GetArguments {
    /// The host; `*` is any
    host: String,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Set something for a host; what is not named stays as it is
#[derive(Args)]
struct SetArguments {
    /// The host; `*` is any
    host: String,
    #[command(flatten)]
    settings: Settings,
    /// Give this its default again; may be given several times
    #[arg(long, value_name = "FIELD", value_parser = SETTINGS)]
    clear: Vec<String>,
    /// Only if the settings have this version
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Take all settings of a host away; its links stay
#[derive(Args)]
struct RemoveArguments {
    /// The host; `*` is any
    host: String,
    /// Only if the settings have this version
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    #[command(flatten)]
    place: PlaceArguments,
}

/// What else can be done about a version that they do not have any more.
const VERSION: (&str, &str) = ("version-mismatch", "look at what was changed with `carom host get`");

/// The settings, as `--clear` has them. Those of the API have `_` for `-`.
const SETTINGS: [&str; 17] = [
    "default-status",
    "query-policy",
    "ignore-case",
    "ignore-trailing-slash",
    "permanent-cache-control",
    "temporary-cache-control",
    "cache-jitter-percent",
    "fallback",
    "not-found-target",
    "code-length",
    "code-alphabet",
    "referrer-policy",
    "robots-tag",
    "allow-userinfo",
    "allowed-targets",
    "denied-targets",
    "unknown-hosts",
];

fn code_length_parser() -> impl clap::builder::TypedValueParser<Value = u8> {
    clap::value_parser!(u8).range(i64::from(CODE_CHARACTERS_MIN)..=i64::from(CODE_CHARACTERS_MAX))
}

#[derive(Args)]
struct Settings {
    /// The status of new links that are given none
    #[arg(long, value_name = "N", value_parser = status_parser())]
    default_status: Option<u16>,
    /// What becomes of the query of requests, where the link does not say
    #[arg(long, value_name = "POLICY", value_parser = QueryPolicy::ALL.map(QueryPolicy::name))]
    query_policy: Option<String>,
    /// Whether a path that no link has is looked up in lower case
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ignore_case: Option<bool>,
    /// Whether a path that no link has is looked up without the slashes at its end
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ignore_trailing_slash: Option<bool>,
    /// How long 301, 308 and 410 may be kept, such as `public, max-age=86400`
    #[arg(long, value_name = "VALUE")]
    permanent_cache_control: Option<String>,
    /// How long 302, 303 and 307 may be kept, such as `private, max-age=90`
    #[arg(long, value_name = "VALUE")]
    temporary_cache_control: Option<String>,
    /// By up to how many percent a max-age is lowered, so that caches do not expire together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=i64::from(Percent::MOST.get())))]
    cache_jitter_percent: Option<u8>,
    /// Where requests are sent that no link answers; their path and query are appended
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    fallback: Option<String>,
    /// Where requests are sent instead of a 404
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    not_found_target: Option<String>,
    /// How many characters generated codes have
    #[arg(long, value_name = "N", value_parser = code_length_parser())]
    code_length: Option<u8>,
    /// What generated codes are made of: each character once
    #[arg(long, value_name = "CHARACTERS", allow_hyphen_values = true)]
    code_alphabet: Option<String>,
    /// The field `Referrer-Policy` of redirects
    #[arg(long, value_name = "POLICY")]
    referrer_policy: Option<String>,
    /// The field `X-Robots-Tag` of redirects, such as `noindex`
    #[arg(long, value_name = "VALUE")]
    robots_tag: Option<String>,
    /// Whether targets may hold a user name and a password
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_userinfo: Option<bool>,
    /// A host that targets may have, or `*.` and a host for all below it; may be given several times, and those that
    /// are given are the only ones
    #[arg(long = "allowed-target", value_name = "HOST")]
    allowed_targets: Vec<String>,
    /// A host that targets may not have, or `*.` and a host; may be given several times
    #[arg(long = "denied-target", value_name = "HOST")]
    denied_targets: Vec<String>,
    /// Only for `*`: whether links of any host are served to requests for hosts that have no settings
    #[arg(long, value_name = "HOW", value_parser = UnknownHosts::ALL.map(UnknownHosts::name))]
    unknown_hosts: Option<String>,
}

impl Settings {
    /// What was given, as the API takes it.
    fn object(&self) -> Map<String, Value> {
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let list = |list: &Vec<String>| Some(Value::from(list.clone())).filter(|_| !list.is_empty());
        let values = [
            self.default_status.map(Value::from),
            text(&self.query_policy),
            self.ignore_case.map(Value::from),
            self.ignore_trailing_slash.map(Value::from),
            text(&self.permanent_cache_control),
            text(&self.temporary_cache_control),
            self.cache_jitter_percent.map(Value::from),
            text(&self.fallback),
            text(&self.not_found_target),
            self.code_length.map(Value::from),
            text(&self.code_alphabet),
            text(&self.referrer_policy),
            text(&self.robots_tag),
            self.allow_userinfo.map(Value::from),
            list(&self.allowed_targets),
            list(&self.denied_targets),
            text(&self.unknown_hosts),
        ];
        let given = SETTINGS.into_iter().zip(values);
        given.filter_map(|(name, value)| Some((name.replace('-', "_"), value?))).collect()
    }
}

/// Does what is asked.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    match &arguments.command {
        Command::List(arguments) => list(arguments),
        Command::Get(GetArguments { host, json, place }) => {
            let answer = place.with(Purpose::Read, |client| client.ask(Request::get(&["hosts", host])))?;
            print(&answer, *json)
        }
        Command::Set(arguments) => set(arguments),
        Command::Rm(RemoveArguments { host, if_version, place }) => {
            let request = Request::delete(&["hosts", host]).if_version(*if_version);
            let removed = place.with(Purpose::Read, |client| client.ask(request));
            removed.map_err(|error| Problem::with_way_out(error, &[VERSION]))?;
            text::say!("removed the settings of {host}");
            Ok(Exit::Done)
        }
    }
}

fn list(arguments: &ListArguments) -> Result<Exit> {
    let ListArguments { limit, json, place } = arguments;
    let mut table = PagedTable::new(&["host", "settings", "version"]);
    place.with(Purpose::Read, |client| {
        client.pages(
            &List::new("hosts"),
            |_| Request::get(&["hosts"]),
            *limit,
            |page| {
                if *json {
                    return page.lines().try_for_each(text::line);
                }
                let hosts: Vec<Map<String, Value>> = page.read()?;
                table.print(hosts.iter().map(row).collect())
            },
        )
    })?;
    Ok(Exit::Done)
}

/// What tells hosts apart: settings that differ from their defaults.
fn row(host: &Map<String, Value>) -> Vec<String> {
    let set: Vec<String> = SETTINGS
        .iter()
        .filter_map(|name| {
            let value = host.get(&name.replace('-', "_"))?;
            (*value != default(name)).then(|| format!("{name}={}", shown(value)))
        })
        .collect();
    let value = |name: &str| host.get(name).map(shown).unwrap_or_default();
    vec![value("host"), set.join(" "), value("version")]
}

/// What a setting says where it is not set, as the API has it.
fn default(name: &str) -> Value {
    let defaults = HostSettings::default();
    match name {
        "default-status" => defaults.default_status.code().into(),
        "query-policy" => defaults.query_policy.name().into(),
        "cache-jitter-percent" => defaults.cache_jitter.get().into(),
        "code-length" => defaults.code_length.get().into(),
        "code-alphabet" => defaults.code_alphabet.as_str().into(),
        "unknown-hosts" => defaults.unknown_hosts.name().into(),
        "ignore-case" | "ignore-trailing-slash" | "allow-userinfo" => false.into(),
        "allowed-targets" | "denied-targets" => Value::Array(Vec::new()),
        _ => Value::Null,
    }
}

fn set(arguments: &SetArguments) -> Result<Exit> {
    let SetArguments { host, settings, clear, if_version, json, place } = arguments;
    let mut object = settings.object();
    for name in clear {
        if object.insert(name.replace('-', "_"), Value::Null).is_some() {
            return Ok(misused(&format!("--clear {name} and a value for it can't both be meant")));
        }
    }
    if object.is_empty() {
        return Ok(misused(&"there is nothing to change; name what is to be set or cleared"));
    }
    let answer = place.with(Purpose::Write, |client| {
        let patch = || Request::patch(&["hosts", host], object.clone()).if_version(*if_version);
        match client.ask(patch()) {
            Err(error) if if_version.is_none() && has_status(&error, 404) => {
                match client.ask(Request::put(&["hosts", host], object.clone()).if_absent()) {
                    // Somebody else was first: what they set stays.
                    Err(error) if has_status(&error, 412) => client.ask(patch()),
                    answered => answered,
                }
            }
            answered => answered,
        }
    });
    print(&answer.map_err(|error| Problem::with_way_out(error, &[VERSION]))?, *json)
}

fn has_status(error: &anyhow::Error, status: u16) -> bool {
    error.downcast_ref::<Problem>().is_some_and(|problem| problem.status == status)
}

fn print(answer: &super::client::Answer, json: bool) -> Result<Exit> {
    if json {
        text::line(&answer.json()?)?;
        return Ok(Exit::Done);
    }
    let host: Map<String, Value> = answer.read()?;
    let names = ["host"].into_iter().chain(SETTINGS).chain(["created-at", "updated-at", "version"]);
    for name in names {
        if let Some(value) = host.get(&name.replace('-', "_")) {
            text::line(&format!("{:<25}{}", format!("{name}:"), shown(value)))?;
        }
    }
    Ok(Exit::Done)
}

/// A value for people.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => "-".to_owned(),
        Value::Array(list) => list.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Arguments as All, Command as AnyCommand};
    use clap::Parser;

    #[test]
    fn what_is_given_becomes_the_fields_of_the_api() {
        let words = "carom host set go.example --ignore-case --allow-userinfo=false --code-length 6 --allowed-target \
                     a.example --allowed-target *.b.example --unknown-hosts not_found";
        let AnyCommand::Host(Arguments { command: Command::Set(set) }) =
            All::try_parse_from(words.split_whitespace()).unwrap().command
        else {
            panic!("not host set")
        };
        let expected = r#"{"allow_userinfo":false,"allowed_targets":["a.example","*.b.example"],"code_length":6,"ignore_case":true,"unknown_hosts":"not_found"}"#;
        assert_eq!(Value::Object(set.settings.object()).to_string(), expected);
    }
}
