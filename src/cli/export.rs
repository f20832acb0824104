//! `carom export`: all links, or some, as a file.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueHint};
use serde::Deserialize;
use serde_json::Value;

use super::client::{PlaceArguments, Purpose, Request};
use super::import::Format;
use super::link::Filter;
use super::text::{self, count};
use super::{Exit, output};
use crate::link::Host;

/// Write links to a file or to stdout, while they are being served or not
///
/// As JSON lines with all that they say, or as CSV with source, target and status; `carom import` reads both. The file
/// gets its name when all of it is there.
#[derive(Args)]
pub(super) struct Arguments {
    /// What to write [default: csv if the name of the file ends in .csv, else ndjson]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The file, which is replaced if it is there and keeps its mode; a pipe or device is written into [default: stdout]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    place: PlaceArguments,
}

/// What is asked of a link to write it as a row.
#[derive(Deserialize)]
struct Exported {
    key: String,
    status: u16,
    target: Option<String>,
    #[serde(flatten)]
    rest: std::collections::HashMap<String, Value>,
}

/// What a link may say that has no column.
const WITHOUT_COLUMN: [&str; 11] = [
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

impl Exported {
    fn says_more(&self) -> bool {
        WITHOUT_COLUMN.iter().filter_map(|name| self.rest.get(*name)).any(|value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(list) => !list.is_empty(),
            _ => true,
        })
    }

    /// As the importer reads it.
    fn source(&self) -> &str {
        self.key.strip_prefix(Host::ANY).filter(|path| path.starts_with('/')).unwrap_or(&self.key)
    }
}

/// Writes them.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let Arguments { format, output, filter, place } = arguments;
    let is_csv = output.as_ref().and_then(|file| file.extension()).is_some_and(|ext| ext.eq_ignore_ascii_case("csv"));
    let format = format.unwrap_or(if is_csv { Format::Csv } else { Format::Ndjson });
    let request = filter.of(Request::get(&["export"]));
    place.with(Purpose::Read, |client| {
        let mut links = 0;
        let mut reduced = 0;
        let write = |out: &mut dyn Write| -> Result<()> {
            match format {
                Format::Ndjson => client.lines(&request, |line| {
                    links += 1;
                    Ok(out.write_all(line).and_then(|()| out.write_all(b"\n"))?)
                })?,
                Format::Csv => {
                    let mut rows = csv::Writer::from_writer(&mut *out);
                    rows.write_record(["source", "target", "status"])?;
                    client.lines(&request, |line| {
                        let link: Exported = serde_json::from_slice(line).context("the server's answer can't be read")?;
                        links += 1;
                        reduced += u64::from(link.says_more());
                        let target = link.target.as_deref().unwrap_or_default();
                        Ok(rows.write_record([link.source(), target, &link.status.to_string()])?)
                    })?;
                    rows.flush()?;
                }
            }
            Ok(())
        };
        output::write_to(output.as_deref(), write)?;
        if let Some(file) = output {
            text::tell!("carom: wrote {} to {}", count(links, "link"), file.display());
        }
        if reduced > 0 {
            text::tell!(
                "carom: WARNING: {} more than CSV has columns for, such as times, tags or notes; `--format ndjson` has all of it",
                if reduced == 1 { "1 link says".to_owned() } else { format!("{} links say", text::grouped(reduced)) }
            );
        }
        Ok(Exit::Done)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_source_as_the_importer_reads_it() {
        let link = |json: &str| serde_json::from_str::<Exported>(json).unwrap();
        let plain = link(r#"{"key":"*/a","status":410,"target":null,"tags":[],"disabled":false,"title":null}"#);
        assert!(!plain.says_more() && plain.source() == "/a");
        let tagged = link(r#"{"key":"a.example/b","status":302,"target":"https://x.example/","tags":["t"]}"#);
        assert!(tagged.says_more() && tagged.source() == "a.example/b");
        assert!(link(r#"{"key":"*/a","status":410,"target":null,"disabled":true}"#).says_more());
    }
}
