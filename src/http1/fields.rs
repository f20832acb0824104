//! The header section (RFC 9112 §5): the fields that decide who is asked and how the connection goes on, and those that
//! say who asks.

use super::request::{Taken, Version, is_tchar};
use super::scan::{self, BLOCK_BYTES, Block};
use super::status::ErrorStatus;
use super::target::is_authority;
use crate::limits::REQUEST_HEADERS;

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
/// A line is a name, a colon, a value without controls but tabs, and CRLF (RFC 9112 §5). What a recipient may be lenient
/// with is refused, see [`parse`](super::parse).
///
/// # Errors
///
/// 400, 431 or 501, by the rules of [`parse`](super::parse).
pub(super) fn take(buf: &[u8], version: Version) -> Taken<'_, Fields<'_>> {
    let mut seen = Seen::default();
    let mut lines = 0;
    let mut rest = buf;
    loop {
        match rest {
            [b'\r', b'\n', behind @ ..] => return Ok(Some((seen.weigh(version)?, behind))),
            [] | [b'\r'] => return Ok(None),
            [first, ..] if lines == REQUEST_HEADERS && is_tchar(*first) => {
                return Err(ErrorStatus::RequestHeaderFieldsTooLarge);
            }
            _ => lines += 1,
        }
        let start = Block::first_of(rest);
        let Some(colon) = name_end(rest, start)? else { return Ok(None) };
        let Some(end) = line_end(rest, start)? else { return Ok(None) };
        let (line, behind) = rest.split_at(end);
        let (name, value) = line.split_at(colon);
        seen.field(start, name, &value[1..]);
        rest = &behind[2..];
    }
}

/// Where the name that begins a line ends, which is at a colon; `None` if more bytes are needed. `start` is the first
/// block of the line.
#[inline(always)]
fn name_end(line: &[u8], start: Block) -> Result<Option<usize>, ErrorStatus> {
    let mut end = start.name_stop();
    if end == BLOCK_BYTES {
        end += Block::first_of(&line[end..]).name_stop();
    }
    if line.get(end) != Some(&b':') {
        // A very long name, or one of other bytes of a token (RFC 9110 §5.6.2).
        let Some(others) = line.iter().skip(end).position(|&byte| !is_tchar(byte)) else { return Ok(None) };
        end += others;
        if line[end] != b':' {
            return Err(ErrorStatus::BadRequest);
        }
    }
    if end == 0 { Err(ErrorStatus::BadRequest) } else { Ok(Some(end)) }
}

/// Where the CRLF of a line is; `None` if more bytes are needed. `start` is the first block of the line.
#[inline(always)]
fn line_end(line: &[u8], start: Block) -> Result<Option<usize>, ErrorStatus> {
    let mut stop = start.line_stop().or_else(|| scan::line_stop(line, BLOCK_BYTES));
    loop {
        let Some(end) = stop else { return Ok(None) };
        match line.get(end..) {
            Some([b'\r', b'\n', ..]) => return Ok(Some(end)),
            None | Some([] | [b'\r']) => return Ok(None),
            // obs-text (RFC 9110 §5.5) may stand in values.
            Some(rest @ [b'\t' | 0x80.., ..]) => {
                // Where there is one there are mostly others.
                let run = rest.iter().take_while(|&&byte| byte == b'\t' || byte >= 0x80).count();
                stop = scan::line_stop(line, end + run);
            }
            Some(_) => return Err(ErrorStatus::BadRequest),
        }
    }
}

/// The fields that matter here, before they are weighed against each other.
#[derive(Default)]
struct Seen<'b> {
    hosts: usize,
    host: &'b [u8],
    content_length: Option<u64>,
    has_bad_length: bool,
    transfer_codings: usize,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    client: Client<'b>,
}

impl<'b> Seen<'b> {
    /// Takes a field: its name, which stands in the block, and its value with the white space around it.
    #[inline(always)]
    fn field(&mut self, start: Block, name: &[u8], value: &'b [u8]) {
        let starts = start.lower();
        // The length tells nearly all other fields apart at the price of one comparison.
        match name.len() {
            3 if starts.with("dnt") => self.client.opts_out |= value.trim_ascii_start().starts_with(b"1"),
            4 if starts.with("host") => {
                self.hosts += 1;
                self.host = value.trim_ascii();
            }
            7 if starts.with("referer") => self.client.referer = Some(value.trim_ascii()),
            7 if starts.with("sec-gpc") => self.client.opts_out |= value.trim_ascii() == b"1",
            10 if starts.with("connection") => self.connection(value),
            10 if starts.with("user-agent") => self.client.user_agent = Some(value.trim_ascii()),
            14 if starts.with("content-length") => self.content_length(value),
            15 if starts.with("accept-language") => self.client.accept_language = Some(value.trim_ascii()),
            15 if starts.with("x-forwarded-for") => self.client.forwarded_for.push(value.trim_ascii()),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.transfer_codings += 1;
                self.chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
            _ => {}
        }
    }

    /// `Connection` is a list of options, in any case (RFC 9110 §7.6.1).
    fn connection(&mut self, value: &[u8]) {
        if value == b" keep-alive" {
            self.keep_alive = true;
            return;
        }
        for option in list(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// A list of equal lengths counts as one, different ones are an error (RFC 9112 §6.3 item 5).
    fn content_length(&mut self, value: &[u8]) {
        for length in list(value) {
            match decimal(length) {
                Some(length) if *self.content_length.get_or_insert(length) == length => {}
                _ => self.has_bad_length = true,
            }
        }
    }

    fn weigh(self, version: Version) -> Result<Fields<'b>, ErrorStatus> {
        // RFC 9112 §3.2: HTTP/1.1 must name the host, and no version may name two.
        let host_is_missing = self.hosts == 0 && version == Version::Http11;
        if self.has_bad_length
            || host_is_missing
            || self.hosts > 1
            || !(self.host.is_empty() || is_authority(self.host))
        {
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
