//! `hash_join` by kernels; the contract is [`HashJoinSpec`].
//!
//! The build side's batches are kept as they come and put behind one another at the end, where the
//! table of their keys is made. Joins find row numbers; columns are gathered late, by them. Strings
//! that are compared become codes first, which waits for the stream.

use std::any::Any;
use std::sync::Arc;

use super::Shared;
use super::append;
use super::batch::CudaBatch;
use super::dictionary::CODE_BITS;
use super::evaluate::{Evaluator, physical};
use super::text;
use crate::error::{Error, Result};
use crate::kernels::append::append_rows;
use crate::kernels::filter::filter_compact;
use crate::kernels::gather::gather_rows;
use crate::kernels::hash_join::{JoinKey, JoinLayout, JoinMarks, JoinNeed, JoinTable};
use crate::kernels::project::logic;
use crate::kernels::{DeviceColumn, DeviceRows, Launch, Status, abi};
use crate::limits::ROWS_PER_BATCH_MAX;
use crate::memory::{Batch, BatchData, DeviceBatch};
use crate::operators::{
    BUILD_ROWS_MAX, Context, Fold, FoldState, HashJoinSpec, JoinKind, Transform, own_state,
    state_of, too_many_build_rows, too_many_output_rows,
};
use crate::types::{SchemaRef, is_text};

pub(super) struct HashJoinBuild {
    shared: Arc<Shared>,
    spec: HashJoinSpec,
    /// None: there are no keys, and no table is made.
    layout: Option<JoinLayout>,
    /// Whether each build column is a key, or may leave, or is read by the residual.
    needed: Vec<bool>,
}

pub(super) struct HashJoinProbe {
    shared: Arc<Shared>,
    spec: HashJoinSpec,
    output: SchemaRef,
}

/// The batches so far, and an upper bound of their rows.
struct Rows {
    batches: Vec<CudaBatch>,
    rows_max: u64,
}

/// A build side: its rows, the table of their keys, if they have keys, and which of them were matched.
#[derive(Debug)]
pub(super) struct JoinBuilt {
    pub batch: CudaBatch,
    table: Option<JoinTable>,
    marks: Option<JoinMarks>,
}

/// Row numbers of both sides. Without those of the probe side they are all its rows in order.
pub(super) struct Pairs {
    pub probe_rows: Option<DeviceColumn>,
    pub build_rows: DeviceColumn,
    pub rows: DeviceRows,
}

impl DeviceBatch for JoinBuilt {
    fn rows_max(&self) -> u64 {
        self.batch.rows.max()
    }

    fn rows_exact(&self) -> Option<u64> {
        self.batch.rows.exact()
    }

