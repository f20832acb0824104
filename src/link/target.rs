//! Where a redirect leads.

use std::fmt;

use url::Url;

use super::key::LinkKey;
use super::shown::shown;
use crate::limits::TARGET_BYTES;

/// The target of a redirect: an absolute http or https URL in its WHATWG serialisation, which is ASCII without
/// spaces and control characters.
///
/// The serialisation, and not the text as given, is what is stored and sent: so what was judged is what the
/// browser gets, to the byte. `https://www.gov.uk` is sent as `https://www.gov.uk/`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target(Box<str>);

/// Why a text is no target.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// There is none.
    #[error("the target is empty; a redirect needs an absolute URL such as `https://www.example.com/new`")]
    Empty,
    /// A control character.
    #[error("the target `{}` holds a control character", shown(.0))]
    Control(String),
    /// A line end or a NUL, percent-encoded. No page needs one, and what stands behind the target may decode it into a
    /// field of its own.
    #[error("the target `{}` holds the percent-encoded control character `{}`; leave it out", shown(.text), .encoded)]
    EncodedControl {
        /// The text.
        text: String,
        /// How it stands there.
        encoded: String,
    },
    /// Not an absolute URL.
    #[error(
        "the target `{}` is not an absolute URL ({reason}); write it as in `https://www.example.com/new`",
        shown(.text)
    )]
    NotUrl {
        /// The text.
        text: String,
        /// What the URL parser says of it.
        reason: url::ParseError,
    },
    /// Another scheme than http and https.
    #[error("the target `{}` is neither http nor https", shown(.0))]
    Scheme(String),
    /// A user name or password.
    #[error("the target `{}` holds a user name or password; leave it out", shown(.0))]
    Userinfo(String),
    /// Longer than [`TARGET_BYTES`].
    #[error("the target has {0} bytes; at most {TARGET_BYTES} are allowed")]
    TooLong(usize),
}

impl Target {
    /// Reads a target.
    ///
    /// # Errors
    /// If the text is not an absolute http(s) URL, or holds control characters or a user name.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let target = Self::parse_with_userinfo(text)?;
        if target.has_userinfo() { Err(TargetError::Userinfo(text.to_owned())) } else { Ok(target) }
    }

    /// Reads a target that may hold a user name and a password.
    ///
    /// # Errors
    /// If the text is not an absolute http(s) URL, or holds control characters.
    pub fn parse_with_userinfo(text: &str) -> Result<Self, TargetError> {
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            // The URL parser would drop tabs and newlines without a word.
            return Err(TargetError::Control(text.to_owned()));
        }
        if let Some(encoded) = encoded_control(text) {
            return Err(TargetError::EncodedControl { text: text.to_owned(), encoded });
        }
        let url = Url::parse(text).map_err(|reason| TargetError::NotUrl { text: text.to_owned(), reason })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(TargetError::Scheme(text.to_owned()));
        }
        let text = String::from(url);
        if text.len() > TARGET_BYTES {
            return Err(TargetError::TooLong(text.len()));
        }
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "a serialised URL is printable ASCII: {text:?}");
        Ok(Target(text.into()))
    }

    /// Takes a text that was a target when it was stored.
    pub(super) fn from_stored(text: &str) -> Option<Self> {
        let plausible = text.len() <= TARGET_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        plausible.then(|| Target(text.into()))
    }

    /// The serialised URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it holds a user name or password.
    pub fn has_userinfo(&self) -> bool {
        let url = self.to_url();
        !url.username().is_empty() || url.password().is_some()
    }

    /// Its host, as it is sent.
    pub fn host(&self) -> String {
        self.to_url().host_str().unwrap_or_default().to_owned()
    }

    /// Whether it is `http` on the port that is usual for it.
    pub(crate) fn is_plain_http(&self) -> bool {
        let url = self.to_url();
        url.scheme() == "http" && url.port().is_none()
    }

    /// What a browser sends of it: host and port, path, query.
    pub(crate) fn as_asked(&self) -> (&str, &str, Option<&str>) {
        let page = self.0.split_once('#').map_or(self.as_str(), |(page, _)| page);
        let rest = page.split_once("://").map_or(page, |(_, rest)| rest);
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
        match path.split_once('?') {
            Some((path, query)) => (authority, path, Some(query)),
            None => (authority, path, None),
        }
    }

    /// This target, with the fragment of another one if it has none itself, and as it is if that makes it too long.
    pub(crate) fn with_fragment_of(&self, other: &Target) -> Target {
        let Some((_, fragment)) = other.0.split_once('#').filter(|_| !self.0.contains('#')) else {
            return self.clone();
        };
        let text = format!("{}#{fragment}", self.0);
        Self::from_stored(&text).unwrap_or_else(|| self.clone())
    }

    /// The IPv4 address that its IPv6 address stands for (RFC 4291 §2.5.5.2); None if its host is no such one.
    pub(crate) fn mapped_ipv4(&self) -> Option<String> {
        match self.to_url().host()? {
            url::Host::Ipv6(address) => address.to_ipv4_mapped().map(|address| address.to_string()),
            _ => None,
        }
    }

    /// Its host as the key of a request for it has it: without a dot at its end.
    pub fn requested_host(&self) -> String {
        let host = self.host();
        host.strip_suffix('.').map(str::to_owned).unwrap_or(host)
    }

    /// The keys of links on its own host that would answer it, the one with its query first. None if it is too long
    /// for a key.
    pub fn link_keys(&self) -> Vec<LinkKey> {
        let mut url = self.to_url();
        url.set_fragment(None);
        // A key has none, and it makes no difference to who answers.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        let with_query = LinkKey::parse(url.as_str());
        url.set_query(None);
        let mut keys: Vec<LinkKey> = with_query.into_iter().chain(LinkKey::parse(url.as_str())).collect();
        keys.dedup();
        keys
    }

    fn to_url(&self) -> Url {
        Url::parse(&self.0).expect("a serialised URL parses")
    }
}

