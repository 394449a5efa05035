//! The backends under test, and how an operator is run on one from host batch to host batch.

use std::cell::Cell;
use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::backend::cuda::{CudaBackend, GroupTuning, JoinTuning, SortTuning};
use pelton::device::Device;
use pelton::device::cuda::CudaDriver;
use pelton::device::simt::SimtDriver;
use pelton::error::{Error, ErrorKind, Result};
use pelton::expr::AggregateFunction;
use pelton::memory::{Batch, MemoryLimits, MemoryManager};
use pelton::operators::{
    Context, FloatSums, Fold, GroupByPhase, GroupBySpec, HashJoinSpec, Operator, OperatorSpec,
    Transform,
};

use pelton_simt::SimtOptions;

use super::random::Random;
use super::values::{Rows, rows};

/// Every backend under test; the first is the CPU's, which defines what is right. The emulated
/// device comes with a seed of its own each time, so that cases meet many schedules.
pub fn backends() -> Vec<Arc<dyn Backend>> {
    let mut backends: Vec<Arc<dyn Backend>> = vec![Arc::new(CpuBackend::new())];
    if !emulates() {
        backends.extend(cuda());
        return backends;
    }
    backends.push(if SEED.get() % 3 == 2 {
        Arc::new(CudaBackend::uploading_views(emulated_device()))
    } else {
        emulated(next_tuning(), next_join_tuning(), next_sort_tuning())
    });
    backends.extend(cuda());
    backends
}

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
}

/// The tuning of the next emulated device: the default one, and hostile ones in turn. They must not
/// change a result: tables that must grow again and again, rows that find no slot, keys that all
/// collide, blocks without a table of their own or with a tiny one.
fn next_tuning() -> GroupTuning {
    let usual = GroupTuning::default();
    match SEED.get() % 6 {
        0 => GroupTuning {
            capacity_min: 2,
            capacity_estimate_max: 4,
            sample_rows_min: 0,
            probe_max: 1,
            narrow_bits: 0,
            exact_rows_max: 3,
            text_bytes_min: 0,
            ..usual
        },
        1 => GroupTuning {
            shared_bytes: 0,
            hash_bits: 3,
            ..usual
        },
        2 => GroupTuning {
            shared_bytes: 1 << 10,
            capacity_min: 2,
            sample_rows_min: 0,
            probe_max: 2,
            narrow_bits: 14,
            exact_rows_max: 50,
            text_bytes_min: 200,
            ..usual
        },
        3 => GroupTuning {
            capacity_estimate_max: 8,
            hash_bits: 0,
            probe_max: 3,
            ..usual
        },
        4 => GroupTuning {
            shared_bytes: 4 << 10,
            sample_rows_min: 100,
            hash_bits: 5,
            ..usual
        },
        _ => usual,
    }
}