    fn bytes(&self) -> u64 {
        self.batch.bytes() + self.table.as_ref().map_or(0, JoinTable::bytes)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl JoinBuilt {
    fn table(&self) -> Result<&JoinTable> {
        let cause = "the built batch is that of a join without keys";
        let table = self.table.as_ref();
        table.ok_or_else(|| Error::invalid("hash_join", cause, ""))
    }

    pub(super) fn of(built: Option<&Batch>) -> Result<&JoinBuilt> {
        let own = built.and_then(|built| match built.data() {
            BatchData::Device(built) => built.as_any().downcast_ref::<JoinBuilt>(),
            BatchData::Host(_) => None,
        });
        let remedy = "pass what the build side's fold finished with";
        own.ok_or_else(|| Error::invalid("hash_join", "has no built batch of its own", remedy))
    }
}

/// Keys as the table must know them.
fn keys_of(spec: &HashJoinSpec) -> Result<Vec<JoinKey>> {
    let keys = spec.build_keys.iter().zip(&spec.probe_keys);
    let key = |(build, probe): (&usize, &usize)| {
        let (build, probe) = (spec.build.field(*build), spec.probe.field(*probe));
        let physical = physical(build.data_type())?;
        let bits = match is_text(build.data_type()) {
            true => CODE_BITS,
            false => physical.bits() as u32,
        };
        Ok(JoinKey {
            physical,
            nullable: build.is_nullable() || probe.is_nullable(),
            bits,
        })
    };
    keys.map(key).collect()
}

pub(super) fn invert(
    launch: &Launch,
    column: &DeviceColumn,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    logic(launch, abi::PROJECT_NOT, column, column, rows)
}

impl HashJoinBuild {
    pub(super) fn new(shared: Arc<Shared>, spec: &HashJoinSpec) -> Result<Self> {
        let layout = match spec.has_keys() {
            true => Some(JoinLayout::new(
                &keys_of(spec)?,
                spec.null_equals_null,
                &shared.join_tuning,
            )?),
            false => None,
        };
        let width = spec.probe.fields().len();
        let mut needed = vec![false; spec.build.fields().len()];
        let leaving = match spec.kind.gives_build_rows() {
            true => spec.projection.clone(),
            false => Vec::new(),
        };
        let read = spec.residual_columns();
        let paired = leaving.iter().chain(&read);
        let paired = paired.filter_map(|index| index.checked_sub(width));
        for index in paired.chain(spec.build_keys.iter().copied()) {
            needed[index] = true;
        }
        Ok(HashJoinBuild {
            shared,
            spec: spec.clone(),
            layout,
            needed,
        })
    }

    fn add(&self, launch: &Launch, state: &mut Rows, batches: Vec<CudaBatch>) -> Result<()> {
        let more = batches.iter().map(|batch| batch.rows.max());
        state.rows_max += more.sum::<u64>();
        state.batches.extend(batches);
        if state.rows_max > BUILD_ROWS_MAX {
            let exact = state.batches.iter().map(|batch| batch.rows.resolve(launch));
            let rows = exact.sum::<Result<u64>>()?;
            if rows > BUILD_ROWS_MAX {
                return Err(too_many_build_rows(self.spec.name(), rows));
            }
        }
        Ok(())
    }
}

impl Fold for HashJoinBuild {
    fn init(&self, _: &Context) -> Result<FoldState> {
        Ok(Box::new(Rows {
            batches: Vec::new(),
            rows_max: 0,
        }))
    }

    fn next(&self, context: &Context, state: &mut FoldState, batch: Batch) -> Result<()> {
        let launch = self.shared.launch(context);
        let state = state_of::<Rows>("hash_join", state)?;
        let mut batch = CudaBatch::of(&batch)?.clone();
        for (column, needed) in batch.columns.iter_mut().zip(&self.needed) {
            if !*needed {
                *column = append::absent(column, batch.rows.max());
            }
        }
        for &index in &self.spec.build_keys {
            if is_text(self.spec.build.field(index).data_type()) {
                let column = &batch.columns[index];
                batch.columns[index] =
                    text::coded(&launch, &batch.dictionary, column, &batch.rows)?;
            }
        }
        self.add(&launch, state, vec![batch])
    }

    fn merge(&self, context: &Context, state: &mut FoldState, other: FoldState) -> Result<()> {
        let launch = self.shared.launch(context);
        let state = state_of::<Rows>("hash_join", state)?;
        let other = own_state::<Rows>("hash_join", other)?;
        self.add(&launch, state, other.batches)
    }

    fn finish(&self, context: &Context, state: FoldState) -> Result<Vec<Batch>> {
        let launch = self.shared.launch(context);
        let state = own_state::<Rows>("hash_join", state)?;
        self.shared.settle(&launch)?;
        let dictionary = append::dictionary(&self.shared, &state.batches);
        let sized = append::sized(&launch, state.batches)?;
        let rows = sized.iter().map(|(_, rows)| rows).sum();
        if rows > BUILD_ROWS_MAX {
            return Err(too_many_build_rows(self.spec.name(), rows));
        }
        let columns = append::whole(&launch, &sized, &self.spec.build, &self.needed)?;
        let keys = self.spec.build_keys.iter().map(|&index| &columns[index]);
        let keys: Vec<&DeviceColumn> = keys.collect();
        let only_exists = !self.spec.kind.gives_build_rows() && self.spec.residual.is_none();
        let need = match only_exists {
            true => JoinNeed::Existence,
            false => JoinNeed::Rows,
        };
        let tuning = self.shared.join_tuning;
        let table = self.layout.clone();
        let table =
            table.map(|layout| JoinTable::build(&launch, layout, &keys, rows, need, tuning));
        let table = table.transpose()?;
        let marks = match self.spec.kind.keeps_build_rows() {
            true => Some(JoinMarks::new(&launch, rows)?),
            false => None,
        };
        let rows = DeviceRows::known(rows);
        let batch = CudaBatch::flat(columns, rows, dictionary);
        let built = JoinBuilt {
            batch,
            table,
            marks,
        };
        let schema = Arc::clone(&self.spec.build);
        Ok(vec![Batch::device(schema, Arc::new(built))])
    }
}

/// One join of a batch.
pub(super) struct Join<'a> {
    pub launch: Launch<'a>,
    pub context: &'a Context,
    pub spec: &'a HashJoinSpec,
    pub shared: &'a Shared,
    pub built: &'a JoinBuilt,
    pub batch: &'a CudaBatch,
}

impl HashJoinProbe {
    pub(super) fn new(shared: Arc<Shared>, spec: &HashJoinSpec) -> Self {
        let output = spec.output();
        HashJoinProbe {
            shared,
            spec: spec.clone(),
            output,
        }
    }

