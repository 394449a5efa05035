//! Phases: complete equals final over merged partials, whatever the split, also across backends.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::concat_batches;
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::error::{ErrorKind, Result};
use pelton::expr::aggregate_type;
use pelton::operators::{FloatSums, GroupBySpec, OperatorSpec};

use super::{aggregates, tolerances};
use crate::support::backends::{
    FoldPlan, Outcome, backends, run_fold, same_outcome, unsupported_allowed,
};
use crate::support::equality::{Tolerance, multiset};
use crate::support::exprs;
use crate::support::random::{Note, Random, for_each_case};
use crate::support::tables::{self, Domain};
use crate::support::values::rows;
use crate::{LENIENT, batch_of};

/// Runs a phase; on the CPU if the backend has no kernels for it.
fn phase(
    backend: &dyn Backend,
    spec: &GroupBySpec,
    batches: &[RecordBatch],
) -> Result<Vec<RecordBatch>> {
    let operator = OperatorSpec::GroupBy(spec.clone());
    let how = FoldPlan::single(batches.len());
    match run_fold(backend, &operator, batches, &how) {
        Err(error)
            if matches!(error.kind(), ErrorKind::Unsupported { .. })
                && unsupported_allowed(&operator).is_some() =>
        {
            run_fold(&CpuBackend::new(), &operator, batches, &how)
        }
        other => other,
    }
}

/// Partials of runs of batches, merged in runs, and finished, each on one of two backends.
fn in_phases(
    random: &mut Random,
    pair: [&dyn Backend; 2],
    phases: &[GroupBySpec; 3],
    batches: &[RecordBatch],
) -> Result<Vec<RecordBatch>> {
    let [partial, merge, last] = phases;
    let mut states = Vec::new();
    let mut rest = batches;
    while !rest.is_empty() {
        let (run, others) = rest.split_at(1 + random.below(rest.len()));
        states.extend(phase(*random.pick(&pair), partial, run)?);
        rest = others;
    }
    while states.len() > 1 && !random.once_in(3) {
        let first = random.below(states.len() - 1);
        let end = (first + 1 + random.below(3)).min(states.len());
        let merged = phase(*random.pick(&pair), merge, &states[first..end])?;
        states.splice(first..end, merged);
    }
    phase(*random.pick(&pair), last, &states)
}

/// States of batches of so many rows, merged in pairs and finished, on one backend alone.
fn alone(
    backend: &dyn Backend,
    [partial, merge, last]: &[GroupBySpec; 3],
    batch: &RecordBatch,
    rows: usize,
) -> Result<Vec<RecordBatch>> {
    let run = |spec: &GroupBySpec, batches: &[RecordBatch]| {
        let operator = OperatorSpec::GroupBy(spec.clone());
        run_fold(
            backend,
            &operator,
            batches,
            &FoldPlan::single(batches.len()),
        )
    };
    let starts = (0..batch.num_rows()).step_by(rows);
    let batches = starts.map(|at| batch.slice(at, rows.min(batch.num_rows() - at)));
    let mut states = Vec::new();
    for batch in batches {
        states.push(run(partial, &[batch])?);
    }
    let mut merged = Vec::new();
    for pair in states.chunks(2) {
        merged.extend(run(merge, &pair.concat())?);
    }
    run(last, &merged)
}

/// Keys with nulls; a group of nulls alone; values of several types, some twice in a group.
fn mixed(rows: i64) -> RecordBatch {
    let key = |row: i64| (row % 6 < 5).then_some(row % 6);
    let numbers = (0..rows).map(|row| (row % 6 != 2 && row % 4 != 1).then_some(row % 7 - 3));
    let floats =
        (0..rows).map(|row| (row % 6 != 2).then_some(f64::from(row as i32 % 9) / 4.0 + 1e6));
    let words = (0..rows).map(|row| (row % 5 != 0).then(|| "é".repeat(row as usize % 4)));
    let truths = (0..rows).map(|row| (row % 3 != 0).then_some(row % 6 > 2));
    let decimals: Decimal128Array = (0..rows)
        .map(|row| Some(i128::from(row % 11) * 25))
        .collect();
    let decimals = decimals.with_precision_and_scale(30, 2).expect("30 digits");
    batch_of(vec![
        (
            "key",
            Arc::new((0..rows).map(key).collect::<Int64Array>()) as ArrayRef,
        ),
        ("number", Arc::new(numbers.collect::<Int64Array>())),
        ("float", Arc::new(floats.collect::<Float64Array>())),
        ("word", Arc::new(words.collect::<StringArray>())),
        ("truth", Arc::new(truths.collect::<BooleanArray>())),
        ("decimal", Arc::new(decimals)),
    ])
}