/// The same for joins: every kind of table, tables without a slot to spare, keys that all collide,
/// tables built in few and many parts, one block for everything.
fn next_join_tuning() -> JoinTuning {
    let usual = JoinTuning {
        dense_places_min: 1 << 12,
        pairs_per_tile: [1 << 16, 61, 1000][SEED.get() as usize % 3],
        force_pairs: SEED.get() % 5 < 2,
        ..JoinTuning::default()
    };
    let hashed = JoinTuning {
        dense_places_min: 0,
        dense_places_per_row: 0,
        ..usual
    };
    let parts = JoinTuning {
        parts_table_bytes_min: 0,
        small_table_bytes: 0,
        part_bytes_max: 1 << 10,
        part_level_bits: 4,
        ..hashed
    };
    match SEED.get() % 12 {
        0 => hashed,
        9 => JoinTuning {
            filter_bits_per_key: 1, // one block, or few: most rows pass
            ..parts
        },
        10 => JoinTuning {
            filter_bits_per_key: 40,
            force_lists: SEED.get() % 24 < 12,
            ..parts
        },
        7 => JoinTuning {
            part_bytes_max: 512,
            part_level_bits: 2, // often two passes
            ..parts
        },
        8 => JoinTuning {
            hash_bits: 61,
            part_deviations: 0, // many rows are left
            ..parts
        },
        1 => JoinTuning {
            slots_percent: 0,
            small_slots_percent: 0,
            part_level_bits: 2,
            ..parts
        },
        2 => JoinTuning {
            hash_bits: 0,
            slots_percent: 100,
            small_slots_percent: 100,
            blocks_per_multiprocessor: 1,
            rest_rows_min: 0, // all collide, and that is too many to be left
            ..parts
        },
        3 => JoinTuning {
            force_wide: true,
            ..usual
        },
        4 => JoinTuning {
            force_lists: true,
            ..usual
        },
        5 => JoinTuning {
            force_wide: true,
            hash_bits: 3,
            slots_percent: 100,
            small_slots_percent: 100,
            force_lists: true,
            ..usual
        },
        6 => JoinTuning {
            hash_bits: 5,
            force_lists: true,
            ..hashed
        },
        _ => usual,
    }
}

/// The same for sorts: tiny tiles, several portions, keys that are always packed, several words
/// where one would do, several batches out; samples of a few rows for top_k.
fn next_sort_tuning() -> SortTuning {
    let usual = SortTuning {
        sample_rows_min: 64,
        ..SortTuning::default()
    };
    match SEED.get() % 7 {
        0 => SortTuning {
            tile_rows: 64,
            force_pack: true,
            sample_rows_min: 1,
            ..usual
        },
        1 => SortTuning {
            word_bits: 16,
            force_pack: true,
            batch_rows: 50,
            ..usual
        },
        2 => SortTuning {
            tile_rows: 33,
            portion_rows: 100,
            sample_rows_min: 8,
            ..usual
        },
        3 => SortTuning {
            word_bits: 8,
            tile_rows: 512,
            portion_rows: 1000,
            ..usual
        },
        4 => SortTuning {
            word_bits: 40,
            force_pack: true,
            sample_rows_min: 2,
            ..usual
        },
        5 => SortTuning {
            tile_rows: 1000,
            sample_rows_min: 1,
            ..usual
        },
        _ => SortTuning::default(),
    }
}

/// The CUDA backend over a fresh emulated device, every access checked.
pub fn emulated(
    tuning: GroupTuning,
    join_tuning: JoinTuning,
    sort_tuning: SortTuning,
) -> Arc<dyn Backend> {
    Arc::new(CudaBackend::with_tuning(
        emulated_device(),
        tuning,
        join_tuning,
        sort_tuning,
    ))
}

/// Every way in which strings lie on a device under test: codes and views, on a fresh emulated device
/// and on the first of CUDA if there is one.
pub fn string_backends() -> Vec<Arc<dyn Backend>> {
    let of = |device: Arc<Device>| -> [Arc<dyn Backend>; 2] {
        let codes = Arc::new(CudaBackend::new(Arc::clone(&device)));
        [codes, Arc::new(CudaBackend::uploading_views(device))]
    };
    devices().into_iter().flat_map(of).collect()
}

/// A fresh emulated device with a seed of its own.
fn emulated_device() -> Arc<Device> {
    let seed = SEED.with(|seed| seed.replace(seed.get() + 1));
    let options = SimtOptions {
        seed,
        ..SimtOptions::default()
    };
    let memory = MemoryManager::new(MemoryLimits::UNLIMITED);
    Device::new(Arc::new(SimtDriver::new(options)), memory)
}

/// Every device under test: a fresh emulated one, and the first of CUDA if there is one.
pub fn devices() -> Vec<Arc<Device>> {
    let mut devices = vec![emulated_device()];
    devices.extend(cuda_backend().map(|backend| Arc::clone(backend.device())));
    devices
}

