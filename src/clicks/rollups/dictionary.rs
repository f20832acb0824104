//! What stands beside the rows of a month: the names of links, who is under a host or tag, and referrers by number.
//!
//! Rows rely on it, so that it is written before them, a little at a time. It may be written twice.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::super::stats::StatsError;
use super::calendar::month_of;
use super::months::Month;
use super::{Rollups, keys};
use crate::store::Write;

/// Most referrers that a month tells apart.
const REFERRERS: usize = 65_536;

/// Most referrers that come new to a month by the clicks of one day since the start: whoever invents referrers leaves
/// room for those of other days.
const NEW_REFERRERS: u32 = 4_096;

/// New referrers are counted for so many days, the newest.
const COUNTED_DAYS: usize = 64;

/// The number of no referrer, and of all that came when a month had as many as it may.
pub(crate) const NO_REFERRER: u32 = 0;
pub(crate) const OTHER_REFERRERS: u32 = 1;

/// How many other months are looked into for the name of a link, the newest first.
const OTHER_MONTHS: usize = 4;

impl Rollups {
    /// Looks for the name of a link that is new, so that it is known, and stands in the month's store before its rows.
    pub(super) fn find_name(&mut self, month: &Month, link: u64) -> Result<(), StatsError> {
        match self.names.get(link) {
            Some((_, written)) if written == month.number => return Ok(()),
            Some((key, _)) if !key.is_empty() => {
                let key = key.to_vec();
                self.name(month.number, link, &key);
                return Ok(());
            }
            Some(_) | None => {}
        }
        let at = keys::name(link);
        if let Some(key) = month.get(&at)? {
            self.names.insert(link, &key, month.number);
            return Ok(());
        }
        let known = self.shared.months.known();
        for other in known.into_iter().rev().filter(|other| *other != month.number).take(OTHER_MONTHS) {
            let found = match self.shared.months.get(other) {
                Ok(Some(other)) => other.get(&at),
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match found {
                Ok(Some(key)) => {
                    self.name(month.number, link, &key);
                    return Ok(());
                }
                // This month is counted whatever has become of others.
                Ok(None) | Err(StatsError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.names.insert(link, b"", month.number);
        Ok(())
    }

    /// Writes down the name of a link for a month, unless its store has it.
    pub(super) fn name(&mut self, month: u16, link: u64, key: &[u8]) {
        let known = self.names.get(link).is_some_and(|(known, written)| written == month && known == key);
        if !known && !key.is_empty() {
            self.names.insert(link, key, month);
            self.write_name(month, link, key);
        }
    }

    fn write_name(&mut self, month: u16, link: u64, key: &[u8]) {
        self.named.push((month, link));
        // A crash may come between the two: who finds the name relies on the other.
        self.write_member(month, keys::HOST, host_of(key), link);
        self.write_before_rows(month, Write { key: keys::name(link), value: Some(key.to_vec()) });
    }

    pub(super) fn write_member(&mut self, month: u16, kind: u8, group: &[u8], link: u64) {
        self.write_before_rows(month, Write { key: keys::member(kind, group, link), value: Some(Vec::new()) });
    }

    fn write_before_rows(&mut self, month: u16, write: Write) {
        self.unwritten.entry(month).or_default().push_back(write);
    }

    /// Makes the writes that must come before rows.
    pub(super) fn write_names(&mut self) -> Result<(), StatsError> {
        let months: Vec<u16> = self.unwritten.keys().copied().collect();
        for number in months {
            self.attempt(number, |rollups, month| rollups.write_names_of(month))?;
        }
        Ok(())
    }

    /// The same of one month.
    pub(super) fn write_names_of(&mut self, month: &Month) -> Result<(), StatsError> {
        while let Some(waiting) = self.unwritten.get_mut(&month.number) {
            let mut count = waiting.len().min(month.most_writes());
            // The two of a referrer stand or fall together.
            let is_text = |write: &Write| write.key.first() == Some(&keys::REFERRER_TEXT);
            if count > 1 && count < waiting.len() && is_text(&waiting[count - 1]) {
                count -= 1;
            }
            if count == 0 {
                self.unwritten.remove(&month.number);
                break;
            }
            let mut writes = Vec::with_capacity(count);
            for write in waiting.range(..count) {
                // Those of tags come with each generation.
                let is_of_tag = write.key.starts_with(&[keys::MEMBER, keys::TAG]);
                if !is_of_tag || month.get(&write.key)?.is_none() {
                    writes.push(write.clone());
                }
            }
            if !writes.is_empty() {
                month.wait_for_room()?;
                month.write(writes, None)?;
            }
            waiting.drain(..count);
        }
        Ok(())
    }

    /// Writes everything again on which the rows of a month rely that are not durable yet: its store failed, and may
    /// have lost it.
    pub(super) fn write_names_again(&mut self, number: u16) {
        self.unwritten.remove(&number);
        let texts: Vec<_> =
            self.referrers.get(&number).into_iter().flatten().map(|(text, id)| (text.clone(), *id)).collect();
        texts.iter().for_each(|(text, id)| self.write_referrer(number, text, *id));
        let named = std::mem::take(&mut self.named);
        for (month, link) in named {
            let key = self.names.get(link).map(|(key, _)| key.to_vec()).filter(|key| !key.is_empty());
            match key {
                Some(key) if month == number => self.write_name(month, link, &key),
                _ => self.named.push((month, link)),
            }
        }
        let shared = Arc::clone(&self.shared);
        let live = shared.live.read();
        for layer in live.layers() {
            let generation = &layer.generation;
            for delta in
                generation.days.iter().filter(|(day, _)| month_of(**day) == number).flat_map(|(_, day)| day.links())
            {
                for tag in generation.tag_sets.get(delta.tags).iter() {
                    self.write_member(number, keys::TAG, generation.tags.get(*tag).as_bytes(), delta.link);
                }
            }
        }
    }

    pub(super) fn load_referrers(&mut self, month: &Month) -> Result<(), StatsError> {
        if self.referrers.contains_key(&month.number) {
            return Ok(());
        }
        let mut loaded = HashMap::new();
        month.scan(&[keys::REFERRER], &[keys::REFERRER], |key, value| {
            if let (Ok(text), Ok(number)) = (std::str::from_utf8(&key[1..]), value.try_into()) {
                loaded.insert(Box::from(text), u32::from_be_bytes(number));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.referrers.insert(month.number, loaded);
        Ok(())
    }

    /// The number of a referrer in a month, which it gets if it has none, of a click on a day.
    pub(super) fn referrer(&mut self, month: u16, day: u16, text: &str) -> u32 {
        if text.is_empty() {
            return NO_REFERRER;
        }
        let numbers = self.referrers.entry(month).or_default();
        if let Some(number) = numbers.get(text) {
            return *number;
        }
        let new = self.new_referrers.entry(day).or_default();
        if numbers.len() >= REFERRERS || *new >= NEW_REFERRERS {
            return OTHER_REFERRERS;
        }
        *new += 1;
        let number = OTHER_REFERRERS + 1 + numbers.len() as u32;
        numbers.insert(text.into(), number);
        if self.new_referrers.len() > COUNTED_DAYS {
            self.new_referrers.pop_first();
        }
        self.write_referrer(month, text, number);
        number
    }

    fn write_referrer(&mut self, month: u16, text: &str, number: u32) {
        // A crash may come between the two: who finds the number relies on the text.
        let key = keys::referrer_text(number);
        self.write_before_rows(month, Write { key, value: Some(text.as_bytes().to_vec()) });
        let key = keys::referrer(text);
        self.write_before_rows(month, Write { key, value: Some(number.to_be_bytes().to_vec()) });
    }
}

/// The host of a canonical key.
pub(super) fn host_of(key: &[u8]) -> &[u8] {
    key.split(|byte| *byte == b'/').next().unwrap_or(key)
}
