//! The first pass over a file: which rows are invalid, and what differs from what is stored.

use std::path::Path;

use anyhow::{Context, Result};

use super::RowChains;
use super::input::{Input, bytes_bar, not_imported};
use super::onward::{Ground, Guide};
use super::report::{Failures, Report};
use crate::cli::text::{self, count, grouped};
use crate::link::{Destination, shown};
use crate::transfer::{CsvReader, ImportRow, RowReason, Rows, Seen};

/// What the first pass found.
pub(super) struct Survey {
    /// What becomes of each row that can be read, in order.
    fates: Vec<Fate>,
    /// How many rows are invalid, be they read or not.
    pub(super) invalid: u64,
    /// The lines of the rows that are links and lead to the link of another one, in order.
    chained: Vec<u64>,
    /// The invalid rows, as far as they are kept.
    pub(super) failures: Failures,
    /// Of the file, so that the second pass can tell whether it is still the same.
    pub(super) digest: Option<blake3::Hash>,
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is a new link, as far as is known.
    New,
    /// It changes a link.
    Changed,
    /// It says what is stored.
    Unchanged,
    /// It says what an earlier row says.
    Repeated,
    /// It is invalid.
    Invalid,
}

impl Survey {
    /// Reads the file, lists its invalid rows on stderr, and compares the others with what is known to be stored.
    pub(super) fn of(file: &Path, ground: &mut impl Ground, chains: RowChains) -> Result<Self> {
        let bar = bytes_bar("reading", file);
        let mut input = Input::twice(file, &bar)?;
        let named = || not_imported(file);
        let mut reader = CsvReader::new(&mut input).with_context(named)?;
        if let ignored @ [_, ..] = reader.ignored_columns() {
            bar.suspend(|| text::tell!("carom: columns that are not used: {}", shown(&ignored.join(", "))));
        }
        let mut judged = Judged::default();
        while let Some(row) = reader.next_row().with_context(named)? {
            let refused = match row {
                Ok(row) => {
                    let fate = judged.judge(&row, ground, chains).with_context(named)?;
                    judged.fates.push(*fate.as_ref().unwrap_or(&Fate::Invalid));
                    fate.err().map(|reason| (row.line, reason))
                }
                Err(error) => {
                    judged.unread += 1;
                    Some((error.line, error.reason))
                }
            };
            if let Some((line, reason)) = refused {
                bar.suspend(|| judged.failures.tell(line, &reason, reason.field()));
            }
        }
        drop(reader);
        let digest = input.digest();
        bar.finish_and_clear();
        judged.leave_loops_out();
        let chained = judged.chained(chains);
        let Judged { fates, unread, failures, .. } = judged;
        let invalid = unread + fates.iter().filter(|&&fate| fate == Fate::Invalid).count() as u64;
        Ok(Survey { fates, invalid, chained, failures, digest })
    }

    /// How many rows this becomes of.
    pub(super) fn count(&self, of: Fate) -> u64 {
        self.fates.iter().filter(|&&fate| fate == of).count() as u64
    }

    /// How many rows differ from what is stored.
    pub(super) fn differing(&self) -> u64 {
        self.count(Fate::New) + self.count(Fate::Changed)
    }

    /// What becomes of the rows that can be read, in their order.
    pub(super) fn fates(&self) -> impl Iterator<Item = Fate> {
        self.fates.iter().copied()
    }

    /// Takes note that what was taken for a new link says the same as a stored one, or something else. Counted from 0.
    pub(super) fn compare(&mut self, row: usize, is_same: bool) {
        if let Some(fate @ Fate::New) = self.fates.get_mut(row) {
            *fate = if is_same { Fate::Unchanged } else { Fate::Changed };
        }
    }

    /// How many rows that are links lead to the link of another one.
    pub(super) fn chained(&self) -> u64 {
        self.chained.len() as u64
    }

    /// Whether the row on this line is one of them.
    pub(super) fn leads_on(&self, line: u64) -> bool {
        self.chained.binary_search(&line).is_ok()
    }

    /// Says that nothing was changed, since rows are invalid.
    pub(super) fn print_refusal(&self, json: bool) -> Result<()> {
        let rows = self.fates.len() as u64 + self.invalid - self.count(Fate::Invalid);
        let (are, them) = if self.invalid == 1 { ("is", "it") } else { ("are", "them") };
        text::tell!(
            "carom: {} of {} {are} invalid; nothing was changed. Mend {them}, or import the rest with `carom import --keep-going`.",
            grouped(self.invalid),
            count(rows, "row")
        );
        if json { self.report().print() } else { Ok(()) }
    }

    /// What would be done.
    pub(super) fn print_dry_run(&self, json: bool) -> Result<()> {
        let count = |fate| self.count(fate);
        let (created, replaced, unchanged) = (count(Fate::New), count(Fate::Changed), count(Fate::Unchanged));
        if json {
            return Report { created, replaced, unchanged, ..self.report() }.print();
        }
        text::say!(
            "Dry run, nothing was changed: {} would be created, {} replaced, {} unchanged.{}",
            grouped(created),
            grouped(replaced),
            grouped(unchanged),
            self.remarks(self.chained())
        );
        Ok(())
    }

