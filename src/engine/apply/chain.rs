//! Targets that lead to other links.

use std::sync::Arc;

use super::{Rules, State};
use crate::limits::CHAIN_LINKS;
use crate::link::{
    Chains, Destination, Folding, Host, HostRecord, HostSettings, Link, LinkKey, LinkOptions, QueryPolicy, Refusal,
    Target,
};
use crate::store::StoreError;

/// A link that is being changed, and the rules by which that is judged.
pub(super) struct Judge<'a, S> {
    pub(super) state: &'a S,
    pub(super) key: &'a LinkKey,
    pub(super) rules: Rules,
    /// Whether it was judged before, with the source that the link was given with, whether the target is the link itself:
    /// only that tells the scheme and the port that the link is for.
    pub(super) is_source_judged: bool,
}

impl<S: State> Judge<'_, S> {
    /// Looks whether the target of the link leads to another one, and does with it what was asked for.
    ///
    /// A target is taken to lead to a link if that is keyed with the target's own host, or with any host and the target's
    /// host has settings: of other hosts nobody can tell whether they are served here. An end that the link's host may
    /// not lead to does not take the place of the target, nor does one behind a link that leads there only sometimes.
    ///
    /// # Errors
    /// If the state can't be read.
    pub(super) fn target(
        &self,
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
            let Some(step) = self.next(&target)? else { break End::Elsewhere };
            let (through, link) = match step {
                Step::Itself => (self.key.clone(), None),
                Step::To(link) => (link.key.clone(), Some(link)),
            };
            let first = &*first.get_or_insert_with(|| through.clone());
            if link.is_none() && passed.is_empty() && self.is_another_server(&target) {
                break End::Gone;
            }
            // The same of a link on the way.
            if passed.last() == Some(&through) && self.is_another_server(&target) {
                break End::Gone;
            }
            let Some(link) = link.filter(|_| !passed.contains(&through)) else {
                return Ok(Err(self.leads_back_through(first)));
            };
            passed.push(through);
            is_certain &= self.is_unconditional(&link, &target)?;
            match link.destination.target() {
                Some(next) if passed.len() < CHAIN_LINKS => target = self.followed(&target, next),
                // It may lead back, further on.
                Some(_) => break End::TooFar,
                None => break End::Gone,
            }
        };
        let Some(through) = first else { return Ok(Ok(())) };
        if self.rules == Rules::From4
            && let Some(target) = destination.target()
            && through != *self.key
            && self.may_lead_back(target)?
        {
            return Ok(Err(self.leads_back_through(&through)));
        }
        let is_at_end = end == End::Elsewhere && is_certain;
        match chains {
            Chains::Allow if end != End::TooFar => Ok(Ok(())),
            Chains::Flatten if is_at_end && self.may_be_led_to(&target)? => {
                *destination = Destination::new(destination.status(), Some(target)).expect("it had a target before");
                Ok(Ok(()))
            }
            _ => Ok(Err(Refusal::Chain { key: self.key.clone(), through })),
        }
    }

    /// Looks whether the link leads back to itself once it is over.
    ///
    /// # Errors
    /// If the state can't be read.
    pub(super) fn expired_target(&self, target: &Target) -> Result<Result<(), Refusal>, StoreError> {
        let leads_back = match self.rules {
            Rules::UpTo2 => matches!(self.next(target)?, Some(Step::Itself)),
            Rules::From4 => self.may_lead_back(target)?,
        };
        Ok(if leads_back { Err(self.leads_back_through(self.key)) } else { Ok(()) })
    }

    fn leads_back_through(&self, through: &LinkKey) -> Refusal {
        Refusal::Loop { key: self.key.clone(), through: through.clone() }
    }

    /// Whether a target leads to the link, now or once a link on the way is over, as far as links are followed.
    fn may_lead_back(&self, target: &Target) -> Result<bool, StoreError> {
        let mut ahead = vec![target.clone()];
        let mut passed = Vec::new();
        while let Some(target) = ahead.pop() {
            let link = match self.next(&target)? {
                None => continue,
                Some(Step::Itself) => return Ok(true),
                Some(Step::To(link)) => link,
            };
            if passed.len() == CHAIN_LINKS || passed.contains(&link.key) {
                continue;
            }
            ahead.extend(link.options.expired_target);
            ahead.extend(link.destination.target().cloned());
            passed.push(link.key);
        }
        Ok(false)
    }

    /// Whether what has the host and path of the link may be on another server yet: keys have no scheme and no port.
    fn is_another_server(&self, target: &Target) -> bool {
        self.rules == Rules::From4 && (self.is_source_judged || !target.is_plain_http())
    }

    /// Where who follows one target is sent next. A browser keeps the fragment unless it gets another one
    /// (RFC 9110 §10.2.2).
    fn followed(&self, target: &Target, next: &Target) -> Target {
        match self.rules {
            Rules::UpTo2 => next.clone(),
            Rules::From4 => next.with_fragment_of(target),
        }
    }

    /// Whether a link leads everybody who follows this target to its own, always: only then may that take its place.
    fn is_unconditional(&self, link: &Link, followed: &Target) -> Result<bool, StoreError> {
        let LinkOptions { query_policy, not_before_ms, expires_at_ms, max_clicks, is_disabled, .. } = &link.options;
        let of_host = || match self.rules {
            Rules::UpTo2 => self.settings_of(link.key.host()),
            // That of the request, as with any answer.
            Rules::From4 => {
                let asked = followed.link_keys();
                let own = asked.first().map(|key| self.settings_of(key.host())).transpose()?.flatten();
                Ok(own.or(self.settings_of(Host::ANY)?))
            }
        };
        let query_policy = match query_policy {
            Some(query_policy) => *query_policy,
            None => of_host()?.map_or(QueryPolicy::Drop, |host| host.settings.query_policy),
        };
        let is_limited = not_before_ms.is_some() || expires_at_ms.is_some() || max_clicks.is_some() || *is_disabled;
        Ok(query_policy == QueryPolicy::Drop && !is_limited)
    }

    fn settings_of(&self, host: &str) -> Result<Option<Arc<HostRecord>>, StoreError> {
        self.state.host(host)
    }

    /// Whether the link may lead to a target that nobody judged as one of its host: that of another link.
    fn may_be_led_to(&self, target: &Target) -> Result<bool, StoreError> {
        let any = self.settings_of(Host::ANY)?;
        let (own, usual) = (self.settings_of(self.key.host())?, HostSettings::default());
        let any = any.as_ref().map(|any| &any.settings);
        let settings = own.as_ref().map(|own| &own.settings).or(any).unwrap_or(&usual);
        Ok(match self.rules {
            Rules::UpTo2 => settings.judge_target_as_named(target, any).is_ok(),
            Rules::From4 => settings.judge_target(target, any).is_ok(),
        })
    }

    /// The link that answers a request for the target, as [`resolve`](crate::engine::resolve()) finds it.
    fn next(&self, target: &Target) -> Result<Option<Step>, StoreError> {
        let keys = target.link_keys();
        let Some(host) = keys.first().map(LinkKey::host) else { return Ok(None) };
        let folding = |host: &str| Ok(self.settings_of(host)?.map(|host| host.settings.folding()));
        let own = folding(host)?;
        let mut asked = with_folded(&keys, own);
        if own.is_some() {
            let on_any: Vec<LinkKey> = keys.iter().map(LinkKey::on_any_host).collect();
            asked.extend(with_folded(&on_any, folding(Host::ANY)?));
        }
        for asked in &asked {
            if asked == self.key {
                return Ok(Some(Step::Itself));
            }
            if let Some(link) = self.state.entry(asked.as_str())?.link {
                return Ok(Some(Step::To(Box::new(link))));
            }
        }
        Ok(None)
    }
}

/// Where a chain ends.
#[derive(PartialEq, Eq)]
enum End {
    /// At what is no link of this server.
    Elsewhere,
    /// At a 410, or perhaps at another server of the same host.
    Gone,
    /// Behind more links than are followed.
    TooFar,
}

/// Where a target leads.
enum Step {
    /// To the link that is being changed.
    Itself,
    /// To another one.
    To(Box<Link>),
}

/// The keys as they are, and then as the host keeps them.
fn with_folded(keys: &[LinkKey], folding: Option<Folding>) -> Vec<LinkKey> {
    let folded = folding.into_iter().flat_map(|folding| keys.iter().filter_map(move |key| key.folded(folding)));
    keys.iter().cloned().chain(folded).collect()
}
