//! Tokens, and commands to them.

use prost::{Message, Oneof};

use super::{DecodeError, decode_checked, encode_checked, required, valid};
use crate::link::command::TokenCommand;
use crate::link::host::Host;
use crate::link::text::Title;
use crate::link::token::{Scope, TokenId, TokenRecord};

#[derive(Message)]
pub(super) struct TokenCommandMessage {
    #[prost(oneof = "TokenAction", tags = "1, 2")]
    action: Option<TokenAction>,
}

#[derive(Oneof)]
enum TokenAction {
    #[prost(message, tag = "1")]
    Create(TokenMessage),
    #[prost(bytes, tag = "2")]
    Revoke(Vec<u8>),
}

#[derive(Message)]
struct TokenMessage {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(bytes = "vec", tag = "3")]
    secret_hash: Vec<u8>,
    #[prost(string, tag = "4")]
    scope: String,
    #[prost(string, repeated, tag = "5")]
    hosts: Vec<String>,
    #[prost(uint64, tag = "6")]
    created_at_ms: u64,
    #[prost(uint64, optional, tag = "7")]
    expires_at_ms: Option<u64>,
}

fn read_id(bytes: Vec<u8>) -> Result<TokenId, DecodeError> {
    bytes.try_into().map(TokenId).map_err(|_| DecodeError::Missing("id"))
}

impl From<&TokenRecord> for TokenMessage {
    fn from(token: &TokenRecord) -> Self {
        TokenMessage {
            id: token.id.0.to_vec(),
            name: token.name.as_str().to_owned(),
            secret_hash: token.secret_hash.to_vec(),
            scope: token.scope.name().to_owned(),
            hosts: token.hosts.iter().map(|host| host.as_str().to_owned()).collect(),
            created_at_ms: token.created_at_ms,
            expires_at_ms: token.expires_at_ms,
        }
    }
}

impl TryFrom<TokenMessage> for TokenRecord {
    type Error = DecodeError;

    fn try_from(message: TokenMessage) -> Result<Self, DecodeError> {
        let host = |host: &String| valid("hosts", host, Host::parse(host));
        Ok(TokenRecord {
            id: read_id(message.id)?,
            name: valid("name", &message.name, Title::parse(&message.name))?,
            secret_hash: message.secret_hash.try_into().map_err(|_| DecodeError::Missing("secret_hash"))?,
            scope: valid("scope", &message.scope, Scope::from_name(&message.scope).ok_or(()))?,
            hosts: message.hosts.iter().map(host).collect::<Result<_, _>>()?,
            created_at_ms: message.created_at_ms,
            expires_at_ms: message.expires_at_ms,
        })
    }
}

impl From<&TokenCommand> for TokenCommandMessage {
    fn from(command: &TokenCommand) -> Self {
        let action = match command {
            TokenCommand::Create(token) => TokenAction::Create((&**token).into()),
            TokenCommand::Revoke(id) => TokenAction::Revoke(id.0.to_vec()),
        };
        TokenCommandMessage { action: Some(action) }
    }
}

impl TryFrom<TokenCommandMessage> for TokenCommand {
    type Error = DecodeError;

    fn try_from(message: TokenCommandMessage) -> Result<Self, DecodeError> {
        Ok(match required(message.action, "action")? {
            TokenAction::Create(token) => TokenCommand::Create(Box::new(token.try_into()?)),
            TokenAction::Revoke(id) => TokenCommand::Revoke(read_id(id)?),
        })
    }
}

/// Encodes a token for the store, under its id.
pub fn encode_token(token: &TokenRecord) -> Vec<u8> {
    encode_checked(&token.id.0, &TokenMessage::from(token))
}

/// Decodes what [`encode_token`] wrote under the id.
///
/// # Errors
/// If the bytes are damaged, or of another token.
pub fn decode_token(id: &[u8], bytes: &[u8]) -> Result<TokenRecord, DecodeError> {
    decode_checked::<TokenMessage>(id, bytes)?.try_into()
}
