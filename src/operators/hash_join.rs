//! Contract of `hash_join`: rows of two sides that have equal keys.
//!
//! Two operators share one specification. [`HashJoinBuild`](super::OperatorSpec::HashJoinBuild) is
//! a fold over the build side, whose one result is the built batch: a table of the keys, the build
//! rows, and, for right and full joins, a mark per build row.
//! [`HashJoinProbe`](super::OperatorSpec::HashJoinProbe) is a transform of the probe side's batches,
//! which gets the built batch; its `finish` gives the build rows that no probe row matched, once all
//! batches have been through `next`. Marks are set in the built batch itself, by any number of
//! streams at one time, so a built batch serves one run over the probe side.
//!
//! - Shape: build `[build_rows]`, probe `[rows]` → as [`JoinKind`] says.
//! - Order: unspecified, among the rows of a batch too.
//! - Keys: equal as values are. NaN equals NaN, −0.0 equals 0.0, strings are equal by their bytes,
//!   whatever their types. A row with a null key matches nothing, unless `null_equals_null`: then a
//!   null equals a null.
//! - Residual: a further condition over the columns of both sides, probe first. It is evaluated for
//!   the pairs of rows with equal keys, and only for them; a pair for which it is not true is no
//!   match. Its arithmetic behaves as the semantics say.
//! - Nulls: where a side has no row, its columns are null.
//! - Waiting: building waits for the stream. Probing does not where no build key comes twice, or
//!   where only existence is asked (the output has at most the probe's rows, the count stays on the
//!   device); else it waits once, for the size of the output; with a residual, left and full joins
//!   wait for the sizes of both parts of it.
//! - Errors: `InvalidInput` when made, for keys that differ in type, columns that are not there, or
//!   a residual that is not Boolean; later, for more than [`BUILD_ROWS_MAX`] build rows, and for a
//!   batch that joins to more rows than a batch may have. `Unsupported` for a join without keys, which
//!   is a [`NestedLoopJoinSpec`](super::NestedLoopJoinSpec)'s. Arithmetic errors of the residual.
//! - Equality in tests: multiset, exact.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::expr::{JoinKind, MARK_NAME, TypedExpr, TypedKind};
use crate::limits::KEYS_MAX;
use crate::types::{DataType, Field, Schema, SchemaRef, Semantics, is_string};

/// Most rows of a build side: their numbers fit 32 bits, with room for a sentinel.
pub const BUILD_ROWS_MAX: u64 = u32::MAX as u64;

/// Joins a probe side to a build side by equal keys.
#[derive(Debug, Clone, PartialEq)]
pub struct HashJoinSpec {
    /// Which rows leave.
    pub kind: JoinKind,
    /// Schema of the build side.
    pub build: SchemaRef,
    /// Schema of the probe side.
    pub probe: SchemaRef,
    /// Key columns of the build side, by index.
    pub build_keys: Vec<usize>,
    /// Key columns of the probe side, in the same order.
    pub probe_keys: Vec<usize>,
    /// Whether a null key equals a null key.
    pub null_equals_null: bool,
    /// A further condition over the probe's columns followed by the build's.
    pub residual: Option<TypedExpr>,
    /// Columns that leave, in output order, by index into the probe's columns followed by the
    /// build's; a semi or anti join has the probe's alone, a mark join the mark behind them.
    pub projection: Vec<usize>,
    /// How the residual's arithmetic behaves.
    pub semantics: Semantics,
}

impl HashJoinSpec {
    /// The columns that the projection picks from.
    pub fn joined(&self) -> SchemaRef {
        let side = |schema: &SchemaRef, nullable: bool| {
            let fields = schema.fields().iter();
            let field = move |field: &Arc<Field>| {
                let nullable = nullable || field.is_nullable();
                field.as_ref().clone().with_nullable(nullable)
            };
            fields.map(field).collect::<Vec<Field>>()
        };
        let mut fields = side(&self.probe, self.kind.keeps_build_rows());
        if self.kind.gives_build_rows() {
            fields.extend(side(&self.build, self.kind.keeps_probe_rows()));
        }
        if self.kind == JoinKind::Mark {
            fields.push(Field::new(MARK_NAME, DataType::Boolean, false));
        }
        Arc::new(Schema::new(fields))
    }

