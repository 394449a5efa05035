//! Kernels with planted bugs: each bug is found with its kind, and the correct kernels are clean and right.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail")]

mod support;

use std::collections::{BTreeMap, HashMap};

use pelton_simt::{SimtErrorKind, SimtOptions};
use support::{Bench, Dice, Params};

/// How a case ended: well, with a report, or with a wrong answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Right,
    Report(SimtErrorKind, String),
    Wrong(String),
}

type Case = fn(bug: u64, seed: u64, checked: bool) -> Outcome;

const BLOCKS: [u32; 5] = [32, 64, 96, 128, 256];

fn bench(seed: u64, checked: bool) -> Bench {
    Bench::new(SimtOptions {
        seed,
        checked,
        resident_blocks: 1 + (seed % 4) as u32,
        yield_per_1024: 64,
        max_switches: 400_000,
        ..SimtOptions::default()
    })
}

macro_rules! report {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Outcome::Report(error.kind, error.to_string()),
        }
    };
}

fn expect(right: bool, what: impl FnOnce() -> String) -> Outcome {
    if right {
        Outcome::Right
    } else {
        Outcome::Wrong(what())
    }
}

fn reduce(bug: u64, seed: u64, checked: bool) -> Outcome {
    let (mut dice, bench) = (Dice::new(seed), bench(seed, checked));
    let count = if dice.below(3) > 0 {
        dice.below(700)
    } else {
        0
    };
    let values: Vec<u64> = (0..count).map(|_| dice.next()).collect();
    let input = bench.upload("values", &values);
    let sum = bench.upload("sum", &[0u64]);
    let params = Params::new().u64(input).u64(sum).u64(count).u64(bug);
    bench.launch(
        "demo_reduce",
        1 + dice.below(5) as u32,
        dice.pick(&BLOCKS),
        &params,
    );
    let got = report!(bench.download::<u64>(sum, 1))[0];
    let want = values
        .iter()
        .fold(0u64, |sum, &value| sum.wrapping_add(value));
    expect(got == want, || format!("sum {got} instead of {want}"))
}

/// The same kernel, over memory that nobody wrote.
fn reduce_unwritten(bug: u64, seed: u64, checked: bool) -> Outcome {
    if bug == 0 {
        return reduce(bug, seed, checked);
    }
    let (mut dice, bench) = (Dice::new(seed), bench(seed, checked));
    let count = 1 + dice.below(700);
    let input = bench.unwritten::<u64>("values", count as usize);
    bench
        .device
        .fill(bench.stream, input, 1, (count - 1) * 8)
        .unwrap();
    let sum = bench.upload("sum", &[0u64]);
    let params = Params::new().u64(input).u64(sum).u64(count).u64(0);
    bench.launch("demo_reduce", 2, 64, &params);
    report!(bench.download::<u64>(sum, 1));
    Outcome::Right
}

/// The same kernel, over memory that its stream has freed.
fn reduce_freed(bug: u64, seed: u64, checked: bool) -> Outcome {
    let bench = bench(seed, checked);
    let input = bench.upload("values", &[1u64; 100]);
    let sum = bench.upload("sum", &[0u64]);
    let params = Params::new().u64(input).u64(sum).u64(100).u64(0);
    if bug != 0 {
        bench.device.free(bench.stream, input).unwrap();
    }
    bench.launch("demo_reduce", 2, 64, &params);
    let got = report!(bench.download::<u64>(sum, 1))[0];
    expect(got == 100, || format!("sum {got}"))
}

