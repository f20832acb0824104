//! Clicks as they come.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Arguments;
use crate::cli::client::Client;
use crate::cli::text;
use crate::link::shown;

/// A click, as much of it as is shown.
#[derive(Deserialize)]
struct ClickView {
    time: String,
    key: String,
    class: String,
    referrer: Option<String>,
    country: Option<String>,
    device: Option<String>,
    language: Option<String>,
    weight: u64,
}

#[derive(Deserialize)]
struct Missed {
    /// Null where the token may not know how many.
    events: Option<u64>,
}

/// What a line of the feed says, if it is more than a part of an event.
#[derive(Debug, PartialEq)]
enum Said {
    /// What is printed.
    Line(String),
    /// What is said on stderr.
    Note(String),
}

/// Reads server-sent events as Carom writes them: each has one line of data, which is its last one.
#[derive(Default)]
struct Feed {
    event: String,
    is_json: bool,
}

impl Feed {
    fn read(&mut self, line: &[u8]) -> Result<Option<Said>> {
        let line = std::str::from_utf8(line).context("the server's answer can't be read")?;
        if let Some(event) = line.strip_prefix("event: ") {
            event.clone_into(&mut self.event);
        }
        let Some(data) = line.strip_prefix("data: ") else { return Ok(None) };
        let wrong = "the server's answer can't be read; is it another version of carom?";
        Ok(match self.event.as_str() {
            "click" if self.is_json => Some(Said::Line(data.to_owned())),
            "click" => Some(Said::Line(line_of(&serde_json::from_str(data).context(wrong)?))),
            "missed" => {
                let Missed { events } = serde_json::from_str(data).context(wrong)?;
                let clicks = events.map_or_else(|| "some clicks".to_owned(), |events| text::count(events, "click"));
                Some(Said::Note(format!("{clicks} came too fast to be shown")))
            }
            _ => None,
        })
    }
}

/// A click in one line.
fn line_of(click: &ClickView) -> String {
    let ClickView { time, key, class, referrer, country, device, language, weight } = click;
    let or_dash =
        |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), |text| shown(text).to_string());
    let weight = if *weight > 1 { format!("  (for {weight} clicks)") } else { String::new() };
    format!(
        "{}  {class:<7}  {}  {}  {}  {}  {}{weight}",
        text::to_the_second(time),
        or_dash(country),
        or_dash(language),
        or_dash(device),
        shown(key),
        or_dash(referrer)
    )
}

/// Prints clicks until the server ends it.
pub(super) fn follow(client: &mut Client, arguments: &Arguments) -> Result<()> {
    let mut feed = Feed { is_json: arguments.json, ..Feed::default() };
    client.lines(&arguments.of("live"), |line| {
        match feed.read(line)? {
            Some(Said::Line(line)) => text::line(&line)?,
            Some(Said::Note(note)) => text::tell!("carom: {note}"),
            None => {}
        }
        Ok(())
    })?;
    text::tell!("carom: the server ended the feed: it stops, or the token does not hold any more");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_is_a_line() {
        let mut feed = Feed::default();
        let data = r#"data: {"time":"2026-11-22T07:30:00.250Z","key":"go.example/sale","class":"human","referrer":null,"country":"DE","device":"phone","language":"de","weight":3}"#;
        for line in ["retry: 2000", ":", "id: 8", "event: click"] {
            assert_eq!(feed.read(line.as_bytes()).unwrap(), None);
        }
        let line = "2026-11-22T07:30:00Z  human    DE  de  phone  go.example/sale  -  (for 3 clicks)";
        assert_eq!(feed.read(data.as_bytes()).unwrap(), Some(Said::Line(line.to_owned())));
        feed.is_json = true;
        assert_eq!(feed.read(data.as_bytes()).unwrap(), Some(Said::Line(data["data: ".len()..].to_owned())));
    }

    #[test]
    fn clicks_that_were_missed_are_said_and_what_is_new_is_left_out() {
        let mut feed = Feed::default();
        feed.read(b"event: missed").unwrap();
        let said = feed.read(br#"data: {"events":1200}"#).unwrap();
        assert_eq!(said, Some(Said::Note("1,200 clicks came too fast to be shown".to_owned())));
        feed.read(b"event: missed").unwrap();
        let said = feed.read(br#"data: {"events":null}"#).unwrap();
        assert_eq!(said, Some(Said::Note("some clicks came too fast to be shown".to_owned())));
        feed.read(b"event: weather").unwrap();
        assert_eq!(feed.read(b"data: {}").unwrap(), None);
        feed.read(b"event: click").unwrap();
        assert!(feed.read(b"data: {").is_err());
    }
}