    /// Schema of the batches that leave.
    pub fn output(&self) -> SchemaRef {
        let joined = self.joined();
        let fields = self.projection.iter();
        let fields = fields.map(|index| joined.field(*index).clone());
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Schema of the pairs of rows that the residual sees.
    pub fn pair(&self) -> SchemaRef {
        let fields = self.probe.fields().iter().chain(self.build.fields());
        Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
    }

    /// Checks that the specification does not contradict itself.
    ///
    /// # Errors
    /// `InvalidInput` as the contract says; `Unsupported`, by this backend, for a join without keys.
    pub fn check(&self, backend: &'static str) -> Result<()> {
        let invalid = |cause: String, remedy: &str| Err(Error::invalid("hash_join", cause, remedy));
        let (build, probe) = (self.build.fields(), self.probe.fields());
        let keys = self.build_keys.len();
        if keys != self.probe_keys.len() || keys > KEYS_MAX {
            let cause = format!("{keys} build keys, {} probe keys", self.probe_keys.len());
            return invalid(cause, &format!("pair at most {KEYS_MAX} keys"));
        }
        for (schema, side, used) in [
            (build, "build", &self.build_keys),
            (probe, "probe", &self.probe_keys),
        ] {
            if let Some(index) = used.iter().find(|index| **index >= schema.len()) {
                return invalid(
                    format!("{side} key {index} of {} columns", schema.len()),
                    "",
                );
            }
        }
        for (&b, &p) in self.build_keys.iter().zip(&self.probe_keys) {
            let (b, p) = (&build[b], &probe[p]);
            if !comparable(b.data_type(), p.data_type()) {
                let (b, p) = (
                    format!("`{}` ({})", b.name(), b.data_type()),
                    format!("`{}` ({})", p.name(), p.data_type()),
                );
                let remedy = "cast one of them to the other's type";
                return invalid(format!("build key {b} and probe key {p} differ"), remedy);
            }
        }
        self.check_columns()?;
        if keys == 0 {
            let reason = "a join without keys, which is a nested_loop_join";
            return Err(Error::unsupported(backend, "hash_join", reason));
        }
        Ok(())
    }

    /// Checks everything but the keys.
    pub(crate) fn check_columns(&self) -> Result<()> {
        let (place, condition) = match self.has_keys() {
            true => (self.name(), "residual"),
            false => (self.name(), "condition"),
        };
        let invalid = |cause: String, remedy: &str| Err(Error::invalid(place, cause, remedy));
        let pair_columns = self.build.fields().len() + self.probe.fields().len();
        let columns = self.joined().fields().len();
        if let Some(index) = self.projection.iter().find(|index| **index >= columns) {
            return invalid(format!("projection of column {index} of {columns}"), "");
        }
        if let Some(residual) = &self.residual {
            let data_type = &residual.data_type;
            if !matches!(data_type, DataType::Boolean | DataType::Null) {
                let cause = format!("the {condition} is {data_type}");
                return invalid(cause, "use a Boolean expression");
            }
            let mut used = Vec::new();
            columns_of(residual, &mut used);
            let columns = pair_columns;
            if let Some(index) = used.iter().find(|index| **index >= columns) {
                return invalid(format!("{condition} over column {index} of {columns}"), "");
            }
        }
        Ok(())
    }

    /// True if a batch that is built for this join serves the other one's probe, too: both need the
    /// same of the build side, and neither marks its rows.
    pub fn builds_for(&self, other: &HashJoinSpec) -> bool {
        let same_keys = self.build_keys == other.build_keys
            && self.null_equals_null == other.null_equals_null
            && self.key_nulls() == other.key_nulls();
        let marks = self.kind.keeps_build_rows() || other.kind.keeps_build_rows();
        let rows = |spec: &HashJoinSpec| spec.kind.gives_build_rows() || spec.residual.is_some();
        same_keys
            && !marks
            && self.build == other.build
            && rows(self) == rows(other)
            && self.build_columns() == other.build_columns()
    }

    /// Which keys of the probe side may be null.
    fn key_nulls(&self) -> Vec<bool> {
        let keys = self.probe_keys.iter();
        let nullable = |&key: &usize| {
            self.probe
                .fields()
                .get(key)
                .map(|field| field.is_nullable())
        };
        keys.map(|key| nullable(key).unwrap_or(true)).collect()
    }

    /// Columns of the build side that leave or that the residual reads.
    fn build_columns(&self) -> BTreeSet<usize> {
        let width = self.probe.fields().len();
        let leaving = match self.kind.gives_build_rows() {
            true => self.projection.as_slice(),
            false => &[],
        };
        let read = self.residual_columns();
        let columns = leaving.iter().chain(&read);
        columns
            .filter_map(|index| index.checked_sub(width))
            .collect()
    }

    /// True if it is a hash join; else it is what a nested loop join shares with one.
    pub(crate) fn has_keys(&self) -> bool {
        !self.build_keys.is_empty()
    }

    /// The operator's name, for errors.
    pub(crate) fn name(&self) -> &'static str {
        match self.has_keys() {
            true => "hash_join",
            false => "nested_loop_join",
        }
    }

    /// Columns that the residual reads, by index into the pair.
    pub fn residual_columns(&self) -> Vec<usize> {
        let mut columns = Vec::new();
        if let Some(residual) = &self.residual {
            columns_of(residual, &mut columns);
        }
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

/// The error for a build side that is too large.
pub fn too_many_build_rows(operator: &'static str, rows: u64) -> Error {
    let cause = format!("{rows} build rows, more than {BUILD_ROWS_MAX}");
    Error::invalid(operator, cause, "build from the smaller side, or filter it")
}

/// The error for a batch that joins to too many rows.
pub fn too_many_output_rows(operator: &'static str, rows: u64, rows_max: u64) -> Error {
    let cause = format!("{TOO_MANY_OUTPUT_ROWS} {rows} rows, more than {rows_max}");
    Error::invalid(operator, cause, "lower `max_rows_per_partition`")
}

/// Whether an error says that a batch joins to too many rows, so that less of it may do.
pub fn is_too_many_output_rows(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput { cause, .. }
        if cause.starts_with(TOO_MANY_OUTPUT_ROWS))
}

const TOO_MANY_OUTPUT_ROWS: &str = "one batch joins to";

/// Keys of these types can be equal.
fn comparable(build: &DataType, probe: &DataType) -> bool {
    build == probe || (is_string(build) && is_string(probe))
}

/// Appends the columns that an expression reads.
fn columns_of(expr: &TypedExpr, columns: &mut Vec<usize>) {
    if let TypedKind::Column(index) = expr.kind {
        columns.push(index);
    }
    for child in expr.children() {
        columns_of(child, columns);
    }
}
