//! The usual answer: counts, people, a chart, and by what clicks differ.

use anyhow::Result;
use serde_json::{Map, Value};

use super::chart::{Bar, draw};
use super::views::{BreakdownView, PointView, SeriesView, TopView, TotalsView, UniquesView};
use super::{Arguments, DIMENSIONS};
use crate::cli::client::{Answer, Client, Request};
use crate::cli::table::terminal_columns;
use crate::cli::text::{grouped, line, to_the_second};

/// Most values of each dimension, and most links.
const SHARES: &str = "5";

/// How wide a chart is where stdout is no terminal, and at most.
const WIDTH: usize = 80;
const WIDTH_MAX: usize = 160;

/// Asks for all of it, and prints it.
pub(super) fn show(client: &mut Client, arguments: &Arguments) -> Result<()> {
    let totals_answer = client.ask(arguments.ask("totals"))?;
    let totals: TotalsView = totals_answer.read()?;
    // All of it is about the same time, also if a day begins meanwhile.
    let ask = |question: &str| {
        arguments
            .of(question)
            .parameter("from", &totals.from)
            .parameter("to", &totals.to)
            .parameter_if("zone", arguments.zone.as_deref())
    };
    let uniques = client.ask(ask("uniques"))?;
    let series = client.ask(ask("series").parameter_if("step", arguments.step.as_deref()))?;
    let top = match arguments.key {
        Some(_) => None,
        None => Some(client.ask(ask("top").parameter("limit", SHARES))?),
    };
    let mut breakdowns = Vec::with_capacity(DIMENSIONS.len());
    for dimension in DIMENSIONS {
        let request: Request = ask("breakdown").parameter("by", dimension).parameter("limit", SHARES);
        breakdowns.push((dimension, client.ask(request)?));
    }
    if arguments.json {
        return line(&joined(&totals_answer, &uniques, &series, top.as_ref(), &breakdowns)?);
    }
    let is_plain = arguments.is_plain();
    line(&format!("{}, from {} to {}\n", arguments.subject(), to_the_second(&totals.from), to_the_second(&totals.to)))?;
    line(&counts(&totals, &uniques.read()?))?;
    if totals.total == 0 {
        return Ok(());
    }
    let width = terminal_columns().map_or(WIDTH, usize::from).min(WIDTH_MAX);
    line(&format!("\n{}", chart(&series.read()?, width, is_plain)))?;
    if let Some(top) = top {
        let top: TopView = top.read()?;
        let widened = widened(&totals, &top.from, &top.to);
        line(&format!("\n{}{}", widened.unwrap_or_default(), top.shown()))?;
    }
    let breakdowns = breakdowns.iter().map(|(_, answer)| answer.read()).collect::<Result<Vec<BreakdownView>>>()?;
    let value_columns = breakdowns.iter().map(BreakdownView::value_columns).max().unwrap_or(0);
    let mut said = None;
    for breakdown in &breakdowns {
        // They are about the same range, unless it is midnight just now.
        let widened = widened(&totals, &breakdown.from, &breakdown.to).filter(|widened| said.as_ref() != Some(widened));
        line(&format!("\n{}{}", widened.as_deref().unwrap_or_default(), breakdown.shown(is_plain, value_columns)))?;
        said = widened.or(said);
    }
    Ok(())
}

/// What is said above what is about another range than the totals, for it is kept by day.
fn widened(totals: &TotalsView, from: &str, to: &str) -> Option<String> {
    let is_same = (from, to) == (totals.from.as_str(), totals.to.as_str());
    (!is_same).then(|| format!("Of whole days in UTC, from {from} to {to}:\n"))
}

/// All answers as one object, on one line.
fn joined(
    totals: &Answer,
    uniques: &Answer,
    series: &Answer,
    top: Option<&Answer>,
    breakdowns: &[(&str, Answer)],
) -> Result<String> {
    let mut all = Map::new();
    all.insert("totals".to_owned(), totals.read()?);
    all.insert("uniques".to_owned(), uniques.read()?);
    all.insert("series".to_owned(), series.read()?);
    if let Some(top) = top {
        all.insert("top".to_owned(), top.read()?);
    }
    let mut by = Map::new();
    for (dimension, answer) in breakdowns {
        by.insert((*dimension).to_owned(), answer.read()?);
    }
    all.insert("breakdowns".to_owned(), Value::Object(by));
    Ok(Value::Object(all).to_string())
}

