//! Texts of a link and of a host as they are described: as precisely as a schema can say what `crate::link` takes. White space
//! around a text is left out; lengths are in bytes, where those of a schema are in characters.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::limits::{NOTE_BYTES, TAG_BYTES, TITLE_BYTES};

/// What `CacheControl::parse` takes, written as it is shown. A year is the most.
const CACHE_CONTROL: &str = "^(no-store|no-cache|((public|private), ?)?max-age=([0-9]{1,7}|[12][0-9]{7}|30[0-9]{6}\
                             |31[0-4][0-9]{5}|315[0-2][0-9]{4}|3153[0-5][0-9]{3}|31536000))$";

/// One line without commas and control characters.
const TAG: &str = r"^\s*[^\s\x00-\x1f\x7f-\x9f,]([^\x00-\x1f\x7f-\x9f,]*[^\s\x00-\x1f\x7f-\x9f,])?\s*$";

/// One line without control characters.
const TITLE: &str = r"^\s*[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?\s*$";

/// Any number of lines.
const NOTE: &str = r"^\s*[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x08\x0b-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?\s*$";

fn text(pattern: &str, most: Option<usize>, description: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .min_length(most.map(|_| 1))
        .max_length(most)
        .description(Some(description))
        .into()
}

macro_rules! texts {
    ($($(#[$doc:meta])* $type:ident = $name:literal, $schema:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $type;

        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $schema
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    )*};
}

texts! {
    /// By which links are grouped.
    TagJson = "Tag", text(TAG, Some(TAG_BYTES), "A word by which links are grouped: at most 64 bytes.");
    /// What a link is called.
    TitleJson = "Title", text(TITLE, Some(TITLE_BYTES), "One line of at most 256 bytes.");
    /// What there is to say.
    NoteJson = "Note", text(NOTE, Some(NOTE_BYTES), "Any number of lines, of at most 2,048 bytes together.");
    /// How long an answer may be kept.
    CacheControlJson = "CacheControl",
        text(CACHE_CONTROL, None, "`no-store`, `no-cache`, or `public` or `private` and a `max-age` up to a year.");
}
