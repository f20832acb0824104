//! What is set for a host.

use std::fmt;

use super::cache_control::CacheControl;
use super::code::{CodeAlphabet, CodeLength};
use super::destination::Status;
use super::host::{Host, HostError};
use super::query_policy::QueryPolicy;
use super::shown::shown;
use super::target::Target;
use crate::limits::{ROBOTS_TAG_BYTES, TARGET_PATTERNS};

/// What is set for a host. The default is what holds for a host without settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// The status of new links that are given none.
    pub default_status: Status,
    /// What becomes of the query of requests, where the link does not say.
    pub query_policy: QueryPolicy,
    /// Whether a path that no link has is looked up in lower case, in which new links are kept.
    pub ignore_case: bool,
    /// Whether a path that no link has is looked up without the slashes at its end, without which new links are kept.
    pub ignore_trailing_slash: bool,
    /// How long 301, 308 and 410 may be kept; None is [the usual](crate::http1).
    pub permanent_cache_control: Option<CacheControl>,
    /// How long 302, 303 and 307 may be kept; None is the usual.
    pub temporary_cache_control: Option<CacheControl>,
    /// By up to how many percent a `max-age` is lowered, so that caches do not expire together.
    pub cache_jitter: Percent,
    /// Where requests are sent that no link answers; the path and the query of the request are appended.
    pub fallback: Option<Target>,
    /// Where requests are sent instead of a 404.
    pub not_found_target: Option<Target>,
    /// How many characters generated codes have.
    pub code_length: CodeLength,
    /// What generated codes are made of.
    pub code_alphabet: CodeAlphabet,
    /// The field `Referrer-Policy` of redirects.
    pub referrer_policy: Option<ReferrerPolicy>,
    /// The field `X-Robots-Tag` of redirects.
    pub robots_tag: Option<RobotsTag>,
    /// Whether targets may hold a user name and a password.
    pub allow_userinfo: bool,
    /// The only hosts that targets may have; empty is any.
    pub allowed_targets: TargetPatterns,
    /// Hosts that targets may not have. Those of any host hold for every host.
    pub denied_targets: TargetPatterns,
    /// Of any host only: what is answered to requests for hosts that have no settings.
    pub unknown_hosts: UnknownHosts,
}

impl Default for HostSettings {
    fn default() -> Self {
        HostSettings {
            default_status: Status::Found,
            query_policy: QueryPolicy::Drop,
            ignore_case: false,
            ignore_trailing_slash: false,
            permanent_cache_control: None,
            temporary_cache_control: None,
            cache_jitter: Self::DEFAULT_JITTER,
            fallback: None,
            not_found_target: None,
            code_length: CodeLength::default(),
            code_alphabet: CodeAlphabet::default(),
            referrer_policy: None,
            robots_tag: None,
            allow_userinfo: false,
            allowed_targets: TargetPatterns::default(),
            denied_targets: TargetPatterns::default(),
            unknown_hosts: UnknownHosts::Serve,
        }
    }
}

impl HostSettings {
    /// By up to how many percent a `max-age` is lowered for a host without settings.
    pub const DEFAULT_JITTER: Percent = Percent(10);

    /// How paths are compared.
    pub fn folding(&self) -> Folding {
        Folding { case: self.ignore_case, trailing_slash: self.ignore_trailing_slash }
    }

    /// What generated codes are made of in effect: where case is ignored, of lower case, and of the
    /// usual ones still none that look alike.
    pub fn effective_alphabet(&self) -> CodeAlphabet {
        if self.ignore_case { self.code_alphabet.to_lower_case() } else { self.code_alphabet.clone() }
    }

    /// Judges a target by these settings, and by what is denied for any host.
    ///
    /// # Errors
    /// Why the host may not send there.
    pub fn judge_target(&self, target: &Target, any: Option<&HostSettings>) -> Result<(), TargetRefused> {
        self.judge_target_as_named(target, any)?;
        // The same machine by another name.
        match target.mapped_ipv4() {
            Some(address) if self.denies(&address, any) => Err(TargetRefused::Denied(address)),
            _ => Ok(()),
        }
    }