/// The CUDA backend on the first device, if there is one. `PELTON_REQUIRE_GPU=1` makes its absence
/// a failure.
fn cuda() -> Option<Arc<dyn Backend>> {
    cuda_backend().map(|backend| backend as Arc<dyn Backend>)
}

/// Whether emulated devices are under test: `PELTON_EMULATED=0` leaves them out, for many cases on a GPU.
fn emulates() -> bool {
    static EMULATES: LazyLock<bool> =
        LazyLock::new(|| std::env::var_os("PELTON_EMULATED").is_none_or(|value| value != "0"));
    *EMULATES
}

/// Whether a GPU is under test.
pub fn cuda_is_there() -> bool {
    cuda_backend().is_some()
}

fn cuda_backend() -> Option<Arc<CudaBackend>> {
    static BACKEND: LazyLock<Option<Arc<CudaBackend>>> = LazyLock::new(|| {
        let required = std::env::var_os("PELTON_REQUIRE_GPU").is_some_and(|value| value == "1");
        match CudaDriver::new(0, None) {
            Ok(driver) => {
                let memory = MemoryManager::new(MemoryLimits::UNLIMITED);
                Some(Arc::new(CudaBackend::new(Device::new(
                    Arc::new(driver),
                    memory,
                ))))
            }
            Err(error) if required => panic!("PELTON_REQUIRE_GPU is set: {error}"),
            Err(error) => {
                eprintln!("skipped: no CUDA device ({error})");
                None
            }
        }
    });
    BACKEND.clone()
}

/// Why a backend other than the CPU's may answer `Unsupported` for a specification; none: it may
/// not. Only aggregates without kernels may stand here.
pub fn unsupported_allowed(spec: &OperatorSpec) -> Option<&'static str> {
    match spec {
        OperatorSpec::GroupBy(spec) => group_by_unsupported(spec),
        _ => None,
    }
}

/// Aggregates that have no kernel.
fn group_by_unsupported(spec: &GroupBySpec) -> Option<&'static str> {
    use AggregateFunction as Function;
    let phased = spec.phase != GroupByPhase::Complete;
    let mut functions = spec.aggregates.iter().map(|aggregate| aggregate.function);
    let missing = functions.any(|function| match function {
        Function::Variance(_) | Function::StandardDeviation(_) => {
            spec.float_sums == FloatSums::Exact
        }
        Function::Sum | Function::Mean => phased && spec.float_sums == FloatSums::Exact,
        _ => false,
    });
    let columns = spec.aggregates.len() + spec.group_keys.len();
    let words = columns > 3 && spec.float_sums == FloatSums::Exact;
    (missing || words).then_some("there are no kernels for it, or it takes too many words")
}

/// Which state each batch is folded into, and in which order the states are merged.
#[derive(Debug, Clone)]
pub struct FoldPlan {
    /// Number of states; at least one.
    pub states: usize,
    /// The state of each batch.
    pub state_of_batch: Vec<usize>,
    /// The states, each once: each is merged into the first.
    pub merge_order: Vec<usize>,
}

impl FoldPlan {
    /// One state for all batches.
    pub fn single(batches: usize) -> FoldPlan {
        FoldPlan {
            states: 1,
            state_of_batch: vec![0; batches],
            merge_order: vec![0],
        }
    }

    /// Up to four states, some perhaps without a batch.
    pub fn random(random: &mut Random, batches: usize) -> FoldPlan {
        let states = 1 + random.below(4);
        let mut merge_order: Vec<usize> = (0..states).collect();
        random.shuffle(&mut merge_order);
        FoldPlan {
            states,
            state_of_batch: (0..batches).map(|_| random.below(states)).collect(),
            merge_order,
        }
    }