fn build(bug: u64, seed: u64, checked: bool) -> Outcome {
    let (mut dice, bench) = (Dice::new(seed), bench(seed, checked));
    let count = dice.below(300);
    let distinct = 1 + dice.below(count + 1);
    let keys: Vec<u64> = (0..count)
        .map(|_| dice.below(distinct) * 2_654_435_761)
        .collect();
    let slot_count = if bug == 6 {
        (distinct / 2).max(1)
    } else {
        distinct + dice.below(8)
    };
    let mut want = BTreeMap::new();
    for &key in &keys {
        *want.entry(key).or_insert(0u32) += 1;
    }
    let input = bench.upload("keys", &keys);
    let slots = bench.upload("slots", &vec![u64::MAX; slot_count as usize]);
    let counts = bench.upload("counts", &vec![0u32; slot_count as usize]);
    let params = Params::new()
        .u64(input)
        .u64(slots)
        .u64(counts)
        .u64(count)
        .u64(slot_count)
        .u64(bug);
    let block = dice.pick(&BLOCKS);
    bench.launch(
        "demo_build",
        count.div_ceil(u64::from(block)) as u32 + 1,
        block,
        &params,
    );
    let slots = report!(bench.download::<u64>(slots, slot_count as usize));
    let counts = report!(bench.download::<u32>(counts, slot_count as usize));
    let mut got = BTreeMap::new();
    for (&slot, &count) in slots.iter().zip(&counts) {
        if slot != u64::MAX {
            *got.entry(slot).or_insert(0) += count;
        }
    }
    expect(got == want, || "wrong table".to_owned())
}

/// A hybrid-encoded page and its values.
fn encode_hybrid(dice: &mut Dice, bit_width: u32, count: usize) -> (Vec<u8>, Vec<u32>) {
    let (mut page, mut values) = (Vec::new(), Vec::new());
    let mask = if bit_width == 32 {
        u32::MAX
    } else {
        (1 << bit_width) - 1
    };
    let varint = |page: &mut Vec<u8>, mut header: u32| {
        while header > 127 {
            page.push((header & 127) as u8 | 128);
            header >>= 7;
        }
        page.push(header as u8);
    };
    while values.len() < count {
        if dice.below(2) > 0 {
            let (length, value) = (1 + dice.below(60) as u32, dice.next() as u32 & mask);
            varint(&mut page, length << 1);
            page.extend(&value.to_le_bytes()[..bit_width.div_ceil(8) as usize]);
            values.extend(std::iter::repeat_n(value, length as usize));
        } else {
            let groups = 1 + dice.below(6) as u32;
            varint(&mut page, groups << 1 | 1);
            let mut bits = vec![0u8; (groups * bit_width) as usize];
            for index in 0..groups * 8 {
                let value = dice.next() as u32 & mask;
                values.push(value);
                for k in (0..bit_width).filter(|k| value >> k & 1 != 0) {
                    let bit = (index * bit_width + k) as usize;
                    bits[bit / 8] |= 1 << (bit % 8);
                }
            }
            page.extend(bits);
        }
    }
    values.truncate(count);
    (page, values)
}

fn hybrid(bug: u64, seed: u64, checked: bool) -> Outcome {
    let (mut dice, bench) = (Dice::new(seed), bench(seed, checked));
    let bit_width = 1 + dice.below(32) as u32;
    let count = 1 + dice.below(400) as usize;
    let (mut page, want) = encode_hybrid(&mut dice, bit_width, count);
    let malformed = match bug {
        8 | 9 => true,
        10 => false,
        _ => dice.below(2) > 0,
    };
    if malformed {
        let at = dice.below(page.len() as u64) as usize;
        match dice.below(3) {
            0 => page.truncate(at.max(1)),
            1 => page[at] ^= 1 << dice.below(8),
            _ => page[at] = 255,
        }
    }
    let input = bench.upload("page", &page);
    let values = bench.unwritten::<u32>("values", count);
    let error = bench.upload("error", &[0u32]);
    let params = Params::new()
        .u64(input)
        .u64(values)
        .u64(error)
        .u64(page.len() as u64);
    let params = params.u32(bit_width).u32(count as u32).u64(bug);
    bench.launch("demo_hybrid", 1, dice.pick(&BLOCKS), &params);
    let error = report!(bench.download::<u32>(error, 1))[0];
    let got = report!(bench.download::<u32>(values, count));
    expect(malformed || (error == 0 && got == want), || {
        format!("error {error}, wrong values")
    })
}

