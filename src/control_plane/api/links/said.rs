//! What a body says of a link: all of it, or changes of parts.

use std::num::NonZeroU64;

use super::super::body::{Fields, Given};
use super::super::{targets, time};
use super::model::MAX_CLICKS;
use crate::engine::Tables;
use crate::limits::TAGS;
use crate::link::{
    CacheControl, Destination, Edit, HostSettings, LinkOptions, LinkPatch, Note, OptionsError, QueryPolicy, Status,
    StatusError, Tag, Tags, Target, TextError, Title,
};

/// What can be given of a link, beside what it is found by.
pub(crate) const WRITABLE: [&str; 14] = [
    "key",
    "target",
    "status",
    "query_policy",
    "not_before",
    "expires_at",
    "max_clicks",
    "expired_target",
    "cache_control",
    "tags",
    "title",
    "note",
    "disabled",
    "untracked",
];

/// What holds for the links of a host while a body is read.
pub(crate) struct HostRules<'a> {
    tables: &'a Tables,
    host: &'a str,
    default_status: Status,
}

impl<'a> HostRules<'a> {
    /// Of a host; `*` is any.
    pub(crate) fn of(tables: &'a Tables, host: &'a str) -> Self {
        let settings = tables.host_or_any(host.as_bytes()).map(|host| &host.record.settings);
        let default_status =
            settings.map_or_else(|| HostSettings::default().default_status, |found| found.default_status);
        HostRules { tables, host, default_status }
    }

    /// Reads all that a link is to say. What is not given is not said, the status is the host's usual one. None if
    /// something is wrong, of which `fields` has taken note.
    pub(crate) fn read_link(&self, fields: &mut Fields) -> Option<(Destination, LinkOptions)> {
        let patch = self.read_edits(fields);
        let options = LinkOptions {
            query_policy: patch.query_policy.given(),
            not_before_ms: patch.not_before_ms.given(),
            expires_at_ms: patch.expires_at_ms.given(),
            max_clicks: patch.max_clicks.given(),
            expired_target: patch.expired_target.given(),
            cache_control: patch.cache_control.given(),
            tags: patch.tags.unwrap_or_default(),
            title: patch.title.given(),
            note: patch.note.given(),
            is_disabled: patch.is_disabled.unwrap_or_default(),
            is_untracked: patch.is_untracked.unwrap_or_default(),
        };
        let target: Option<Target> = patch.target.given();
        if !fields.is_fine() {
            return None;
        }
        if let Err(error) = options.check() {
            let (field, value) = match error {
                OptionsError::ExpiresBeforeItBegins => ("expires_at", options.expires_at_ms.map(time::text)),
                OptionsError::NeverExpires => {
                    ("expired_target", options.expired_target.as_ref().map(Target::to_string))
                }
            };
            fields.fail(field, value, error);
        }
        match Destination::new(patch.status.unwrap_or(self.default_status), target.clone()) {
            Ok(destination) => fields.is_fine().then_some((destination, options)),
            Err(error) => {
                fields.fail("target", target.map(|target| target.to_string()), error);
                None
            }
        }
    }

    /// Reads changes of parts of a link (RFC 7396): what is absent stays, what is null is not said any more.
    pub(crate) fn read_patch(&self, fields: &mut Fields) -> LinkPatch {
        self.read_edits(fields)
    }

    fn target(&self, text: &str) -> Result<Target, String> {
        targets::read(self.tables, self.host, text)
    }

    fn read_edits(&self, fields: &mut Fields) -> LinkPatch {
        let status = fields.number("status", |code| {
            let status = u16::try_from(code).ok().and_then(Status::from_code);
            status.ok_or_else(|| StatusError(code.to_string()))
        });
        LinkPatch {
            status: or_default(status, self.default_status),
            target: fields.text("target", |text| self.target(text)),
            query_policy: fields.text("query_policy", QueryPolicy::parse),
            not_before_ms: fields.time("not_before"),
            expires_at_ms: fields.time("expires_at"),
            max_clicks: fields.number("max_clicks", |clicks| {
                let fits = NonZeroU64::new(clicks).filter(|clicks| clicks.get() <= MAX_CLICKS);
                fits.ok_or(format!("a number from 1 to {MAX_CLICKS} is expected"))
            }),
            expired_target: fields.text("expired_target", |text| self.target(text)),
            cache_control: fields.text("cache_control", CacheControl::parse),
            tags: or_default(fields.texts("tags", read_tags), Tags::default()),
            title: fields.text("title", Title::parse),
            note: fields.text("note", Note::parse),
            is_disabled: or_default(fields.flag("disabled"), false),
            is_untracked: or_default(fields.flag("untracked"), false),
        }
    }
}