    /// What the survey alone says for `--json`: nothing was changed.
    pub(super) fn report(&self) -> Report<'_> {
        Report {
            created: 0,
            replaced: 0,
            unchanged: 0,
            failed: self.invalid,
            repeated: Some(self.count(Fate::Repeated)),
            chained: Some(self.chained()),
            failures: &self.failures,
        }
    }

    /// What became of the rows that make no link, and how many lead on of those that do, as more sentences.
    pub(super) fn remarks(&self, chained: u64) -> String {
        let mut text = String::new();
        let repeated = self.count(Fate::Repeated);
        if repeated > 0 {
            text += &format!(" {} of an earlier one left out.", count(repeated, "repetition"));
        }
        if self.invalid > 0 {
            text += &format!(" {} left out.", count(self.invalid, "invalid row"));
        }
        match chained {
            0 => {}
            1 => text += " 1 row leads to the link of another row.",
            rows => text += &format!(" {} rows lead to the link of another row.", grouped(rows)),
        }
        text
    }
}

/// The rows so far.
#[derive(Default)]
struct Judged {
    fates: Vec<Fate>,
    /// How many rows can't be read.
    unread: u64,
    failures: Failures,
    rows: Rows,
    /// Which fate is that of each of the rows that do not come again.
    numbers: Vec<usize>,
    guide: Guide,
}

impl Judged {
    /// What becomes of the next row.
    fn judge(
        &mut self,
        row: &ImportRow,
        ground: &mut impl Ground,
        chains: RowChains,
    ) -> Result<Result<Fate, RowReason>> {
        let ImportRow { line, key, destination, .. } = row;
        if let Some(target) = destination.target()
            && let Err(refused) = ground.rules().judge(key.host(), target)
        {
            return Ok(Err(refused.into()));
        }
        let (key, stored) = ground.find(key)?;
        let (onward, through) = self.guide.lead(ground, &mut self.rows, row, &key)?;
        if let (Some(through), RowChains::Refuse) = (through, chains) {
            return Ok(Err(RowReason::Chain(through)));
        }
        match self.rows.insert(*line, &key, destination, &onward) {
            Seen::Same => Ok(Ok(Fate::Repeated)),
            Seen::Differs(earlier) => Ok(Err(RowReason::Conflict { key, earlier })),
            Seen::New(_) => {
                let number = self.fates.len();
                self.numbers.push(number);
                ground.take(number, &key, destination);
                Ok(Ok(fate(destination, stored.as_ref())))
            }
        }
    }

    /// Lists the rows that lead in circles.
    fn leave_loops_out(&mut self) {
        loop {
            let circles = self.rows.loops();
            let mut found: Vec<(u64, usize, Vec<u64>)> = Vec::new();
            for circle in &circles {
                for &row in circle {
                    let others = circle.iter().filter(|&&other| other != row).map(|&other| self.rows.line(other));
                    // What is named of them is little, and a circle may be long.
                    let mut lines: Vec<u64> = others.take(RowReason::LINES_NAMED + 1).collect();
                    lines.sort_unstable();
                    found.push((self.rows.line(row), row, lines));
                }
            }
            if found.is_empty() {
                return;
            }
            found.sort_unstable();
            for (line, row, lines) in found {
                self.leave_out(row, line, &RowReason::Loop { lines });
            }
            // Without these rows, others may lead to what is stored in their place.
        }
    }

    /// The lines of the rows that lead to the link of another one. Where these are refused, they are listed instead.
    fn chained(&mut self, chains: RowChains) -> Vec<u64> {
        let next = |row| self.rows.next(row).filter(|&next| next != row);
        let chained = (0..self.rows.count()).filter_map(|row| Some((row, next(row)?)));
        match chains {
            RowChains::Allow => {
                let is_link = |&(row, _): &(usize, usize)| self.fates[self.numbers[row]] != Fate::Invalid;
                chained.filter(is_link).map(|(row, _)| self.rows.line(row)).collect()
            }
            RowChains::Refuse => {
                let chained: Vec<(usize, usize)> = chained.collect();
                for (row, next) in chained {
                    if self.fates[self.numbers[row]] != Fate::Invalid {
                        self.leave_out(row, self.rows.line(row), &RowReason::ChainToRow(self.rows.line(next)));
                    }
                }
                Vec::new()
            }
        }
    }

    fn leave_out(&mut self, row: usize, line: u64, reason: &RowReason) {
        self.failures.tell(line, reason, reason.field());
        self.fates[self.numbers[row]] = Fate::Invalid;
        self.rows.leave_out(row);
    }
}

fn fate(destination: &Destination, stored: Option<&Destination>) -> Fate {
    match stored {
        None => Fate::New,
        Some(stored) if stored == destination => Fate::Unchanged,
        Some(_) => Fate::Changed,
    }
}
