//! The header section that a connection sent last, and what it said.

use std::ops::Range;

use super::fields::{self, Client, Fields, ForwardedFor};
use super::request::{Taken, Version};

/// Longer header sections are not kept: there may be one a connection.
const SECTION_BYTES: usize = 1_024;

/// Remembers the header section of a connection's last request: most clients send the very same fields each time, and to
/// see that is a comparison of bytes.
///
/// It keeps nothing of a connection with one request, and at most 1 KiB of others. The answer is always the one that would
/// have been found without it, for that depends on the version and these bytes alone.
#[derive(Debug, Default)]
pub struct FieldCache {
    /// Up to and with the empty line. Empty where there is none.
    section: Vec<u8>,
    places: Places,
    /// Whether the connection has sent a request before.
    has_come_again: bool,
}

/// What a header section says: places instead of bytes.
#[derive(Debug)]
struct Places {
    version: Version,
    host: Option<Range<u16>>,
    user_agent: Option<Range<u16>>,
    referer: Option<Range<u16>>,
    accept_language: Option<Range<u16>>,
    opts_out: bool,
    persistent: bool,
    has_body: bool,
}

impl Default for Places {
    fn default() -> Self {
        Places {
            version: Version::Http11,
            host: None,
            user_agent: None,
            referer: None,
            accept_language: None,
            opts_out: false,
            persistent: false,
            has_body: false,
        }
    }
}

impl FieldCache {
    /// Takes the header section from the front, as [`fields::take`] does.
    ///
    /// # Errors
    /// As there.
    #[inline(always)]
    pub(super) fn take<'b>(&mut self, buf: &'b [u8], version: Version) -> Taken<'b, Fields<'b>> {
        if !self.section.is_empty() && version == self.places.version && buf.starts_with(&self.section) {
            let (section, behind) = buf.split_at(self.section.len());
            return Ok(Some((self.places.fields(section), behind)));
        }
        let taken = fields::take(buf, version)?;
        if let Some((fields, behind)) = &taken {
            self.keep(&buf[..buf.len() - behind.len()], version, fields);
        }
        Ok(taken)
    }

    /// How many bytes are kept.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.section.len()
    }

    #[inline(never)]
    fn keep(&mut self, section: &[u8], version: Version, fields: &Fields<'_>) {
        self.section.clear();
        // What proxies say is about someone else each time.
        let may_come_again = section.len() <= SECTION_BYTES && fields.client.forwarded_for == ForwardedFor::NONE;
        if std::mem::replace(&mut self.has_come_again, true) && may_come_again {
            self.section.extend_from_slice(section);
            self.places = Places::of(section, version, fields);
        }
    }
}

impl Places {
    fn of(section: &[u8], version: Version, fields: &Fields<'_>) -> Self {
        let place = |value: Option<&[u8]>| {
            let value = value?;
            let start = value.as_ptr().addr() - section.as_ptr().addr();
            Some(start as u16..(start + value.len()) as u16)
        };
        let Fields { host, persistent, has_body, client } = *fields;
        Places {
            version,
            host: place(host),
            user_agent: place(client.user_agent),
            referer: place(client.referer),
            accept_language: place(client.accept_language),
            opts_out: client.opts_out,
            persistent,
            has_body,
        }
    }

    /// What was said, in a section of the same bytes.
    #[inline(always)]
    fn fields<'b>(&self, section: &'b [u8]) -> Fields<'b> {
        let value = |place: &Option<Range<u16>>| {
            place.as_ref().map(|place| &section[usize::from(place.start)..usize::from(place.end)])
        };
        Fields {
            host: value(&self.host),
            persistent: self.persistent,
            has_body: self.has_body,
            client: Client {
                user_agent: value(&self.user_agent),
                referer: value(&self.referer),
                accept_language: value(&self.accept_language),
                forwarded_for: ForwardedFor::NONE,
                opts_out: self.opts_out,
            },
        }
    }
}
