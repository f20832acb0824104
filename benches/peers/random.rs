//! Seeded random numbers and Zipf's law, so that two runs with one seed ask for the same keys.

/// SplitMix64: tiny, and good enough to pick letters and links.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`. The bias of the multiply-shift is far below what a benchmark can see.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// A number in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

/// Draws link numbers so that the r-th most popular one comes up in proportion to 1/r.
pub(crate) struct Zipf {
    cumulative: Vec<f64>,
    link_of_rank: Vec<u32>,
}

impl Zipf {
    pub(crate) fn new(links: usize, random: &mut Random) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=links)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        // Servers load the links in file order. Without this shuffle the popular ones would lie side by side in
        // memory, which real popularity does not grant to anyone.
        let mut link_of_rank: Vec<u32> = (0..links as u32).collect();
        for i in (1..links).rev() {
            link_of_rank.swap(i, random.below(i + 1));
        }
        Self { cumulative, link_of_rank }
    }

    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let total = self.cumulative[self.cumulative.len() - 1];
        let point = random.unit() * total;
        let rank = self.cumulative.partition_point(|&c| c <= point).min(self.cumulative.len() - 1);
        self.link_of_rank[rank] as usize
    }
}