    /// The rows in the order in which the contract of folds has them.
    pub fn in_order(&self, batches: &[RecordBatch]) -> Vec<RecordBatch> {
        let of_state = |state: &usize| {
            let all = batches.iter().zip(&self.state_of_batch);
            let own = all.filter(|(_, own)| *own == state);
            own.map(|(batch, _)| batch.clone()).collect::<Vec<_>>()
        };
        self.merge_order.iter().flat_map(of_state).collect()
    }
}

/// Runs transforms after one another over host batches, on a stream of their own.
pub fn run_transforms(
    backend: &dyn Backend,
    specs: &[OperatorSpec],
    batches: &[RecordBatch],
) -> Result<Vec<RecordBatch>> {
    let operators = specs.iter().map(|spec| match backend.instantiate(spec)? {
        Operator::Transform(operator) => Ok(operator),
        _ => Err(Error::invalid(spec.name(), "is not a transform", "")),
    });
    let operators = operators.collect::<Result<Vec<_>>>()?;
    on_stream(backend, |context| {
        let mut out = Vec::new();
        for batch in batches {
            let mut batch = Some(backend.upload(context, batch.clone())?);
            for operator in &operators {
                batch = match batch {
                    Some(batch) => Transform::next(&**operator, context, None, batch)?,
                    None => None,
                };
            }
            if let Some(batch) = batch {
                out.push(backend.download(context, batch)?);
            }
        }
        Ok(out)
    })
}

/// Runs a transform over host batches, on a stream of its own.
pub fn run_transform(
    backend: &dyn Backend,
    spec: &OperatorSpec,
    built: Option<&RecordBatch>,
    batches: &[RecordBatch],
) -> Result<Vec<RecordBatch>> {
    let Operator::Transform(operator) = backend.instantiate(spec)? else {
        return Err(Error::invalid(spec.name(), "is not a transform", ""));
    };
    on_stream(backend, |context| {
        let built = built.cloned().map(|built| backend.upload(context, built));
        let built: Option<Batch> = built.transpose()?;
        let mut out = Vec::new();
        for batch in batches {
            let batch = backend.upload(context, batch.clone())?;
            if let Some(batch) = Transform::next(&*operator, context, built.as_ref(), batch)? {
                out.push(backend.download(context, batch)?);
            }
        }
        Ok(out)
    })
}

/// Splits host batches into partitions, on a stream of its own, perhaps after one transform and
/// before another: the partitions of each batch.
pub fn run_partition(
    backend: &dyn Backend,
    before: Option<&OperatorSpec>,
    spec: &OperatorSpec,
    after: Option<&OperatorSpec>,
    batches: &[RecordBatch],
) -> Result<Vec<Vec<RecordBatch>>> {
    let Operator::Partition(operator) = backend.instantiate(spec)? else {
        return Err(Error::invalid(spec.name(), "is not a partition", ""));
    };
    let transformed = |context: &Context, spec: Option<&OperatorSpec>, batch: Batch| {
        let Some(spec) = spec else {
            return Ok(batch);
        };
        let Operator::Transform(transform) = backend.instantiate(spec)? else {
            return Err(Error::invalid(spec.name(), "is not a transform", ""));
        };
        let batch = transform.next(context, None, batch)?;
        batch.ok_or_else(|| Error::invalid(spec.name(), "gives no batch", ""))
    };
    on_stream(backend, |context| {
        let split = |batch: &RecordBatch| {
            let batch = backend.upload(context, batch.clone())?;
            let batch = transformed(context, before, batch)?;
            let parts = operator.next(context, batch)?.into_iter();
            let parts = parts.map(|part| {
                let part = transformed(context, after, part)?;
                backend.download(context, part)
            });
            parts.collect::<Result<Vec<_>>>()
        };
        batches.iter().map(split).collect()
    })
}

/// Runs a fold over host batches, on a stream of its own.
pub fn run_fold(
    backend: &dyn Backend,
    spec: &OperatorSpec,
    batches: &[RecordBatch],
    how: &FoldPlan,
) -> Result<Vec<RecordBatch>> {
    let Operator::Fold(operator) = backend.instantiate(spec)? else {
        return Err(Error::invalid(spec.name(), "is not a fold", ""));
    };
    on_stream(backend, |context| {
        let out = fold_batches(backend, &*operator, context, batches, how)?.into_iter();
        out.map(|batch| backend.download(context, batch)).collect()
    })
}

