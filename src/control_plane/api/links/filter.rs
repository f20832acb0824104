//! Which links a list or an export holds.

use utoipa::IntoParams;

use super::super::caller::Caller;
use super::super::parameters::InQuery;
use super::super::problem::{Problem, quoted};
use super::super::time;
use super::model::StateJson;
use super::texts::TagJson;
use crate::engine::LinkFilter;
use crate::limits::LINK_KEY_BYTES;
use crate::link::{Host, LinkState, Scope, Tag};

/// Longest text that links are searched for, in bytes.
const TEXT_BYTES: usize = 256;

/// Which links. All that is given must hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it only describes")]
pub(crate) struct FilterParameters {
    /// Of this host; `*` is those of any host
    #[param(min_length = 1, required = false, nullable = false, example = "go.example")]
    host: String,
    /// With a path and query that begin like this; in any case, if the host ignores that and is named
    #[param(max_length = 2048, required = false, nullable = false, example = "/spring")]
    path_prefix: String,
    /// With this tag
    #[param(inline, required = false, nullable = false)]
    tag: TagJson,
    /// With this text in target or title; upper and lower case of ASCII are the same. What is not ASCII is found as URLs have
    /// it, too: percent-encoded, or as the punycode of a whole label of a host. No index helps: all links that host, path and
    /// tag leave are read
    #[param(min_length = 1, max_length = 256, required = false, nullable = false)]
    text: String,
    /// That stand like this at the moment
    #[param(inline, required = false, nullable = false)]
    state: StateJson,
    /// Created at this time or later
    #[param(format = DateTime, required = false, nullable = false)]
    created_from: String,
    /// Created before this time
    #[param(format = DateTime, required = false, nullable = false)]
    created_to: String,
}

/// Reads a filter. A token that is restricted to hosts sees no others.
///
/// # Errors
/// 403 if the token may not read, or not that host. What is wrong with the parameters is said by `query`.
pub(crate) fn read(query: &mut InQuery, caller: &Caller) -> Result<LinkFilter, Problem> {
    caller.require(Scope::Read)?;
    let host = query.parse("host", Host::parse);
    if let Some(host) = &host {
        caller.require_for(Scope::Read, host.as_str())?;
    }
    Ok(LinkFilter {
        host,
        path_prefix: query.parse("path_prefix", |text| match text.len() {
            ..=LINK_KEY_BYTES => Ok(text.to_owned()),
            bytes => Err(format!("it has {bytes} bytes; no key has more than {LINK_KEY_BYTES}")),
        }),
        tag: query.parse("tag", Tag::parse),
        text: query.parse("text", |text| match text.len() {
            1..=TEXT_BYTES => Ok(text.to_owned()),
            bytes => Err(format!("it has {bytes} bytes; 1 to {TEXT_BYTES} are expected")),
        }),
        state: query.parse("state", |text| {
            let names = LinkState::ALL.map(LinkState::name).join(", ");
            LinkState::from_name(text).ok_or_else(|| format!("{} is none of {names}", quoted(text)))
        }),
        created_from_ms: query.parse("created_from", time::parse),
        created_to_ms: query.parse("created_to", time::parse),
        hosts: caller.hosts().unwrap_or_default().to_vec(),
    })
}
