//! Who asks, and what they may.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::Api;
use super::problem::{Kind, Problem, quoted};
use crate::clock::unix_time_ms;
use crate::engine::{SubmitError, Tables};
use crate::link::{Actor, Refusal, Scope, TokenRecord};

/// Who asks. As an extractor it answers 401 to who is not known.
#[derive(Clone)]
pub(crate) enum Caller {
    /// Whoever holds this token.
    Token(Arc<TokenRecord>),
    /// Whoever may open the data directory. Put into the request by who serves the connection.
    Local,
}

/// Where a connection comes from, put into the request by who serves it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return Ok(caller.clone());
        }
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
        let caller = api.gate.admit(&api.engine.tables(), &parts.headers, peer).map(Caller::Token)?;
        // For what is read of the request later: a body counts for its caller.
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

impl Caller {
    /// The name under which changes are made.
    pub(crate) fn actor(&self) -> Actor {
        match self {
            Caller::Token(token) => Actor::token(token.id),
            Caller::Local => Actor::local(),
        }
    }

    /// Demands that the token still holds: for what goes on long after it was let in.
    ///
    /// # Errors
    /// 401 if it was revoked, or has expired.
    pub(crate) fn check_holds(&self, tables: &Tables) -> Result<(), Problem> {
        let Caller::Token(token) = self else { return Ok(()) };
        let is_over = token.expires_at_ms.is_some_and(|end| unix_time_ms() >= end);
        if is_over || tables.token(token.id).is_none() {
            return Err(Problem::token_ended());
        }
        Ok(())
    }

    /// Demands a scope.
    ///
    /// # Errors
    /// 403 if the token has a lower one.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Problem> {
        match self {
            Caller::Token(token) if token.scope < scope => Err(Problem::forbidden(format!(
                "this needs a token with the scope {}; this one has {}",
                scope.name(),
                token.scope.name()
            ))),
            _ => Ok(()),
        }
    }

    /// Demands a scope for the links of a host; `*` is one, too.
    ///
    /// # Errors
    /// 403 if the token has a lower scope, or is for other hosts.
    pub(crate) fn require_for(&self, scope: Scope, host: &str) -> Result<(), Problem> {
        self.require(scope)?;
        if self.may_see(host) {
            return Ok(());
        }
        Err(Problem::forbidden(format!("this token is for other hosts than {}", quoted(host))))
    }

    /// Demands a scope for what no restriction to hosts fits.
    ///
    /// # Errors
    /// 403 if the token has a lower scope, or is restricted to hosts.
    pub(crate) fn require_everywhere(&self, scope: Scope) -> Result<(), Problem> {
        self.require(scope)?;
        match self.hosts() {
            None => Ok(()),
            Some(_) => Err(Problem::forbidden("this needs a token that is not restricted to hosts")),
        }
    }

    /// What is told of a change that was not made: a link that the caller may not see is not named.
    pub(crate) fn told(&self, error: SubmitError) -> Problem {
        let (kind, key) = match &error {
            SubmitError::Refused(Refusal::Chain { key, through }, _) if !self.may_see(through.host()) => {
                (Kind::Chain, key)
            }
            SubmitError::Refused(Refusal::Loop { key, through }, _) if !self.may_see(through.host()) => {
                (Kind::Loop, key)
            }
            _ => return error.into(),
        };
        let way_out = match kind {
            Kind::Chain => "; give another target, or have the chain allowed",
            _ => ", and through it back",
        };
        Problem::new(kind, format!("the target of `{key}` leads to a link of another host{way_out}"))
    }

    /// Whether the links of a host are within what the token is restricted to.
    pub(crate) fn may_see(&self, host: &str) -> bool {
        self.hosts().is_none_or(|hosts| hosts.iter().any(|allowed| allowed.as_str() == host))
    }

    /// The only hosts that it is for; None is all.
    pub(crate) fn hosts(&self) -> Option<&[crate::link::Host]> {
        match self {
            Caller::Token(token) if !token.hosts.is_empty() => Some(&token.hosts),
            _ => None,
        }
    }
}
