//! The header section (RFC 9112 §5): the fields that decide who is asked and how the connection goes on, and those that
//! say who asks.

use httparse::{EMPTY_HEADER, Header, Status};

use super::request::{Taken, Version};
use super::status::ErrorStatus;
use super::target::is_authority;
use crate::limits::REQUEST_HEADERS;

/// Room for the fields of nearly every request: browsers send about 15. Room has to be initialised, which costs time
/// in every request, so the first try makes no more than this.
const USUAL_HEADERS: usize = 24;

/// What the header section says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'b> {
    /// The value of `Host`; `None` if it is empty or missing.
    pub(super) host: Option<&'b [u8]>,
    /// Whether the client wants the connection to go on (RFC 9112 §9.3).
    pub(super) persistent: bool,
    /// Whether a body follows the head (RFC 9112 §6.3).
    pub(super) has_body: bool,
    /// Who asks.
    pub(super) client: Client<'b>,
}

/// The values of `X-Forwarded-For`, in their order: proxies that do not add to a line of another add their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ForwardedFor<'b> {
    lines: [&'b [u8]; FORWARDED_FOR_LINES],
    count: usize,
}

/// More lines than so many are none at all: there are not so many proxies on the way of an honest request.
const FORWARDED_FOR_LINES: usize = 3;

impl<'b> ForwardedFor<'b> {
    /// Of no line.
    pub const NONE: Self = ForwardedFor { lines: [&[]; FORWARDED_FOR_LINES], count: 0 };

    /// Of these lines.
    pub fn of(lines: &[&'b [u8]]) -> Self {
        let mut all = ForwardedFor::NONE;
        lines.iter().for_each(|line| all.push(line));
        all
    }

    /// The lines from the last to the first; None if there are too many.
    pub fn from_last(&self) -> Option<impl Iterator<Item = &'b [u8]> + use<'b>> {
        let lines = self.lines;
        (self.count <= lines.len()).then(|| lines.into_iter().take(self.count).rev())
    }

    fn push(&mut self, line: &'b [u8]) {
        if let Some(place) = self.lines.get_mut(self.count) {
            *place = line;
        }
        self.count += 1;
    }
}

/// What a request says about who sends it: the values as they were sent, of most fields the last one. Nothing of it
/// decides the answer, so nothing of it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Client<'b> {
    /// `User-Agent` (RFC 9110 §10.1.5).
    pub user_agent: Option<&'b [u8]>,
    /// `Referer` (RFC 9110 §10.1.3).
    pub referer: Option<&'b [u8]>,
    /// `Accept-Language` (RFC 9110 §12.5.4).
    pub accept_language: Option<&'b [u8]>,
    /// `X-Forwarded-For`: for whom proxies ask.
    pub forwarded_for: ForwardedFor<'b>,
    /// Whether `DNT` (W3C Tracking Preference Expression §5.2) begins with `1`, or `Sec-GPC` (W3C Global Privacy Control)
    /// is `1`: the sender does not want to be tracked.
    pub opts_out: bool,
}

/// Takes the header section, up to and with the empty line, from the front.
///
/// # Errors
///
/// 400, 431 or 501, by the rules of [`parse`](super::parse).
pub(super) fn take(buf: &[u8], version: Version) -> Taken<'_, Fields<'_>> {
    match take_up_to::<USUAL_HEADERS>(buf, version) {
        Err(ErrorStatus::RequestHeaderFieldsTooLarge) => take_many(buf, version),
        usual => usual,
    }
}

#[cold]
#[inline(never)]
fn take_many(buf: &[u8], version: Version) -> Taken<'_, Fields<'_>> {
    take_up_to::<REQUEST_HEADERS>(buf, version)
}

fn take_up_to<const MOST: usize>(buf: &[u8], version: Version) -> Taken<'_, Fields<'_>> {
    let mut headers = [EMPTY_HEADER; MOST];
    match httparse::parse_headers(buf, &mut headers) {
        Ok(Status::Partial) => Ok(None),
        Ok(Status::Complete((length, fields))) => {
            let (section, behind) = buf.split_at(length);
            if !lines_end_in_crlf(section, fields) {
                return Err(ErrorStatus::BadRequest);
            }
            Ok(Some((judge(fields, version)?, behind)))
        }
        Err(httparse::Error::TooManyHeaders) => Err(ErrorStatus::RequestHeaderFieldsTooLarge),
        Err(_) => Err(ErrorStatus::BadRequest),
    }
}

