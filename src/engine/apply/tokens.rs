//! Changes of tokens.

use super::{Origin, State};
use crate::link::{Outcome, Refusal, Subject, TokenCommand, TokenRecord, encode_token};
use crate::store::{StoreError, keyspace};

pub(super) fn apply(
    state: &mut impl State,
    command: &TokenCommand,
    origin: Origin,
) -> Result<Result<Outcome, Refusal>, StoreError> {
    let id = match command {
        TokenCommand::Create(token) => token.id,
        TokenCommand::Revoke(id) => *id,
    };
    let typed = keyspace::token_key(id.0);
    let exists = state.value(&typed)?.is_some();
    Ok(match command {
        TokenCommand::Create(_) if exists => Err(Refusal::Exists { subject: Subject::Token(id), version: 1 }),
        TokenCommand::Create(token) => {
            let token = TokenRecord { created_at_ms: origin.time_ms, ..(**token).clone() };
            state.set_value(typed, Some(encode_token(&token)));
            Ok(Outcome::Created(origin.link_id()))
        }
        TokenCommand::Revoke(_) if exists => {
            state.set_value(typed, None);
            Ok(Outcome::Deleted)
        }
        TokenCommand::Revoke(_) => Err(Refusal::NotFound(Subject::Token(id))),
    })
}
