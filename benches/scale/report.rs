//! What was measured, as a table and as JSON.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::Bench;
use crate::machine::Machine;

pub(crate) struct Report {
    head: String,
    about: Value,
    rows: Vec<Row>,
    details: Map<String, Value>,
}

struct Row {
    what: String,
    goal: Option<String>,
    value: String,
    met: Option<bool>,
}

impl Report {
    pub(crate) fn new(bench: &Bench<'_>) -> Self {
        let Machine { cpu, kernel, date, .. } = Machine::look(bench.cores, String::new());
        let (args, data) = (bench.args, &bench.data);
        let mean = |bytes: u64| bytes as f64 / data.links as f64;
        let head = format!(
            "{date}, {cpu}, Linux {kernel}. {} links on {}: keys of {:.1} bytes, targets of {:.1} bytes in the mean; {} rounds of {} s.",
            data.links,
            args.store.name(),
            mean(data.key_bytes),
            mean(data.target_bytes),
            args.rounds,
            args.seconds,
        );
        let about = json!({
            "date": date, "cpu": cpu, "kernel": kernel, "links": data.links, "store": args.store.name(),
            "key_bytes": data.key_bytes, "target_bytes": data.target_bytes, "cache_links": args.cache_links,
            "rounds": args.rounds, "seconds": args.seconds, "carom_args": args.carom_args,
        });
        Self { head, about, rows: Vec::new(), details: Map::new() }
    }

    /// A figure without a goal.
    pub(crate) fn say(&mut self, what: impl Into<String>, value: impl Into<String>) {
        self.push(Row { what: what.into(), goal: None, value: value.into(), met: None });
    }

    /// A figure with a goal.
    pub(crate) fn judge(&mut self, what: &str, goal: &str, value: impl Into<String>, met: bool) {
        self.push(Row { what: what.to_owned(), goal: Some(goal.to_owned()), value: value.into(), met: Some(met) });
    }

    fn push(&mut self, row: Row) {
        eprintln!("  {}: {}", row.what, row.value);
        self.rows.push(row);
    }

    /// All figures of a part, for whoever wants to compute something else.
    pub(crate) fn detail(&mut self, part: &str, details: Value) {
        self.details.insert(part.to_owned(), details);
    }

    /// Prints the table, and writes it and the JSON into a folder.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let mut text = format!("{}\n\n| | goal | measured | |\n| --- | ---: | ---: | --- |\n", self.head);
        for Row { what, goal, value, met } in &self.rows {
            let met = met.map_or("", |met| if met { "met" } else { "missed" });
            text += &format!("| {what} | {} | {value} | {met} |\n", goal.as_deref().unwrap_or_default());
        }
        let rows = self
            .rows
            .iter()
            .map(|Row { what, goal, value, met }| json!({"what": what, "goal": goal, "measured": value, "met": met}));
        let json = json!({"about": self.about, "table": rows.collect::<Vec<_>>(), "parts": self.details});
        for (name, content) in [("scale.md", &text), ("scale.json", &format!("{json:#}\n"))] {
            std::fs::write(dir.join(name), content).with_context(|| format!("writing {name}"))?;
        }
        println!("\n{text}\nWritten: scale.json and scale.md in {}", dir.display());
        Ok(())
    }
}
