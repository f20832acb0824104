//! The status codes that are answered (RFC 9110 §15).

use thiserror::Error;

/// A redirection (RFC 9110 §15.4) that carries a `Location`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedirectStatus {
    /// 301, permanent; a client may change POST to GET (RFC 9110 §15.4.2).
    MovedPermanently,
    /// 302, temporary; a client may change POST to GET (RFC 9110 §15.4.3).
    Found,
    /// 303, temporary; the client asks with GET (RFC 9110 §15.4.4).
    SeeOther,
    /// 307, temporary; the method stays (RFC 9110 §15.4.8).
    TemporaryRedirect,
    /// 308, permanent; the method stays (RFC 9110 §15.4.9).
    PermanentRedirect,
}

impl RedirectStatus {
    /// The status code.
    pub const fn code(self) -> u16 {
        match self {
            Self::MovedPermanently => 301,
            Self::Found => 302,
            Self::SeeOther => 303,
            Self::TemporaryRedirect => 307,
            Self::PermanentRedirect => 308,
        }
    }

    /// Whether the redirect holds for ever (301, 308), so that shared caches may keep it.
    pub const fn is_permanent(self) -> bool {
        matches!(self, Self::MovedPermanently | Self::PermanentRedirect)
    }
}

/// The code is none of 301, 302, 303, 307 and 308.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0} is not a redirect status: 301, 302, 303, 307 or 308")]
pub struct UnknownRedirectStatus(pub u16);

impl TryFrom<u16> for RedirectStatus {
    type Error = UnknownRedirectStatus;

    fn try_from(code: u16) -> Result<Self, UnknownRedirectStatus> {
        match code {
            301 => Ok(Self::MovedPermanently),
            302 => Ok(Self::Found),
            303 => Ok(Self::SeeOther),
            307 => Ok(Self::TemporaryRedirect),
            308 => Ok(Self::PermanentRedirect),
            _ => Err(UnknownRedirectStatus(code)),
        }
    }
}

/// A client error (RFC 9110 §15.5) or server error (§15.6) that is answered. 431 is from RFC 6585 §5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorStatus {
    /// 400: not HTTP, or HTTP that is not safe to answer.
    BadRequest,
    /// 404: no link here.
    NotFound,
    /// 405: a known method that is neither GET nor HEAD; the answer names those two in `Allow`.
    MethodNotAllowed,
    /// 408: the request head did not arrive in time.
    RequestTimeout,
    /// 410: there was a link here, and it will not come back.
    Gone,
    /// 414: the request target is longer than [`REQUEST_TARGET_BYTES`](crate::limits::REQUEST_TARGET_BYTES).
    UriTooLong,
    /// 431: the request head has more bytes than [`REQUEST_HEAD_BYTES`](crate::limits::REQUEST_HEAD_BYTES) or
    /// more fields than [`REQUEST_HEADERS`](crate::limits::REQUEST_HEADERS).
    RequestHeaderFieldsTooLarge,
    /// 500: a fault of this server.
    InternalServerError,
    /// 501: a method or transfer coding this server does not know.
    NotImplemented,
    /// 503: overloaded; the answer asks the client to come back in a second.
    ServiceUnavailable,
    /// 505: a major version other than 1.
    HttpVersionNotSupported,
}

impl ErrorStatus {
    /// The status code.
    pub const fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::Gone => 410,
            Self::UriTooLong => 414,
            Self::RequestHeaderFieldsTooLarge => 431,
            Self::InternalServerError => 500,
            Self::NotImplemented => 501,
            Self::ServiceUnavailable => 503,
            Self::HttpVersionNotSupported => 505,
        }
    }

    /// Whether an answer with this status always ends the connection: after 400, 408, 414, 431 and 505 it is not
    /// known where the next request would begin.
    pub const fn closes(self) -> bool {
        matches!(
            self,
            Self::BadRequest
                | Self::RequestTimeout
                | Self::UriTooLong
                | Self::RequestHeaderFieldsTooLarge
                | Self::HttpVersionNotSupported
        )
    }
}
