//! Devices that fail and streams that race: over the emulator, whose seed reorders streams and
//! whose faults come when they are told to.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use pelton::backend::Backend;
use pelton::backend::cuda::CudaBackend;
use pelton::device::Device;
use pelton::device::simt::{SimtDriver, SimtOptions};
use pelton::expr::{AggregateFunction, col, lit, resolve};
use pelton::memory::{MemoryLimits, MemoryManager, Tier};
use pelton::operators::{AggregateSpec, Context, FilterSpec, GroupBySpec, Operator, OperatorSpec};
use pelton::types::{DataType, Field, Schema, SchemaRef, Semantics};
use pelton::{ErrorKind, Result};

fn device(options: SimtOptions, limits: MemoryLimits) -> Arc<Device> {
    Device::new(
        Arc::new(SimtDriver::new(options)),
        MemoryManager::new(limits),
    )
}

fn schema() -> SchemaRef {
    let field = |name| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![field("key"), field("value")]))
}

fn batch(rows: i64) -> RecordBatch {
    let keys = Int64Array::from_iter_values((0..rows).map(|row| row % 10));
    let values = Int64Array::from_iter_values(0..rows);
    RecordBatch::try_new(schema(), vec![Arc::new(keys), Arc::new(values)]).unwrap()
}

/// `filter(value >= 100) group by key: sum(value)` over two batches on two streams, merged.
fn query(backend: &CudaBackend) -> Result<Vec<(i64, i64)>> {
    let input = schema();
    let filter = backend.instantiate(&OperatorSpec::Filter(FilterSpec {
        input: Arc::clone(&input),
        predicate: resolve(&col("value").gt_eq(lit(100)), &input)?,
        projection: vec![0, 1],
        semantics: Semantics::default(),
    }))?;
    let sum = AggregateSpec {
        function: AggregateFunction::Sum,
        input: Some(1),
    };
    let group_by = GroupBySpec::complete(&input, vec![0], vec![sum], Semantics::default())?;
    let group_by = backend.instantiate(&OperatorSpec::GroupBy(group_by))?;
    let (Operator::Transform(filter), Operator::Fold(group_by)) = (filter, group_by) else {
        panic!("a filter transforms and a group-by folds");
    };
    let streams = [backend.stream_create()?, backend.stream_create()?];
    let run = || {
        let mut states = Vec::new();
        for stream in streams {
            let context = Context {
                stream,
                ..Context::detached()
            };
            let uploaded = backend.upload(&context, batch(1000))?;
            let mut state = group_by.init(&context)?;
            if let Some(kept) = filter.next(&context, None, uploaded)? {
                group_by.next(&context, &mut state, kept)?;
            }
            states.push(state);
        }
        let context = Context {
            stream: streams[0],
            ..Context::detached()
        };
        let other = states.pop().unwrap();
        let mut state = states.pop().unwrap();
        group_by.merge(&context, &mut state, other)?;
        let mut rows = Vec::new();
        for finished in group_by.finish(&context, state)? {
            let finished = backend.download(&context, finished)?;
            let column = |index: usize| finished.column(index).as_any().downcast_ref().cloned();
            let (keys, sums): (Int64Array, Int64Array) = (column(0).unwrap(), column(1).unwrap());
            rows.extend(
                keys.values()
                    .iter()
                    .copied()
                    .zip(sums.values().iter().copied()),
            );
        }
        rows.sort_unstable();
        Ok(rows)
    };
    let rows = run();
    for stream in streams {
        // After a failure there may be more of it on the streams; it is this query's alone.
        let _same_failure = backend.synchronize(stream);
        backend.stream_destroy(stream);
    }
    rows
}

fn expected() -> Vec<(i64, i64)> {
    let sum = |key| 2 * (100..1000).filter(|value| value % 10 == key).sum::<i64>();
    (0..10).map(|key| (key, sum(key))).collect()
}

#[test]
fn streams_in_any_order_give_the_same_rows() {
    for seed in 0..40 {
        let device = device(
            SimtOptions {
                seed,
                ..SimtOptions::default()
            },
            MemoryLimits::UNLIMITED,
        );
        let backend = CudaBackend::new(device);
        assert_eq!(query(&backend).unwrap(), expected(), "seed {seed}");
    }
}

#[test]
fn a_failed_allocation_or_copy_is_an_error_and_the_next_query_works() {
    let mut failures = 0;
    for number in 1..60 {
        for copies in [false, true] {
            let options = SimtOptions {
                fail_alloc_at: (!copies).then_some(number),
                fail_copy_at: copies.then_some(number),
                ..SimtOptions::default()
            };
            let device = device(options, MemoryLimits::UNLIMITED);
            let backend = CudaBackend::new(Arc::clone(&device));
            // The fault meets one of these queries, or none; the others are whole.
            let mut failed = 0;
            for _ in 0..4 {
                match query(&backend) {
                    Ok(rows) => assert_eq!(rows, expected(), "fault {number}"),
                    Err(error) => {
                        assert!(matches!(error.kind(), ErrorKind::Device { .. }), "{error}");
                        failed += 1;
                    }
                }
                assert_eq!(device.memory().used(Tier::Device), 0, "fault {number}");
            }
            assert!(failed <= 1, "fault {number} was met {failed} times");
            failures += failed;
        }
    }
    assert!(failures > 10, "only {failures} faults were met");
}

#[test]
fn a_limit_is_a_limit_and_nothing_stays_reserved() {
    for limit in [0, 64, 4 << 10, 40 << 10] {
        let limits = MemoryLimits {
            device: limit,
            ..MemoryLimits::UNLIMITED
        };
        let device = device(SimtOptions::default(), limits);
        let error = query(&CudaBackend::new(Arc::clone(&device))).unwrap_err();
        let ErrorKind::Reservation {
            tier: Tier::Device,
            limit: named,
            ..
        } = error.kind()
        else {
            panic!("{error}");
        };
        assert_eq!(*named, limit);
        assert_eq!(device.memory().used(Tier::Device), 0);
        assert!(device.memory().peak(Tier::Device) <= limit);
    }
}

#[test]
fn memory_is_freed_after_every_read_of_its_own_stream_too() -> Result<()> {
    let bytes = [7u8; 64];
    for seed in 0..40 {
        let options = SimtOptions {
            seed,
            ..SimtOptions::default()
        };
        let device = device(options, MemoryLimits::UNLIMITED);
        let (home, other) = (device.take_stream()?, device.take_stream()?);
        let read = device.upload(home, &bytes)?;
        let (first, second) = (device.alloc(other, 64)?, device.alloc(home, 64)?);
        device.copy(other, (&first, 0), (&read, 0), 64)?;
        device.copy(home, (&second, 0), (&read, 0), 64)?;
        drop(read);
        let mut back = [0u8; 64];
        for (stream, buffer) in [(home, &second), (other, &first)] {
            device.read(stream, buffer, &mut back)?;
            assert_eq!(back, bytes, "seed {seed}");
        }
    }
    Ok(())
}