fn fold_batches(
    backend: &dyn Backend,
    operator: &dyn Fold,
    context: &Context,
    batches: &[RecordBatch],
    how: &FoldPlan,
) -> Result<Vec<Batch>> {
    let uploaded = batches
        .iter()
        .map(|batch| backend.upload(context, batch.clone()));
    fold_uploaded(operator, context, uploaded.collect::<Result<_>>()?, how)
}

/// Folds batches that lie in the operator's memory.
pub fn fold_uploaded(
    operator: &dyn Fold,
    context: &Context,
    batches: Vec<Batch>,
    how: &FoldPlan,
) -> Result<Vec<Batch>> {
    let states = (0..how.states).map(|_| operator.init(context).map(Some));
    let mut states = states.collect::<Result<Vec<_>>>()?;
    for (batch, &state) in batches.into_iter().zip(&how.state_of_batch) {
        let state = states[state].as_mut().expect("not yet merged");
        operator.next(context, state, batch)?;
    }
    let mut merged = None;
    for &state in &how.merge_order {
        let state = states[state].take().expect("merged once");
        match &mut merged {
            None => merged = Some(state),
            Some(merged) => operator.merge(context, merged, state)?,
        }
    }
    operator.finish(context, merged.expect("at least one state"))
}

/// Runs a join over host batches: the build side as `how` says, then every probe batch on a stream
/// of its own, in turn one of three, and at the end what `finish` gives.
pub fn run_join(
    backend: &dyn Backend,
    spec: &HashJoinSpec,
    build: &[RecordBatch],
    how: &FoldPlan,
    probe: &[RecordBatch],
) -> Result<Vec<RecordBatch>> {
    let both = [
        OperatorSpec::HashJoinBuild(spec.clone()),
        OperatorSpec::HashJoinProbe(spec.clone()),
    ];
    run_build_and_probe(backend, &both, build, how, probe)
}

/// As `run_join`, for the fold and the transform of any join.
pub fn run_build_and_probe(
    backend: &dyn Backend,
    [fold, transform]: &[OperatorSpec; 2],
    build: &[RecordBatch],
    how: &FoldPlan,
    probe: &[RecordBatch],
) -> Result<Vec<RecordBatch>> {
    let wrong = || Error::invalid(fold.name(), "is a fold and a transform", "");
    let Operator::Fold(fold) = backend.instantiate(fold)? else {
        return Err(wrong());
    };
    let Operator::Transform(transform) = backend.instantiate(transform)? else {
        return Err(wrong());
    };
    on_stream(backend, |first| {
        let built = fold_batches(backend, &*fold, first, build, how)?;
        let built = built.first().expect("one built batch");
        on_stream(backend, |second| {
            on_stream(backend, |third| {
                let mut out = Vec::new();
                for (batch, context) in probe.iter().zip([first, second, third].iter().cycle()) {
                    let batch = backend.upload(context, batch.clone())?;
                    if let Some(batch) = transform.next(context, Some(built), batch)? {
                        out.push((*context, batch));
                    }
                }
                out.extend(
                    transform
                        .finish(third, Some(built))?
                        .map(|batch| (third, batch)),
                );
                let out = out.into_iter();
                out.map(|(context, batch)| backend.download(context, batch))
                    .collect()
            })
        })
    })
}

/// Lends a stream of its own to some work, and waits for it.
pub fn on_stream<T>(backend: &dyn Backend, work: impl FnOnce(&Context) -> Result<T>) -> Result<T> {
    let context = Context {
        stream: backend.stream_create()?,
        ..Context::detached()
    };
    let out = work(&context);
    let finished = backend.synchronize(context.stream);
    backend.stream_destroy(context.stream);
    let out = out?;
    finished?;
    Ok(out)
}

