//! Random values of one cell: the odd ones of each type, more often than chance would have it.

use half::f16;

use super::random::Random;
use super::tables::Domain;

pub fn integer(random: &mut Random, min: i128, max: i128, domain: Domain) -> i128 {
    let near_zero = |random: &mut Random, width: i64| i128::from(random.between(-width..=width));
    let value = match (domain, random.below(10)) {
        (Domain::Keys, 0) => *random.pick(&[min, max]),
        (Domain::Keys, _) => near_zero(random, 5),
        (_, 0) => *random.pick(&[min, max, min + 1, max - 1, 0, 1, -1]),
        // Just above the middle between two `f32`: it rounds down if rounded twice.
        (_, 1) => (1 << 60) + (1 << 36) + near_zero(random, 1),
        (_, 2..5) => near_zero(random, 10),
        (_, 5..7) => near_zero(random, 1000),
        (_, 7) => near_zero(random, 1_000_000_000),
        _ => (random.bits128() as i128) >> random.below(128),
    };
    if (min..=max).contains(&value) {
        return value;
    }
    match max.checked_sub(min).and_then(|width| width.checked_add(1)) {
        Some(count) => min + value.rem_euclid(count),
        None => value.clamp(min, max),
    }
}

pub fn few_floats(random: &mut Random) -> f64 {
    *random.pick(&[
        0.0,
        -0.0,
        1.0,
        -1.5,
        2.0,
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ])
}

pub fn moderate(random: &mut Random) -> f64 {
    match random.below(600) {
        0 => *random.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
        1..50 => *random.pick(&[0.0, -0.0]),
        50..300 => random.between(-10_000..=10_000) as f64 / 1024.0,
        _ => random.between(-10_000..=10_000) as f64 * 0.1,
    }
}

pub fn any_f64(random: &mut Random) -> f64 {
    match random.below(10) {
        0 => *random.pick(&[
            f64::NAN,
            -f64::NAN,
            f64::from_bits(0x7ff0_0000_0000_0001),
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.0,
            -0.0,
        ]),
        1 => *random.pick(&[
            f64::MIN,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::from_bits(1),
            -f64::from_bits(1),
            f64::EPSILON,
            9_007_199_254_740_993.0,
            65_520.0,
            2_147_483_648.0,
            -9_223_372_036_854_775_808.0,
        ]),
        2..5 => random.between(-10..=10) as f64 / 2.0,
        5..8 => random.between(-100_000..=100_000) as f64 * 0.01,
        _ => f64::from_bits(random.bits()),
    }
}

pub fn any_f32(random: &mut Random) -> f32 {
    match random.below(10) {
        0 => *random.pick(&[f32::MAX, f32::MIN, f32::MIN_POSITIVE, f32::from_bits(1)]),
        1 => f32::from_bits(random.bits() as u32),
        _ => any_f64(random) as f32,
    }
}

pub fn any_f16(random: &mut Random) -> f16 {
    match random.below(10) {
        0 => *random.pick(&[f16::MAX, f16::MIN, f16::MIN_POSITIVE, f16::from_bits(1)]),
        1..3 => f16::from_bits(random.bits() as u16),
        _ => f16::from_f32(any_f64(random) as f32),
    }
}

pub fn string(random: &mut Random, domain: Domain) -> String {
    const WORDS: [&str; 14] = [
        "",
        "a",
        "b",
        "ab",
        "Z",
        "é",
        "e\u{301}",
        "日本語",
        "\u{ffff}",
        "\u{10000}",
        "\0",
        "a\0",
        "12",
        "-7",
    ];
    let word = random.pick(&WORDS).to_string();
    match (domain, random.below(8)) {
        (Domain::Keys, _) | (_, 0..5) => word,
        (_, 5) => word.repeat(random.below(40)),
        _ => (0..random.below(24))
            .map(|_| char::from(b' ' + random.below(95) as u8))
            .collect(),
    }
}
