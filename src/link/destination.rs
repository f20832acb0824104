//! A link and what it answers.

use std::fmt;

use super::key::LinkKey;
use super::options::LinkOptions;
use super::shown::shown;
use super::target::Target;
use crate::limits::BATCH_COMMANDS;

/// The statuses a link can answer with (RFC 9110 §15.4, §15.5.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Status {
    /// 301: permanent; a browser may make a POST a GET.
    MovedPermanently = 301,
    /// 302: temporary; a browser may make a POST a GET.
    Found = 302,
    /// 303: see there with GET.
    SeeOther = 303,
    /// 307: temporary, same method.
    TemporaryRedirect = 307,
    /// 308: permanent, same method.
    PermanentRedirect = 308,
    /// 410: it was here, and is gone for good.
    Gone = 410,
}

/// A status that no link can answer with.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the status `{}` is not one of 301, 302, 303, 307, 308 and 410", shown(.0))]
pub struct StatusError(pub String);

impl Status {
    /// All of them.
    pub const ALL: [Status; 6] = [
        Status::MovedPermanently,
        Status::Found,
        Status::SeeOther,
        Status::TemporaryRedirect,
        Status::PermanentRedirect,
        Status::Gone,
    ];

    /// The status of this number, if it is one of these.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// Reads a status from its three digits.
    ///
    /// # Errors
    /// If the text is no such number.
    pub fn parse(text: &str) -> Result<Self, StatusError> {
        let code = text.parse().ok().filter(|_| text.len() == 3);
        code.and_then(Self::from_code).ok_or_else(|| StatusError(text.to_owned()))
    }

    /// Its number.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// Its reason phrase.
    pub fn reason(self) -> &'static str {
        match self {
            Status::MovedPermanently => "Moved Permanently",
            Status::Found => "Found",
            Status::SeeOther => "See Other",
            Status::TemporaryRedirect => "Temporary Redirect",
            Status::PermanentRedirect => "Permanent Redirect",
            Status::Gone => "Gone",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.reason())
    }
}

/// What a link answers: a redirect to a target, or gone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    status: Status,
    /// None exactly when the status is [`Status::Gone`].
    target: Option<Target>,
}

/// A status and a target that do not go together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// A redirect without target.
    #[error("the status {0} needs a target; give one, or the status 410 if the page is gone")]
    MissingTarget(u16),
    /// Gone, and yet a target.
    #[error("the status 410 (gone) takes no target, but there is `{0}`; leave it out, or redirect with 301")]
    GoneWithTarget(Target),
}

impl Destination {
    /// Puts a status and a target together.
    ///
    /// # Errors
    /// If a redirect has no target, or 410 has one.
    pub fn new(status: Status, target: Option<Target>) -> Result<Self, DestinationError> {
        match (status, target) {
            (Status::Gone, Some(target)) => Err(DestinationError::GoneWithTarget(target)),
            (Status::Gone, None) => Ok(Destination { status, target: None }),
            (_, None) => Err(DestinationError::MissingTarget(status.code())),
            (_, target) => Ok(Destination { status, target }),
        }
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The target, if it is a redirect.
    pub fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(f, "{} to {target}", self.status.code()),
            None => write!(f, "{}", self.status.code()),
        }
    }
}

/// The number of a link. It is never given twice: it comes from the place of its creation in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl LinkId {
    /// How many bits the place within a record takes.
    const PLACE_BITS: u32 = 10;

    /// Of the link that the command at this place of a record creates: no other command has this place.
    pub(crate) fn of(sequence: u64, index: usize) -> Self {
        assert!(index < BATCH_COMMANDS, "command {index} of a record");
        const { assert!(BATCH_COMMANDS <= 1 << Self::PLACE_BITS) };
        LinkId(sequence << Self::PLACE_BITS | index as u64)
    }

    /// The record that its link was created by.
    pub fn sequence(self) -> u64 {
        self.0 >> Self::PLACE_BITS
    }

    /// The last that commands up to this record can have made.
    pub(crate) fn last_of(sequence: u64) -> u64 {
        sequence << Self::PLACE_BITS | ((1 << Self::PLACE_BITS) - 1)
    }
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub id: LinkId,
    /// What it is found by.
    pub key: LinkKey,
    /// What it answers.
    pub destination: Destination,
    /// What else it says.
    pub options: LinkOptions,
    /// Whether its path is a generated code.
    pub is_generated: bool,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When it was last changed, in milliseconds since the Unix epoch.
    pub updated_at_ms: u64,
    /// The sequence of the record that made it what it is; up to version 2 of its format, 1 when created, and one more with
    /// each change.
    pub version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_its_digits() {
        for status in Status::ALL {
            assert_eq!(Status::parse(&status.code().to_string()), Ok(status));
        }
        for text in ["418", "200", "", "30", "+301x", "301 ", "+301"] {
            assert_eq!(Status::parse(text), Err(StatusError(text.to_owned())));
        }
    }

    #[test]
    fn status_and_target_go_together() {
        let target = Target::parse("https://a.example/").unwrap();
        assert!(Destination::new(Status::Found, Some(target.clone())).is_ok());
        assert!(Destination::new(Status::Gone, None).is_ok());
        assert_eq!(Destination::new(Status::Found, None), Err(DestinationError::MissingTarget(302)));
        assert_eq!(Destination::new(Status::Gone, Some(target.clone())), Err(DestinationError::GoneWithTarget(target)));
    }
}
