//! The first pass over a file: which rows are invalid, and what differs from what is stored.

use std::path::Path;

use anyhow::{Context, Result};

use super::Sums;
use super::input::{Input, bytes_bar, not_imported};
use crate::cli::text::{self, count, grouped};
use crate::link::{Destination, TargetRefused, shown};
use crate::transfer::{CsvReader, ImportRow};

/// What the first pass found.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) new: u64,
    pub(super) changed: u64,
    pub(super) unchanged: u64,
    pub(super) repeated: u64,
    pub(super) invalid: u64,
    /// For each row that is a link, whether it is to be written: it is allowed, and differs from what is stored.
    pub(super) differs: Vec<bool>,
    /// Of the file, so that the second pass can tell whether it is still the same.
    pub(super) digest: Option<blake3::Hash>,
}

impl Survey {
    /// Reads the file, lists its invalid rows on stderr, and compares the others with what `stored` says that is there.
    pub(super) fn of(file: &Path, mut stored: impl FnMut(&ImportRow) -> Result<Option<Destination>>) -> Result<Self> {
        Self::of_allowed(file, |_| Ok(()), &mut stored)
    }

    /// The same with rows that may be refused: they count as invalid, and are none of those that differ.
    pub(super) fn of_allowed(
        file: &Path,
        judge: impl Fn(&ImportRow) -> Result<(), TargetRefused>,
        mut stored: impl FnMut(&ImportRow) -> Result<Option<Destination>>,
    ) -> Result<Self> {
        let mut survey = Survey::default();
        let bar = bytes_bar("reading", file);
        let mut input = Input::open(file, &bar)?;
        let named = || not_imported(file);
        let mut reader = CsvReader::new(&mut input).with_context(named)?;
        if let ignored @ [_, ..] = reader.ignored_columns() {
            bar.suspend(|| text::tell!("carom: columns that are not used: {}", shown(&ignored.join(", "))));
        }
        while let Some(row) = reader.next_row().with_context(named)? {
            match row {
                Ok(row) => {
                    if let Err(reason) = judge(&row) {
                        survey.invalid += 1;
                        survey.differs.push(false);
                        bar.suspend(|| text::tell!("line {}: {reason}", row.line));
                        continue;
                    }
                    let stored = stored(&row)?;
                    survey.compare(&row.destination, stored.as_ref());
                }
                Err(error) => {
                    survey.invalid += 1;
                    bar.suspend(|| text::tell!("{error}"));
                }
            }
        }
        survey.repeated = reader.repeated();
        drop(reader);
        survey.digest = Some(input.digest());
        bar.finish_and_clear();
        Ok(survey)
    }

    fn compare(&mut self, destination: &Destination, stored: Option<&Destination>) {
        let counter = match stored {
            None => &mut self.new,
            Some(stored) if stored == destination => &mut self.unchanged,
            Some(_) => &mut self.changed,
        };
        *counter += 1;
        self.differs.push(stored != Some(destination));
    }

    fn rows(&self) -> u64 {
        self.new + self.changed + self.unchanged + self.repeated + self.invalid
    }

    pub(super) fn print_refusal(&self) {
        let (are, them) = if self.invalid == 1 { ("is", "it") } else { ("are", "them") };
        text::tell!(
            "carom: {} of {} {are} invalid; nothing was changed. Mend {them}, or import the rest with `carom import --keep-going`.",
            grouped(self.invalid),
            count(self.rows(), "row")
        );
    }

    /// What would be done.
    pub(super) fn print_dry_run(&self, json: bool) -> Result<()> {
        if json {
            let &Survey { new, changed, unchanged, invalid, .. } = self;
            return Sums { created: new, replaced: changed, unchanged, failed: invalid }.print();
        }
        text::say!(
            "Dry run, nothing was changed: {} would be created, {} replaced, {} unchanged.{}",
            grouped(self.new),
            grouped(self.changed),
            grouped(self.unchanged),
            self.left_out()
        );
        Ok(())
    }

    /// What became of the rows that make no link, as more sentences.
    pub(super) fn left_out(&self) -> String {
        let mut text = String::new();
        if self.repeated > 0 {
            text += &format!(" {} of an earlier one left out.", count(self.repeated, "repetition"));
        }
        if self.invalid > 0 {
            text += &format!(" {} left out.", count(self.invalid, "invalid row"));
        }
        text
    }
}
