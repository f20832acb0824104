//! Links for people.

use serde::Deserialize;

use crate::cli::text::to_the_second;
use crate::link::Status;

/// As much of the API's link as is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LinkView {
    pub(super) key: String,
    id: String,
    pub(super) status: u16,
    pub(super) target: Option<String>,
    query_policy: Option<String>,
    not_before: Option<String>,
    expires_at: Option<String>,
    max_clicks: Option<u64>,
    used_clicks: u64,
    expired_target: Option<String>,
    cache_control: Option<String>,
    tags: Vec<String>,
    title: Option<String>,
    note: Option<String>,
    state: String,
    untracked: bool,
    generated: bool,
    created_at: String,
    updated_at: String,
    version: u64,
}

/// In one line: what it is found by, and what is answered.
pub(super) fn short(link: &LinkView) -> String {
    match &link.target {
        Some(target) => format!("{} → {target} ({})", link.key, link.status),
        None => format!("{} ({})", link.key, meaning(link.status)),
    }
}

/// In lines `name: value`, without what it does not say.
pub(super) fn details(link: &LinkView) -> String {
    let clicks = link.max_clicks.map(|max| format!("{} of {max} used", link.used_clicks));
    let lines = [
        ("Key", Some(link.key.clone())),
        ("Status", Some(meaning(link.status))),
        ("Target", link.target.clone()),
        ("State", Some(link.state.clone())),
        ("Untracked", Some("its clicks are only counted".to_owned()).filter(|_| link.untracked)),
        ("Query", link.query_policy.clone()),
        ("Not before", link.not_before.clone()),
        ("Expires at", link.expires_at.clone()),
        ("Clicks", clicks),
        ("Expired target", link.expired_target.clone()),
        ("Cache-Control", link.cache_control.clone()),
        ("Tags", Some(link.tags.join(", ")).filter(|tags| !tags.is_empty())),
        ("Title", link.title.clone()),
        ("Note", link.note.as_deref().map(one_line)),
        ("Code", Some("generated".to_owned()).filter(|_| link.generated)),
        ("Created", Some(link.created_at.clone())),
        ("Updated", Some(link.updated_at.clone())),
        ("Version", Some(link.version.to_string())),
        ("Id", Some(link.id.clone()).filter(|id| !id.is_empty())),
    ];
    let lines = lines.into_iter().filter_map(|(name, value)| Some(format!("{:<16}{}", format!("{name}:"), value?)));
    lines.collect::<Vec<_>>().join("\n")
}

/// The columns of a table of links.
pub(super) const COLUMNS: [&str; 6] = ["key", "status", "target", "state", "tags", "updated"];

/// As rows of such a table.
pub(super) fn rows(links: Vec<LinkView>) -> Vec<Vec<String>> {
    let rows = links.into_iter().map(|link| {
        let LinkView { key, status, target, state, tags, updated_at, .. } = link;
        let target = target.unwrap_or_else(|| "-".to_owned());
        vec![key, status.to_string(), target, state, tags.join(","), to_the_second(&updated_at)]
    });
    rows.collect()
}

fn meaning(status: u16) -> String {
    match Status::ALL.into_iter().find(|known| known.code() == status) {
        Some(known) => format!("{status} {}", known.reason()),
        None => status.to_string(),
    }
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_shown_in_a_line_or_in_all_that_it_says() {
        let gone: LinkView = serde_json::from_str(r#"{"key":"*/gone","status":410,"target":null,"new":1}"#).unwrap();
        assert_eq!(short(&gone), "*/gone (410 Gone)");
        let json = r#"{"key":"a.example/b","status":302,"target":"https://x.example/","state":"active","tags":["x","y"],
            "max_clicks":3,"used_clicks":1,"note":"a\nb","created_at":"2030-01-01T00:00:00.000Z",
            "updated_at":"2030-01-01T00:00:00.123Z","version":2}"#;
        let link: LinkView = serde_json::from_str(json).unwrap();
        assert_eq!(short(&link), "a.example/b → https://x.example/ (302)");
        let shown = details(&link);
        for line in ["Clicks:         1 of 3 used", "Tags:           x, y", "Note:           a b", "Version:        2"]
        {
            assert!(shown.lines().any(|shown| shown == line), "no `{line}` in {shown}");
        }
        assert!(!shown.contains("Title"));
        let rows = crate::cli::table::table(&COLUMNS, rows(vec![link, gone]));
        assert!(rows.contains("a.example/b  302     https://x.example/  active  x,y   2030-01-01T00:00:00Z"), "{rows}");
        assert!(rows.contains("*/gone       410     -"), "{rows}");
    }
}
