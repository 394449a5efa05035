//! `hash_join`: a new table and one probe of it, by size of the build side and spread of its keys.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use pelton::Result;
use pelton::kernels::hash_join::{JoinKey, JoinLayout, JoinNeed, JoinTable, JoinTuning};
use pelton::kernels::{DeviceColumn, DeviceRows, Launch};
use pelton::types::PhysicalType;
use support::{Bench, Case, Clock, mixed, rows};

/// libcudf's milliseconds: build rows, inner join, left semi join.
const PEERS: [(u64, f64, f64); 4] = [
    (1_000, 4.2, 3.4),
    (1_000_000, 5.2, 3.4),
    (10_000_000, 13.8, 5.8),
    (50_000_000, 21.2, 9.5),
];

/// Build rows per key in the cases of keys that repeat.
const COPIES: [u64; 3] = [4, 10, 50_000];

/// Bits per key of the Bloom filter, in the cases that have one.
const FILTER_BITS: u64 = 10;

/// One in so many probe rows has a partner, in the case of few matches.
const RARE: u64 = 10;

/// How keys are made of numbers from 0 on.
#[derive(Clone, Copy, PartialEq)]
enum Spread {
    /// The numbers themselves: they lie close, as primary keys do.
    Close,
    /// A bijection over all 64 bits.
    Far,
}

impl Spread {
    fn key(self, number: u64) -> u64 {
        match self {
            Spread::Close => number,
            Spread::Far => mixed(number).wrapping_mul(3),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Spread::Close => "close",
            Spread::Far => "far",
        }
    }
}

/// How probe rows draw their keys' numbers.
#[derive(Clone, Copy, PartialEq)]
enum Draw {
    Uniform,
    /// Ranks by Zipf's law with exponent 1.5, by inverting the continuous distribution.
    Zipf,
}

impl Draw {
    /// The number of a probe row, below `drawn`.
    fn number(self, row: u64, drawn: u64) -> u64 {
        if self == Draw::Uniform {
            return mixed(row) % drawn;
        }
        let unit = (mixed(row) >> 11) as f64 / (1u64 << 53) as f64;
        let most = 1.0 - (drawn as f64 + 1.0).powf(-0.5);
        ((1.0 - unit * most).powi(-2) as u64 - 1).min(drawn - 1)
    }
}

/// Both sides' keys, and the build row that each probe row meets, if no key comes twice.
struct Sides {
    build: DeviceColumn,
    build_rows: u64,
    probe: DeviceColumn,
    rows: u64,
    /// Different keys.
    keys: u64,
    /// Numbers that probe rows draw from.
    drawn: u64,
    draw: Draw,
    tuning: JoinTuning,
}

impl Sides {
    fn new(bench: &Bench, spread: Spread, build_rows: u64, keys: u64, drawn: u64) -> Sides {
        Sides::drawing(bench, spread, (build_rows, keys, drawn), Draw::Uniform)
    }

    fn drawing(
        bench: &Bench,
        spread: Spread,
        (build_rows, keys, drawn): (u64, u64, u64),
        draw: Draw,
    ) -> Sides {
        let rows = rows();
        let key = |number: u64| spread.key(number);
        let physical = PhysicalType::Int64;
        Sides {
            build: bench.words(physical, build_rows, |row| key(row % keys)),
            build_rows,
            probe: bench.words(physical, rows, |row| key(draw.number(row, drawn))),
            rows,
            keys,
            drawn,
            draw,
            tuning: JoinTuning::default(),
        }
    }

    fn tuned(self, tuning: JoinTuning) -> Sides {
        Sides { tuning, ..self }
    }

    fn number(&self, probe_row: u64) -> u64 {
        self.draw.number(probe_row, self.drawn)
    }

    fn matched(&self) -> u64 {
        (0..self.rows)
            .filter(|row| self.number(*row) < self.keys)
            .count() as u64
    }

    fn table(&self, launch: &Launch, need: JoinNeed) -> Result<JoinTable> {
        let key = JoinKey {
            physical: PhysicalType::Int64,
            nullable: false,
            bits: 64,
        };
        let tuning = self.tuning;
        let layout = JoinLayout::new(&[key], false, &tuning)?;
        JoinTable::build(
            launch,
            layout,
            &[&self.build],
            self.build_rows,
            need,
            tuning,
        )
    }
}

