//! Answers: everything that can be known beforehand is a constant, so that an answer is few copies.

use super::caching::Caching;
use super::location::Location;
use super::request::{Method, Request, Version};
use super::status::{ErrorStatus, RedirectStatus};

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// A redirection (RFC 9110 §15.4).
    Redirect {
        /// Its status.
        status: RedirectStatus,
        /// Where it leads.
        location: Location<'a>,
        /// How long it may be kept.
        caching: Caching,
        /// More fields, sent as they are: each `Name: value` and CRLF. Must have no other control characters.
        fields: &'a [u8],
    },
    /// A client or server error, with a line of text.
    Error {
        /// Its status.
        status: ErrorStatus,
        /// How long it may be kept. Of use for 404 and 410; the others speak of the moment.
        caching: Caching,
        /// More fields, as those of a redirection.
        fields: &'a [u8],
    },
}

impl<'a> Answer<'a> {
    /// The redirection to `target`, with nothing special about it.
    pub const fn redirect(status: RedirectStatus, target: &'a [u8]) -> Self {
        Self::Redirect { status, location: Location::Target(target), caching: Caching::Default, fields: b"" }
    }

    /// The error `status`, with nothing special about it.
    pub const fn error(status: ErrorStatus) -> Self {
        Self::Error { status, caching: Caching::Default, fields: b"" }
    }
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
    /// Any number, another one for every answer: spreads the `max-age` of answers that are kept long, so that caches
    /// don't come back for all of them at once.
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

/// How the answers with a status are kept by default, which is what stands in their head.
#[derive(Clone, Copy)]
enum Kept {
    Permanent,
    Temporary,
    Not,
}

impl Kept {
    const fn redirect(status: RedirectStatus) -> Self {
        if status.is_permanent() { Self::Permanent } else { Self::Temporary }
    }

    const fn error(status: ErrorStatus) -> Self {
        if matches!(status, ErrorStatus::Gone) { Self::Permanent } else { Self::Not }
    }

    /// The fields of the head that say so, and the date.
    const fn fields(self) -> &'static str {
        match self {
            Self::Permanent => permanent!(),
            Self::Temporary => temporary!(),
            Self::Not => not_cached!(),
        }
    }
}

/// Appends `answer` to `out`. Allocates only if `out` has too little room.
///
/// Nothing of the request comes back in an answer but what a [`Location`] takes from it, and nothing in it tells what
/// this server is.
pub fn encode(out: &mut Vec<u8>, answer: &Answer<'_>, context: &Context<'_>) {
    match *answer {
        Answer::Redirect { status, location, caching, fields } => {
            let head = redirect_head(status);
            let end = end_of_head(context.keep_alive, context.version);
            out.reserve(head.len() + location.usual_bytes() + fields.len() + end.len());
            push_head(out, head, LOCATION, Kept::redirect(status), caching, context);
            let start = out.len();
            location.push_to(out);
            debug_assert!(!out[start..].iter().any(u8::is_ascii_control), "Location with a control character");
            push_fields(out, fields);
            out.extend_from_slice(end);
        }
        Answer::Error { status, caching, fields } => {
            let (head, content) = error_head_and_content(status);
            push_head(out, head, "", Kept::error(status), caching, context);
            push_fields(out, fields);
            out.extend_from_slice(end_of_head(context.keep_alive && !status.closes(), context.version));
            if !context.head_only {
                out.extend_from_slice(content.as_bytes());
            }
        }
    }
}

/// Appends `head`, whose last fields but for `last` are those of `kept`, with the date and `caching` filled in.
#[inline]
fn push_head(
    out: &mut Vec<u8>,
    head: &'static str,
    last: &'static str,
    kept: Kept,
    caching: Caching,
    context: &Context<'_>,
) {
    if matches!(caching, Caching::Default) {
        out.extend_from_slice(head.as_bytes());
        let date_end = out.len() - last.len();
        fill_in(out, date_end, matches!(kept, Kept::Permanent), context);
    } else {
        let constant = &head[..head.len() - last.len() - kept.fields().len()];
        out.extend_from_slice(constant.as_bytes());
        out.extend_from_slice(b"Cache-Control: ");
        caching.push_to(context.jitter, out);
        out.extend_from_slice(b"\r\nDate: ");
        out.extend_from_slice(context.date);
        out.extend_from_slice(last.as_bytes());
    }
}

/// Appends `fields` behind a field whose line end is missing, and leaves the last one's missing.
#[inline]
fn push_fields(out: &mut Vec<u8>, fields: &[u8]) {
    debug_assert!(are_fields(fields), "fields that are no lines: {}", fields.escape_ascii());
    if let Some(lines) = fields.strip_suffix(b"\r\n") {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(lines);
    }
}

/// Whether these are lines without other controls in them, or nothing. An empty line would end the head.
fn are_fields(mut fields: &[u8]) -> bool {
    while !fields.is_empty() {
        let Some(length) = fields.iter().position(u8::is_ascii_control) else { return false };
        match &fields[length..] {
            [b'\r', b'\n', behind @ ..] if length > 0 => fields = behind,
            _ => return false,
        }
    }
    true
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
