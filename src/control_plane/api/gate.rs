//! The gate: which token a request brings, and how many requests it may make.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::problem::{Kind, Problem};
use crate::clock::unix_time_ms;
use crate::engine::Tables;
use crate::link::{TokenId, TokenRecord};

/// Most failed attempts to bring a token that one address may make in a second.
const FAILURES_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).expect("it is not zero");

/// After so many known keys, those that have not been seen for a while are forgotten.
const KEYS: usize = 16 * 1024;

/// What stands before every token.
const PREFIX: &str = "carom_";

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

/// Random bytes of a secret, as a token has them.
const SECRET_CHARACTERS: usize = 43;

/// Judges tokens and counts requests.
pub(crate) struct Gate {
    per_token: DefaultKeyedRateLimiter<TokenId>,
    failures: DefaultKeyedRateLimiter<IpAddr>,
}

impl Gate {
    /// With so many requests per second and token.
    pub(crate) fn new(rate: NonZeroU32) -> Self {
        Gate {
            per_token: RateLimiter::keyed(Quota::per_second(rate)),
            failures: RateLimiter::keyed(Quota::per_second(FAILURES_PER_SECOND)),
        }
    }

    /// The token that a request brings.
    pub(crate) fn admit(
        &self,
        tables: &Tables,
        fields: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<Arc<TokenRecord>, Problem> {
        let token = judge(tables, fields, unix_time_ms());
        match token {
            Ok(token) => {
                limit(&self.per_token, &token.id, "with this token")?;
                Ok(token)
            }
            Err(problem) => {
                // Without an address they all count as one.
                let peer = peer.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
                limit(&self.failures, &peer, "without a token that holds")?;
                Err(problem)
            }
        }
    }
}

fn limit<K: Eq + std::hash::Hash + Clone>(
    limiter: &DefaultKeyedRateLimiter<K>,
    key: &K,
    how: &str,
) -> Result<(), Problem> {
    if limiter.len() > KEYS {
        limiter.retain_recent();
    }
    limiter.check_key(key).map_err(|until| {
        let wait = until.wait_time_from(DefaultClock::default().now());
        let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        Problem::new(Kind::RateLimited, format!("too many requests {how}; wait as long as Retry-After says"))
            .retry_after(seconds)
    })
}

/// The token that a request brings, if it holds at this time.
fn judge(tables: &Tables, fields: &HeaderMap, now_ms: u64) -> Result<Arc<TokenRecord>, Problem> {
    let mut values = fields.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::unauthorized(
            "send a token in the field `Authorization: Bearer TOKEN`; the first one lies in `admin.token` in the data \
             directory",
            r#"Bearer realm="carom""#,
        ));
    };
    let wrong = || {
        Problem::unauthorized(
            "there is no such token; was it revoked?",
            r#"Bearer realm="carom", error="invalid_token""#,
        )
    };
    let presented = value.to_str().ok().and_then(bearer).and_then(parse);
    // What is compared with when there is nothing to compare with, so that both take the same time.
    let (id, hash) = presented.unwrap_or((TokenId([0; 8]), [0; SECRET_BYTES]));
    let record = tables.token(id);
    let stored = record.map_or([0xff; 32], |record| record.secret_hash);
    // In constant time.
    let is_equal = blake3::Hash::from_bytes(stored) == blake3::Hash::from_bytes(hash);
    let record = record.filter(|_| is_equal && presented.is_some()).ok_or_else(wrong)?;
    if record.expires_at_ms.is_some_and(|end| now_ms >= end) {
        return Err(Problem::unauthorized(
            "the token has expired; create another one",
            r#"Bearer realm="carom", error="invalid_token""#,
        ));
    }
    Ok(Arc::clone(record))
}

/// Whether a token, as it is given away, allows anything now.
pub(crate) fn holds(tables: &Tables, token: &str) -> bool {
    let Ok(value) = HeaderValue::try_from(format!("Bearer {token}")) else { return false };
    judge(tables, &HeaderMap::from_iter([(header::AUTHORIZATION, value)]), unix_time_ms()).is_ok()
}

/// What stands behind `Bearer`.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim_matches(' '))
}

/// The id of a token, and the hash of its secret.
fn parse(token: &str) -> Option<(TokenId, [u8; 32])> {
    let (id, secret) = token.strip_prefix(PREFIX)?.split_once('_')?;
    let id = TokenId::parse(id)?;
    let is_secret = secret.len() == SECRET_CHARACTERS;
    is_secret.then(|| (id, hash(secret)))
}

/// What is kept of a secret. It has 256 random bits and needs no salt.
fn hash(secret: &str) -> [u8; 32] {
    *blake3::hash(secret.as_bytes()).as_bytes()
}

/// A new token: what is given away once, and what is kept.
pub(crate) struct Minted {
    /// The token.
    pub(crate) token: String,
    /// Its public half.
    pub(crate) id: TokenId,
    /// The hash of its secret.
    pub(crate) secret_hash: [u8; 32],
}

/// Makes a token from the system's randomness.
///
/// # Errors
/// If the system has none.
pub(crate) fn mint() -> Result<Minted, getrandom::Error> {
    let mut random = [0; 8 + SECRET_BYTES];
    getrandom::fill(&mut random)?;
    let (id, secret) = random.split_at(8);
    let id = TokenId(id.try_into().expect("8 bytes"));
    let secret = URL_SAFE_NO_PAD.encode(secret);
    Ok(Minted { id, secret_hash: hash(&secret), token: format!("{PREFIX}{id}_{secret}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_reads_back_and_no_other_does() {
        let minted = mint().unwrap();
        assert_eq!(parse(&minted.token), Some((minted.id, minted.secret_hash)));
        assert_eq!(minted.token.len(), PREFIX.len() + 16 + 1 + SECRET_CHARACTERS);
        assert_ne!(mint().unwrap().token, minted.token);
        for wrong in ["", "carom_", "carom_00ff010203040506_short", &minted.token[1..], &format!("{}x", minted.token)] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_bearer_counts() {
        assert_eq!(bearer("bearer  a"), Some("a"));
        assert_eq!(bearer("Basic a"), None);
        assert_eq!(bearer("Bearer"), None);
    }
}
