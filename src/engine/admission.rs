//! What is looked at before a change is judged: whether who asks for it may still change anything, and whether a host may
//! have one more generated code.
//!
//! It is no part of what a record does to the state. What is not admitted is neither logged nor remembered, and may be
//! admitted when it is sent again.

use std::sync::Arc;

use super::applier::{Applier, Staged, read_host};
use super::apply::{self, State as _};
use super::requests::SubmitError;
use crate::link::{
    Action, Actor, Change, CodeLength, Command, Host, HostRecord, HostSettings, LinkKey, TokenId, decode_token,
};
use crate::store::{StoreError, keyspace};

/// The state as the changes of the group so far leave it.
pub(super) struct Admission<'a> {
    pub(super) applier: &'a Applier,
    pub(super) staged: &'a Staged,
    /// The time of the change, in milliseconds since the Unix epoch.
    pub(super) now_ms: u64,
}

impl Admission<'_> {
    /// Whether who asks may change anything: not with a token that was revoked before this change, or has expired,
    /// whenever the request was let in.
    ///
    /// # Errors
    /// If the state can't be read.
    pub(super) fn of_actor(&self, actor: &Actor) -> Result<Result<(), SubmitError>, StoreError> {
        let Some(id) = actor.token_id() else { return Ok(Ok(())) };
        let holds = match self.staged.value(&keyspace::token_key(id.0)) {
            Some(value) => self.expires_at(id, value)?,
            None => self.applier.tables().token(id).map(|token| token.expires_at_ms),
        };
        match holds {
            Some(expires_at_ms) if expires_at_ms.is_none_or(|end| self.now_ms < end) => Ok(Ok(())),
            _ => Ok(Err(SubmitError::TokenEnded(id))),
        }
    }

    /// When a token that the group has made ends; None if the group has revoked it.
    fn expires_at(&self, id: TokenId, value: Option<&[u8]>) -> Result<Option<Option<u64>>, StoreError> {
        let damaged = |error| StoreError::Damaged { key: format!("the token {id}"), error };
        value.map(|value| decode_token(&id.0, value).map(|token| token.expires_at_ms)).transpose().map_err(damaged)
    }

    /// Whether the hosts of new links with generated codes may have one more of their length each.
    ///
    /// # Errors
    /// If the state can't be read.
    pub(super) fn of_codes(&self, change: &Change) -> Result<Result<(), SubmitError>, StoreError> {
        let Change::Links(commands) = change else { return Ok(Ok(())) };
        for Command { key, action, .. } in commands {
            if let Action::Set(set) = action
                && set.is_generated
                && let Err(error) = self.of_code(key)?
            {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    fn of_code(&self, key: &LinkKey) -> Result<Result<(), SubmitError>, StoreError> {
        let host = key.host();
        let usual = HostSettings::default();
        let (own, any) = (self.host(host)?, self.host(Host::ANY)?);
        let settings = own.as_ref().or(any.as_ref()).map_or(&usual, |host| &host.settings);
        let length = apply::code_length(key);
        // Those of any host are found on this one, too.
        let mut found = self.codes(host, length)?;
        if host != Host::ANY {
            found += self.codes(Host::ANY, length)?;
        }
        // Nobody generates any other.
        let may_have =
            CodeLength::new(length.into()).map_or(u64::MAX, |length| settings.effective_alphabet().capacity(length));
        if found < may_have {
            return Ok(Ok(()));
        }
        Ok(Err(SubmitError::CodesExhausted { host: host.to_owned(), length, found }))
    }

    fn host(&self, name: &str) -> Result<Option<Arc<HostRecord>>, StoreError> {
        match self.staged.value(&keyspace::host_key(name)) {
            Some(value) => read_host(name, value),
            None => self.applier.host(name),
        }
    }

    fn codes(&self, host: &str, length: u8) -> Result<u64, StoreError> {
        let typed = keyspace::codes_key(host, length);
        let value = match self.staged.value(&typed) {
            Some(value) => value.map(<[u8]>::to_vec),
            None => self.applier.value(&typed)?,
        };
        value.map_or(Ok(0), |value| apply::decode_codes(&typed, &value))
    }
}
