//! Phases: complete equals final over merged partials, whatever the split, also across backends.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::error::{ErrorKind, Result};
use pelton::operators::{FloatSums, GroupBySpec, OperatorSpec};

use super::{aggregates, tolerances};
use crate::support::backends::{
    FoldPlan, Outcome, backends, run_fold, same_outcome, unsupported_allowed,
};
use crate::support::equality::multiset;
use crate::support::exprs;
use crate::support::random::{Note, Random, for_each_case};
use crate::support::tables::{self, Domain};

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
