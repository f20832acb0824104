//! How long an answer may be kept by those who asked.

use std::fmt;

use super::shown::shown;

/// What `Cache-Control` (RFC 9111 §5.2.2) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheControl {
    /// `no-store`.
    NoStore,
    /// `no-cache`.
    NoCache,
    /// `public` or `private`, and `max-age`.
    MaxAge {
        /// Whether shared caches may keep it.
        public: bool,
        /// How long, in seconds; at most [`MAX_AGE_S`](Self::MAX_AGE_S).
        max_age_s: u32,
    },
}

/// Not what an answer may say of caching.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the Cache-Control `{}` is none of `no-store`, `no-cache`, `public, max-age=SECONDS` and `private, \
     max-age=SECONDS` with at most {} seconds",
    shown(.0), CacheControl::MAX_AGE_S
)]
pub struct CacheControlError(pub String);

impl CacheControl {
    /// Longest `max-age`, in seconds: a year, as RFC 9111's predecessors asked for, and caches take it for ever.
    pub const MAX_AGE_S: u32 = 31_536_000;

    /// Reads the value of a field. Directives may stand in any order and case; `max-age` alone is public.
    ///
    /// # Errors
    /// If it is none of those that an answer can have.
    pub fn parse(text: &str) -> Result<Self, CacheControlError> {
        Self::read(text).ok_or_else(|| CacheControlError(text.to_owned()))
    }

    fn read(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let mut directives: Vec<&str> = text.split(',').map(str::trim).collect();
        match directives[..] {
            ["no-store"] => return Some(CacheControl::NoStore),
            ["no-cache"] => return Some(CacheControl::NoCache),
            _ => {}
        }
        let at = directives.iter().position(|directive| directive.starts_with("max-age="))?;
        let digits = directives.remove(at).strip_prefix("max-age=")?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let max_age_s = digits.parse().ok().filter(|&age| is_number && age <= Self::MAX_AGE_S)?;
        match directives[..] {
            [] | ["public"] => Some(CacheControl::MaxAge { public: true, max_age_s }),
            ["private"] => Some(CacheControl::MaxAge { public: false, max_age_s }),
            _ => None,
        }
    }
}

impl fmt::Display for CacheControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CacheControl::NoStore => f.write_str("no-store"),
            CacheControl::NoCache => f.write_str("no-cache"),
            CacheControl::MaxAge { public, max_age_s } => {
                write!(f, "{}, max-age={max_age_s}", if *public { "public" } else { "private" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_reads_back_as_itself() {
        for (text, shown) in [
            ("no-store", "no-store"),
            (" No-Cache ", "no-cache"),
            ("max-age=0", "public, max-age=0"),
            ("max-age=60,PRIVATE", "private, max-age=60"),
            ("public, max-age=31536000", "public, max-age=31536000"),
        ] {
            let parsed = CacheControl::parse(text).expect(text);
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(CacheControl::parse(shown), Ok(parsed));
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_value() {
        for text in [
            "",
            "public",
            "max-age=",
            "max-age=+1",
            "max-age=-1",
            "max-age=31536001",
            "max-age=99999999999",
            "public, private, max-age=1",
            "no-store, max-age=1",
            "max-age=1\r\nSet-Cookie: a",
            "immutable, max-age=1",
        ] {
            let error = CacheControl::parse(text).expect_err(text).to_string();
            assert!(error.contains("max-age=SECONDS"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
