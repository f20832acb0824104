//! Which clicks are kept with their details.

use super::samples::{Sample, Samples};
use crate::clock::unix_time_ms;

/// So many clicks of a link are kept of each batch before fewer of it are.
const ALL_OF_A_LINK: u8 = 8;

/// Chooses the clicks of a batch whose details are kept: each with a probability that does not depend on what it says,
/// and with the inverse of that as its weight, so that the weights of any kind of click add up to its number on average
/// (Horvitz and Thompson, "A generalization of sampling without replacement from a finite universe", 1952).
///
/// All are kept until a quarter of the room is taken. From then on, of each link all of the first eight are, and of its
/// next ones the rarer the more there are: half, a quarter, and so on, so that a link with few clicks does not stand
/// behind one with many. If still more come than there is room for, half of what is kept is let go, and twice as few are
/// kept from then on.
pub(super) struct Sampler {
    details_max: usize,
    /// One in two to the power of this is kept because of all links together.
    power: u32,
    /// State of the generator of random numbers (Vigna, xorshift64*).
    random: u64,
}

impl Sampler {
    /// Keeps at most so many of a batch.
    pub(super) fn new(details_max: usize) -> Self {
        // Anything but 0. It need not be secret, so without random bytes from the system the time will do.
        let seed = getrandom::u64().unwrap_or_else(|_| unix_time_ms()) | 1;
        Sampler { details_max, power: 0, random: seed }
    }

    /// For how many clicks the `nth` one of a link in this batch stands, if it is kept beside so many others.
    #[inline]
    pub(super) fn weight(&mut self, nth: u8, kept: usize) -> Option<u32> {
        let is_pressed = self.power > 0 || kept >= self.details_max / 4;
        let power = self.power + if is_pressed { power_of_link(nth) } else { 0 };
        let mask = (1 << power) - 1;
        (power == 0 || self.random() & mask == 0).then_some(1 << power)
    }

    /// Keeps a click that was chosen, and its referrer.
    pub(super) fn keep(&mut self, samples: &mut Samples, sample: Sample, referrer: &str) {
        samples.push(sample, referrer);
        if samples.len() >= self.details_max && self.power < MOST_POWER {
            self.power += 1;
            samples.thin(|| self.random() & 1 == 0);
        }
    }

    /// Goes on with another batch: as it was with this one, and if that was more than was needed, with more.
    pub(super) fn next_batch(&mut self) {
        self.power = self.power.saturating_sub(1);
    }

    fn random(&mut self) -> u32 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32
    }
}

/// Far more than a worker can answer in half a second; so that weights fit.
const MOST_POWER: u32 = 20;

/// One in two to the power of this is kept of the clicks of a link around its `nth`.
fn power_of_link(nth: u8) -> u32 {
    nth.div_ceil(ALL_OF_A_LINK).max(1).next_power_of_two().ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clicks::{Country, Detail, Device, Language, VisitClass, Visitor};

    fn sample_of(link: u64, weight: u32) -> Sample {
        Sample {
            link,
            time_ms: 0,
            visitor: Visitor(0),
            weight,
            class: VisitClass::Human,
            device: Device::default(),
            country: Country::default(),
            language: Language::default(),
        }
    }

    /// Samples batches of so many clicks, each with a link that gives the next one to ask for; the details of all.
    fn sample(details_max: usize, batches: &[Vec<u64>]) -> Vec<Vec<Detail>> {
        let mut sampler = Sampler::new(details_max);
        batches
            .iter()
            .map(|links| {
                let mut details = Samples::with_room(0);
                let mut seen = std::collections::HashMap::<u64, u8>::new();
                for &link in links {
                    let nth = seen.entry(link).or_default();
                    *nth = if *nth == u8::MAX { 1 } else { *nth + 1 };
                    if let Some(weight) = sampler.weight(*nth, details.len()) {
                        sampler.keep(&mut details, sample_of(link, weight), "");
                    }
                    assert!(details.len() < details_max);
                }
                sampler.next_batch();
                details.take()
            })
            .collect()
    }

    #[test]
    fn few_clicks_are_all_kept() {
        let links: Vec<u64> = (0..100).flat_map(|link| [link; 8]).collect();
        let details = &sample(4_096, &[links])[0];
        assert_eq!(details.len(), 800);
        assert!(details.iter().all(|detail| detail.weight == 1));
    }

    #[test]
    fn one_link_alone_has_the_room_of_all() {
        let details = &sample(4_096, &[vec![7; 1_000]])[0];
        assert_eq!(details.len(), 1_000);
        assert!(details.iter().all(|detail| detail.weight == 1));
        let details = &sample(4_096, &[vec![7; 1_000_000]])[0];
        assert!(details.len() < 4_096 && details.iter().any(|detail| detail.weight > 32));
    }

    #[test]
    fn the_more_there_are_of_a_link_the_fewer_are_kept() {
        let powers: Vec<u32> =
            [1, 8, 9, 16, 17, 32, 33, 64, 65, 128, 129, 255].into_iter().map(power_of_link).collect();
        assert_eq!(powers, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    }

    #[test]
    fn weights_add_up_to_the_clicks_of_each_link() {
        // One link with a third of all clicks, ten with a third together, and thousands with one each.
        let mut random = fastrand::Rng::with_seed(5);
        let mut batch = || -> Vec<u64> {
            let mut link = || match random.u8(..3) {
                0 => 0,
                1 => random.u64(1..11),
                _ => random.u64(11..),
            };
            (0..20_000).map(|_| link()).collect()
        };
        let batches: Vec<Vec<u64>> = (0..60).map(|_| batch()).collect();
        for details_max in [512, 4_096] {
            let details = sample(details_max, &batches);
            let clicks =
                |kind: &dyn Fn(u64) -> bool| batches.iter().flatten().filter(|link| kind(**link)).count() as f64;
            let kinds: [(&str, &dyn Fn(u64) -> bool); 4] = [
                ("all", &|_| true),
                ("one", &|link| link == 0),
                ("ten", &|link| (1..11).contains(&link)),
                ("many", &|link| link > 10),
            ];
            for (name, kind) in kinds {
                let kept: Vec<f64> =
                    details.iter().flatten().filter(|d| kind(d.link)).map(|d| f64::from(d.weight)).collect();
                let estimate: f64 = kept.iter().sum();
                // The variance of the estimate is the sum of w(w-1) over what was kept; thinning ties neighbours a
                // little, so five standard errors rather than four.
                let error = kept.iter().map(|weight| weight * (weight - 1.0)).sum::<f64>().sqrt();
                let off = (estimate - clicks(kind)).abs();
                assert!(off <= 5.0 * error, "{name}, {details_max}: {estimate} for {}, {error}", clicks(kind));
                assert!(error < 0.05 * clicks(kind), "{name}, {details_max}: {error}");
            }
        }
    }

    #[test]
    fn what_was_crowded_out_comes_back_when_there_is_room() {
        let crowded: Vec<u64> = (0..50_000).collect();
        let calm: Vec<u64> = (0..100).collect();
        let mut batches = vec![crowded];
        batches.extend(std::iter::repeat_n(calm, 12));
        let details = sample(1_000, &batches);
        assert!(details[0].iter().all(|detail| detail.weight >= 32));
        assert_eq!(details[12].len(), 100);
        assert!(details[12].iter().all(|detail| detail.weight == 1));
    }
}
