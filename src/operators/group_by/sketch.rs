//! What `approx_n_unique` is, to the bit: hash, registers, estimate.
//!
//! Source: P. Flajolet, É. Fusy, O. Gandouet, F. Meunier, "HyperLogLog: the analysis of a
//! near-optimal cardinality estimation algorithm", AofA 2007; written from the idea.
//!
//! A value is hashed to 64 bits: an integer, date, time or Boolean as its value in a signed 64-bit
//! word (an unsigned 64-bit integer as it is), a decimal of up to 18 digits likewise, of more digits
//! as two words, a float as its bits in 64-bit precision with one NaN and one zero, strings and
//! bytes as their length and their bytes in words of eight, padded by zeros. The low
//! [`SKETCH_BITS`] bits of the hash choose a register; its rank is the place of the lowest set bit
//! of the others, from 1 to [`SKETCH_RANK_MAX`]. A register keeps the greatest rank.

/// Bits of a hash that choose the register: 4,096 registers, standard error 1.04 / √4096 = 1.6 %.
pub const SKETCH_BITS: u32 = 12;

/// The greatest rank: sums of 2^(52 − rank) over all registers fit 64 bits.
pub const SKETCH_RANK_MAX: u32 = 52;

const REGISTERS: usize = 1 << SKETCH_BITS;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of `MurmurHash3` (A. Appleby, public domain).
fn mix(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

/// Hash of a value of one or more words; `kernels/group_by_sketch.cu` has the same.
pub fn hash_words(words: impl IntoIterator<Item = u64>) -> u64 {
    words.into_iter().fold(1, |hash, word| {
        mix(word.wrapping_add(GOLDEN.wrapping_mul(hash)))
    })
}

/// Hash of a string or of bytes.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let word = |chunk: &[u8]| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    };
    hash_words(std::iter::once(bytes.len() as u64).chain(bytes.chunks(8).map(word)))
}

/// The registers of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    ranks: Box<[u8]>,
}

impl Default for Sketch {
    fn default() -> Self {
        Sketch {
            ranks: vec![0; REGISTERS].into(),
        }
    }
}

impl Sketch {
    /// Adds a value by its hash.
    pub fn add(&mut self, hash: u64) {
        let rest = hash >> SKETCH_BITS;
        let rank = (rest.trailing_zeros() + 1).min(SKETCH_RANK_MAX) as u8;
        let register = &mut self.ranks[(hash % REGISTERS as u64) as usize];
        *register = rank.max(*register);
    }

    /// Adds the values of another sketch.
    pub fn merge(&mut self, other: &Sketch) {
        for (rank, other) in self.ranks.iter_mut().zip(&other.ranks) {
            *rank = (*rank).max(*other);
        }
    }

    /// The registers, a byte each: the greatest rank, or 0.
    pub fn registers(&self) -> &[u8] {
        &self.ranks
    }

    /// The sketch of registers, if they are 4,096 ranks.
    pub fn from_registers(registers: &[u8]) -> Option<Sketch> {
        let sound = registers.len() == REGISTERS
            && registers
                .iter()
                .all(|rank| u32::from(*rank) <= SKETCH_RANK_MAX);
        sound.then(|| Sketch {
            ranks: registers.into(),
        })
    }

    /// The estimated number of different values.
    pub fn estimate(&self) -> i64 {
        let raised = self.ranks.iter().filter(|rank| **rank > 0);
        let weights = raised
            .clone()
            .map(|rank| 1u64 << (SKETCH_RANK_MAX - u32::from(*rank)));
        estimate_distinct(raised.count() as u64, weights.sum())
    }
}

/// The estimate from the number of raised registers and the sum of 2^(52 − rank) over them.
pub fn estimate_distinct(raised: u64, weights: u64) -> i64 {
    let count = REGISTERS as f64;
    let zeros = count - raised as f64;
    let sum = weights as f64 / 2f64.powi(SKETCH_RANK_MAX as i32) + zeros;
    let raw = 0.7213 / (1.0 + 1.079 / count) * count * count / sum;
    let estimate = if raw <= 2.5 * count && zeros > 0.0 {
        count * (count / zeros).ln() // few values: count the registers never raised
    } else {
        raw
    };
    estimate.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_near() {
        for values in [0u64, 1, 2, 100, 4096, 10_000, 300_000] {
            let mut sketch = Sketch::default();
            (0..values).for_each(|value| sketch.add(hash_words([value])));
            let estimate = sketch.estimate();
            let error = estimate.abs_diff(values as i64) as f64 / values.max(1) as f64;
            assert!(error < 0.05, "{values} values, estimated {estimate}");
        }
    }

    #[test]
    fn bytes_and_their_padding_differ() {
        let hashes = [&b""[..], b"\0", b"a", b"a\0", b"aaaaaaaa", b"aaaaaaaa\0"].map(hash_bytes);
        let different: std::collections::HashSet<u64> = hashes.into_iter().collect();
        assert_eq!(different.len(), hashes.len());
    }

    #[test]
    fn the_greatest_sum_of_weights_fits() {
        let all = estimate_distinct(4096, 4096 << (SKETCH_RANK_MAX - 1));
        assert!(all > 5000, "{all}");
    }
}
