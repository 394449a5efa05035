//! Pipelines for several ranks: where rows must change their rank.
//!
//! Every rank runs the same pipelines over its share of the scans. [`distribute`] cuts them where an
//! operator needs rows that lie on other ranks, and says by an [`Exchange`] where the rows of the part
//! before the cut go: rows with equal keys to one rank, all rows to every rank, or all to the first.
//! No rows go where they are already: [`Spread`] follows them through the operators.
//!
//! Rows that are in an order are so rank after rank, and behind an exchange still.

use std::sync::Arc;

use super::spread::Spread;
use super::{LimitSpec, Pipeline, Source, TransformSpec};
use crate::error::Result;
use crate::expr::AggregateFunction;
use crate::operators::{GroupByPhase, GroupBySpec, OperatorSpec, SortKey, SortSpec, TopKSpec};
use crate::types::{DataType, PhysicalType};

/// Where the rows that leave a pipeline go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// To the rank that the hash of these columns names.
    Hash(Vec<usize>),
    /// By the ranges of these keys that hold about as many rows each, as samples of all ranks tell:
    /// rank after rank in the order of the keys.
    Range(Vec<SortKey>),
    /// To every rank.
    Broadcast,
    /// To rank 0.
    First,
}

/// The pipelines that each of several ranks runs; build sides of at most `broadcast_bytes` go to every
/// rank.
///
/// # Errors
/// As [`GroupBySpec::phases`].
pub fn distribute(pipelines: &[Pipeline], broadcast_bytes: u64) -> Result<Vec<Pipeline>> {
    let mut distribution = Distribution {
        done: Vec::with_capacity(pipelines.len()),
        places: Vec::with_capacity(pipelines.len()),
        spreads: Vec::new(),
        sides: sides(pipelines, broadcast_bytes),
    };
    for (number, pipeline) in pipelines.iter().enumerate() {
        distribution.pipeline(number, pipeline)?;
    }
    Ok(distribution.done)
}

/// For each pipeline that builds something, where its rows must be.
fn sides(pipelines: &[Pipeline], broadcast_bytes: u64) -> Vec<Option<Exchange>> {
    let mut sides: Vec<Option<Exchange>> = vec![None; pipelines.len()];
    let transforms = pipelines.iter().flat_map(|pipeline| &pipeline.transforms);
    for TransformSpec { spec, built } in transforms {
        let (Some(built), Some(build)) = (*built, built.and_then(|built| pipelines.get(built)))
        else {
            continue;
        };
        let small = build.fold_bytes() <= broadcast_bytes;
        // A build row without a match must be found on one rank alone.
        sides[built] = Some(match spec {
            OperatorSpec::HashJoinProbe(join) if join.kind.keeps_build_rows() || !small => {
                Exchange::Hash(join.build_keys.clone())
            }
            OperatorSpec::NestedLoopJoinProbe(join) if join.kind.keeps_build_rows() => {
                Exchange::First
            }
            _ => Exchange::Broadcast,
        });
    }
    sides
}

struct Distribution {
    done: Vec<Pipeline>,
    /// For each pipeline that came in, the one that leaves what it left.
    places: Vec<usize>,
    /// For each pipeline that is done, where what it leaves is.
    spreads: Vec<Spread>,
    sides: Vec<Option<Exchange>>,
}

impl Distribution {
    fn pipeline(&mut self, number: usize, pipeline: &Pipeline) -> Result<()> {
        let mut now = pipeline.clone();
        (now.transforms, now.fold, now.limit) = (Vec::new(), None, None);
        now.output = Arc::clone(&now.input);
        let mut spread = self.source(&mut now);
        for (index, transform) in pipeline.transforms.iter().enumerate() {
            self.join_side(&mut now, &mut spread, transform);
            now.transforms.push(TransformSpec {
                spec: transform.spec.clone(),
                built: transform.built.map(|built| self.places[built]),
            });
            let next = pipeline.transforms.get(index + 1).map(|next| &next.spec);
            let fold = pipeline.fold.as_ref();
            now.output = match next.or(fold).map(input_of) {
                Some(Some(input)) => input,
                _ => Arc::clone(&pipeline.output),
            };
            spread = spread.through(&transform.spec);
        }
        if let Some(fold) = &pipeline.fold {
            spread = self.fold(number, pipeline, fold, &mut now, spread)?;
        }
        if let Some(LimitSpec { skip, rows }) = pipeline.limit {
            now.limit = Some(LimitSpec {
                skip: 0,
                rows: rows.saturating_add(skip),
            });
            self.cut(&mut now, &mut spread, Exchange::First);
            now.limit = pipeline.limit;
        }
        now.output = Arc::clone(&pipeline.output);
        self.close(now, spread);
        self.places.push(self.done.len() - 1);
        Ok(())
    }

