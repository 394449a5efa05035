//! The device as a driver: memory, streams, events, faults, launch checks, threads.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail")]

mod support;

use std::collections::HashSet;

use pelton_simt::{Device, SimtErrorKind, SimtOptions};
use support::{Bench, Number, Params};

fn options(seed: u64) -> SimtOptions {
    SimtOptions {
        seed,
        ..SimtOptions::default()
    }
}

fn copy_params(source: u64, target: u64, count: u64, add: u32) -> Params {
    Params::new()
        .u64(source)
        .u64(target)
        .u64(count)
        .u32(add)
        .u32(0)
}

/// A copy kernel over `count` values.
fn launch_copy(bench: &Bench, source: u64, target: u64, count: u64, add: u32) {
    let params = copy_params(source, target, count, add);
    bench.launch("demo_copy", count.div_ceil(64).max(1) as u32, 64, &params);
}

fn kind<T: std::fmt::Debug>(result: Result<T, pelton_simt::SimtError>) -> SimtErrorKind {
    result.unwrap_err().kind
}

#[test]
fn entries_have_sizes_and_bounds() {
    let entries = Device::entries();
    let scan = entries
        .iter()
        .find(|entry| entry.name == "demo_scan")
        .unwrap();
    assert_eq!((scan.params_bytes, scan.threads_max), (64, 64));
    let copy = entries
        .iter()
        .find(|entry| entry.name == "demo_copy")
        .unwrap();
    assert_eq!((copy.params_bytes, copy.threads_max), (32, 1024));
}

#[test]
fn launches_are_checked() {
    let bench = Bench::new(options(1));
    let launch = |entry: &str, grid, block, shared, params: &Params| {
        bench
            .device
            .launch(bench.stream, entry, grid, block, shared, &params.0)
            .map_err(|e| e.kind)
    };
    let params = copy_params(0, 0, 0, 0);
    let one = [1, 1, 1];
    assert_eq!(
        launch("no_such", one, one, 0, &params),
        Err(SimtErrorKind::UnknownEntry)
    );
    assert_eq!(
        launch("demo_copy", one, one, 0, &Params::new()),
        Err(SimtErrorKind::ParamsSize)
    );
    for (grid, block, shared) in [
        ([0, 1, 1], one, 0),
        ([1, 65536, 1], one, 0),
        (one, [0, 1, 1], 0),
        (one, [1025, 1, 1], 0),
        (one, [1, 1, 65], 0),
        (one, one, 228 << 10),
    ] {
        let result = launch("demo_copy", grid, block, shared, &params);
        assert_eq!(
            result,
            Err(SimtErrorKind::LaunchShape),
            "{grid:?} {block:?} {shared}"
        );
    }
    let scan = Params(vec![0; 64]);
    let result = launch("demo_scan", one, [65, 1, 1], 0, &scan);
    assert_eq!(
        result,
        Err(SimtErrorKind::LaunchShape),
        "beyond __launch_bounds__"
    );
    assert_eq!(launch("demo_copy", one, [1024, 1, 1], 0, &params), Ok(()));
    bench.device.synchronize().unwrap();
}

#[test]
fn verbs_keep_their_definitions() {
    for seed in 0..50 {
        for checked in [true, false] {
            let bench = Bench::new(SimtOptions {
                seed,
                checked,
                ..SimtOptions::default()
            });
            let failed = bench.upload("failed", &[0u32]);
            let mut words = vec![0u64; 48];
            words[7] = u64::MAX;
            words[8] = 100;
            let words = bench.upload("words", &words);
            bench.launch("demo_verbs", 1, 48, &Params::new().u64(failed).u64(words));
            let got = bench.download::<u64>(words, 48).unwrap();
            assert_eq!(
                bench.download::<u32>(failed, 1).unwrap(),
                [0],
                "seed {seed}"
            );
            assert_eq!(
                got[..5],
                [900, 47, u64::from(u32::MAX), 0, 48],
                "seed {seed}"
            );
            assert_eq!(f64::from_bits(got[5]), 24.0);
            assert_eq!(f32::from_bits(got[6] as u32), 24.0);
            assert_eq!(
                got[7..9],
                [u64::from(u32::MAX) << 32, 100 - 48],
                "seed {seed}"
            );
        }
    }
}

