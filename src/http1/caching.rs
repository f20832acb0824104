//! What an answer says about being kept (RFC 9111 §5.2.2).

/// How long caches may keep an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Caching {
    /// As usual for the status: permanent answers (301, 308, 410) are `public` for nine tenths of a day to a whole one,
    /// as [`Context::jitter`](super::Context::jitter) falls, other redirects `private` for 90 seconds, and errors are
    /// not kept.
    #[default]
    Default,
    /// `no-store`: not at all.
    NoStore,
    /// `no-cache`: only to be asked about again each time.
    NoCache,
    /// For a time.
    MaxAge {
        /// Whether for all (`public`), or only for who asked (`private`).
        public: bool,
        /// At most so long, in seconds.
        max_age_s: u32,
        /// Up to so many percent shorter, as [`Context::jitter`](super::Context::jitter) falls, so that caches don't come
        /// back for all answers at once. 0 is exact; what is above 100 counts as 100.
        jitter_percent: u8,
    },
}

impl Caching {
    /// Appends the value of `Cache-Control`. For `Default` there is none here: it stands in the constants.
    pub(super) fn push_to(self, jitter: u32, out: &mut Vec<u8>) {
        match self {
            Self::Default => {}
            Self::NoStore => out.extend_from_slice(b"no-store"),
            Self::NoCache => out.extend_from_slice(b"no-cache"),
            Self::MaxAge { public, max_age_s, jitter_percent } => {
                out.extend_from_slice(if public { b"public, max-age=" } else { b"private, max-age=" });
                push_decimal(max_age_s - lowered_by(max_age_s, jitter_percent, jitter), out);
            }
        }
    }
}

/// A number from 0 to `percent` of `value`, every one as likely as the next.
fn lowered_by(value: u32, percent: u8, jitter: u32) -> u32 {
    let most = u64::from(value) * u64::from(percent.min(100)) / 100;
    // Not above `value`, so it fits.
    (u64::from(jitter) % (most + 1)) as u32
}

fn push_decimal(mut value: u32, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 10];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] += (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return out.extend_from_slice(&digits[start..]);
        }
    }
}
