//! Of what is asked.

use utoipa::IntoParams;

use super::super::caller::Caller;
use super::super::links::TagJson;
use super::super::parameters::InQuery;
use super::super::problem::Problem;
use crate::clicks::Subject;
use crate::engine::Engine;
use crate::link::{Host, Link, LinkKey, Scope, Tag};

/// Of what. At most one of these; without any, of all links, which a token that is restricted to hosts may not ask.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it only describes")]
pub(super) struct SubjectParameters {
    /// Of this link, by its key
    #[param(min_length = 1, required = false, nullable = false, example = "go.example/spring")]
    key: String,
    /// Of the links on this host; `*` is those of any host
    #[param(min_length = 1, required = false, nullable = false)]
    host: String,
    /// Of the links that had this tag when they were clicked. Not for tokens that are restricted to hosts
    #[param(inline, required = false, nullable = false)]
    tag: TagJson,
}

/// Of what it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Of all links.
    All,
    /// Of those on a host.
    Host(Host),
    /// Of those with a tag.
    Tag(Tag),
    /// Of one.
    Link(LinkKey),
}

/// Reads it.
///
/// # Errors
/// 403 if the caller may not ask for that. What is wrong with the parameters is said by `query`.
pub(super) fn read(query: &mut InQuery, caller: &Caller, with_key: bool) -> Result<Asked, Problem> {
    caller.require(Scope::Read)?;
    let key = if with_key { query.parse("key", LinkKey::parse) } else { None };
    let host = query.parse("host", Host::parse);
    let tag = query.parse("tag", Tag::parse);
    if let Some(key) = &key {
        caller.require_for(Scope::Read, key.host())?;
    }
    if let Some(host) = &host {
        caller.require_for(Scope::Read, host.as_str())?;
    }
    let given = [key.map(Asked::Link), host.map(Asked::Host), tag.map(Asked::Tag)];
    let mut given = given.into_iter().flatten();
    let asked = given.next();
    if given.next().is_some() {
        let names = if with_key { "key, host and tag" } else { "host and tag" };
        query.fail("host", serde_json::Value::Null, format!("only one of {names} can be given"));
    }
    match asked {
        Some(asked @ (Asked::Link(_) | Asked::Host(_))) => Ok(asked),
        // Links of other hosts are among these.
        Some(Asked::Tag(_) | Asked::All) | None if caller.hosts().is_some() => Err(Problem::forbidden(
            "this token is restricted to hosts; name one of them with `host`, or one of their links with `key`",
        )),
        asked => Ok(asked.unwrap_or(Asked::All)),
    }
}

/// The link of a key. Blocks.
///
/// # Errors
/// 404 if there is none.
pub(super) fn link(engine: &Engine, key: &LinkKey) -> Result<Link, Problem> {
    engine.find_link(key)?.ok_or_else(|| Problem::not_found(format!("the link `{key}`")))
}

impl Asked {
    /// The same as it is counted. Blocks.
    ///
    /// # Errors
    /// 404 if there is no such link.
    pub(super) fn subject(&self, engine: &Engine) -> Result<Subject, Problem> {
        Ok(match self {
            Asked::All => Subject::All,
            Asked::Host(host) => Subject::Host(host.as_str().to_owned()),
            Asked::Tag(tag) => Subject::Tag(tag.as_str().to_owned()),
            Asked::Link(key) => Subject::Link(link(engine, key)?.id.0),
        })
    }
}
