//! A seeded generator, and the loop that runs a property and names the seed of a failure.
//!
//! `PELTON_CASES` sets the number of cases of each property, `PELTON_SEED` runs one case alone.

use std::ops::RangeInclusive;

use pelton::types::Schema;

/// SplitMix64: the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn bits128(&mut self) -> u128 {
        u128::from(self.bits()) << 64 | u128::from(self.bits())
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }

    pub fn between(&mut self, range: RangeInclusive<i64>) -> i64 {
        let width = range.end().abs_diff(*range.start());
        let step = match width.checked_add(1) {
            Some(count) => self.bits() % count,
            None => self.bits(),
        };
        range.start().wrapping_add(step as i64)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Number of cases of a property: few enough for every change; `PELTON_CASES=500` before a release.
pub fn case_count() -> usize {
    std::env::var("PELTON_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(100)
}

/// Runs a property on many seeds; a failing case says how to run it alone.
pub fn for_each_case(property: &str, mut case: impl FnMut(&mut Random)) {
    struct NameOnPanic<'a>(&'a str, u64);
    impl Drop for NameOnPanic<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("property {} fails with PELTON_SEED={}", self.0, self.1);
            }
        }
    }
    let fixed = std::env::var("PELTON_SEED").ok();
    let fixed = fixed.and_then(|text| text.parse().ok());
    let seeds = match fixed {
        Some(seed) => seed..seed + 1,
        None => 0..case_count() as u64,
    };
    // Properties differ in their names, hence in what they draw from the same seed.
    let salt = property.bytes().fold(0u64, |salt, byte| {
        salt.wrapping_mul(31).wrapping_add(byte.into())
    });
    for seed in seeds {
        let named = NameOnPanic(property, seed);
        case(&mut Random::new(
            seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ salt,
        ));
        drop(named);
    }
}

/// Prints what a case was about, if it panics before this is dropped.
pub struct Note(pub String);

impl Drop for Note {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the case: {}", self.0);
        }
    }
}

impl Note {
    /// The types of a schema and whatever else makes the case.
    pub fn new(schema: &Schema, what: impl std::fmt::Display) -> Note {
        let fields = schema.fields().iter();
        let fields: Vec<String> = fields
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        Note(format!("{what} over {}", fields.join(", ")))
    }
}
