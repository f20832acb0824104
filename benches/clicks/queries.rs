//! How long questions take: every kind, of what was clicked often and seldom, over a day and over all.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carom::clicks::{Dimension, Granularity, Stats, Subject, TimeRange};
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::table::millis;
use crate::truth::Watched;

const DAY_S: u64 = 24 * 60 * 60;

/// Days are cut here at a quarter past an hour of UTC.
pub(crate) const ZONE: &str = "Asia/Kathmandu";

/// Most that a question should take.
pub(crate) const GOAL: Duration = Duration::from_millis(50);

/// Spans of time that are asked for, in days.
const SPANS: [u64; 4] = [1, 7, 30, 90];

pub(crate) const DIMENSIONS: [(&str, Dimension); 4] = [
    ("referrer", Dimension::Referrer),
    ("country", Dimension::Country),
    ("device", Dimension::Device),
    ("language", Dimension::Language),
];

#[derive(Clone, Copy)]
enum Step {
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

/// Each step with the spans for which it makes sense, in days.
const STEPS: [(&str, Step, &[u64]); 5] = [
    ("minute", Step::Minute, &[1]),
    ("hour", Step::Hour, &[1, 7, 30]),
    ("day", Step::Day, &[7, 30, 90]),
    ("week", Step::Week, &[30, 90]),
    ("month", Step::Month, &[90]),
];

/// Prints a table of all; the longest time of any.
pub(crate) fn measure(stats: &Stats, watched: &[Watched], to_s: u64, days: u64, repeats: usize) -> Result<Duration> {
    let spans: Vec<u64> = SPANS.into_iter().filter(|&span| span <= days).collect();
    let mut longest = Duration::ZERO;
    println!("\nQuestions: median / longest of {repeats}, in ms, the first one with nothing cached by the process.\n");
    print!("| question | of |");
    spans.iter().for_each(|span| print!(" {span} d |"));
    println!("\n| --- | --- |{}", " ---: |".repeat(spans.len()));
    for Watched { name, subject, .. } in watched {
        let mut row = |question: &str, ask: &mut dyn FnMut(u64, TimeRange) -> Result<bool>| -> Result<()> {
            let mut cells = String::new();
            for &span in &spans {
                let range = TimeRange { from_s: to_s - span * DAY_S, to_s };
                let mut times = Vec::with_capacity(repeats);
                for _ in 0..repeats {
                    let started = Instant::now();
                    let is_asked = ask(span, range)?;
                    times.extend(is_asked.then(|| started.elapsed()));
                }
                times.sort_unstable();
                let cell = times.last().map_or("–".to_owned(), |last| {
                    longest = longest.max(*last);
                    format!("{} / {}", millis(times[times.len() / 2]), millis(*last))
                });
                cells.push_str(&format!(" {cell} |"));
            }
            if cells.contains('/') {
                println!("| {question} | {name} |{cells}");
            }
            Ok(())
        };
        row("totals", &mut |_, range| Ok(stats.totals(subject, range).map(|_| true)?))?;
        for (step_name, step, of) in STEPS {
            let mut known: Vec<(u64, Vec<u64>)> = Vec::new();
            row(&format!("series by {step_name}"), &mut |span, range| {
                if !of.contains(&span) {
                    return Ok(false);
                }
                if !known.iter().any(|(of, _)| *of == span) {
                    known.push((span, bounds(range, step)?));
                }
                let times = known.iter().find(|(of, _)| *of == span).map(|(_, times)| &times[..]).unwrap_or_default();
                let series = stats.series(subject, times)?;
                ensure!(series.points.len() + 1 == times.len(), "{} points", series.points.len());
                Ok(true)
            })?;
        }
        for (by, dimension) in DIMENSIONS {
            row(&format!("breakdown by {by}"), &mut |_, range| {
                Ok(stats.breakdown(subject, dimension, range, 10).map(|_| true)?)
            })?;
        }
        row("top 100 links", &mut |_, range| Ok(stats.top(subject, range, 100).map(|_| true)?))?;
        row("uniques", &mut |_, range| Ok(stats.uniques(subject, range).map(|_| true)?))?;
        row("export, 1,000 rows by day", &mut |_, range| {
            Ok(stats.export(subject, range, Granularity::Day, None, 1_000).map(|_| true)?)
        })?;
    }
    let started = Instant::now();
    let events = stats.events_after(0, 1_000).len();
    println!("| the last {events} events | all |{}", format!(" {} |", millis(started.elapsed())).repeat(spans.len()));
    Ok(longest)
}

/// The times between the steps of a range, in the foreign zone, with the first and the last.
fn bounds(range: TimeRange, step: Step) -> Result<Vec<u64>> {
    let zone = TimeZone::get(ZONE)?;
    let at =
        |seconds: u64| -> Result<_> { Ok(Timestamp::from_second(i64::try_from(seconds)?)?.to_zoned(zone.clone())) };
    let (from, to) = (at(range.from_s)?, at(range.to_s)?);
    let seconds = match step {
        Step::Minute => Some(60),
        Step::Hour => Some(60 * 60),
        Step::Day | Step::Week | Step::Month => None,
    };
    if let Some(seconds) = seconds {
        // The zone is 5:45 ahead: its hours begin at a quarter past those of UTC.
        let first = range.from_s.next_multiple_of(seconds) + if seconds > 60 { 15 * 60 } else { 0 };
        return Ok((first..=range.to_s).step_by(seconds as usize).collect());
    }
    let begins = |date: Date| match step {
        Step::Week => date.weekday() == Weekday::Monday,
        Step::Month => date.day() == 1,
        _ => true,
    };
    let mut times = vec![range.from_s];
    let mut date = from.date().tomorrow()?;
    while date <= to.date() {
        let second = u64::try_from(date.to_zoned(zone.clone())?.timestamp().as_second())?;
        if begins(date) && second < range.to_s {
            times.push(second);
        }
        date = date.checked_add(1.day())?;
    }
    times.push(range.to_s);
    Ok(times)
}

/// The answer of all days in UTC: one time for each and one for the end.
pub(crate) fn midnights(from_s: u64, days: u64) -> Vec<u64> {
    (0..=days).map(|day| from_s + day * DAY_S).collect()
}

/// Counts of a subject by day in UTC.
pub(crate) fn by_day(stats: &Stats, subject: &Subject, from_s: u64, days: u64) -> Result<Vec<carom::clicks::Counts>> {
    let series = stats.series(subject, &midnights(from_s, days))?;
    Ok(series.points.into_iter().map(|point| point.counts).collect())
}
