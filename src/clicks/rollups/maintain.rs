//! What gets old gets coarser: minutes become quarters of an hour, those days, those a month. Months go.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::super::stats::{Granularity, StatsError};
use super::Rollups;
use super::calendar::{day_of, days_of, month_of};
use super::keys::{self, WHOLE_MONTH};
use super::meta::Meta;
use super::months::Month;
use super::row::{Bounds, OF_ALL, OF_GROUP, OF_LINK, Parts, Row};
use crate::store::Write;

/// Rows that one call looks at: about a tenth of a second.
const STEP_ROWS: usize = 100_000;

/// Bytes of rows that one call looks at; those of one subject are looked at together.
const STEP_BYTES: usize = 8 * 1024 * 1024;

/// For so many months without clicks months are still deleted; after that, not before there are clicks again.
const QUIET_MONTHS: u16 = 2;

/// Kinds of rows, in the order of their keys.
const KINDS: [u8; 4] = [keys::ALL, keys::HOST, keys::LINK, keys::TAG];

/// How far the pass over each month is.
#[derive(Default)]
pub(super) struct Passes {
    /// The key to go on from, and what the pass is for.
    running: HashMap<u16, (Vec<u8>, Target)>,
    /// The months that are as they are to be, and for what that was found.
    settled: HashMap<u16, Target>,
    /// The day on which a month was deleted last.
    deleted_on: Option<u16>,
}

/// How coarse the rows of a month are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    quarters_before: u16,
    days_before: u16,
    is_rolled: bool,
}

impl Passes {
    /// A month has got rows.
    pub(super) fn unsettle(&mut self, month: u16) {
        self.settled.remove(&month);
    }

    /// What was changed in a month may be lost.
    pub(super) fn restart(&mut self, month: u16) {
        self.running.remove(&month);
        self.settled.remove(&month);
    }
}

impl Target {
    fn is_met(&self, meta: &Meta) -> bool {
        meta.quarters_before >= self.quarters_before
            && meta.days_before >= self.days_before
            && (meta.is_rolled || !self.is_rolled)
    }
}

/// The rows of one subject in a month, while it is being rolled.
#[derive(Default)]
struct Gathered {
    prefix: Vec<u8>,
    sum: Option<Row>,
    days: Vec<u16>,
}

