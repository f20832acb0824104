//! Who may ask what of the API.

use std::fmt;

use super::host::Host;
use super::text::Title;

/// The public half of a token: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub [u8; 8]);

impl TokenId {
    /// Reads the hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u64::from_str_radix(text, 16).ok().filter(|_| is_hex).map(|number| TokenId(number.to_be_bytes()))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

/// What a token allows; each allows what stands before it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Reading links, hosts and changes.
    Read,
    /// Changing links.
    Write,
    /// Everything, tokens and hosts among it.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Write, Scope::Admin];

    /// Its name, as arguments and answers have it.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Admin => "admin",
        }
    }

    /// The scope of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// A token, as it is kept: without its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its public half.
    pub id: TokenId,
    /// What it is called.
    pub name: Title,
    /// BLAKE3 of its secret, which has 256 random bits and needs no salt.
    pub secret_hash: [u8; 32],
    /// What it allows.
    pub scope: Scope,
    /// The only hosts whose links it allows to read and change; empty is all.
    pub hosts: Vec<Host>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// From when on it allows nothing, in milliseconds since the Unix epoch.
    pub expires_at_ms: Option<u64>,
}

impl fmt::Debug for TokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not even the hash belongs into a message.
        f.debug_struct("TokenRecord").field("id", &self.id).field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Who makes a change, as the log keeps it: a few words without control characters, at most
/// [`ACTOR_BYTES`](crate::limits::ACTOR_BYTES) bytes. Empty if that is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Actor(Box<str>);

impl Actor {
    /// Whoever holds a token.
    pub fn token(id: TokenId) -> Self {
        Actor(format!("token {id}").into())
    }

    /// Whoever may open the data directory.
    pub fn local() -> Self {
        Actor("local".into())
    }

    /// The token, if it is who holds one.
    pub fn token_id(&self) -> Option<TokenId> {
        self.0.strip_prefix("token ").and_then(TokenId::parse)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a text that was an actor when it was written.
    pub(super) fn from_stored(text: &str) -> Option<Self> {
        let plausible = text.len() <= crate::limits::ACTOR_BYTES && !text.contains(char::is_control);
        plausible.then(|| Actor(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_themselves() {
        let id = TokenId([0, 0xff, 1, 2, 3, 4, 5, 6]);
        assert_eq!(id.to_string(), "00ff010203040506");
        assert_eq!(TokenId::parse(&id.to_string()), Some(id));
        for text in ["", "00ff01020304050", "00FF010203040506", "+0ff010203040506", "00ff0102030405067"] {
            assert_eq!(TokenId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn each_scope_allows_what_stands_before_it() {
        assert!(Scope::Read < Scope::Write && Scope::Write < Scope::Admin);
        for scope in Scope::ALL {
            assert_eq!(Scope::from_name(scope.name()), Some(scope));
        }
    }
}