#[test]
fn blocks_run_in_many_orders_and_the_same_per_seed() {
    let order = |seed| {
        let bench = Bench::new(options(seed));
        let order = bench.unwritten::<u32>("order", 12);
        let next = bench.upload("next", &[0u32]);
        let params = Params::new().u64(order).u64(next);
        let (grid, block) = ([4, 3, 1], [3, 2, 2]);
        bench
            .device
            .launch(bench.stream, "demo_block_order", grid, block, 0, &params.0)
            .unwrap();
        bench.download::<u32>(order, 12).unwrap()
    };
    let orders: HashSet<Vec<u32>> = (0..40).map(order).collect();
    assert!(orders.len() > 20, "{} orders", orders.len());
    assert_eq!(order(5), order(5));
    for mut found in orders {
        found.sort_unstable();
        assert_eq!(found, (0..12).collect::<Vec<u32>>());
    }
}

#[test]
fn allocations_are_counted_and_limited() {
    let bench = Bench::new(SimtOptions {
        memory_bytes: 1000,
        ..SimtOptions::default()
    });
    let (device, stream) = (&bench.device, bench.stream);
    let first = device.alloc(stream, 600, "first").unwrap();
    assert_eq!(
        kind(device.alloc(stream, 401, "second")),
        SimtErrorKind::OutOfMemory
    );
    device.free(stream, first).unwrap();
    assert_eq!(device.memory_used(), 600, "the free has not been reached");
    let second = device.alloc(stream, 1000, "second").unwrap();
    assert_eq!(
        (device.memory_used(), device.memory_used_peak()),
        (1000, 1000)
    );
    assert_eq!(
        kind(device.free(stream, first)),
        SimtErrorKind::InvalidPointer
    );
    assert_eq!(
        kind(device.free(stream, second + 1)),
        SimtErrorKind::InvalidPointer
    );
    device.free(stream, second).unwrap();
    assert_eq!(
        kind(device.free(stream, second)),
        SimtErrorKind::InvalidPointer
    );
    device.synchronize().unwrap();
    assert_eq!((device.memory_used(), device.memory_used_peak()), (0, 1000));
    let (a, b) = (
        device.alloc(stream, 0, "a").unwrap(),
        device.alloc(stream, 0, "b").unwrap(),
    );
    assert!(a != 0 && b != 0 && a != b);
    device.free(stream, a).unwrap();
    device.free(stream, b).unwrap();
}

#[test]
fn addresses_come_back_late_and_memory_is_returned() {
    let bench = Bench::new(SimtOptions {
        memory_bytes: 1 << 40,
        ..SimtOptions::default()
    });
    let mut seen = HashSet::new();
    for _ in 0..1500 {
        let pointer = bench.device.alloc(bench.stream, 8 << 20, "large").unwrap();
        assert_eq!(pointer % 256, 0);
        assert!(seen.insert(pointer));
        bench.device.free(bench.stream, pointer).unwrap();
        bench.device.stream_synchronize(bench.stream).unwrap();
    }
}

#[test]
fn ranges_are_checked() {
    let bench = Bench::new(options(1));
    let (device, stream) = (&bench.device, bench.stream);
    let buffer = bench.upload("buffer", &[1u8; 100]);
    assert_eq!(
        kind(device.fill(stream, buffer, 0, 101)),
        SimtErrorKind::InvalidPointer
    );
    assert_eq!(
        kind(device.fill(stream, buffer - 1, 0, 1)),
        SimtErrorKind::InvalidPointer
    );
    assert_eq!(
        kind(device.fill(stream, 16, 0, 1)),
        SimtErrorKind::InvalidPointer
    );
    assert_eq!(
        kind(device.copy_device(stream, buffer, buffer + 1, 100)),
        SimtErrorKind::InvalidPointer
    );
    assert_eq!(
        kind(bench.download::<u8>(buffer + 1, 100)),
        SimtErrorKind::InvalidPointer
    );
    device.copy_device(stream, buffer + 1, buffer, 99).unwrap();
    device.fill(stream, buffer + 50, 9, 10).unwrap();
    let got = bench.download::<u8>(buffer, 100).unwrap();
    assert_eq!(got[45..65], [&[1u8; 5][..], &[9; 10], &[1; 5]].concat());
    device.free(stream, buffer).unwrap();
    assert_eq!(
        kind(bench.download::<u8>(buffer, 100)),
        SimtErrorKind::InvalidPointer
    );
}