    /// The same, but that an IPv4 address is denied only where it is written as one: as records up to version 2 judge.
    ///
    /// # Errors
    /// Why the host may not send there.
    pub(crate) fn judge_target_as_named(
        &self,
        target: &Target,
        any: Option<&HostSettings>,
    ) -> Result<(), TargetRefused> {
        if target.has_userinfo() && !self.allow_userinfo {
            return Err(TargetRefused::Userinfo);
        }
        let host = target.host();
        // A name with a dot at its end is the same name.
        let name = host.strip_suffix('.').unwrap_or(&host);
        if !self.allowed_targets.is_empty() && !self.allowed_targets.matches(name) {
            return Err(TargetRefused::NotAllowed(name.to_owned()));
        }
        if self.denies(name, any) { Err(TargetRefused::Denied(name.to_owned())) } else { Ok(()) }
    }

    fn denies(&self, name: &str, any: Option<&HostSettings>) -> bool {
        self.denied_targets.matches(name) || any.is_some_and(|any| any.denied_targets.matches(name))
    }
}

/// Why a host may not send to a target.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetRefused {
    /// It holds what the host does not allow.
    #[error("the target holds a user name or password, which its host does not allow")]
    Userinfo,
    /// The host allows others only.
    #[error("targets on `{}` are not among those that the host allows", shown(.0))]
    NotAllowed(String),
    /// The host, or any host, denies it.
    #[error("targets on `{}` are denied", shown(.0))]
    Denied(String),
}

/// Which differences between paths a host ignores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Folding {
    /// That of upper and lower case.
    pub case: bool,
    /// Slashes at the end.
    pub trailing_slash: bool,
}

/// What is answered to requests for hosts that have no settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownHosts {
    /// What the links of any host say.
    #[default]
    Serve,
    /// Only what links of that very host say, else 404.
    NotFound,
}

impl UnknownHosts {
    /// Both.
    pub const ALL: [UnknownHosts; 2] = [UnknownHosts::Serve, UnknownHosts::NotFound];

    /// Its name, as arguments and answers have it.
    pub fn name(self) -> &'static str {
        match self {
            UnknownHosts::Serve => "serve",
            UnknownHosts::NotFound => "not_found",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.name() == name)
    }
}

/// A share, from 0 to 90 percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(u8);

/// Why something can't be set for a host.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostSettingError {
    /// Not a share.
    #[error("{0} is no share; give a number of percent from 0 to 90")]
    Percent(u64),
    /// Not a referrer policy.
    #[error("`{}` is no Referrer-Policy; the policies are {}", shown(.0), ReferrerPolicy::ALL.join(", "))]
    ReferrerPolicy(String),
    /// Not a robots tag.
    #[error(
        "`{}` is no X-Robots-Tag: it takes at most {ROBOTS_TAG_BYTES} printable ASCII characters, as in `noindex, nofollow`",
        shown(.0)
    )]
    RobotsTag(String),
    /// Not a pattern of hosts.
    #[error("`{}` is no host, nor `*.` and a host: {error}", shown(.text))]
    Pattern {
        /// The text.
        text: String,
        /// What is wrong with its host.
        error: HostError,
    },
    /// More patterns than a host may have.
    #[error("{0} patterns are too many; at most {TARGET_PATTERNS} are allowed")]
    TooManyPatterns(usize),
}

impl Percent {
    /// The largest: what is left beyond would be next to nothing.
    pub const MOST: Percent = Percent(90);

    /// Takes a share.
    ///
    /// # Errors
    /// If it is more than [`MOST`](Self::MOST).
    pub fn new(percent: u64) -> Result<Self, HostSettingError> {
        u8::try_from(percent).ok().filter(|&p| p <= Self::MOST.0).map(Percent).ok_or(HostSettingError::Percent(percent))
    }

    /// As a number.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// A value of `Referrer-Policy` (W3C Referrer Policy §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReferrerPolicy(&'static str);

impl ReferrerPolicy {
    /// All of them.
    pub const ALL: [&str; 8] = [
        "no-referrer",
        "no-referrer-when-downgrade",
        "origin",
        "origin-when-cross-origin",
        "same-origin",
        "strict-origin",
        "strict-origin-when-cross-origin",
        "unsafe-url",
    ];

    /// Reads a policy.
    ///
    /// # Errors
    /// If there is no such.
    pub fn parse(text: &str) -> Result<Self, HostSettingError> {
        let known = Self::ALL.into_iter().find(|policy| *policy == text);
        known.map(ReferrerPolicy).ok_or_else(|| HostSettingError::ReferrerPolicy(text.to_owned()))
    }

