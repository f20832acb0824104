//! What is asked of the API.

use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

/// What stands for itself in a segment of a path and in a query (RFC 3986 §2.3); the rest is percent-encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request, without what the way to the server adds.
#[derive(Clone)]
pub(in crate::cli) struct Request {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) content: Option<Value>,
    /// Header fields.
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Request {
    fn new(method: Method, segments: &[&str], content: Option<Value>) -> Self {
        let encoded = segments.iter().map(|segment| format!("/{}", utf8_percent_encode(segment, ENCODED)));
        Request { method, target: format!("/v1{}", encoded.collect::<String>()), content, fields: Vec::new() }
    }

    /// `GET` of a path.
    pub(in crate::cli) fn get(segments: &[&str]) -> Self {
        Request::new(Method::GET, segments, None)
    }

    /// `POST` of an object.
    pub(in crate::cli) fn post(segments: &[&str], content: Map<String, Value>) -> Self {
        Request::new(Method::POST, segments, Some(Value::Object(content)))
    }

    /// `POST` of lines that follow.
    pub(in crate::cli) fn post_lines(segments: &[&str]) -> Self {
        Request::new(Method::POST, segments, None)
    }

    /// `PUT` of an object.
    pub(in crate::cli) fn put(segments: &[&str], content: Map<String, Value>) -> Self {
        Request::new(Method::PUT, segments, Some(Value::Object(content)))
    }

    /// `PATCH` with an object.
    pub(in crate::cli) fn patch(segments: &[&str], content: Map<String, Value>) -> Self {
        Request::new(Method::PATCH, segments, Some(Value::Object(content)))
    }

    /// `DELETE` of a path.
    pub(in crate::cli) fn delete(segments: &[&str]) -> Self {
        Request::new(Method::DELETE, segments, None)
    }

    /// With a parameter in the query.
    pub(in crate::cli) fn parameter(mut self, name: &str, value: &str) -> Self {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str(name);
        self.target.push('=');
        self.target.extend(utf8_percent_encode(value, ENCODED));
        self
    }

    /// With a parameter in the query, if there is a value for it.
    pub(in crate::cli) fn parameter_if(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.parameter(name, value),
            None => self,
        }
    }

    /// Only if what is changed has this version.
    pub(in crate::cli) fn if_version(mut self, version: Option<u64>) -> Self {
        self.fields.extend(version.map(|version| ("if-match", format!("\"{version}\""))));
        self
    }

    /// With a name of its own, by which the server knows it again when it is repeated.
    pub(super) fn named(mut self) -> Self {
        self.fields.push(("idempotency-key", uuid::Uuid::new_v4().to_string()));
        self
    }

    /// Whether it may change something.
    pub(super) fn is_change(&self) -> bool {
        !self.method.is_safe()
    }

    /// Only if it is not there.
    pub(in crate::cli) fn if_absent(mut self) -> Self {
        self.fields.push(("if-none-match", "*".to_owned()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_segment_whatever_it_holds() {
        let request =
            Request::get(&["links", "go.example/sale?a=b&c%20"]).parameter("tag", "a b&c").parameter("n", "1");
        assert_eq!(request.target, "/v1/links/go.example%2Fsale%3Fa%3Db%26c%2520?tag=a%20b%26c&n=1");
        assert_eq!(Request::delete(&["hosts", "*"]).target, "/v1/hosts/%2A");
    }
}