    /// The source with the numbers of the pipelines that it now reads.
    fn source(&self, now: &mut Pipeline) -> Spread {
        let Source::Pipelines(numbers) = &mut now.source else {
            return Spread::unknown();
        };
        for number in numbers.iter_mut() {
            *number = self.places[*number];
        }
        Spread::union(numbers.iter().map(|number| &self.spreads[*number]))
    }

    fn close(&mut self, pipeline: Pipeline, spread: Spread) {
        self.done.push(pipeline);
        self.spreads.push(spread);
    }

    /// Ends the pipeline so far by an exchange, unless its rows lie as the exchange would have them, and
    /// starts the one that reads it.
    fn cut(&mut self, now: &mut Pipeline, spread: &mut Spread, exchange: Exchange) {
        if spread.holds(&exchange) {
            return;
        }
        let after = Spread::behind(&exchange);
        let schema = Arc::clone(&now.output);
        let ordered = now.gives_order();
        let mut next = Pipeline::new(Source::Pipelines(vec![self.done.len()]), &schema);
        next.ordered = ordered;
        let mut before = std::mem::replace(now, next);
        before.exchange = Some(exchange);
        self.close(before, after.clone());
        *spread = after;
    }

    /// Brings the probe rows of a join to where their build rows are.
    fn join_side(&mut self, now: &mut Pipeline, spread: &mut Spread, transform: &TransformSpec) {
        let side = transform.built.and_then(|built| self.sides[built].clone());
        match (side, &transform.spec) {
            (Some(Exchange::Hash(_)), OperatorSpec::HashJoinProbe(join)) => {
                self.cut_for_join(now, spread, Exchange::Hash(join.probe_keys.clone()));
            }
            (Some(Exchange::First), _) => self.cut_for_join(now, spread, Exchange::First),
            _ => {}
        }
    }

    /// As [`cut`](Distribution::cut), for a side of a join: the other side is hashed even if all rows
    /// of this one are on one rank, and no join keeps the order of rows.
    fn cut_for_join(&mut self, now: &mut Pipeline, spread: &mut Spread, exchange: Exchange) {
        if *spread == Spread::First && matches!(exchange, Exchange::Hash(_)) {
            *spread = Spread::unknown();
        }
        now.ordered = false;
        self.cut(now, spread, exchange);
    }

    fn fold(
        &mut self,
        number: usize,
        pipeline: &Pipeline,
        fold: &OperatorSpec,
        now: &mut Pipeline,
        mut spread: Spread,
    ) -> Result<Spread> {
        now.fold_rows = pipeline.fold_rows;
        let rows = pipeline.fold_rows;
        match fold {
            OperatorSpec::HashJoinBuild(_) | OperatorSpec::NestedLoopJoinBuild(_) => {
                let side = self.sides.get(number).cloned().flatten();
                self.cut_for_join(now, &mut spread, side.unwrap_or(Exchange::Broadcast));
            }
            OperatorSpec::GroupBy(spec) => return self.group_by(spec, now, spread, rows),
            OperatorSpec::Sort(spec) => self.cut(now, &mut spread, ranges(spec)),
            OperatorSpec::TopK(spec) if spread != Spread::First => {
                now.fold = Some(OperatorSpec::TopK(TopKSpec {
                    k: spec.kept(),
                    offset: 0,
                    ..spec.clone()
                }));
                self.cut(now, &mut spread, Exchange::First);
            }
            OperatorSpec::Window(spec) => {
                if !spread.meets(&spec.partition_by) {
                    self.cut(now, &mut spread, hash_of(spec.partition_by.clone()));
                }
                let place = |column: usize| spec.projection.iter().position(|&from| from == column);
                spread = spread.moved(place);
            }
            _ => {}
        }
        now.fold = Some(fold.clone());
        now.fold_rows = rows;
        Ok(spread)
    }