#[test]
fn copies_on_the_device_carry_what_was_written() {
    let bench = Bench::new(options(1));
    let (device, stream) = (&bench.device, bench.stream);
    let source = bench.unwritten::<u32>("source", 100);
    let middle = bench.unwritten::<u32>("middle", 100);
    let target = bench.unwritten::<u32>("target", 100);
    device.fill(stream, source, 1, 80).unwrap();
    device.copy_device(stream, middle + 4, source, 96).unwrap();
    launch_copy(&bench, middle + 4, target, 20, 0);
    device.stream_synchronize(stream).unwrap();
    launch_copy(&bench, middle, target, 20, 0);
    assert_eq!(
        kind(device.stream_synchronize(stream)),
        SimtErrorKind::Initcheck
    );
    launch_copy(&bench, middle + 4, target, 21, 0);
    assert_eq!(
        kind(device.stream_synchronize(stream)),
        SimtErrorKind::Initcheck
    );
    device.fill(stream, middle, 7, 400).unwrap();
    device.copy_device(stream, middle, source, 100).unwrap();
    launch_copy(&bench, middle + 100, target, 75, 0);
    device.stream_synchronize(stream).unwrap();
    launch_copy(&bench, middle, target, 25, 0);
    assert_eq!(
        kind(device.stream_synchronize(stream)),
        SimtErrorKind::Initcheck
    );
}

#[test]
fn streams_run_in_a_seeded_order_that_events_bind() {
    let mut unbound = HashSet::new();
    for seed in 0..60 {
        let bench = Bench::new(options(seed));
        let (device, first) = (&bench.device, bench.stream);
        let second = device.stream_create();
        let buffer = bench.upload("buffer", &[0u8]);
        device.fill(first, buffer, 1, 1).unwrap();
        device.fill(second, buffer, 2, 1).unwrap();
        device.synchronize().unwrap();
        unbound.insert(bench.download::<u8>(buffer, 1).unwrap()[0]);
        let event = device.event_create();
        assert!(device.event_query(event), "never recorded");
        device.fill(first, buffer, 3, 1).unwrap();
        device.event_record(event, first).unwrap();
        device.stream_wait_event(second, event).unwrap();
        device.event_destroy(event);
        device.fill(second, buffer, 4, 1).unwrap();
        device.synchronize().unwrap();
        assert_eq!(bench.download::<u8>(buffer, 1).unwrap(), [4]);
    }
    assert_eq!(unbound, HashSet::from([1, 2]));
}

#[test]
fn a_wait_binds_to_the_record_before_it() {
    for seed in 0..60 {
        let bench = Bench::new(options(seed));
        let (device, first) = (&bench.device, bench.stream);
        let (second, event) = (device.stream_create(), device.event_create());
        let buffer = bench.upload("buffer", &[0u8]);
        let copy = bench.upload("copy", &[0u8]);
        device.fill(first, buffer, 1, 1).unwrap();
        device.event_record(event, first).unwrap();
        device.stream_wait_event(second, event).unwrap();
        device.copy_device(second, copy, buffer, 1).unwrap();
        // Recorded again behind what depends on the wait: no knot.
        let back = device.event_create();
        device.event_record(back, second).unwrap();
        device.stream_wait_event(first, back).unwrap();
        device.fill(first, buffer, 2, 1).unwrap();
        device.event_record(event, first).unwrap();
        device.event_synchronize(event).unwrap();
        assert_eq!(bench.download::<u8>(copy, 1).unwrap(), [1]);
    }
}

