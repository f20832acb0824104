//! What a month's store says of itself.

use super::super::batch::WindowId;
use super::row::varint;

/// The version of the bytes, and of the whole store.
const VERSION: u64 = 1;

/// See the module. `docs/clicks/rollups.md` gives every byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Meta {
    /// Up to where all entries of this month are in the rows.
    pub(super) applied: WindowId,
    /// If it is behind `applied`: up to where the entries are that are being merged, and were not all merged when this
    /// was written.
    pub(super) intent: WindowId,
    /// Up to where all months had everything when that merge began.
    pub(super) base: WindowId,
    /// The last key that this merge has changed. Keys are merged in ascending order.
    pub(super) cursor: Vec<u8>,
    /// The days of the month that have rows: bit 0 is the first day.
    pub(super) days: u32,
    /// Rows of days before this one have no minutes any more.
    pub(super) quarters_before: u16,
    /// Rows of days before this one have no quarters any more.
    pub(super) days_before: u16,
    /// All rows are rows of the whole month.
    pub(super) is_rolled: bool,
}

impl Meta {
    /// Whether a merge began and did not end.
    pub(super) fn is_pending(&self) -> bool {
        self.intent > self.applied
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let ids = [self.applied, self.intent, self.base];
        varint::put(&mut out, VERSION);
        ids.iter().for_each(|id| {
            varint::put(&mut out, id.boot);
            varint::put(&mut out, id.number);
        });
        varint::put_sized(&mut out, &self.cursor);
        let numbers = [self.days, self.quarters_before.into(), self.days_before.into(), self.is_rolled.into()];
        numbers.iter().for_each(|number| varint::put(&mut out, u64::from(*number)));
        out
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        if varint::take(from)? != VERSION {
            return None;
        }
        let id = |from: &mut &[u8]| Some(WindowId { boot: varint::take(from)?, number: varint::take(from)? });
        let (applied, intent, base) = (id(from)?, id(from)?, id(from)?);
        let cursor = varint::take_sized(from)?.to_vec();
        let days = u32::try_from(varint::take(from)?).ok()?;
        let quarters_before = u16::try_from(varint::take(from)?).ok()?;
        let days_before = u16::try_from(varint::take(from)?).ok()?;
        let is_rolled = varint::take(from)? == 1;
        from.is_empty().then_some(Meta { applied, intent, base, cursor, days, quarters_before, days_before, is_rolled })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_decodes_to_what_was_encoded(ids: [(u64, u64); 3], cursor: Vec<u8>, days: u32, before: (u16, u16), is_rolled: bool) {
            let id = |place: usize| WindowId { boot: ids[place].0, number: ids[place].1 };
            let meta = Meta {
                applied: id(0), intent: id(1), base: id(2), cursor, days,
                quarters_before: before.0, days_before: before.1, is_rolled,
            };
            let bytes = meta.encode();
            prop_assert_eq!(Meta::decode(&bytes), Some(meta));
            prop_assert_eq!(Meta::decode(&bytes[..bytes.len() - 1]), None);
        }
    }
}
