//! Whether what is told is what was clicked: counts to the last one, estimates within what they promise.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::Result;
use carom::clicks::{Breakdown, Counts, Granularity, Stats, Subject, TimeRange, VisitClass};

use crate::queries::{DIMENSIONS, by_day};
use crate::table::{percent, thousands};
use crate::truth::{ByDay, Truth};
use crate::world::{World, values};

/// Rows of an export that are read at a time.
const PAGE: usize = 10_000;

/// Values with so much of all clicks are looked at.
const FREQUENT: f64 = 0.01;

/// The most clicked links that are looked at.
const TOP: usize = 10;

/// Compares counts, prints what came of it, and says how many of them are wrong.
pub(crate) fn counts(stats: &Stats, world: &World, truth: &Truth, from_s: u64) -> Result<u64> {
    let days = truth.days() as u64;
    println!("\n| counts by day and class | compared | wrong |\n| --- | ---: | ---: |");
    let mut wrong = 0;
    let mut compare = |name: &str, some: &mut dyn Iterator<Item = (Subject, &ByDay)>| -> Result<()> {
        let (mut compared, mut differ) = (0, 0);
        for (subject, known) in some {
            let told = by_day(stats, &subject, from_s, days)?;
            compared += (known.0.len() * known.0[0].0.len()) as u64;
            differ += known.0.iter().zip(&told).map(|(known, told)| differences(known, told)).sum::<u64>();
            let range = TimeRange { from_s, to_s: from_s + days * 24 * 60 * 60 };
            differ += differences(&known.sum(), &stats.totals(&subject, range)?.0);
        }
        println!("| {name} | {} | {} |", thousands(compared), thousands(differ));
        wrong += differ;
        Ok(())
    };
    compare("all links", &mut std::iter::once((Subject::All, &truth.all)))?;
    let host = |(host, known)| (Subject::Host(World::host_name(host)), known);
    compare("hosts", &mut truth.hosts.iter().enumerate().map(host))?;
    compare(
        "tags",
        &mut truth.tags.iter().enumerate().map(|(tag, known)| (Subject::Tag(World::tag_name(tag)), known)),
    )?;
    compare("some links", &mut truth.samples.iter().map(|(link, known)| (Subject::Link(World::id(*link)), known)))?;
    let (rows, differ) = export(stats, world, truth, from_s)?;
    println!(
        "| every link, over all days, from an export of {} rows | {} | {} |",
        thousands(rows),
        thousands(world.links * 4),
        thousands(differ)
    );
    Ok(wrong + differ)
}

fn differences(known: &Counts, told: &Counts) -> u64 {
    VisitClass::ALL.iter().filter(|class| known.of(**class) != told.of(**class)).count() as u64
}

