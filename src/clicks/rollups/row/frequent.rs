//! The frequent of many values: all of them while they are few, else by a sketch.

use datasketches::frequencies::{ErrorType, FrequentItemsSketch};

use super::{ALLOCATION_BYTES, insert, varint};

/// How many values are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// Most that are kept exactly.
    pub(crate) exact: usize,
    /// Places of the sketch beyond that, a power of two; three quarters of them are used.
    pub(crate) places: usize,
}

/// Values with weights. The sketch is that of Misra and Gries (1982) in the form of Anderson et al. (2017): with `n`
/// counters and the weight `w` together, each is off by at most about `w/(0.67 n)`, and [`error`](Frequent::error)
/// says by how much at most.
#[derive(Debug, Clone)]
pub(crate) enum Frequent {
    /// Values and weights, by value.
    List(Vec<(u64, u64)>),
    /// A sketch of them.
    Sketch(Box<FrequentItemsSketch<u64>>),
}

impl Default for Frequent {
    fn default() -> Self {
        Frequent::List(Vec::new())
    }
}

impl Frequent {
    /// Adds weight to a value.
    pub(crate) fn add(&mut self, value: u64, weight: u64, bound: Bound) {
        match self {
            Frequent::List(list) => match list.binary_search_by_key(&value, |entry| entry.0) {
                Ok(place) => list[place].1 += weight,
                Err(place) => {
                    insert(list, place, (value, weight));
                    if list.len() > bound.exact {
                        let mut sketch = new_sketch(bound);
                        list.iter().for_each(|(value, weight)| sketch.update_with_count(*value, *weight));
                        *self = Frequent::Sketch(Box::new(sketch));
                    }
                }
            },
            Frequent::Sketch(sketch) => sketch.update_with_count(value, weight),
        }
    }

    /// Adds others.
    pub(crate) fn merge(&mut self, other: &Frequent, bound: Bound) {
        match other {
            Frequent::List(list) => list.iter().for_each(|(value, weight)| self.add(*value, *weight, bound)),
            Frequent::Sketch(more) => {
                let mut sketch = new_sketch(bound);
                match std::mem::take(self) {
                    Frequent::Sketch(own) => sketch = *own,
                    Frequent::List(list) => {
                        list.iter().for_each(|(value, weight)| sketch.update_with_count(*value, *weight))
                    }
                }
                sketch.merge(more);
                *self = Frequent::Sketch(Box::new(sketch));
            }
        }
    }

    /// By how much a weight can be too high, or that of a value that is missing too low.
    pub(crate) fn error(&self) -> u64 {
        match self {
            Frequent::List(_) => 0,
            Frequent::Sketch(sketch) => sketch.maximum_error(),
        }
    }

    /// The values and their weights, which are never too low, in no order.
    pub(crate) fn values(&self) -> Vec<(u64, u64)> {
        match self {
            Frequent::List(list) => list.clone(),
            Frequent::Sketch(sketch) => {
                let rows = sketch.frequent_items_with_threshold(ErrorType::NoFalseNegatives, 0);
                rows.iter().map(|row| (*row.item(), row.estimate())).collect()
            }
        }
    }

    /// About what it takes in memory, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Frequent::List(list) if list.is_empty() => 0,
            Frequent::List(list) => size_of_val(list.as_slice()) + ALLOCATION_BYTES,
            Frequent::Sketch(sketch) => sketch.estimated_size(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Frequent::List(list) if list.is_empty())
    }

    /// Of a list: the number of values and 1, and each value, as what it is above the one before, and weight. Of a
    /// sketch: 0, length and bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Frequent::List(list) => {
                varint::put(out, list.len() as u64 + 1);
                let mut before = 0;
                for (value, weight) in list {
                    varint::put(out, value - before);
                    varint::put(out, *weight);
                    before = *value;
                }
            }
            Frequent::Sketch(sketch) => {
                varint::put(out, 0);
                varint::put_sized(out, &sketch.serialize());
            }
        }
    }

    /// What [`encode`](Self::encode) made; a sketch is only skipped unless it is wanted.
    pub(super) fn decode(from: &mut &[u8], wanted: bool) -> Option<Self> {
        match varint::take(from)? {
            0 => {
                let bytes = varint::take_sized(from)?;
                if !wanted {
                    return Some(Frequent::default());
                }
                Some(Frequent::Sketch(Box::new(FrequentItemsSketch::deserialize(bytes).ok()?)))
            }
            count => {
                // Each takes two bytes at least.
                let count = usize::try_from(count - 1).ok().filter(|count| *count <= from.len() / 2)?;
                let mut list = Vec::with_capacity(if wanted { count } else { 0 });
                let mut value = 0u64;
                for place in 0..count {
                    let step = varint::take(from)?;
                    if place > 0 && step == 0 {
                        return None;
                    }
                    value = value.checked_add(step)?;
                    let weight = varint::take(from)?;
                    if wanted {
                        list.push((value, weight));
                    }
                }
                Some(Frequent::List(list))
            }
        }
    }
}

fn new_sketch(bound: Bound) -> FrequentItemsSketch<u64> {
    FrequentItemsSketch::new(bound.places).expect("a power of two")
}