/// How often, and by how many people.
fn counts(totals: &TotalsView, uniques: &UniquesView) -> String {
    let TotalsView { human, bot, preview, head, total, .. } = totals;
    let people = if *human == 0 { "0".to_owned() } else { format!("{}, by {}", grouped(*human), uniques.shown()) };
    let rest = [("By programs", bot), ("For previews", preview), ("HEAD requests", head), ("All", total)];
    let rest = rest.into_iter().map(|(name, count)| (name, grouped(*count).to_string()));
    let lines = std::iter::once(("Clicks by people", people)).chain(rest);
    lines.map(|(name, text)| format!("{:<18}{text}", format!("{name}:"))).collect::<Vec<_>>().join("\n")
}

/// The clicks of people over time.
fn chart(series: &SeriesView, width: usize, is_plain: bool) -> String {
    let SeriesView { step, points } = series;
    let bars: Vec<Bar> = points
        .iter()
        .map(|PointView { start, human }| Bar { label: label(start, step).to_owned(), value: *human })
        .collect();
    let drawn = draw(&bars, width, is_plain);
    let each = match drawn.values_per_column {
        1 => step.clone(),
        several => format!("{several} {step}s"),
    };
    format!("Clicks by people, for each {each}:\n{}", drawn.lines.join("\n"))
}

/// As much of a time as tells steps apart.
fn label<'a>(start: &'a str, step: &str) -> &'a str {
    let part = match step {
        // `11-22T08:30`
        "minute" | "hour" => start.get(5..16),
        "month" => start.get(..7),
        _ => start.get(..10),
    };
    part.unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_lines_with_names() {
        let totals: TotalsView = serde_json::from_str(
            r#"{"from":"","to":"","human":9120,"bot":411,"preview":37,"head":5,"total":9573,"granularity":"day"}"#,
        )
        .unwrap();
        let uniques: UniquesView =
            serde_json::from_str(r#"{"estimate":3210,"lower":3150,"upper":3270,"from":"","to":""}"#).unwrap();
        assert_eq!(
            counts(&totals, &uniques),
            "Clicks by people: 9,120, by about 3,210 people (3,150 to 3,270)\nBy programs:      411\n\
             For previews:     37\nHEAD requests:    5\nAll:              9,573"
        );
    }

    #[test]
    fn another_range_than_that_of_the_totals_is_said() {
        let totals: TotalsView = serde_json::from_str(
            r#"{"from":"2026-11-01T00:00:00Z","to":"2026-11-22T08:30:00Z","human":1,"bot":0,"preview":0,"head":0,"total":1}"#,
        )
        .unwrap();
        assert_eq!(widened(&totals, "2026-11-01T00:00:00Z", "2026-11-22T08:30:00Z"), None);
        assert_eq!(
            widened(&totals, "2026-11-01T00:00:00Z", "2026-11-23T00:00:00Z").as_deref(),
            Some("Of whole days in UTC, from 2026-11-01T00:00:00Z to 2026-11-23T00:00:00Z:\n")
        );
    }

    #[test]
    fn a_chart_says_what_its_columns_are() {
        let points = (1..=30).map(|day| PointView { start: format!("2026-11-{day:02}T00:00:00+01:00"), human: day });
        let series = SeriesView { step: "day".to_owned(), points: points.collect() };
        let text = chart(&series, 80, true);
        assert!(text.starts_with("Clicks by people, for each day:\n40 |"), "{text}");
        assert!(text.contains("2026-11-01") && text.trim_end().ends_with("2026-11-30"), "{text}");
        assert!(chart(&series, 24, true).starts_with("Clicks by people, for each 2 days:"), "{text}");
        assert_eq!(label("2026-11-22T08:30:00Z", "hour"), "11-22T08:30");
        assert_eq!(label("2026-11-01T00:00:00Z", "month"), "2026-11");
    }
}