/// The first of `%00`, `%0A` and `%0D` in a text.
fn encoded_control(text: &str) -> Option<String> {
    let triplet =
        text.as_bytes().windows(3).find(|bytes| matches!(bytes, [b'%', b'0', b'0' | b'a' | b'A' | b'd' | b'D']));
    triplet.map(|bytes| bytes.iter().copied().map(char::from).collect())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn targets_are_serialised() {
        for (text, serialised) in [
            ("https://www.gov.uk", "https://www.gov.uk/"),
            ("HTTPS://WWW.Example.com:443/A?b[]=c#d", "https://www.example.com/A?b[]=c#d"),
            ("http://b\u{fc}cher.example/\u{e9} x", "http://xn--bcher-kva.example/%C3%A9%20x"),
            ("https://www.gov.uk//double", "https://www.gov.uk//double"),
        ] {
            assert_eq!(Target::parse(text).unwrap().as_str(), serialised);
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_its_value() {
        for (text, part) in [
            ("", "empty"),
            ("/relative", "`/relative` is not an absolute URL"),
            ("www.example.com", "absolute"),
            ("javascript:alert(1)", "neither http nor https"),
            ("JaVa\tscript:alert(1)", "control"),
            ("data:text/html,x", "neither http nor https"),
            ("https://a.example/\r\nSet-Cookie: x", "control"),
            ("https://a.example/%0d%0aSet-Cookie:%20x", "encoded control character `%0d`"),
            ("https://a.example/?q=%0A", "encoded control character `%0A`"),
            ("https://user:pw@a.example/", "user name"),
            ("https://exa mple.com/", "absolute"),
            ("https://", "absolute"),
        ] {
            let error = Target::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let long = format!("https://a.example/{}", "a".repeat(TARGET_BYTES));
        assert!(matches!(Target::parse(&long), Err(TargetError::TooLong(_))));
    }

    #[test]
    fn userinfo_is_taken_only_where_it_is_allowed() {
        let target = Target::parse_with_userinfo("https://user:pw@a.example/x").unwrap();
        assert_eq!(target.as_str(), "https://user:pw@a.example/x");
        assert!(target.has_userinfo() && !Target::parse("https://a.example/@x").unwrap().has_userinfo());
    }

    #[test]
    fn an_address_is_known_by_its_other_name() {
        let mapped = |text| Target::parse(text).unwrap().mapped_ipv4();
        assert_eq!(mapped("https://[::ffff:127.0.0.1]:8443/x").as_deref(), Some("127.0.0.1"));
        assert_eq!(
            (mapped("https://[::1]/"), mapped("https://127.0.0.1/"), mapped("https://a.example/")),
            (None, None, None)
        );
    }

    #[test]
    fn a_fragment_is_kept_unless_there_is_another_one() {
        let with =
            |text, other| Target::parse(text).unwrap().with_fragment_of(&Target::parse(other).unwrap()).to_string();
        assert_eq!(with("https://a.example/x", "https://b.example/#y"), "https://a.example/x#y");
        assert_eq!(with("https://a.example/x#z", "https://b.example/#y"), "https://a.example/x#z");
        assert_eq!(with("https://a.example/x", "https://b.example/"), "https://a.example/x");
        let long = format!("https://a.example/{}", "a".repeat(TARGET_BYTES - 18));
        assert_eq!(with(&long, "https://b.example/#y"), long);
    }

    #[test]
    fn the_keys_of_a_target_are_those_that_a_request_for_it_asks_for() {
        let keys = |text| {
            let target = Target::parse_with_userinfo(text).unwrap();
            target.link_keys().iter().map(|key| key.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(keys("https://u:p@A.example:8443/x?y=1#z"), ["a.example/x?y=1", "a.example/x"]);
        assert_eq!(keys("http://a.example"), ["a.example/"]);
    }

    proptest! {
        #[test]
        fn a_target_is_printable_ascii_and_reads_back_as_itself(text in "https?://[a-z.]{1,10}/\\PC{0,20}") {
            if let Ok(target) = Target::parse(&text) {
                prop_assert!(target.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(&Target::parse(target.as_str()).unwrap(), &target);
            }
        }
    }
}