/// `httparse` takes a bare LF for a line end, which RFC 9112 §2.2 permits; a parser in front that doesn't would
/// see other fields, or another end of the head. Every line but the last ends where a field name begins.
fn lines_end_in_crlf(section: &[u8], fields: &[Header<'_>]) -> bool {
    let start = section.as_ptr().addr();
    let mut line_starts = fields.iter().skip(1).map(|field| field.name.as_ptr().addr() - start);
    let ends_in_crlf = if fields.is_empty() { section == b"\r\n" } else { section.ends_with(b"\r\n\r\n") };
    ends_in_crlf && line_starts.all(|at| section[at - 2] == b'\r')
}

/// The fields that matter here, before they are weighed against each other.
#[derive(Default)]
struct Seen<'b> {
    hosts: usize,
    host: &'b [u8],
    content_length: Option<u64>,
    transfer_codings: usize,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    client: Client<'b>,
}

fn judge<'b>(fields: &[Header<'b>], version: Version) -> Result<Fields<'b>, ErrorStatus> {
    let mut seen = Seen::default();
    for field in fields {
        let name = field.name.as_bytes();
        // Length and first letter tell nearly all other fields apart at the price of two comparisons.
        match (name.len(), name[0] | 0x20) {
            (4, b'h') if name.eq_ignore_ascii_case(b"host") => {
                seen.hosts += 1;
                seen.host = field.value;
            }
            (10, b'c') if name.eq_ignore_ascii_case(b"connection") => seen.connection(field.value),
            (14, b'c') if name.eq_ignore_ascii_case(b"content-length") => seen.content_length(field.value)?,
            (17, b't') if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                seen.transfer_codings += 1;
                seen.chunked = field.value.eq_ignore_ascii_case(b"chunked");
            }
            (10, b'u') if name.eq_ignore_ascii_case(b"user-agent") => seen.client.user_agent = Some(field.value),
            (7, b'r') if name.eq_ignore_ascii_case(b"referer") => seen.client.referer = Some(field.value),
            (15, b'a') if name.eq_ignore_ascii_case(b"accept-language") => {
                seen.client.accept_language = Some(field.value);
            }
            (15, b'x') if name.eq_ignore_ascii_case(b"x-forwarded-for") => {
                seen.client.forwarded_for.push(field.value);
            }
            (3, b'd') if name.eq_ignore_ascii_case(b"dnt") => seen.client.opts_out |= field.value.starts_with(b"1"),
            (7, b's') if name.eq_ignore_ascii_case(b"sec-gpc") => seen.client.opts_out |= field.value == b"1",
            _ => {}
        }
    }
    seen.weigh(version)
}

impl<'b> Seen<'b> {
    /// `Connection` is a list of options, in any case (RFC 9110 §7.6.1).
    fn connection(&mut self, value: &[u8]) {
        for option in list(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// A list of equal lengths counts as one, different ones are an error (RFC 9112 §6.3 item 5).
    fn content_length(&mut self, value: &[u8]) -> Result<(), ErrorStatus> {
        for length in list(value) {
            let length = decimal(length).ok_or(ErrorStatus::BadRequest)?;
            if *self.content_length.get_or_insert(length) != length {
                return Err(ErrorStatus::BadRequest);
            }
        }
        Ok(())
    }

    fn weigh(self, version: Version) -> Result<Fields<'b>, ErrorStatus> {
        // RFC 9112 §3.2: HTTP/1.1 must name the host, and no version may name two.
        let host_is_missing = self.hosts == 0 && version == Version::Http11;
        if host_is_missing || self.hosts > 1 || !(self.host.is_empty() || is_authority(self.host)) {
            return Err(ErrorStatus::BadRequest);
        }
        if self.transfer_codings > 0 {
            // RFC 9112 §6.1: signs of a client, or of something on the way, that frames messages differently.
            if version == Version::Http10 || self.content_length.is_some() {
                return Err(ErrorStatus::BadRequest);
            }
            if self.transfer_codings > 1 || !self.chunked {
                return Err(ErrorStatus::NotImplemented);
            }
        }
        Ok(Fields {
            host: (!self.host.is_empty()).then_some(self.host),
            persistent: !self.close && (self.keep_alive || version == Version::Http11),
            has_body: self.chunked || self.content_length.is_some_and(|length| length > 0),
            client: self.client,
        })
    }
}

/// The elements of a comma-separated list (RFC 9110 §5.6.1), without the white space around them.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// A number of decimal digits and nothing else, below 2^64.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