    /// What was joined to a batch, as a batch.
    pub(super) fn batch_of(
        &self,
        columns: Vec<DeviceColumn>,
        rows: DeviceRows,
        probe: &CudaBatch,
    ) -> Batch {
        let joined = CudaBatch::flat(columns, rows, Arc::clone(&probe.dictionary));
        joined.into_batch(Arc::clone(&self.output))
    }
}

impl Join<'_> {
    fn width(&self) -> usize {
        self.spec.probe.fields().len()
    }

    fn keys(&self) -> Result<Vec<DeviceColumn>> {
        let batch = self.batch;
        let keys = self.spec.probe_keys.iter().map(|&index| {
            let column = &batch.columns[index];
            match is_text(self.spec.probe.field(index).data_type()) {
                true => text::coded(&self.launch, &batch.dictionary, column, &batch.rows),
                false => Ok(column.clone()),
            }
        });
        keys.collect()
    }

    /// The rows with equal keys; with `outer`, also each probe row without any.
    fn pairs(&self, keys: &[&DeviceColumn], outer: bool) -> Result<Pairs> {
        let (launch, table, rows) = (&self.launch, self.built.table()?, &self.batch.rows);
        if table.is_unique() && outer {
            return Ok(Pairs {
                probe_rows: None,
                build_rows: table.lookup(launch, keys, rows)?,
                rows: rows.clone(),
            });
        }
        let pairs = if table.is_unique() {
            table.pairs(launch, keys, rows)?
        } else {
            let counted = table.count(launch, keys, rows, outer)?;
            let count = counted.resolve(launch)?;
            if count > ROWS_PER_BATCH_MAX {
                return Err(too_many_output_rows(
                    self.spec.name(),
                    count,
                    ROWS_PER_BATCH_MAX,
                ));
            }
            counted.emit(launch, count)?
        };
        Ok(Pairs {
            probe_rows: Some(pairs.probe_rows),
            build_rows: pairs.build_rows,
            rows: pairs.rows,
        })
    }

    /// Columns of the joined sides, by index, of the pairs' rows; those not asked for are absent.
    pub(super) fn gather(&self, pairs: &Pairs, indices: &[usize]) -> Result<Vec<DeviceColumn>> {
        let (width, status) = (self.width(), Status::new(&self.launch, "gather_rows")?);
        let of_probe = indices.iter().filter(|index| **index < width);
        let of_probe: Vec<&DeviceColumn> =
            of_probe.map(|index| &self.batch.columns[*index]).collect();
        let of_build = indices.iter().filter_map(|index| index.checked_sub(width));
        let of_build: Vec<&DeviceColumn> = of_build
            .map(|index| &self.built.batch.columns[index])
            .collect();
        let gather = |rows: &DeviceColumn, columns: &[&DeviceColumn], batch: &CudaBatch| {
            let launch = &self.launch;
            gather_rows(launch, rows, &pairs.rows, columns, &batch.rows, &status)
        };
        let probe = match &pairs.probe_rows {
            None => of_probe.into_iter().cloned().collect(),
            Some(rows) => gather(rows, &of_probe, self.batch)?,
        };
        let build = gather(&pairs.build_rows, &of_build, &self.built.batch)?;
        self.shared.watch(self.context.stream, status);
        let (mut probe, mut build) = (probe.into_iter(), build.into_iter());
        let next = indices.iter().filter_map(|index| match *index < width {
            true => probe.next(),
            false => build.next(),
        });
        Ok(next.collect())
    }