    /// The value.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// A value of `X-Robots-Tag`, which crawlers read: printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RobotsTag(Box<str>);

impl RobotsTag {
    /// Reads a value.
    ///
    /// # Errors
    /// If it is empty, too long, or holds what a field can't.
    pub fn parse(text: &str) -> Result<Self, HostSettingError> {
        let trimmed = text.trim_matches(' ');
        let is_sound = !trimmed.is_empty()
            && text.len() <= ROBOTS_TAG_BYTES
            && trimmed.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if is_sound { Ok(RobotsTag(trimmed.into())) } else { Err(HostSettingError::RobotsTag(text.to_owned())) }
    }

    /// The value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A host, or all below one: `example.com`, `*.example.com`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct TargetPattern(Box<str>);

/// Patterns of hosts: `example.com` is that host, `*.example.com` all below it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TargetPatterns(Vec<TargetPattern>);

impl TargetPatterns {
    /// Reads patterns.
    ///
    /// # Errors
    /// If one is no pattern, or there are too many.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, HostSettingError> {
        let mut patterns = Vec::new();
        for text in texts {
            let (below, name) = text.strip_prefix("*.").map_or(("", text), |name| ("*.", name));
            let host = Host::parse(name).and_then(|host| match host.as_str() {
                Host::ANY => Err(HostError::Invalid(text.to_owned())),
                _ => Ok(host),
            });
            let host = host.map_err(|error| HostSettingError::Pattern { text: text.to_owned(), error })?;
            patterns.push(TargetPattern(format!("{below}{host}").into()));
        }
        patterns.sort();
        patterns.dedup();
        if patterns.len() > TARGET_PATTERNS {
            return Err(HostSettingError::TooManyPatterns(patterns.len()));
        }
        Ok(TargetPatterns(patterns))
    }

    /// The patterns, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pattern| &*pattern.0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them matches a host name.
    pub fn matches(&self, host: &str) -> bool {
        self.iter().any(|pattern| match pattern.strip_prefix('*') {
            Some(below) => host.len() > below.len() && host.ends_with(below),
            None => host == pattern,
        })
    }
}

impl fmt::Debug for TargetPatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The settings of a host, as they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRecord {
    /// Which host; `*` is any.
    pub host: Host,
    /// What is set for it.
    pub settings: HostSettings,
    /// When it was first set, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When it was last changed, in milliseconds since the Unix epoch.
    pub updated_at_ms: u64,
    /// The sequence of the record that made them what they are; up to version 2 of its format, how often they were set.
    pub version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_a_host_or_all_below_one() {
        let patterns = TargetPatterns::parse(["Example.com", "*.b\u{fc}cher.example"]).unwrap();
        for (host, matches) in [
            ("example.com", true),
            ("www.example.com", false),
            ("xn--bcher-kva.example", false),
            ("a.b.xn--bcher-kva.example", true),
            ("notxn--bcher-kva.example", false),
        ] {
            assert_eq!(patterns.matches(host), matches, "{host}");
        }
        for text in ["*", "", "a/b", "*.", "a.*.b", "http://a.example"] {
            assert!(TargetPatterns::parse([text]).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_is_denied_by_its_other_name_too() {
        let denied =
            HostSettings { denied_targets: TargetPatterns::parse(["127.0.0.1"]).unwrap(), ..HostSettings::default() };
        let target = |text| Target::parse(text).unwrap();
        let mapped = target("http://[::ffff:127.0.0.1]/");
        for (settings, any) in [(&denied, None), (&HostSettings::default(), Some(&denied))] {
            assert_eq!(settings.judge_target(&mapped, any), Err(TargetRefused::Denied("127.0.0.1".to_owned())));
            assert!(settings.judge_target_as_named(&mapped, any).is_ok());
            assert!(settings.judge_target(&target("http://[::ffff:127.0.0.2]/"), any).is_ok());
        }
    }

    #[test]
    fn fields_hold_nothing_that_could_begin_another() {
        assert!(ReferrerPolicy::parse("no-referrer").is_ok() && ReferrerPolicy::parse("No-Referrer").is_err());
        assert_eq!(RobotsTag::parse(" noindex, nofollow ").unwrap().as_str(), "noindex, nofollow");
        for text in ["", " ", "a\r\nSet-Cookie: b", "a\tb", "\u{e9}", &"a".repeat(ROBOTS_TAG_BYTES + 1)] {
            assert!(RobotsTag::parse(text).is_err(), "{text:?}");
        }
    }
}