/// What became of a run: rows, or the class of its error.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Rows(Rows),
    /// An arithmetic error, whether the host or a kernel found it.
    Arithmetic,
    /// The caller's mistake.
    InvalidInput,
}

impl Outcome {
    /// The outcome of a run, checked against the schema that the specification promises.
    ///
    /// # Panics
    /// For an error that no contract has, and for batches of another schema.
    pub fn of(place: &str, spec: &OperatorSpec, ran: Result<Vec<RecordBatch>>) -> Outcome {
        match ran {
            Ok(batches) => {
                let promised = match spec {
                    OperatorSpec::Filter(spec) => spec.output(),
                    OperatorSpec::Project(spec) => spec.output.clone(),
                    OperatorSpec::Gather(spec) => spec.built.clone(),
                    OperatorSpec::GroupBy(spec) => spec.output.clone(),
                    OperatorSpec::HashJoinBuild(spec) => spec.build.clone(),
                    OperatorSpec::HashJoinProbe(spec) => spec.output(),
                    OperatorSpec::ShufflePartition(spec) => spec.input.clone(),
                    OperatorSpec::NestedLoopJoinBuild(spec) => spec.build.clone(),
                    OperatorSpec::NestedLoopJoinProbe(spec) => spec.output(),
                    OperatorSpec::Sort(spec) => spec.input.clone(),
                    OperatorSpec::TopK(spec) => spec.input.clone(),
                    OperatorSpec::Window(spec) => spec.output.clone(),
                };
                for batch in &batches {
                    assert_eq!(batch.schema(), promised, "{place}: the schema of {spec:?}");
                }
                Outcome::Rows(rows(&batches))
            }
            Err(error) => {
                if std::env::var_os("PELTON_SEED").is_some() {
                    eprintln!("{place}: {error}");
                }
                match error.kind() {
                    ErrorKind::Arithmetic { .. } | ErrorKind::Kernel { .. } => Outcome::Arithmetic,
                    ErrorKind::InvalidInput { .. } => Outcome::InvalidInput,
                    _ => panic!("{place}: {error}"),
                }
            }
        }
    }
}

/// Runs every backend and compares it with `expected`: equal errors, or rows that `equal` accepts.
///
/// # Panics
/// If a backend differs, or does not support what it must.
pub fn compare_backends(
    spec: &OperatorSpec,
    expected: &Outcome,
    run: impl Fn(&dyn Backend) -> Result<Vec<RecordBatch>>,
    equal: impl Fn(&Rows, &Rows) -> Result<(), String>,
) {
    for (index, backend) in backends().iter().enumerate() {
        let ran = run(&**backend);
        if let Err(error) = &ran
            && let ErrorKind::Unsupported { .. } = error.kind()
            && index > 0
            && unsupported_allowed(spec).is_some()
        {
            continue;
        }
        let got = Outcome::of(backend.name(), spec, ran);
        if let Err(difference) = same_outcome(expected, &got, &equal) {
            panic!("{} differs from cpu: {difference}", backend.name());
        }
    }
}

/// Compares two outcomes.
pub fn same_outcome(
    expected: &Outcome,
    got: &Outcome,
    equal: impl Fn(&Rows, &Rows) -> Result<(), String>,
) -> Result<(), String> {
    match (expected, got) {
        (Outcome::Rows(expected), Outcome::Rows(got)) => equal(expected, got),
        (expected, got) if expected == got => Ok(()),
        (expected, got) => Err(format!("{} expected, {} got", brief(expected), brief(got))),
    }
}

fn brief(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Rows(rows) => format!("{} rows", rows.len()),
        Outcome::Arithmetic => "an arithmetic error".to_string(),
        Outcome::InvalidInput => "invalid input".to_string(),
    }
}