impl Rollups {
    /// Makes what is old coarser and deletes months, in a step of bounded length: to be called about once a minute.
    ///
    /// At most one month is deleted on each day; and none while it is more than two months later than the newest
    /// month that has clicks, for then the clock may be wrong. What is deleted is said by
    /// [`take_notes`](Rollups::take_notes).
    ///
    /// # Errors
    /// If a store can't be read or written. Other months are gone on with before that is told.
    pub fn maintain(&mut self, now_s: u64) -> Result<(), StatsError> {
        if self.pending.is_some() || self.shared.live.read().flushing.is_some() {
            return Ok(());
        }
        let today = day_of(now_s);
        let retained = self.retain_months(today);
        let mut failed = Ok(());
        for number in self.shared.months.known() {
            if self.shared.months.is_set_aside(number) {
                continue;
            }
            match self.maintain_month(number, today) {
                Ok(false) => {}
                Ok(true) => break,
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        retained.and(failed)
    }

    /// Deletes the oldest month, if it is old enough.
    fn retain_months(&mut self, today: u16) -> Result<(), StatsError> {
        let known = self.shared.months.known();
        let (Some(first), Some(newest)) = (known.first().copied(), known.last().copied()) else { return Ok(()) };
        let month = month_of(today);
        if month > newest.saturating_add(QUIET_MONTHS) {
            return Ok(());
        }
        self.oldest = month.saturating_sub(self.config.months);
        if first >= self.oldest || self.passes.deleted_on == Some(today) || self.touched.contains_key(&first) {
            return Ok(());
        }
        // What is still to come for it goes with it.
        if self.shared.months.delete(first)? {
            self.passes.deleted_on = Some(today);
            self.passes.restart(first);
            let dir = self.shared.months.path(first);
            let kept = self.config.months;
            self.notes.push(format!("deleted {}: clicks are kept for {kept} months", dir.display()));
        }
        Ok(())
    }

    /// Makes a step in a month; whether there was something to do.
    fn maintain_month(&mut self, number: u16, today: u16) -> Result<bool, StatsError> {
        let (first, end) = days_of(number);
        let before = |days: u16| today.saturating_sub(days).clamp(first, end);
        let target = Target {
            quarters_before: before(self.config.minutes_days),
            days_before: before(self.config.quarters_days),
            is_rolled: end <= today.saturating_sub(self.config.days_days),
        };
        if self.passes.settled.get(&number) == Some(&target) {
            return Ok(false);
        }
        let was_touched = self.touched.contains_key(&number);
        let done = self.attempt(number, |rollups, month| {
            if target.is_met(&month.meta()) || (target.quarters_before == first && !target.is_rolled) {
                rollups.passes.running.remove(&number);
                rollups.passes.settled.insert(number, target);
                return Ok(false);
            }
            rollups.step(month, target).map(|()| true)
        });
        // It need not stay open for this.
        if !was_touched && self.touched.get(&number).is_some_and(|month| !month.has_failed()) {
            self.touched.remove(&number);
        }
        done
    }

    fn step(&mut self, month: &Month, wanted: Target) -> Result<(), StatsError> {
        let (from, target) = self.passes.running.remove(&month.number).unwrap_or((vec![KINDS[0]], wanted));
        let next = if target.is_rolled { self.roll(month, &from)? } else { self.coarsen(month, &from, target)? };
        if let Some(next) = next {
            self.passes.running.insert(month.number, (next, target));
            return Ok(());
        }
        let meta = month.meta();
        let meta = Meta {
            quarters_before: meta.quarters_before.max(target.quarters_before),
            days_before: meta.days_before.max(target.days_before),
            is_rolled: target.is_rolled,
            ..meta
        };
        month.wait_for_room()?;
        month.write(Vec::new(), Some(meta))
    }

    /// Takes what is too fine from rows; the key to go on from, if there are more.
    fn coarsen(&self, month: &Month, from: &[u8], target: Target) -> Result<Option<Vec<u8>>, StatsError> {
        let mut writes = Vec::new();
        let next = each_row(month, from, |key, value| {
            let day = keys::split_row(key).map_or(WHOLE_MONTH, |(_, day)| day);
            let to = match day {
                WHOLE_MONTH => return Ok(()),
                day if day < target.days_before => Granularity::Day,
                day if day < target.quarters_before => Granularity::Quarter,
                _ => return Ok(()),
            };
            if month.decode(key, value, Parts::SLOTS)?.slots.granularity() < to {
                let mut row = month.decode(key, value, Parts::ALL)?;
                row.slots.coarsen(to);
                writes.push(Write { key: key.to_vec(), value: Some(row.encode()) });
            }
            Ok(())
        })?;
        self.write(month, &writes)?;
        Ok(next)
    }

    /// Makes one row of all rows of a subject; the key to go on from, if there are more.
    fn roll(&self, month: &Month, from: &[u8]) -> Result<Option<Vec<u8>>, StatsError> {
        let mut gathered = Gathered::default();
        let mut batches = Vec::new();
        let next = each_row(month, from, |key, value| {
            let Some((prefix, day)) = keys::split_row(key) else { return Ok(()) };
            if gathered.prefix != prefix {
                batches.extend(std::mem::take(&mut gathered).writes());
                gathered.prefix = prefix.to_vec();
            }
            let row = month.decode(key, value, Parts::ALL)?;
            gathered.sum.get_or_insert_default().add_day(&row, bounds_of(key));
            gathered.days.push(day);
            Ok(())
        })?;
        batches.extend(gathered.writes());
        for writes in batches {
            self.write(month, &writes)?;
        }
        Ok(next)
    }

    /// Makes writes that fit one batch at once.
    fn write(&self, month: &Month, writes: &[Write]) -> Result<(), StatsError> {
        for writes in writes.chunks(month.most_writes()) {
            month.wait_for_room()?;
            // So that nobody meets a row and what it became.
            let _live = self.shared.live.write();
            month.write(writes.to_vec(), None)?;
        }
        Ok(())
    }
}

impl Gathered {
    /// The row of the month instead of those of its days.
    fn writes(self) -> Option<Vec<Write>> {
        let (Some(sum), false) = (self.sum, self.days == [WHOLE_MONTH]) else { return None };
        let mut writes: Vec<Write> = self
            .days
            .iter()
            .filter(|day| **day != WHOLE_MONTH)
            .map(|day| Write { key: keys::row(&self.prefix, *day), value: None })
            .collect();
        writes.push(Write { key: keys::row(&self.prefix, WHOLE_MONTH), value: Some(sum.encode()) });
        Some(writes)
    }
}

fn bounds_of(key: &[u8]) -> &'static Bounds {
    match key.first() {
        Some(&keys::ALL) => &OF_ALL,
        Some(&keys::LINK) => &OF_LINK,
        _ => &OF_GROUP,
    }
}

/// Visits rows from a key on, of one kind, and so many whole subjects as make a step; the key to go on from, if there are
/// more.
fn each_row(
    month: &Month,
    from: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StatsError>,
) -> Result<Option<Vec<u8>>, StatsError> {
    let kind = from.first().copied().unwrap_or(KINDS[0]);
    let (mut rows, mut bytes) = (0, 0);
    let mut subject = Vec::new();
    let mut next = None;
    month.scan(from, &[kind], |key, value| {
        let of = keys::split_row(key).map_or(key, |(prefix, _)| prefix);
        if subject != of {
            if rows >= STEP_ROWS || bytes >= STEP_BYTES {
                next = Some(key.to_vec());
                return Ok(ControlFlow::Break(()));
            }
            subject = of.to_vec();
        }
        rows += 1;
        bytes += key.len() + value.len();
        visit(key, value)?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(next.or_else(|| KINDS.into_iter().find(|other| *other > kind).map(|other| vec![other])))
}