fn compact(bug: u64, seed: u64, checked: bool) -> Outcome {
    let (mut dice, bench) = (Dice::new(seed), bench(seed, checked));
    let count = dice.below(600);
    let values: Vec<i32> = (0..count).map(|_| dice.next() as i32).collect();
    let input = bench.upload("values", &values);
    let kept = bench.unwritten::<i32>("kept", count as usize + 1);
    let kept_count = bench.upload("kept_count", &[0u32]);
    let params = Params::new()
        .u64(input)
        .u64(kept)
        .u64(kept_count)
        .u64(count)
        .u64(bug);
    let block = dice.pick(&BLOCKS);
    bench.launch(
        "demo_compact",
        count.div_ceil(u64::from(block)) as u32 + 1,
        block,
        &params,
    );
    let mut want: Vec<i32> = values.into_iter().filter(|&value| value > 0).collect();
    let got_count = report!(bench.download::<u32>(kept_count, 1))[0] as usize;
    if got_count != want.len() {
        return Outcome::Wrong(format!("{got_count} kept instead of {}", want.len()));
    }
    let mut got = report!(bench.download::<i32>(kept, got_count));
    got.sort_unstable();
    want.sort_unstable();
    expect(got == want, || "wrong values".to_owned())
}

fn scan(bug: u64, seed: u64, checked: bool) -> Outcome {
    let (mut dice, bench) = (Dice::new(seed), bench(seed, checked));
    let tiles = 1 + dice.below(12) as usize;
    let count = (tiles - 1) * 64 + 1 + dice.below(64) as usize;
    let values: Vec<u32> = (0..count).map(|_| dice.next() as u32).collect();
    let input = bench.upload("values", &values);
    let sums = bench.unwritten::<u64>("sums", count);
    let tile_sums = bench.unwritten::<u64>("tile_sums", tiles);
    let tile_totals = bench.unwritten::<u64>("tile_totals", tiles);
    let tile_states = bench.upload("tile_states", &vec![0u32; tiles]);
    let next_tile = bench.upload("next_tile", &[0u32]);
    let params = Params::new()
        .u64(input)
        .u64(sums)
        .u64(tile_sums)
        .u64(tile_totals);
    let params = params
        .u64(tile_states)
        .u64(next_tile)
        .u64(count as u64)
        .u64(bug);
    bench.launch("demo_scan", tiles as u32, 64, &params);
    let got = report!(bench.download::<u64>(sums, count));
    let mut sum = 0;
    let want: Vec<u64> = values
        .iter()
        .map(|&value| {
            sum += u64::from(value);
            sum
        })
        .collect();
    expect(got == want, || "wrong sums".to_owned())
}

fn scan_by_fences(bug: u64, seed: u64, checked: bool) -> Outcome {
    scan(if bug == 0 { 100 } else { bug }, seed, checked)
}

fn last_block(bug: u64, seed: u64, checked: bool) -> Outcome {
    let (mut dice, bench) = (Dice::new(seed), bench(seed, checked));
    let count = dice.below(1500) as usize;
    let values: Vec<u32> = (0..count).map(|_| dice.next() as u32).collect();
    let (grid, block) = (1 + dice.below(6) as u32, dice.pick(&[32, 64, 128]));
    let input = bench.upload("values", &values);
    let partials = bench.unwritten::<u64>("partials", grid as usize);
    let finished = bench.upload("finished", &[0u32]);
    let total = bench.unwritten::<u64>("total", 1);
    let params = Params::new()
        .u64(input)
        .u64(partials)
        .u64(finished)
        .u64(total);
    let params = params.u64(count as u64).u64(bug);
    let (grid, shape) = ([grid, 1, 1], [block, 1, 1]);
    bench
        .device
        .launch(
            bench.stream,
            "demo_last_block",
            grid,
            shape,
            block * 8,
            &params.0,
        )
        .unwrap();
    let got = report!(bench.download::<u64>(total, 1))[0];
    let want = values.iter().map(|&value| u64::from(value)).sum::<u64>();
    expect(got == want, || format!("{got} instead of {want}"))
}

/// Two streams: one writes a buffer, the other reads it, behind an event or (the bug) not.
fn two_streams(bug: u64, seed: u64, checked: bool) -> Outcome {
    let bench = bench(seed, checked);
    let (device, first) = (&bench.device, bench.stream);
    let second = device.stream_create();
    let source = bench.upload("source", &[5u32; 200]);
    let middle = bench.upload("middle", &[0u32; 200]);
    let target = bench.upload("target", &[0u32; 200]);
    let params = |from: u64, to: u64| Params::new().u64(from).u64(to).u64(200).u32(1).u32(0);
    bench.launch("demo_copy", 4, 64, &params(source, middle));
    let event = device.event_create();
    device.event_record(event, first).unwrap();
    if bug == 0 {
        device.stream_wait_event(second, event).unwrap();
    }
    let launch = params(middle, target);
    device
        .launch(second, "demo_copy", [4, 1, 1], [64, 1, 1], 0, &launch.0)
        .unwrap();
    report!(device.stream_synchronize(second));
    let got = report!(bench.download::<u32>(target, 200));
    expect(got == [7; 200], || format!("{} instead of 7", got[0]))
}