/// Adds up the rows of an export by link, and compares; how many rows there were, and how many counts are wrong.
fn export(stats: &Stats, world: &World, truth: &Truth, from_s: u64) -> Result<(u64, u64)> {
    let range = TimeRange { from_s, to_s: from_s + truth.days() as u64 * 24 * 60 * 60 };
    let started = Instant::now();
    let mut told = vec![Counts::default(); world.links as usize];
    let (mut rows, mut unknown, mut after) = (0, 0, None);
    loop {
        let page = stats.export(&Subject::All, range, Granularity::Day, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some((last.link, last.start_s));
        rows += page.len() as u64;
        for row in page {
            let link = row.link.wrapping_sub(1);
            match told.get_mut(link as usize) {
                Some(counts) if row.key == world.key(link) => counts.add(&row.counts),
                _ => unknown += 1,
            }
        }
    }
    eprintln!("export: {rows} rows in {:.1} s", started.elapsed().as_secs_f64());
    let known = truth.links.iter().map(|counts| Counts(counts.map(u64::from)));
    let wrong: u64 = known.zip(&told).map(|(known, told)| differences(&known, told)).sum();
    Ok((rows, wrong + unknown))
}

/// Prints how far estimates are from what they estimate.
pub(crate) fn estimates(stats: &Stats, world: &World, truth: &Truth, from_s: u64) -> Result<()> {
    let range = TimeRange { from_s, to_s: from_s + truth.days() as u64 * 24 * 60 * 60 };
    println!(
        "\n| breakdown, values of at least {:.0} % | of | details | standard errors off, most | off, most | total off |",
        FREQUENT * 100.0
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: |");
    let names = values(world);
    for watched in &truth.watched {
        for (place, (by, dimension)) in DIMENSIONS.into_iter().enumerate() {
            let told = stats.breakdown(&watched.subject, dimension, range, 100)?;
            let visits = watched.visits(truth);
            let mut known: Vec<(&str, u64)> =
                names[place].iter().map(String::as_str).zip(watched.values[place].iter().copied()).collect();
            known.retain(|&(_, clicks)| clicks > 0 && clicks as f64 >= FREQUENT * visits as f64);
            let (errors, off) = furthest(&told, &known, visits);
            println!(
                "| {by} | {} | {} | {errors:.1} | {} | {} |",
                watched.name,
                thousands(told.details),
                percent(off),
                percent(relative(told.total as f64, visits as f64))
            );
        }
    }
    println!("\n| different people | known | told | off | within its bounds |\n| --- | ---: | ---: | ---: | --- |");
    for watched in &truth.watched {
        let known: u64 = watched.people.iter().sum();
        let told = stats.uniques(&watched.subject, range)?;
        let is_within = (told.lower.floor()..=told.upper.ceil()).contains(&(known as f64));
        println!(
            "| {} | {} | {} | {} | {} |",
            watched.name,
            thousands(known),
            thousands(told.estimate.round() as u64),
            percent(relative(told.estimate, known as f64)),
            if is_within { "yes" } else { "no" }
        );
    }
    top(stats, truth, range)
}

/// How far the told values are off at most: in standard errors of the sample, beyond what is stated as the error of
/// keeping only the frequent ones; and relative to what is known.
fn furthest(told: &Breakdown, known: &[(&str, u64)], visits: u64) -> (f64, f64) {
    let by_value: HashMap<&str, u64> = told.shares.iter().map(|share| (&share.value[..], share.clicks)).collect();
    let (mut errors, mut off) = (0.0_f64, 0.0_f64);
    for &(value, clicks) in known {
        let clicks = clicks as f64;
        let told_clicks = by_value.get(value).copied().unwrap_or_default() as f64;
        let part = clicks / visits as f64;
        let standard = (part * (1.0 - part) / told.details.max(1) as f64).sqrt() * visits as f64;
        let beyond = ((told_clicks - clicks).abs() - told.error as f64).max(0.0);
        if beyond > 0.0 {
            errors = errors.max(beyond / standard);
        }
        off = off.max(relative(told_clicks, clicks));
    }
    (errors, off)
}

fn top(stats: &Stats, truth: &Truth, range: TimeRange) -> Result<()> {
    let told = stats.top(&Subject::All, range, TOP)?;
    let known = truth.top(TOP);
    let found = known.iter().filter(|(link, _)| told.iter().any(|told| told.link == World::id(*link))).count();
    let clicks = |link: u64| truth.links[(link - 1) as usize].iter().map(|&count| u64::from(count)).sum::<u64>();
    let off = told.iter().map(|told| relative(told.clicks as f64, clicks(told.link) as f64)).fold(0.0, f64::max);
    let is_within = told.iter().all(|told| {
        let known = clicks(told.link);
        told.clicks >= known && told.clicks - known <= told.error
    });
    println!(
        "\nOf the {} most clicked links {found} are told as such; their clicks are off by {} at most, {} what is stated.",
        known.len(),
        percent(off),
        if is_within { "within" } else { "**not** within" }
    );
    Ok(())
}

fn relative(told: f64, known: f64) -> f64 {
    if known == 0.0 { told.abs() } else { (told - known).abs() / known }
}