    /// Whether the residual is true, for each pair.
    pub(super) fn residual(&self, pairs: &Pairs) -> Result<Option<DeviceColumn>> {
        let Some(residual) = &self.spec.residual else {
            return Ok(None);
        };
        let indices = self.spec.residual_columns();
        let rows_max = pairs.rows.max();
        let sides = self.batch.columns.iter().chain(&self.built.batch.columns);
        let mut columns: Vec<DeviceColumn> = sides.map(|c| append::absent(c, rows_max)).collect();
        for (index, column) in indices.iter().zip(self.gather(pairs, &indices)?) {
            columns[*index] = column;
        }
        let pair = CudaBatch::flat(
            columns,
            pairs.rows.clone(),
            Arc::clone(&self.batch.dictionary),
        );
        let status = Status::new(&self.launch, "hash_join")?;
        let evaluator = Evaluator::new(self.launch, &pair, self.spec.semantics, &status);
        let keep = evaluator.evaluate(residual)?;
        self.shared.watch(self.context.stream, status);
        Ok(Some(keep))
    }

    /// The columns that leave of the probe rows for which `found` is true, or, for a mark join, of
    /// all of them with `found` behind.
    pub(super) fn select(&self, found: &DeviceColumn) -> Result<(Vec<DeviceColumn>, DeviceRows)> {
        let rows = &self.batch.rows;
        let mut joined: Vec<&DeviceColumn> = self.batch.columns.iter().collect();
        joined.push(found);
        let leaving = self.spec.projection.iter().map(|&index| joined[index]);
        if self.spec.kind == JoinKind::Mark {
            return Ok((leaving.cloned().collect(), rows.clone()));
        }
        let leaving: Vec<&DeviceColumn> = leaving.collect();
        filter_compact(&self.launch, found, &leaving, rows)
    }

    /// The probe rows that pairs name, as a Boolean column.
    fn probe_marks(&self, pairs: &Pairs, keep: Option<&DeviceColumn>) -> Result<DeviceColumn> {
        let marks = JoinMarks::new(&self.launch, self.batch.rows.max())?;
        if let Some(rows) = &pairs.probe_rows {
            marks.mark(&self.launch, rows, keep, &pairs.rows)?;
        }
        marks.column(&self.launch)
    }

    pub(super) fn mark_build_rows(&self, pairs: &Pairs) -> Result<()> {
        match &self.built.marks {
            Some(marks) => marks.mark(&self.launch, &pairs.build_rows, None, &pairs.rows),
            None => Ok(()),
        }
    }

    /// The probe rows that pairs do not name, behind the pairs. Waits for the sizes of both.
    pub(super) fn with_unmatched(&self, pairs: &Pairs) -> Result<(Vec<DeviceColumn>, DeviceRows)> {
        let (launch, width) = (&self.launch, self.width());
        let indices = &self.spec.projection;
        let matched = self.gather(pairs, indices)?;
        let alone = invert(launch, &self.probe_marks(pairs, None)?, &self.batch.rows)?;
        let of_probe = indices.iter().filter(|index| **index < width);
        let of_probe: Vec<&DeviceColumn> =
            of_probe.map(|index| &self.batch.columns[*index]).collect();
        let (kept, kept_rows) = filter_compact(launch, &alone, &of_probe, &self.batch.rows)?;
        let counts = (pairs.rows.resolve(launch)?, kept_rows.resolve(launch)?);
        let rows = counts.0 + counts.1;
        if rows > ROWS_PER_BATCH_MAX {
            return Err(too_many_output_rows(
                self.spec.name(),
                rows,
                ROWS_PER_BATCH_MAX,
            ));
        }
        let mut kept = kept.into_iter();
        let unmatched = indices.iter().zip(&matched).map(|(index, column)| {
            let own = if *index < width { kept.next() } else { None };
            own.unwrap_or_else(|| append::absent(column, counts.1))
        });
        let unmatched: Vec<DeviceColumn> = unmatched.collect();
        let parts = [(matched.as_slice(), counts.0), (&unmatched, counts.1)];
        Ok((append_rows(launch, &parts)?, DeviceRows::known(rows)))
    }

