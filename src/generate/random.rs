//! Random numbers that are the same everywhere: SplitMix64 (Steele, Lea, Flood 2014) in integers only.
//!
//! A generator is opened for (seed, stream, index), so the n-th order can be made without the ones before it. Bounded
//! draws multiply and shift; their bias, below 2^-32 for every bound used here, does not matter.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64: a bijection of 64-bit numbers.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A 128-bit id, unique among the indexes of one (seed, stream): its upper half is a bijection of the index.
pub fn id(seed: u64, stream: u64, index: u64) -> u128 {
    let key = mix(seed ^ mix(stream));
    let high = mix(index.wrapping_add(key));
    let low = mix(high.wrapping_add(GOLDEN) ^ key);
    u128::from(high) << 64 | u128::from(low)
}

/// How many parts [`Random::chance`] makes of all draws.
pub const CERTAIN: u64 = 100_000;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The numbers of (seed, stream, index); streams keep unrelated draws apart.
    pub fn of(seed: u64, stream: u64, index: u64) -> Self {
        Random { state: mix(mix(seed ^ mix(stream)).wrapping_add(index.wrapping_mul(GOLDEN))) }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform in 0 .. `bound`; 0 where the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `low ..= high`, which must be in this order.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(high.abs_diff(low) + 1) as i64
    }

    /// True in `parts` of [`CERTAIN`] draws.
    pub fn chance(&mut self, parts: u64) -> bool {
        self.below(CERTAIN) < parts
    }

    /// In 0 .. `bound`, small values more often: the square of a uniform draw, so the first 1 % gets 10 % of the draws.
    pub fn skewed_below(&mut self, bound: u64) -> u64 {
        let uniform = self.next_u64() >> 32;
        let squared = (uniform * uniform) >> 32;
        (squared * bound.min(u64::from(u32::MAX))) >> 32
    }

    /// An index of `weights`, as often as its weight says; 0 where all weights are 0.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        self.weighted_by(weights, |weight| *weight)
    }

    /// An index of `all`, as often as the weight of what stands there says; 0 where all weights are 0.
    pub fn weighted_by<T>(&mut self, all: &[T], weight_of: impl Fn(&T) -> u32) -> usize {
        let total: u64 = all.iter().map(|one| u64::from(weight_of(one))).sum();
        let mut rest = self.below(total);
        for (index, one) in all.iter().enumerate() {
            let weight = u64::from(weight_of(one));
            if rest < weight {
                return index;
            }
            rest -= weight;
        }
        0
    }
}

/// A distribution as the values at fixed shares of its population, straight lines between them.
#[derive(Clone, Copy, Debug)]
pub struct Quantiles(pub [i64; QUANTILES]);

/// Number of shares in `SHARES`.
pub const QUANTILES: usize = 24;

/// The shares, in millionths: dense at both ends, where delays are skewed.
const SHARES: [i64; QUANTILES] = [
    0, 1_000, 10_000, 25_000, 50_000, 100_000, 150_000, 200_000, 250_000, 300_000, 400_000, 500_000, 600_000, 700_000,
    750_000, 800_000, 850_000, 900_000, 950_000, 975_000, 990_000, 995_000, 999_000, 1_000_000,
];

impl Quantiles {
    /// Draws one value.
    pub fn sample(&self, random: &mut Random) -> i64 {
        /// Draws are finer than shares by this factor, so that values between two shares are.
        const FINER: i64 = 1_000;
        let share = random.below(1_000_000 * FINER as u64) as i64;
        let upper = SHARES.partition_point(|known| known * FINER <= share).clamp(1, QUANTILES - 1);
        let (low, high) = (self.0[upper - 1], self.0[upper]);
        let (from, to) = (SHARES[upper - 1] * FINER, SHARES[upper] * FINER);
        low + (high - low) * (share - from) / (to - from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_matches_the_published_sequence() {
        let mut random = Random { state: 1_234_567 };
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn quantiles_stay_within_and_keep_the_median() {
        let mut values = [0; QUANTILES];
        for (index, value) in values.iter_mut().enumerate() {
            *value = SHARES[index];
        }
        let mut random = Random::of(1, 1, 1);
        let mut drawn: Vec<i64> = (0..10_001).map(|_| Quantiles(values).sample(&mut random)).collect();
        drawn.sort_unstable();
        assert!(drawn[0] >= 0 && drawn[10_000] < 1_000_000);
        assert!((drawn[5_000] - 500_000).abs() < 20_000, "median {}", drawn[5_000]);
    }
}