#[test]
fn polling_an_event_ends() {
    let bench = Bench::new(options(3));
    let (device, event) = (&bench.device, bench.device.event_create());
    let buffer = bench.upload("buffer", &[0u8; 8]);
    for _ in 0..50 {
        device.fill(bench.stream, buffer, 1, 8).unwrap();
    }
    device.event_record(event, bench.stream).unwrap();
    let polls = (0..1000).take_while(|_| !device.event_query(event)).count();
    assert!(polls > 1 && polls < 60, "{polls} polls");
    device.stream_destroy(bench.stream);
    assert_eq!(
        kind(device.stream_synchronize(bench.stream)),
        SimtErrorKind::InvalidHandle
    );
    assert_eq!(
        kind(device.alloc(bench.stream, 8, "late")),
        SimtErrorKind::InvalidHandle
    );
}

#[test]
fn long_queues_run_by_themselves() {
    let bench = Bench::new(options(3));
    let buffer = bench.upload("buffer", &[0u8; 8]);
    let event = bench.device.event_create();
    bench.device.event_record(event, bench.stream).unwrap();
    for _ in 0..5000 {
        bench.device.fill(bench.stream, buffer, 1, 8).unwrap();
    }
    assert!(bench.device.event_query(event));
}

#[test]
fn allocations_belong_to_the_order_of_their_stream() {
    let mut found = HashSet::new();
    for seed in 0..60 {
        let bench = Bench::new(options(seed));
        let device = &bench.device;
        let second = device.stream_create();
        let source = bench.upload("source", &[1u32; 64]);
        let fresh = bench.unwritten::<u32>("fresh", 64);
        let params = copy_params(source, fresh, 64, 0);
        device
            .launch(second, "demo_copy", [1, 1, 1], [64, 1, 1], 0, &params.0)
            .unwrap();
        match device.synchronize() {
            Ok(()) => found.insert(None),
            Err(error) => found.insert(Some(error.kind)),
        };
    }
    assert_eq!(found, HashSet::from([None, Some(SimtErrorKind::Memcheck)]));
}

#[test]
fn a_failure_is_reported_and_the_device_goes_on() {
    for seed in 0..40 {
        let bench = Bench::new(options(seed));
        let (device, first) = (&bench.device, bench.stream);
        let (second, third) = (device.stream_create(), device.stream_create());
        let event = device.event_create();
        let source = bench.upload("source", &[1u32; 64]);
        let target = bench.upload("target", &[0u32; 64]);
        let before = device.memory_used();
        let scratch = bench.unwritten::<u32>("scratch", 64);
        launch_copy(&bench, source, target, 65, 0);
        launch_copy(&bench, source, target, 64, 8);
        device.free(first, scratch).unwrap();
        device.event_record(event, first).unwrap();
        device.stream_wait_event(second, event).unwrap();
        device.fill(second, target, 9, 256).unwrap();
        device.fill(third, source, 2, 256).unwrap();
        let error = match seed % 4 {
            0 => device.stream_synchronize(second).unwrap_err(),
            1 => device.stream_synchronize(first).unwrap_err(),
            2 => device.event_synchronize(event).unwrap_err(),
            _ => device.synchronize().unwrap_err(),
        };
        assert_eq!(error.kind, SimtErrorKind::Memcheck, "{error}");
        assert_eq!(error.entry.as_deref(), Some("demo_copy"));
        assert!(
            error.to_string().contains(&format!("[seed {seed}]")),
            "{error}"
        );
        assert_eq!(device.memory_used(), before);
        // What is queued now runs, on every stream.
        launch_copy(&bench, source, target, 64, 0);
        device.stream_synchronize(first).unwrap();
        device.fill(second, target, 3, 128).unwrap();
        device.event_record(event, second).unwrap();
        device.event_synchronize(event).unwrap();
        let got = bench.download::<u8>(target, 256).unwrap();
        assert_eq!(got[..128], [3; 128]);
        assert!(got[128..].iter().all(|&byte| byte != 9));
        device.synchronize().unwrap();
    }
}

