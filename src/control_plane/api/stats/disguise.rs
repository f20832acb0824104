//! Numbers of events as those are told them who may not know how much is clicked in all: two of them say nothing of how
//! many lie between.
//!
//! A permutation of 48 bits, by a secret of this process: a Feistel network of four rounds (Luby and Rackoff, "How to
//! construct pseudorandom permutations from pseudorandom functions", 1988), with BLAKE3 as the function.

use std::sync::LazyLock;

/// Bits of a half of a number.
const HALF_BITS: u32 = 24;

/// All bits of a half.
const HALF: u64 = (1 << HALF_BITS) - 1;

/// Above all numbers: 280 million million clicks.
const END: u64 = 1 << (2 * HALF_BITS);

const ROUNDS: u8 = 4;

/// Like the numbers, it begins anew with each run.
static SECRET: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let mut secret = [0; 32];
    // Where the system has no randomness, there are no tokens either whose holders must not know.
    let _ = getrandom::fill(&mut secret);
    secret
});

/// Another number below 2^48, the same one for the same.
pub(super) fn disguise(number: u64) -> u64 {
    let (left, right) = (0..ROUNDS).fold(split(number), |(left, right), round| (right, left ^ mixed(round, right)));
    left << HALF_BITS | right
}

/// The number that was disguised; None for what is not below 2^48.
pub(super) fn reveal(disguised: u64) -> Option<u64> {
    let halves = split(disguised);
    let (left, right) = (0..ROUNDS).rev().fold(halves, |(left, right), round| (right ^ mixed(round, left), left));
    (disguised < END).then_some(left << HALF_BITS | right)
}

fn split(number: u64) -> (u64, u64) {
    ((number >> HALF_BITS) & HALF, number & HALF)
}

fn mixed(round: u8, half: u64) -> u64 {
    let mut hasher = blake3::Hasher::new_keyed(&SECRET);
    hasher.update(&[round]).update(&half.to_le_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes) & HALF
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_number_is_found_again_and_its_neighbours_are_elsewhere() {
        let numbers = (0..1_000).chain([HALF, HALF + 1, END - 1]);
        let pairs: Vec<_> = numbers.map(|number| (number, disguise(number))).collect();
        for (number, disguised) in &pairs {
            assert_eq!((reveal(*disguised), *disguised < END), (Some(*number), true));
        }
        assert_eq!(pairs.iter().map(|(_, disguised)| disguised).collect::<HashSet<_>>().len(), pairs.len());
        let steps: HashSet<u64> = pairs.windows(2).map(|two| two[1].1.wrapping_sub(two[0].1)).collect();
        assert!(steps.len() > 990, "{}", steps.len());
        assert_eq!(reveal(END), None);
    }
}
