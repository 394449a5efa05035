//! What the device can do at most: the rates that bound every operator.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use std::time::Duration;

use pelton::kernels::ceilings::{self, PinnedBytes, RandomWrite};
use support::{Bench, rows};

/// Operations of a random-access measurement.
const OPERATIONS: u64 = 1 << 28;

fn best(mut once: impl FnMut() -> Duration) -> f64 {
    (0..4)
        .map(|_| once())
        .min()
        .unwrap_or_default()
        .as_secs_f64()
}

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let small = rows() < 1_000_000;
    let operations = if small { 1 << 12 } else { OPERATIONS };
    bench.note(format!(
        "copy device to device,,,,{:.0},,,",
        bench.copy_rate() / 1e9
    ));
    let sizes: &[usize] = if small {
        &[1 << 16]
    } else {
        &[1 << 20, 4 << 20, 64 << 20, 1 << 30]
    };
    for bytes in sizes {
        let mut pinned = PinnedBytes::new(&bench.device, *bytes).unwrap();
        let target = bench
            .device
            .alloc_zeroed(bench.stream, *bytes as u64)
            .unwrap();
        let to = best(|| bench.events(|launch| pinned.copy_to_device(launch, &target)));
        let from = best(|| bench.events(|launch| pinned.copy_to_host(launch, &target)));
        let rate = |seconds: f64| *bytes as f64 / seconds / 1e9;
        bench.note(format!(
            "copy host to device {bytes} B,,,,{:.1},,,",
            rate(to)
        ));
        bench.note(format!(
            "copy device to host {bytes} B,,,,{:.1},,,",
            rate(from)
        ));
    }
    let footprints: &[u64] = if small {
        &[1 << 16]
    } else {
        &[
            1 << 20,
            16 << 20,
            32 << 20,
            64 << 20,
            128 << 20,
            256 << 20,
            1 << 30,
            4 << 30,
        ]
    };
    for footprint in footprints {
        let buffer = bench.device.alloc_zeroed(bench.stream, *footprint).unwrap();
        let sums = ceilings::gather_sums(&bench.launch(), operations) * 8;
        let sums = bench.device.alloc(bench.stream, sums).unwrap();
        let mib = footprint >> 20;
        let mut lines = Vec::new();
        for (what, sectors, places) in [
            ("gather 8 B", false, footprint / 8),
            ("gather 32 B", true, footprint / 32),
        ] {
            let once = || {
                bench.events(|launch| {
                    ceilings::gather(launch, &buffer, &sums, places, operations, sectors)
                })
            };
            lines.push((what, best(once)));
        }
        for (what, write) in [
            ("atomic add", RandomWrite::Add),
            ("atomic cas", RandomWrite::CompareAndSwap),
            ("scatter 8 B", RandomWrite::Store),
        ] {
            let places = footprint / 8;
            let once = || {
                bench.events(|launch| {
                    ceilings::random_write(launch, &buffer, places, operations, write)
                })
            };
            lines.push((what, best(once)));
        }
        for (what, seconds) in lines {
            let (ms, rate) = (seconds * 1e3, operations as f64 / seconds / 1e9);
            bench.note(format!(
                "{what} {mib} MiB,{operations},{ms:.3},{rate:.1},,,,"
            ));
        }
    }
    for places in [1, 4, 32, 256, 1024] {
        let counters = bench.device.alloc_zeroed(bench.stream, 8192).unwrap();
        let once = || {
            bench.events(|launch| ceilings::shared_atomic(launch, &counters, places, operations))
        };
        let seconds = best(once);
        let (ms, rate) = (seconds * 1e3, operations as f64 / seconds / 1e9);
        let line = format!("shared atomic add {places} places,{operations},{ms:.3},{rate:.1},,,,");
        bench.note(line);
    }
    let launches = 1000;
    let once = || bench.events(|launch| (0..launches).try_for_each(|_| ceilings::empty(launch)));
    let microseconds = best(once) * 1e6 / f64::from(launches);
    bench.note(format!(
        "launch of an empty kernel: {microseconds:.2} us,,,,,,,"
    ));
    bench.finish();
}