#[test]
fn skipped_streams_say_so() {
    let bench = Bench::new(options(3));
    let (device, first) = (&bench.device, bench.stream);
    let (second, event) = (device.stream_create(), device.event_create());
    launch_copy(&bench, 0, 0, 1, 0);
    device.event_record(event, first).unwrap();
    device.stream_wait_event(second, event).unwrap();
    assert_eq!(
        kind(device.stream_synchronize(first)),
        SimtErrorKind::Memcheck
    );
    device.stream_synchronize(first).unwrap();
    // The wait was queued before the report, so what depends on it did not happen.
    assert!(device.stream_synchronize(second).is_err());
    device.stream_synchronize(second).unwrap();
}

#[test]
fn faults_are_injected() {
    let options = SimtOptions {
        fail_alloc_at: Some(2),
        fail_copy_at: Some(2),
        ..SimtOptions::default()
    };
    let bench = Bench::new(options);
    let first = bench.upload("first", &[1u8; 4]);
    let failed = bench.device.alloc(bench.stream, 4, "second");
    assert_eq!(kind(failed), SimtErrorKind::OutOfMemory);
    assert_eq!(
        kind(bench.download::<u8>(first, 4)),
        SimtErrorKind::CopyFailed
    );
    assert_eq!(bench.download::<u8>(first, 4).unwrap(), [1; 4]);
    let third = bench.upload("third", &[2u8; 4]);
    assert_eq!(bench.download::<u8>(third, 4).unwrap(), [2; 4]);
}

#[test]
fn an_event_behind_a_failure_is_known_and_reports_nothing() {
    let options = SimtOptions {
        fail_copy_at: Some(2),
        ..SimtOptions::default()
    };
    let bench = Bench::new(options);
    let (device, stream) = (&bench.device, bench.stream);
    let buffer = bench.upload("buffer", &[1u8; 4]);
    let [before, behind] = [device.event_create(), device.event_create()];
    assert!(!device.event_failed(before), "never recorded");
    device.event_record(before, stream).unwrap();
    device.copy_device(stream, buffer, buffer, 4).unwrap();
    device.event_record(behind, stream).unwrap();
    assert!(!device.event_failed(behind), "not reached yet");
    while !device.event_query(behind) {}
    assert!(!device.event_failed(before) && device.event_failed(behind));
    let failed = device.stream_synchronize(stream);
    assert_eq!(kind(failed), SimtErrorKind::CopyFailed);
    // It stays so when the failure is forgotten, until the event is recorded anew.
    device.synchronize().unwrap();
    assert!(device.event_failed(behind));
    device.event_record(behind, stream).unwrap();
    device.event_synchronize(behind).unwrap();
    assert!(!device.event_failed(behind));
}

#[test]
fn wild_pointers_are_reported() {
    let bench = Bench::new(options(1));
    let host = vec![1u32; 64];
    let target = bench.unwritten::<u32>("target", 64);
    for source in [0, 4, host.as_ptr() as u64, u64::MAX - 1024] {
        launch_copy(&bench, source, target, 64, 0);
        let error = bench.device.stream_synchronize(bench.stream).unwrap_err();
        assert_eq!(error.kind, SimtErrorKind::Memcheck, "{error}");
    }
}

#[test]
fn large_buffers_cost_what_is_touched() {
    let bench = Bench::new(options(1));
    let started = std::time::Instant::now();
    for _ in 0..20 {
        let source = bench.unwritten::<u32>("source", 64 << 20);
        let target = bench.unwritten::<u32>("target", 64 << 20);
        bench
            .device
            .fill(bench.stream, source + (200 << 20), 1, 4096)
            .unwrap();
        launch_copy(&bench, source + (200 << 20), target, 1024, 0);
        bench.device.free(bench.stream, source).unwrap();
        bench.device.free(bench.stream, target).unwrap();
        bench.device.stream_synchronize(bench.stream).unwrap();
    }
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn two_threads_emulate_at_the_same_time() {
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            scope.spawn(move || {
                let bench = Bench::new(options(u64::from(thread)));
                let source = bench.upload("source", &[thread; 1000]);
                let target = bench.upload("target", &[0u32; 1000]);
                for _ in 0..20 {
                    launch_copy(&bench, source, target, 1000, 1);
                }
                let got = bench.download::<u32>(target, 1000).unwrap();
                assert_eq!(got, vec![thread + 1; 1000]);
            });
        }
    });
}

