//! Answers: everything that can be known beforehand is a constant, so that an answer is few copies.

use super::request::{Method, Request, Version};
use super::status::{ErrorStatus, RedirectStatus};

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// A redirection (RFC 9110 §15.4).
    Redirect {
        /// Its status.
        status: RedirectStatus,
        /// The value of `Location` (RFC 9110 §10.2.2), sent as it is. Must have no control characters, as a line
        /// end in it would begin a field of its own.
        target: &'a [u8],
    },
    /// A client or server error, with a line of text.
    Error(ErrorStatus),
}

/// What the answer is to, and when it is given.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Whether the answer is to HEAD, and so has the fields of the answer to GET and no content
    /// (RFC 9110 §9.3.2).
    pub head_only: bool,
    /// Whether the connection goes on. Overruled by [`ErrorStatus::closes`].
    pub keep_alive: bool,
    /// The version of the request: HTTP/1.0 has to be told that the connection goes on (RFC 9112 §9.3).
    pub version: Version,
    /// The time as an IMF-fixdate, for `Date` (RFC 9110 §6.6.1); see [`imf_fixdate`](super::imf_fixdate).
    pub date: &'a [u8; 29],
    /// Any number, another one for every answer: spreads the `max-age` of permanent answers, so that caches don't
    /// come back for all of them at once.
    pub jitter: u32,
}

impl<'a> Context<'a> {
    /// The context of the answer to `request`.
    pub fn of(request: &Request<'_>, date: &'a [u8; 29], jitter: u32) -> Self {
        Self {
            head_only: request.method == Method::Head,
            keep_alive: request.keep_alive,
            version: request.version,
            date,
            jitter,
        }
    }

    /// The context of an answer to what is no request ([`Parse::Reject`](super::Parse::Reject), or one that did
    /// not arrive in time): the last of its connection.
    pub fn closing(date: &'a [u8; 29]) -> Self {
        Self { head_only: false, keep_alive: false, version: Version::Http11, date, jitter: 0 }
    }
}

/// Shortest `max-age` of a permanent answer, in seconds: 90 % of a day.
const MAX_AGE_MIN_S: u32 = 77_760;

/// How many values the `max-age` of a permanent answer takes: the longest is 86,399 seconds.
const MAX_AGE_SPREAD_S: u32 = 8_640;

const LOCATION: &str = "\r\nLocation: ";

/// The fields whose values are written over in each answer; the date stands last, the `max-age` just before it.
macro_rules! permanent {
    () => {
        "Cache-Control: public, max-age=00000\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT"
    };
}
macro_rules! temporary {
    () => {
        "Cache-Control: private, max-age=90\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT"
    };
}
macro_rules! not_cached {
    () => {
        "Cache-Control: no-store\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT"
    };
}

/// Length of an IMF-fixdate.
const DATE_BYTES: usize = 29;

/// From the start of the `max-age` to the end of the date, in [`permanent`].
const MAX_AGE_TO_END_BYTES: usize = 5 + "\r\nDate: ".len() + DATE_BYTES;

macro_rules! redirect {
    ($status:literal, $caching:ident) => {
        concat!("HTTP/1.1 ", $status, "\r\nContent-Length: 0\r\n", $caching!(), "\r\nLocation: ")
    };
}

const fn redirect_head(status: RedirectStatus) -> &'static str {
    match status {
        RedirectStatus::MovedPermanently => redirect!("301 Moved Permanently", permanent),
        RedirectStatus::Found => redirect!("302 Found", temporary),
        RedirectStatus::SeeOther => redirect!("303 See Other", temporary),
        RedirectStatus::TemporaryRedirect => redirect!("307 Temporary Redirect", temporary),
        RedirectStatus::PermanentRedirect => redirect!("308 Permanent Redirect", permanent),
    }
}