    /// The joined rows.
    fn run(&self) -> Result<(Vec<DeviceColumn>, DeviceRows)> {
        let (launch, spec) = (&self.launch, self.spec);
        let keys = self.keys()?;
        let keys: Vec<&DeviceColumn> = keys.iter().collect();
        if !spec.kind.gives_build_rows() {
            let anti = spec.kind == JoinKind::Anti;
            let table = self.built.table()?;
            let found = if spec.residual.is_none() {
                table.found(launch, &keys, &self.batch.rows, anti)?
            } else {
                let pairs = self.pairs(&keys, false)?;
                let marks = self.probe_marks(&pairs, self.residual(&pairs)?.as_ref())?;
                match anti {
                    true => invert(launch, &marks, &self.batch.rows)?,
                    false => marks,
                }
            };
            return self.select(&found);
        }
        let outer = spec.kind.keeps_probe_rows();
        if spec.residual.is_none() {
            let pairs = self.pairs(&keys, outer)?;
            self.mark_build_rows(&pairs)?;
            return Ok((self.gather(&pairs, &spec.projection)?, pairs.rows));
        }
        let mut pairs = self.pairs(&keys, false)?;
        if let (Some(keep), Some(rows)) = (self.residual(&pairs)?, &pairs.probe_rows) {
            let both = [rows, &pairs.build_rows];
            let (kept, rows) = filter_compact(launch, &keep, &both, &pairs.rows)?;
            let mut kept = kept.into_iter();
            if let (probe_rows, Some(build_rows)) = (kept.next(), kept.next()) {
                pairs = Pairs {
                    probe_rows,
                    build_rows,
                    rows,
                };
            }
        }
        self.mark_build_rows(&pairs)?;
        match outer {
            true => self.with_unmatched(&pairs),
            false => Ok((self.gather(&pairs, &spec.projection)?, pairs.rows)),
        }
    }
}

impl Transform for HashJoinProbe {
    fn next(
        &self,
        context: &Context,
        built: Option<&Batch>,
        batch: Batch,
    ) -> Result<Option<Batch>> {
        let batch = CudaBatch::of(&batch)?;
        let join = Join {
            launch: self.shared.launch(context),
            context,
            spec: &self.spec,
            shared: &self.shared,
            built: JoinBuilt::of(built)?,
            batch,
        };
        let (columns, rows) = join.run()?;
        Ok(Some(self.batch_of(columns, rows, batch)))
    }

    fn finish(&self, context: &Context, built: Option<&Batch>) -> Result<Option<Batch>> {
        if !self.spec.kind.keeps_build_rows() {
            return Ok(None);
        }
        let launch = self.shared.launch(context);
        let built = JoinBuilt::of(built)?;
        let Some(marks) = &built.marks else {
            let cause = "the built batch is that of another kind of join";
            return Err(Error::invalid("hash_join", cause, ""));
        };
        let (width, build) = (self.spec.probe.fields().len(), &built.batch);
        let alone = invert(&launch, &marks.column(&launch)?, &build.rows)?;
        let of_build = self.spec.projection.iter();
        let of_build = of_build.filter_map(|index| index.checked_sub(width));
        let of_build: Vec<&DeviceColumn> = of_build.map(|index| &build.columns[index]).collect();
        let (kept, mut rows) = filter_compact(&launch, &alone, &of_build, &build.rows)?;
        if rows.max() > ROWS_PER_BATCH_MAX {
            rows = DeviceRows::known(rows.resolve(&launch)?);
        }
        if rows.max() > ROWS_PER_BATCH_MAX {
            return Err(too_many_output_rows(
                self.spec.name(),
                rows.max(),
                ROWS_PER_BATCH_MAX,
            ));
        }
        let mut kept = kept.into_iter();
        let columns = self.spec.projection.iter().map(|&index| {
            let own = if index < width { None } else { kept.next() };
            match own {
                Some(column) => Ok(column),
                None => {
                    let layout = physical(self.spec.probe.field(index).data_type())?;
                    Ok(DeviceColumn::scalar(layout, None, rows.max()))
                }
            }
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let unmatched = CudaBatch::flat(columns, rows, Arc::clone(&build.dictionary));
        Ok(Some(unmatched.into_batch(Arc::clone(&self.output))))
    }
}