/// What a bug must show as.
#[derive(Clone, Copy, Debug)]
enum Shows {
    As(&'static [SimtErrorKind]),
    AsWrongAnswer,
}

#[test]
fn finds_planted_bugs() {
    use SimtErrorKind::{Initcheck, Memcheck, Portability, Racecheck, Synccheck};
    let bugs: &[(u64, Case, Shows)] = &[
        (1, reduce, Shows::As(&[Memcheck])),
        (2, reduce, Shows::As(&[Racecheck, Initcheck])),
        (3, reduce, Shows::As(&[Initcheck])),
        (4, reduce, Shows::As(&[Racecheck])),
        (5, reduce, Shows::As(&[Synccheck])),
        (6, build, Shows::As(&[SimtErrorKind::Hang])),
        (7, build, Shows::As(&[Racecheck])),
        (8, hybrid, Shows::As(&[Memcheck])),
        (9, hybrid, Shows::As(&[Memcheck])),
        (10, hybrid, Shows::As(&[Racecheck])),
        (11, compact, Shows::As(&[Synccheck])),
        (12, compact, Shows::As(&[Racecheck])),
        (13, reduce, Shows::As(&[Memcheck])),
        (14, reduce_freed, Shows::As(&[Memcheck])),
        (15, scan, Shows::As(&[Racecheck])),
        (16, reduce, Shows::As(&[Synccheck])),
        (17, compact, Shows::As(&[Portability])),
        (18, reduce, Shows::As(&[Racecheck])),
        (19, scan_by_fences, Shows::As(&[Racecheck])),
        (20, last_block, Shows::As(&[Racecheck])),
        (21, reduce_unwritten, Shows::As(&[Initcheck])),
        (22, two_streams, Shows::AsWrongAnswer),
    ];
    for &(bug, case, shows) in bugs {
        let mut found = None;
        let mut others: HashMap<String, u64> = HashMap::new();
        for seed in 1..=200 {
            let outcome = case(bug, seed, true);
            let expected = match (&outcome, shows) {
                (Outcome::Report(kind, _), Shows::As(kinds)) => kinds.contains(kind),
                (Outcome::Wrong(_), Shows::AsWrongAnswer) => true,
                _ => false,
            };
            match outcome {
                Outcome::Right => {}
                outcome if expected => {
                    found = Some((seed, outcome));
                    break;
                }
                Outcome::Report(kind, text) => {
                    others.entry(format!("{kind:?}: {text}")).or_insert(seed);
                }
                Outcome::Wrong(text) => {
                    others.entry(format!("wrong: {text}")).or_insert(seed);
                }
            }
        }
        match found {
            Some((seed, outcome)) => eprintln!("bug {bug}: seed {seed}: {outcome:?}"),
            None => panic!("bug {bug} was not found as {shows:?}; found {others:#?}"),
        }
    }
}

fn clean(name: &str, case: Case, cases: u64) {
    for seed in 1..=cases {
        for checked in [true, false] {
            let outcome = case(0, seed, checked);
            assert_eq!(
                outcome,
                Outcome::Right,
                "{name}, seed {seed}, checked {checked}"
            );
        }
    }
}

#[test]
fn correct_reduce_is_clean() {
    clean("reduce", reduce, 400);
}

#[test]
fn correct_build_is_clean() {
    clean("build", build, 400);
}

#[test]
fn correct_hybrid_is_clean() {
    clean("hybrid", hybrid, 400);
}

#[test]
fn correct_compact_is_clean() {
    clean("compact", compact, 400);
}

#[test]
fn correct_lookback_scan_is_clean() {
    clean("scan", scan, 300);
    clean("scan by fences", scan_by_fences, 300);
}

#[test]
fn correct_last_block_is_clean() {
    clean("last block", last_block, 400);
    clean("freed", reduce_freed, 20);
}

#[test]
fn correct_streams_are_clean() {
    clean("two streams", two_streams, 100);
}
