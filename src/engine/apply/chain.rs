//! Targets that lead to other links.

use super::State;
use crate::limits::CHAIN_LINKS;
use crate::link::{
    Chains, Destination, Folding, Host, HostSettings, Link, LinkKey, LinkOptions, QueryPolicy, Refusal, Target,
};
use crate::store::StoreError;

/// Looks whether the target of a link leads to another one, and does with it what was asked for.
///
/// A target is taken to lead to a link if that is keyed with the target's own host, or with any host and the target's
/// host has settings: of other hosts nobody can tell whether they are served here. An end that the link's host may not
/// lead to does not take the place of the target, nor does one behind a link that leads there only sometimes.
///
/// # Errors
/// If the state can't be read.
pub(super) fn judge(
    state: &impl State,
    key: &LinkKey,
    destination: &mut Destination,
    chains: Chains,
) -> Result<Result<(), Refusal>, StoreError> {
    let Some(target) = destination.target() else { return Ok(Ok(())) };
    let mut target = target.clone();
    let mut first = None;
    let mut passed = Vec::new();
    // Whether whoever follows the target ends up where the last link leads, today and later.
    let mut is_certain = true;
    let end = loop {
        let Some(step) = next(state, key, &target)? else { break End::Elsewhere };
        let (through, link) = match step {
            Step::Itself => (key.clone(), None),
            Step::To(link) => (link.key.clone(), Some(link)),
        };
        let first = &*first.get_or_insert_with(|| through.clone());
        let Some(link) = link.filter(|_| !passed.contains(&through)) else {
            return Ok(Err(Refusal::Loop { key: key.clone(), through: first.clone() }));
        };
        passed.push(through);
        is_certain &= is_unconditional(state, &link)?;
        match link.destination.target() {
            Some(next) if passed.len() < CHAIN_LINKS => target = next.clone(),
            // It may lead back, further on.
            Some(_) => break End::TooFar,
            None => break End::Gone,
        }
    };
    let is_at_end = end == End::Elsewhere && is_certain;
    match (first, chains) {
        (None, _) => Ok(Ok(())),
        (Some(_), Chains::Allow) if end != End::TooFar => Ok(Ok(())),
        (Some(_), Chains::Flatten) if is_at_end && may_lead_to(state, key.host(), &target)? => {
            *destination = Destination::new(destination.status(), Some(target)).expect("it had a target before");
            Ok(Ok(()))
        }
        (Some(through), _) => Ok(Err(Refusal::Chain { key: key.clone(), through })),
    }
}

/// Where a chain ends.
#[derive(PartialEq, Eq)]
enum End {
    /// At what is no link of this server.
    Elsewhere,
    /// At a 410.
    Gone,
    /// Behind more links than are followed.
    TooFar,
}

/// Whether a link leads everybody to its target, always: only then may that take its place.
fn is_unconditional(state: &impl State, link: &Link) -> Result<bool, StoreError> {
    let LinkOptions { query_policy, not_before_ms, expires_at_ms, max_clicks, is_disabled, .. } = &link.options;
    let of_host = || Ok(state.host(link.key.host())?.map_or(QueryPolicy::Drop, |host| host.settings.query_policy));
    let query_policy = query_policy.map_or_else(of_host, Ok)?;
    let is_limited = not_before_ms.is_some() || expires_at_ms.is_some() || max_clicks.is_some() || *is_disabled;
    Ok(query_policy == QueryPolicy::Drop && !is_limited)
}

/// Whether a target leads straight back to the link.
///
/// # Errors
/// If the state can't be read.
pub(super) fn leads_back(state: &impl State, key: &LinkKey, target: &Target) -> Result<bool, StoreError> {
    Ok(matches!(next(state, key, target)?, Some(Step::Itself)))
}

/// Whether links of a host may lead to a target that nobody judged as one of this host: that of another link.
fn may_lead_to(state: &impl State, host: &str, target: &Target) -> Result<bool, StoreError> {
    let any = state.host(Host::ANY)?;
    let (own, usual) = (state.host(host)?, HostSettings::default());
    let any = any.as_ref().map(|any| &any.settings);
    let settings = own.as_ref().map(|own| &own.settings).or(any).unwrap_or(&usual);
    Ok(settings.judge_target(target, any).is_ok())
}

/// Where a target leads.
enum Step {
    /// To the link that is being changed.
    Itself,
    /// To another one.
    To(Box<Link>),
}

/// The link that answers a request for the target, as [`resolve`](crate::engine::resolve()) finds it.
fn next(state: &impl State, key: &LinkKey, target: &Target) -> Result<Option<Step>, StoreError> {
    let keys = target.link_keys();
    let Some(host) = keys.first().map(LinkKey::host) else { return Ok(None) };
    let folding = |host: &str| Ok(state.host(host)?.map(|host| host.settings.folding()));
    let own = folding(host)?;
    let mut asked = with_folded(&keys, own);
    if own.is_some() {
        let on_any: Vec<LinkKey> = keys.iter().map(LinkKey::on_any_host).collect();
        asked.extend(with_folded(&on_any, folding(Host::ANY)?));
    }
    for asked in &asked {
        if asked == key {
            return Ok(Some(Step::Itself));
        }
        if let Some(link) = state.entry(asked.as_str())?.link {
            return Ok(Some(Step::To(Box::new(link))));
        }
    }
    Ok(None)
}

/// The keys as they are, and then as the host keeps them.
fn with_folded(keys: &[LinkKey], folding: Option<Folding>) -> Vec<LinkKey> {
    let folded = folding.into_iter().flat_map(|folding| keys.iter().filter_map(move |key| key.folded(folding)));
    keys.iter().cloned().chain(folded).collect()
}