#[test]
fn threads_share_a_device() {
    let bench = Bench::new(options(1));
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let device = &bench.device;
            scope.spawn(move || {
                let stream = device.stream_create();
                let values: Vec<u32> = vec![thread; 1000];
                for _ in 0..20 {
                    let source = device.alloc(stream, 4000, "source").unwrap();
                    let target = device.alloc(stream, 4000, "target").unwrap();
                    let mut got = vec![0u32; 1000];
                    let params = copy_params(source, target, 1000, 1);
                    // SAFETY: `values` outlives the synchronise below.
                    unsafe { device.copy_to_device(stream, source, values.as_ptr().cast(), 4000) }
                        .unwrap();
                    device
                        .launch(stream, "demo_copy", [8, 1, 1], [128, 1, 1], 0, &params.0)
                        .unwrap();
                    // SAFETY: `got` outlives the synchronise below.
                    unsafe { device.copy_to_host(stream, got.as_mut_ptr().cast(), target, 4000) }
                        .unwrap();
                    device.free(stream, source).unwrap();
                    device.free(stream, target).unwrap();
                    device.stream_synchronize(stream).unwrap();
                    assert_eq!(got, vec![thread + 1; 1000]);
                }
            });
        }
    });
    bench.device.synchronize().unwrap();
    assert_eq!(bench.device.memory_used(), 0);
}

/// Prints what the emulator does per second: run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    fn measure(checked: bool, yield_per_1024: u32, label: &str, run: impl Fn(&Bench) -> u64) {
        let options = SimtOptions {
            checked,
            yield_per_1024,
            ..SimtOptions::default()
        };
        let bench = Bench::new(options);
        let started = std::time::Instant::now();
        let rows = run(&bench);
        bench.device.synchronize().unwrap();
        let seconds = started.elapsed().as_secs_f64();
        let accesses = bench.device.accesses() as f64;
        eprintln!(
            "{label:28} {:7.2} M rows/s {:7.1} M accesses/s",
            rows as f64 / seconds / 1e6,
            accesses / seconds / 1e6
        );
    }
    fn data<T: Number>(bench: &Bench, value: T, count: usize) -> u64 {
        bench.upload("data", &vec![value; count])
    }
    const ROWS: u64 = 1 << 20;
    let copy = |bench: &Bench| {
        let (source, target) = (
            data(bench, 1u32, ROWS as usize),
            data(bench, 1u32, ROWS as usize),
        );
        let params = copy_params(source, target, ROWS, 1);
        bench.launch("demo_copy", (ROWS / 256) as u32, 256, &params);
        ROWS
    };
    let compact = |bench: &Bench| {
        let values: Vec<i32> = (0..ROWS as i32).map(|i| i % 3 - 1).collect();
        let input = bench.upload("values", &values);
        let (kept, count) = (data(bench, 0u32, ROWS as usize), data(bench, 0u32, 1));
        let params = Params::new()
            .u64(input)
            .u64(kept)
            .u64(count)
            .u64(ROWS)
            .u64(0);
        bench.launch("demo_compact", (ROWS / 256) as u32, 256, &params);
        ROWS
    };
    let reduce = |bench: &Bench| {
        let (input, sum) = (data(bench, 1u64, ROWS as usize), data(bench, 0u64, 1));
        let params = Params::new().u64(input).u64(sum).u64(ROWS).u64(0);
        bench.launch("demo_reduce", 16, 256, &params);
        ROWS
    };
    for (checked, yields, variant) in [
        (false, 0, "plain"),
        (true, 0, "checked"),
        (true, 16, "checked, yields"),
    ] {
        measure(checked, yields, &format!("copy, {variant}"), copy);
        measure(checked, yields, &format!("compact, {variant}"), compact);
        measure(checked, yields, &format!("reduce, {variant}"), reduce);
    }
}
