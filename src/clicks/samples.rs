//! The clicks of a batch that are kept with their details.

use std::sync::Arc;

use super::batch::{Country, Detail, Device, Language, VisitClass, Visitor};
use super::text::SharedText;

/// Bytes of referrers for which there is room at first, for each click.
const REFERRER_ROOM_BYTES: usize = 32;

/// What is known of one click: a [`Detail`] without memory of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) link: u64,
    pub(super) time_ms: u64,
    pub(super) visitor: Visitor,
    pub(super) weight: u32,
    pub(super) class: VisitClass,
    pub(super) device: Device,
    pub(super) country: Country,
    pub(super) language: Language,
}

/// The samples of a batch. Their memory is used again for the next one, so that keeping one asks for none.
pub(super) struct Samples {
    samples: Vec<(Sample, Place)>,
    /// The referrers, in the order of the samples.
    text: String,
    /// For the text that is left when there are fewer samples.
    spare: String,
}

/// Where a referrer stands in the text.
#[derive(Clone, Copy)]
struct Place {
    start: u32,
    bytes: u32,
}

impl Samples {
    /// With room for so many, of usual referrers.
    pub(super) fn with_room(samples: usize) -> Self {
        let text = String::with_capacity(samples * REFERRER_ROOM_BYTES);
        Samples { samples: Vec::with_capacity(samples), text, spare: String::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// Keeps one more.
    pub(super) fn push(&mut self, sample: Sample, referrer: &str) {
        let place = Place { start: self.text.len() as u32, bytes: referrer.len() as u32 };
        self.text.push_str(referrer);
        self.samples.push((sample, place));
    }

    /// Lets those go for which `keeps` is false. Each of the others stands for twice as many clicks as before.
    pub(super) fn thin(&mut self, mut keeps: impl FnMut() -> bool) {
        let Samples { samples, text, spare } = self;
        spare.clear();
        samples.retain_mut(|(sample, place)| {
            let keeps = keeps();
            if keeps {
                sample.weight *= 2;
                let referrer = place.of(text);
                *place = Place { start: spare.len() as u32, bytes: place.bytes };
                spare.push_str(referrer);
            }
            keeps
        });
        std::mem::swap(text, spare);
    }

    /// All of them, in memory of their own: two allocations however many there are.
    pub(super) fn take(&mut self) -> Vec<Detail> {
        if self.samples.is_empty() {
            return Vec::new();
        }
        let text: Arc<str> = self.text.as_str().into();
        let detail = |&(sample, place): &(Sample, Place)| Detail {
            link: sample.link,
            time_ms: sample.time_ms,
            class: sample.class,
            weight: sample.weight,
            referrer: SharedText::of(&text, place.start as usize..(place.start + place.bytes) as usize),
            country: sample.country,
            device: sample.device,
            language: sample.language,
            visitor: Some(sample.visitor),
        };
        let details = self.samples.iter().map(detail).collect();
        self.samples.clear();
        self.text.clear();
        details
    }
}

impl Place {
    fn of(self, text: &str) -> &str {
        text.get(self.start as usize..).and_then(|rest| rest.get(..self.bytes as usize)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_keeps_its_referrer_whatever_goes() {
        let mut samples = Samples::with_room(4);
        for turn in 1..4_u32 {
            for link in 0..300 {
                let sample = Sample {
                    link,
                    time_ms: 5,
                    visitor: Visitor(9),
                    weight: turn,
                    class: VisitClass::Human,
                    device: Device::Phone,
                    country: Country(*b"DE"),
                    language: Language(*b"de\0"),
                };
                let referrer = if link % 7 == 0 { String::new() } else { format!("{link}.example") };
                samples.push(sample, &referrer);
            }
            for divisor in [2, 3] {
                let mut nth = 0;
                samples.thin(|| {
                    nth += 1;
                    nth % divisor != 0
                });
            }
            assert_eq!(samples.len(), 100);
            let details = samples.take();
            assert_eq!((details.len(), samples.len()), (100, 0));
            for detail in details {
                let link = detail.link;
                let referrer = if link % 7 == 0 { String::new() } else { format!("{link}.example") };
                assert_eq!((&*detail.referrer, detail.weight), (&*referrer, turn * 4));
                assert_eq!((detail.time_ms, detail.visitor, detail.device), (5, Some(Visitor(9)), Device::Phone));
            }
        }
        assert!(samples.take().is_empty());
    }
}