/// Pairs of row numbers, as 32-bit words.
fn read_rows(bench: &Bench, column: &DeviceColumn, rows: u64) -> Vec<u32> {
    let words = bench.read_words(column, rows.div_ceil(2));
    let halves = words
        .iter()
        .flat_map(|word| [*word as u32, (*word >> 32) as u32]);
    halves.take(rows as usize).collect()
}

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    let rows = rows();
    for (build_rows, inner_ms, semi_ms) in PEERS {
        if build_rows > rows {
            continue;
        }
        for spread in [Spread::Far, Spread::Close] {
            let sides = Sides::new(&bench, spread, build_rows, build_rows, build_rows);
            let axes = format!("rows={rows}/build={build_rows}/keys={}", spread.name());
            inner(&mut bench, &mut criterion, &sides, &axes, Some(inner_ms));
            semi(&mut bench, &mut criterion, &sides, &axes, Some(semi_ms));
        }
    }
    // What building a large table part by part gains.
    let at_random = JoinTuning {
        parts_table_bytes_min: u64::MAX,
        ..JoinTuning::default()
    };
    for build_rows in [10_000_000, 50_000_000] {
        let build_rows = build_rows.min(rows);
        let sides = Sides::new(&bench, Spread::Far, build_rows, build_rows, build_rows);
        let sides = sides.tuned(at_random);
        let axes = format!("rows={rows}/build={build_rows}/keys=far/parts=no");
        inner(&mut bench, &mut criterion, &sides, &axes, None);
        semi(&mut bench, &mut criterion, &sides, &axes, None);
    }
    for build_rows in [1_000_000, 10_000_000] {
        let build_rows = build_rows.min(rows);
        let numbers = (build_rows, build_rows, build_rows);
        let sides = Sides::drawing(&bench, Spread::Far, numbers, Draw::Zipf);
        let axes = format!("rows={rows}/build={build_rows}/keys=far/probe=zipf1.5");
        inner(&mut bench, &mut criterion, &sides, &axes, None);
        semi(&mut bench, &mut criterion, &sides, &axes, None);
    }
    let build_rows = 10_000_000.min(rows);
    let filtered = JoinTuning {
        filter_bits_per_key: FILTER_BITS,
        ..JoinTuning::default()
    };
    for (tuning, name) in [(JoinTuning::default(), "no"), (filtered, "bloom")] {
        let drawn = build_rows * RARE;
        let sides = Sides::new(&bench, Spread::Far, build_rows, build_rows, drawn);
        let sides = sides.tuned(tuning);
        let axes = format!("rows={rows}/build={build_rows}/keys=far/matched=0.1/filter={name}");
        inner(&mut bench, &mut criterion, &sides, &axes, None);
        semi(&mut bench, &mut criterion, &sides, &axes, None);
    }
    for copies in COPIES {
        duplicates(&mut bench, &mut criterion, rows, copies);
    }
    bench.finish();
}

fn inner(
    bench: &mut Bench,
    criterion: &mut criterion::Criterion,
    sides: &Sides,
    axes: &str,
    peer_ms: Option<f64>,
) {
    let all = DeviceRows::known(sides.rows);
    let matched = sides.matched();
    {
        let launch = bench.launch();
        let table = sides.table(&launch, JoinNeed::Rows).unwrap();
        let pairs = table.pairs(&launch, &[&sides.probe], &all).unwrap();
        let count = pairs.rows.resolve(&launch).unwrap();
        assert_eq!(count, matched, "the number of pairs");
        let probe_rows = read_rows(bench, &pairs.probe_rows, count);
        let build_rows = read_rows(bench, &pairs.build_rows, count);
        let mut seen = vec![false; sides.rows as usize];
        for (probe_row, build_row) in probe_rows.into_iter().zip(build_rows) {
            let number = sides.number(u64::from(probe_row));
            assert_eq!(u64::from(build_row), number, "the build row of a probe row");
            assert!(!seen[probe_row as usize], "a probe row comes once");
            seen[probe_row as usize] = true;
        }
    }
    let case = Case {
        id: format!("hash_join/inner/{axes}"),
        rows: sides.rows,
        bytes: sides.rows * (8 + 32) + matched * 8 + sides.build_rows * (8 + 8 + 32 + 8),
        peer_ms,
        clock: Clock::Wall,
    };
    bench.run(criterion, &case, |launch| {
        let table = sides.table(launch, JoinNeed::Rows)?;
        table.pairs(launch, &[&sides.probe], &all).map(drop)
    });
    if !axes.ends_with("far") {
        return;
    }
    // The probe alone, as every batch but the first pays it.
    let table = sides.table(&bench.launch(), JoinNeed::Rows).unwrap();
    let case = Case {
        id: format!("hash_join/inner-probe/{axes}"),
        bytes: sides.rows * (8 + 32) + matched * 8,
        peer_ms: None,
        clock: Clock::Events,
        ..case
    };
    bench.run(criterion, &case, |launch| {
        table.pairs(launch, &[&sides.probe], &all).map(drop)
    });
}