    /// Groups where the rows are, then the states of each group on one rank; where the order of rows
    /// counts, their rows.
    fn group_by(
        &mut self,
        spec: &GroupBySpec,
        now: &mut Pipeline,
        mut spread: Spread,
        rows: u64,
    ) -> Result<Spread> {
        let keys = spec.group_keys.len();
        let there = spread.meets(&spec.group_keys);
        now.ordered &= minds_order(spec);
        let ordered = now.keeps_order();
        let mut by = spec.group_keys.clone();
        if !there && !ordered && has_small_states(spec) {
            let [partial, _, last] = spec.phases()?;
            now.output = Arc::clone(&partial.output);
            (now.fold, now.fold_rows) = (Some(OperatorSpec::GroupBy(partial)), rows);
            by = (0..keys).collect();
            spread = Spread::unknown();
            self.cut(now, &mut spread, hash_of(by.clone()));
            now.fold = Some(OperatorSpec::GroupBy(last));
        } else {
            if !there {
                self.cut(now, &mut spread, hash_of(by.clone()));
            }
            now.fold = Some(OperatorSpec::GroupBy(spec.clone()));
        }
        now.fold_rows = rows;
        // Without keys there is a row even of nothing: rank 0 has it.
        now.first_only = keys == 0;
        Ok(spread.moved(|column| by.iter().position(|&key| key == column)))
    }
}

/// Brings rows with equal values in some columns together.
fn hash_of(columns: Vec<usize>) -> Exchange {
    match columns.is_empty() {
        true => Exchange::First,
        false => Exchange::Hash(columns),
    }
}

/// Brings rows to where a sort has them, as far as its keys are of types that have ranges.
fn ranges(sort: &SortSpec) -> Exchange {
    let has_ranges = |key: &SortKey| {
        let data_type = sort.input.field(key.column).data_type();
        PhysicalType::of(data_type).is_some() || *data_type == DataType::Null
    };
    match !sort.keys.is_empty() && sort.keys.iter().all(has_ranges) {
        true => Exchange::Range(sort.keys.clone()),
        false => Exchange::First,
    }
}

/// True if what a group gives depends on the order of its rows.
fn minds_order(spec: &GroupBySpec) -> bool {
    use AggregateFunction::{Collect, First, Last};
    let minds = |function| matches!(function, First | Last | Collect);
    let mut aggregates = spec.aggregates.iter();
    aggregates.any(|aggregate| minds(aggregate.function))
}

/// True if a group's state is of a bounded size.
fn has_small_states(spec: &GroupBySpec) -> bool {
    use AggregateFunction as Function;
    let large = |function: AggregateFunction| {
        matches!(
            function,
            Function::CountDistinct | Function::Quantile { .. } | Function::Collect
        )
    };
    spec.phase == GroupByPhase::Complete
        && !spec
            .aggregates
            .iter()
            .any(|aggregate| large(aggregate.function))
}

/// The schema of the batches that an operator takes.
fn input_of(spec: &OperatorSpec) -> Option<crate::types::SchemaRef> {
    Some(Arc::clone(match spec {
        OperatorSpec::Filter(spec) => &spec.input,
        OperatorSpec::Project(spec) => &spec.input,
        OperatorSpec::GroupBy(spec) => &spec.input,
        OperatorSpec::HashJoinBuild(spec) => &spec.build,
        OperatorSpec::HashJoinProbe(spec) => &spec.probe,
        OperatorSpec::NestedLoopJoinBuild(spec) => &spec.build,
        OperatorSpec::NestedLoopJoinProbe(spec) => &spec.probe,
        OperatorSpec::ShufflePartition(spec) => &spec.input,
        OperatorSpec::Sort(spec) => &spec.input,
        OperatorSpec::TopK(spec) => &spec.input,
        OperatorSpec::Window(spec) => &spec.input,
        OperatorSpec::Gather(_) => return None,
    }))
}
