//! The key of a link in the path of a request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::super::parameters::InPath;
use super::super::problem::Problem;
use crate::link::LinkKey;

/// The key in the path: one segment, percent-encoded, in any spelling that a key may have.
pub(crate) struct InPathKey(pub(crate) LinkKey);

impl<S: Send + Sync> FromRequestParts<S> for InPathKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let InPath(text) = InPath::<String>::from_request_parts(parts, state).await?;
        match LinkKey::parse(&text) {
            Ok(key) => Ok(InPathKey(key)),
            Err(error) => Err(Problem::malformed("key", text, error.to_string())),
        }
    }
}

/// Where a link is found in the API.
pub(crate) fn location(key: &LinkKey) -> String {
    let mut path = String::from(super::PATH);
    for byte in key.as_str().bytes() {
        // RFC 3986 §2.3: what never needs to be encoded.
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path += &format!("%{byte:02X}");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_segment() {
        let key = LinkKey::parse("go.example/caf\u{e9}?a=b").unwrap();
        assert_eq!(location(&key), "/v1/links/go.example%2Fcaf%25C3%25A9%3Fa%3Db");
    }
}