/// Each function alone, so that one without kernels is named; on tables that are small, that collide
/// and that grow.
#[test]
fn each_backend_has_every_phase_of_every_function() {
    let mut wrong = Vec::new();
    for function in super::FUNCTIONS {
        let batch = mixed(24);
        let schema = batch.schema();
        let defined = |index: &usize| {
            let data_type = schema.field(*index).data_type();
            aggregate_type(function, Some(data_type)).is_ok()
        };
        let operands: Vec<usize> = (1..schema.fields().len()).filter(defined).collect();
        for (turn, rows) in [1, 4, 7, 24].into_iter().enumerate() {
            let keys: Vec<usize> = if turn % 2 == 1 { vec![] } else { vec![0] };
            let of = operands.iter().map(|index| (function, Some(*index)));
            let spec = super::spec_of(&schema, keys.clone(), of.collect(), LENIENT);
            let phases = spec.phases().expect("phases of a complete one");
            let operator = OperatorSpec::GroupBy(spec.clone());
            let whole = std::slice::from_ref(&batch);
            let ran = run_fold(&CpuBackend::new(), &operator, whole, &FoldPlan::single(1));
            let expected = Outcome::of("cpu", &operator, ran);
            let tolerances = tolerances(&spec, false);
            let equal = |a: &_, b: &_| multiset(a, b, keys.len(), &tolerances);
            for backend in backends() {
                let got = Outcome::of(
                    backend.name(),
                    &operator,
                    alone(backend.as_ref(), &phases, &batch, rows),
                );
                if let Err(difference) = same_outcome(&expected, &got, equal) {
                    let place = backend.name();
                    wrong.push(format!("{function} on {place}, {rows} rows: {difference}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The state of a sketch is what the contract says, byte by byte, of values and of states.
#[test]
fn sketches_are_equal_byte_by_byte() {
    let batch = mixed(50);
    let of = (1..6).map(|index| (super::ApproxCountDistinct, Some(index)));
    let spec = super::spec_of(&batch.schema(), vec![0], of.collect(), LENIENT);
    let [partial, merge, _] = spec.phases().expect("phases of a complete one");
    let states = |backend: &dyn Backend| {
        let run = |spec: &GroupBySpec, batches: &[RecordBatch]| {
            let operator = OperatorSpec::GroupBy(spec.clone());
            let how = FoldPlan::single(batches.len());
            let ran = run_fold(backend, &operator, batches, &how);
            ran.expect("every backend has sketches")
        };
        let parts = [batch.slice(0, 20), batch.slice(20, 30)].map(|part| run(&partial, &[part]));
        let merged = run(&merge, &parts.concat());
        parts.into_iter().chain([merged]).collect::<Vec<_>>()
    };
    let expected = states(&CpuBackend::new());
    for backend in backends().iter().chain(&backends()) {
        for (expected, got) in expected.iter().zip(states(backend.as_ref())) {
            let tolerances = vec![Tolerance::Exact; 6];
            let equal = multiset(&rows(expected), &rows(&got), 1, &tolerances);
            assert_eq!(equal, Ok(()), "{}", backend.name());
        }
    }
}

/// Nothing, in every phase: no rows without keys give one row in the end, with keys none.
#[test]
fn states_of_nothing_end_as_nothing() {
    let batch = mixed(0);
    for keys in [vec![], vec![0]] {
        let of = super::FUNCTIONS.iter().filter_map(|function| {
            let number = aggregate_type(*function, Some(batch.schema().field(1).data_type()));
            number.is_ok().then_some((*function, Some(1)))
        });
        let spec = super::spec_of(&batch.schema(), keys.clone(), of.collect(), LENIENT);
        let phases = spec.phases().expect("phases of a complete one");
        for backend in backends() {
            let ran = alone(backend.as_ref(), &phases, &batch, 1).expect("no error");
            let rows: usize = ran.iter().map(RecordBatch::num_rows).sum();
            assert_eq!(rows, usize::from(keys.is_empty()), "{}", backend.name());
        }
    }
}

#[test]
fn complete_is_final_of_merged_partials() {
    for_each_case("group_by_phases", |random| {
        let keys = random.below(3);
        let columns = keys + 1 + random.below(3);
        let schema = tables::schema(random, columns);
        let rows = tables::row_count(random).min(600);
        let mut domains = vec![Domain::Keys; keys];
        domains.resize(columns, Domain::Moderate);
        let table = tables::table(random, &schema, rows, &domains);
        let semantics = exprs::semantics(random);
        let wanted = aggregates(random, &schema, keys);
        let mut spec = super::spec_of(&schema, (0..keys).collect(), wanted, semantics);
        if random.once_in(4) {
            spec.float_sums = FloatSums::Exact;
        }
        let _note = Note::new(
            &schema,
            format!("{:?} under {semantics:?}", spec.aggregates),
        );
        let phases = spec.phases().expect("phases of a complete one");
        let whole = concat_batches(&schema, &table.batches).expect("batches");
        let operator = OperatorSpec::GroupBy(spec.clone());
        let cpu = CpuBackend::new();
        let ran = run_fold(&cpu, &operator, &[whole], &FoldPlan::single(1));
        let expected = Outcome::of("cpu", &operator, ran);
        let tolerances = tolerances(&spec, false);
        for backend in backends() {
            let pair = [backend.as_ref(), &cpu as &dyn Backend];
            let ran = in_phases(random, pair, &phases, &table.batches);
            let got = Outcome::of(backend.name(), &operator, ran);
            let equal = |a: &_, b: &_| multiset(a, b, keys, &tolerances);
            if let Err(difference) = same_outcome(&expected, &got, equal) {
                panic!("{} in phases differs: {difference}", backend.name());
            }
        }
    });
}

#[test]
fn phases_of_phases_and_foreign_states_are_refused() {
    let schema = tables::schema(&mut Random::new(1), 2);
    let spec = super::spec_of(
        &schema,
        vec![0],
        vec![(super::First, Some(1))],
        crate::LENIENT,
    );
    let [partial, merge, _] = spec.phases().expect("phases");
    assert!(partial.phases().is_err());
    let mut short = merge;
    short.aggregates[0].input = Some(7);
    let refused = CpuBackend::new().instantiate(&OperatorSpec::GroupBy(short));
    assert!(refused.is_err());
}