/// What always has a value gets its usual one when it is cleared.
fn or_default<T>(edit: Edit<T>, usual: T) -> Option<T> {
    match edit {
        Edit::Keep => None,
        Edit::Clear => Some(usual),
        Edit::Set(value) => Some(value),
    }
}

fn read_tags(texts: Vec<&str>) -> Result<Tags, TextError> {
    // Before those that are there twice are left out: what is said is bounded, too.
    if texts.len() > TAGS {
        return Err(TextError::TooManyTags(texts.len()));
    }
    Tags::new(texts.into_iter().map(Tag::parse).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::super::model::{LinkJson, READ_ONLY};
    use super::*;
    use crate::link::{Link, LinkId, LinkKey};
    use serde_json::{Value, json};

    fn fields(value: Value) -> Fields {
        Fields::new(value.as_object().unwrap().clone(), &WRITABLE, &READ_ONLY)
    }

    fn read(value: Value) -> Result<(Destination, LinkOptions), Vec<String>> {
        let mut fields = fields(value);
        let said = HostRules::of(&Tables::default(), "a.example").read_link(&mut fields);
        match fields.finish() {
            Ok(()) => Ok(said.unwrap()),
            Err(problem) => {
                assert!(said.is_none());
                Err(problem.into_errors_within("").into_iter().map(|error| error.field).collect())
            }
        }
    }

    #[test]
    fn what_is_shown_of_a_link_reads_back_as_the_same() {
        for said in [
            json!({"target": "https://b.example/"}),
            json!({"status": 410}),
            json!({"status": 410, "target": null, "query_policy": "drop"}),
            json!({
                "target": "https://b.example/?a=b#c", "status": 308, "query_policy": "merge",
                "not_before": "2030-01-01T00:00:00.001Z", "expires_at": "2030-01-02T00:00:00+01:00",
                "max_clicks": MAX_CLICKS, "expired_target": "https://c.example/", "cache_control": "private, max-age=5",
                "tags": ["b", "a"], "title": "Title", "note": "one\ntwo", "disabled": true,
                "untracked": true
            }),
        ] {
            let (destination, options) = read(said).unwrap();
            let link = Link {
                id: LinkId(u64::MAX),
                key: LinkKey::parse("a.example/x").unwrap(),
                destination: destination.clone(),
                options: options.clone(),
                is_generated: false,
                created_at_ms: 1,
                updated_at_ms: 2,
                version: 3,
            };
            let shown = serde_json::to_value(LinkJson::of(&link, 0, 0)).unwrap();
            assert_eq!(shown.as_object().unwrap().len(), WRITABLE.len() + READ_ONLY.len());
            assert_eq!(read(shown), Ok((destination, options)));
        }
    }

    #[test]
    fn what_does_not_go_together_is_said_of_the_field_that_can_mend_it() {
        let over = json!({"target": "https://b.example/", "expired_target": "https://c.example/"});
        let never = json!({
            "target": "https://b.example/", "not_before": "2030-01-01T00:00:00Z", "expires_at": "2030-01-01T00:00:00Z"
        });
        for (said, field) in [
            (json!({}), "target"),
            (json!({"target": "https://b.example/", "status": 410}), "target"),
            (over, "expired_target"),
            (never, "expires_at"),
            (json!({"target": "https://b.example/", "status": 200}), "status"),
            (json!({"target": "https://b.example/", "max_clicks": 0}), "max_clicks"),
            (json!({"target": "https://b.example/", "max_clicks": MAX_CLICKS + 1}), "max_clicks"),
        ] {
            assert_eq!(read(said.clone()), Err(vec![field.to_owned()]), "{said}");
        }
        assert_eq!(read(json!({"target": "x", "tags": [""], "tagss": 1})).unwrap_err(), ["tagss", "target", "tags"]);
    }

    #[test]
    fn a_patch_keeps_clears_and_sets() {
        let mut fields = fields(json!({"title": null, "note": "n", "tags": null, "disabled": null, "status": null}));
        let patch = HostRules::of(&Tables::default(), "a.example").read_patch(&mut fields);
        fields.finish().unwrap();
        assert_eq!((patch.title, patch.target), (Edit::Clear, Edit::Keep));
        assert_eq!(patch.note, Edit::Set(Note::parse("n").unwrap()));
        assert_eq!(
            (patch.tags, patch.is_disabled, patch.status),
            (Some(Tags::default()), Some(false), Some(Status::Found))
        );
    }
}