fn semi(
    bench: &mut Bench,
    criterion: &mut criterion::Criterion,
    sides: &Sides,
    axes: &str,
    peer_ms: Option<f64>,
) {
    let all = DeviceRows::known(sides.rows);
    // As libcudf's, the answer is the row numbers of the rows kept.
    let semi = |launch: &Launch| {
        let table = sides.table(launch, JoinNeed::Existence)?;
        table.select(launch, &[&sides.probe], &all, false)
    };
    let matched = sides.matched();
    {
        let launch = bench.launch();
        let (kept, kept_rows) = semi(&launch).unwrap();
        assert_eq!(
            kept_rows.resolve(&launch).unwrap(),
            matched,
            "the rows kept"
        );
        let mut seen = vec![false; sides.rows as usize];
        for row in read_rows(bench, &kept, matched) {
            assert!(sides.number(u64::from(row)) < sides.keys, "a row kept");
            assert!(!seen[row as usize], "a row is kept once");
            seen[row as usize] = true;
        }
    }
    let case = Case {
        id: format!("hash_join/semi/{axes}"),
        rows: sides.rows,
        bytes: sides.rows * (8 + 32) + matched * 4 + sides.build_rows * (8 + 8 + 32),
        peer_ms,
        clock: Clock::Wall,
    };
    bench.run(criterion, &case, |launch| semi(launch).map(drop));
}

/// Keys that repeat: pairs by counting, then writing.
fn duplicates(bench: &mut Bench, criterion: &mut criterion::Criterion, rows: u64, copies: u64) {
    let build_rows = 10_000_000.min(rows);
    let keys = (build_rows / copies).max(1);
    let sides = Sides::new(bench, Spread::Far, build_rows, keys, keys * copies);
    let all = DeviceRows::known(sides.rows);
    let join = |launch: &Launch| {
        let table = sides.table(launch, JoinNeed::Rows)?;
        let counted = table.count(launch, &[&sides.probe], &all, false)?;
        let count = counted.resolve(launch)?;
        counted.emit(launch, count)
    };
    let copies_of = |number: u64| (build_rows - number).div_ceil(keys);
    let expected: u64 = (0..sides.rows)
        .map(|row| sides.number(row))
        .filter(|number| *number < keys)
        .map(copies_of)
        .sum();
    {
        let pairs = join(&bench.launch()).unwrap();
        assert_eq!(pairs.rows.max(), expected, "the number of pairs");
        let probe_rows = read_rows(bench, &pairs.probe_rows, expected);
        let build_rows = read_rows(bench, &pairs.build_rows, expected);
        let meets = |(p, b): (&u32, &u32)| sides.number(u64::from(*p)) == u64::from(*b) % keys;
        assert!(
            probe_rows.iter().zip(&build_rows).all(meets),
            "pairs of equal keys"
        );
        assert!(
            probe_rows.is_sorted(),
            "pairs in the order of the probe rows"
        );
    }
    let case = Case {
        id: format!("hash_join/duplicates/rows={rows}/build={build_rows}/copies={copies}"),
        rows: sides.rows,
        bytes: sides.rows * (8 + 32 + 16) + expected * (8 + 32) + build_rows * (16 + 64 + 8),
        peer_ms: None,
        clock: Clock::Wall,
    };
    bench.run(criterion, &case, |launch| join(launch).map(drop));
}