/// Head up to the date, and content, of an error. The literals can only be joined as literals, so the length of
/// the content is written out; the compiler compares it.
macro_rules! error {
    ($status:literal, $length:literal, $caching:ident $(, $field:literal)?) => {{
        const CONTENT: &str = concat!($status, "\n");
        const _: () = assert!(CONTENT.len() == $length);
        (
            concat!(
                "HTTP/1.1 ",
                $status,
                "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ",
                $length,
                "\r\n",
                $($field, "\r\n",)?
                $caching!()
            ),
            CONTENT,
        )
    }};
}

const fn error_head_and_content(status: ErrorStatus) -> (&'static str, &'static str) {
    match status {
        ErrorStatus::BadRequest => error!("400 Bad Request", 16, not_cached),
        ErrorStatus::NotFound => error!("404 Not Found", 14, not_cached),
        ErrorStatus::MethodNotAllowed => error!("405 Method Not Allowed", 23, not_cached, "Allow: GET, HEAD"),
        ErrorStatus::RequestTimeout => error!("408 Request Timeout", 20, not_cached),
        ErrorStatus::Gone => error!("410 Gone", 9, permanent),
        ErrorStatus::UriTooLong => error!("414 URI Too Long", 17, not_cached),
        ErrorStatus::RequestHeaderFieldsTooLarge => error!("431 Request Header Fields Too Large", 36, not_cached),
        ErrorStatus::InternalServerError => error!("500 Internal Server Error", 26, not_cached),
        ErrorStatus::NotImplemented => error!("501 Not Implemented", 20, not_cached),
        ErrorStatus::ServiceUnavailable => error!("503 Service Unavailable", 24, not_cached, "Retry-After: 1"),
        ErrorStatus::HttpVersionNotSupported => error!("505 HTTP Version Not Supported", 31, not_cached),
    }
}

/// Appends `answer` to `out`. Allocates only if `out` has too little room.
///
/// Nothing of the request comes back in an answer, and nothing in it tells what this server is.
pub fn encode(out: &mut Vec<u8>, answer: &Answer<'_>, context: &Context<'_>) {
    match *answer {
        Answer::Redirect { status, target } => {
            debug_assert!(!target.iter().any(u8::is_ascii_control), "Location with a control character");
            let head = redirect_head(status).as_bytes();
            let end = end_of_head(context.keep_alive, context.version);
            out.reserve(head.len() + target.len() + end.len());
            out.extend_from_slice(head);
            let date_end = out.len() - LOCATION.len();
            fill_in(out, date_end, status.is_permanent(), context);
            out.extend_from_slice(target);
            out.extend_from_slice(end);
        }
        Answer::Error(status) => {
            let (head, content) = error_head_and_content(status);
            out.extend_from_slice(head.as_bytes());
            let date_end = out.len();
            fill_in(out, date_end, status == ErrorStatus::Gone, context);
            out.extend_from_slice(end_of_head(context.keep_alive && !status.closes(), context.version));
            if !context.head_only {
                out.extend_from_slice(content.as_bytes());
            }
        }
    }
}

/// Writes the date that ends at `date_end`, and the `max-age` in front of it, over what stands there.
fn fill_in(out: &mut [u8], date_end: usize, with_max_age: bool, context: &Context<'_>) {
    out[date_end - DATE_BYTES..date_end].copy_from_slice(context.date);
    if with_max_age {
        let mut max_age_s = MAX_AGE_MIN_S + context.jitter % MAX_AGE_SPREAD_S;
        let start = date_end - MAX_AGE_TO_END_BYTES;
        for digit in out[start..start + 5].iter_mut().rev() {
            *digit = b'0' + (max_age_s % 10) as u8;
            max_age_s /= 10;
        }
    }
}

/// The last line end of the fields, `Connection` if it says something that the version doesn't imply
/// (RFC 9112 §9.3), and the empty line.
const fn end_of_head(keep_alive: bool, version: Version) -> &'static [u8] {
    match (keep_alive, version) {
        (false, _) => b"\r\nConnection: close\r\n\r\n",
        (true, Version::Http10) => b"\r\nConnection: keep-alive\r\n\r\n",
        (true, Version::Http11) => b"\r\n\r\n",
    }
}
