//! Joins: which side is built, and the keys' types.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::{Pipeline, Source};
use super::Lowering;
use super::columns::{cast, columns_of, projected, truth};
use crate::error::{Error, Result};
use crate::expr::{Expr, JoinKind, MARK_NAME, TypedExpr, resolve, resolve_keys};
use crate::operators::{HashJoinSpec, NestedLoopJoinSpec, OperatorSpec};
use crate::plan::{LogicalPlan, join_names, rows_of};
use crate::types::{DataType, Field, Schema, SchemaRef};

/// One side of a join, lowered.
struct Side {
    schema: SchemaRef,
    keys: Vec<usize>,
}

impl Lowering<'_> {
    pub(super) fn join(
        &mut self,
        plan: &LogicalPlan,
        wanted: &BTreeSet<String>,
    ) -> Result<SchemaRef> {
        let LogicalPlan::Join {
            left,
            right,
            kind,
            on,
            null_equals_null,
            residual,
            suffix,
        } = plan
        else {
            return self.step(plan, wanted);
        };
        let (left_schema, right_schema) = (left.schema()?, right.schema()?);
        let names = Names::new(&left_schema, &right_schema, suffix);
        let (of_left, of_right) = names.split(*kind, residual.as_ref(), wanted);
        let (mut left_keys, mut right_keys) = (Vec::new(), Vec::new());
        for (l, r) in on {
            let (a, b) = resolve_keys((l, &left_schema), (r, &right_schema))?;
            left_keys.push((l, a.data_type));
            right_keys.push((r, b.data_type));
        }
        let swapped = builds_left(*kind, left, right);
        let (build, probe) = match swapped {
            true => ((left, of_left, left_keys), (right, of_right, right_keys)),
            false => ((right, of_right, right_keys), (left, of_left, left_keys)),
        };
        let build_side = self.side(build.0, &build.1, &build.2)?;
        let built = self.open_above_limit(&build_side.schema);
        let rows = rows_of(build.0);
        let mut parked = std::mem::replace(
            built,
            Pipeline::new(Source::Pipelines(Vec::new()), &build_side.schema),
        );
        self.current = None;
        let probe_side = self.side(probe.0, &probe.1, &probe.2)?;
        let spec = HashJoinSpec {
            kind: if swapped { kind.swapped() } else { *kind },
            build: Arc::clone(&build_side.schema),
            probe: Arc::clone(&probe_side.schema),
            build_keys: build_side.keys,
            probe_keys: probe_side.keys,
            null_equals_null: *null_equals_null,
            residual: None,
            projection: Vec::new(),
            semantics: self.semantics,
        };
        let (spec, output) = names.finish(spec, swapped, residual.as_ref(), wanted)?;
        parked.fold_rows = rows as u64; // saturates
        self.add_join(parked, spec, &output);
        Ok(output)
    }

    /// Lowers a side to the wanted columns and its keys.
    fn side(
        &mut self,
        plan: &LogicalPlan,
        wanted: &BTreeSet<String>,
        keys: &[(&Expr, DataType)],
    ) -> Result<Side> {
        let mut needed = wanted.clone();
        keys.iter()
            .for_each(|(key, _)| key.collect_columns(&mut needed));
        let schema = self.step(plan, &needed)?;
        let typed = keys
            .iter()
            .map(|(key, data_type)| Ok(cast(resolve(key, &schema)?, data_type)));
        let typed: Vec<TypedExpr> = typed.collect::<Result<_>>()?;
        let (appended, places) = self.append(&schema, typed);
        // Columns that only computed keys read stay behind.
        let count = appended.fields().len();
        let is_kept = |&index: &usize| {
            let is_wanted = wanted.contains(appended.field(index).name());
            is_wanted || places.contains(&index) || places.is_empty()
        };
        let kept: Vec<usize> = (0..count).filter(is_kept).collect();
        let output = projected(&appended, &kept);
        self.pick(&appended, &kept, &output);
        let keys = places
            .iter()
            .map(|&place| kept.iter().position(|&column| column == place));
        let missing = || Error::invalid("join", "a key is not there", "");
        Ok(Side {
            schema: output,
            keys: keys.collect::<Option<_>>().ok_or_else(missing)?,
        })
    }

    /// Ends the build side's pipeline by the build, and appends the probe and a choice of names.
    fn add_join(&mut self, mut build: Pipeline, spec: HashJoinSpec, output: &SchemaRef) {
        let joined = spec.output();
        let probe = Arc::clone(&spec.probe);
        let (built, probed) = match spec.has_keys() {
            true => (
                OperatorSpec::HashJoinBuild(spec.clone()),
                OperatorSpec::HashJoinProbe(spec),
            ),
            false => {
                let spec = NestedLoopJoinSpec {
                    kind: spec.kind,
                    build: spec.build,
                    probe: spec.probe,
                    condition: spec.residual,
                    projection: spec.projection,
                    semantics: spec.semantics,
                };
                (
                    OperatorSpec::NestedLoopJoinBuild(spec.clone()),
                    OperatorSpec::NestedLoopJoinProbe(spec),
                )
            }
        };
        build.fold = Some(built);
        self.done.push(build);
        let number = self.done.len() - 1;
        self.transform_with(&probe, probed, Some(number), &joined);
        let columns: Vec<usize> = (0..joined.fields().len()).collect();
        self.pick(&joined, &columns, output);
    }
}

/// Whether the left input is the one to build from: the smaller one, where the kind leaves a choice.
fn builds_left(kind: JoinKind, left: &LogicalPlan, right: &LogicalPlan) -> bool {
    match kind {
        JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => false,
        JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
            rows_of(left) < rows_of(right)
        }
    }
}

/// The names of a join's columns: the left input's, the right one's, and all as they leave.
struct Names<'a> {
    left: &'a Schema,
    right: &'a Schema,
    pair: Vec<String>,
}

impl<'a> Names<'a> {
    fn new(left: &'a Schema, right: &'a Schema, suffix: &str) -> Self {
        Names {
            left,
            right,
            pair: join_names(left, right, suffix),
        }
    }

    /// The inputs' own names of the columns that leave or that the residual reads.
    fn split(
        &self,
        kind: JoinKind,
        residual: Option<&Expr>,
        wanted: &BTreeSet<String>,
    ) -> (BTreeSet<String>, BTreeSet<String>) {
        let mut read = BTreeSet::new();
        residual
            .iter()
            .for_each(|residual| residual.collect_columns(&mut read));
        let (mut left, mut right) = (BTreeSet::new(), BTreeSet::new());
        let count = self.left.fields().len();
        for (index, name) in self.pair.iter().enumerate() {
            let leaves = wanted.contains(name) && (index < count || kind.gives_build_rows());
            if !leaves && !read.contains(name) {
                continue;
            }
            match index < count {
                true => left.insert(name.clone()),
                false => right.insert(self.right.field(index - count).name().clone()),
            };
        }
        (left, right)
    }

    /// Where the columns of the pair lie among a spec's probe and build columns, in the pair's order,
    /// and their names; columns that were not lowered are left out.
    fn places(&self, spec: &HashJoinSpec, swapped: bool) -> Vec<(usize, String)> {
        let (left, right) = match swapped {
            true => (&spec.build, &spec.probe),
            false => (&spec.probe, &spec.build),
        };
        let probe = spec.probe.fields().len();
        let (left_start, right_start) = if swapped { (probe, 0) } else { (0, probe) };
        let count = self.left.fields().len();
        let place = |(index, name): (usize, &String)| {
            let place = match index < count {
                true => left_start + left.index_of(name).ok()?,
                false => {
                    let own = self.right.field(index - count).name();
                    right_start + right.index_of(own).ok()?
                }
            };
            Some((place, name.clone()))
        };
        self.pair.iter().enumerate().filter_map(place).collect()
    }

    /// The spec with its residual and projection, and the schema of the columns that leave.
    fn finish(
        &self,
        mut spec: HashJoinSpec,
        swapped: bool,
        residual: Option<&Expr>,
        wanted: &BTreeSet<String>,
    ) -> Result<(HashJoinSpec, SchemaRef)> {
        let places = self.places(&spec, swapped);
        if let Some(residual) = residual {
            let pair = spec.pair();
            let mut fields: Vec<Field> = pair.fields().iter().map(|f| f.as_ref().clone()).collect();
            for field in &mut fields {
                *field = field.clone().with_name(""); // computed keys have no names
            }
            for (place, name) in &places {
                fields[*place] = fields[*place].clone().with_name(name);
            }
            spec.residual = Some(truth(resolve(residual, &Schema::new(fields))?)?);
        }
        let joined = spec.joined();
        let mut kept: Vec<(usize, String)> = places
            .into_iter()
            .filter(|(place, name)| *place < joined.fields().len() && wanted.contains(name))
            .collect();
        if spec.kind == JoinKind::Mark {
            let mark = joined.fields().len() - 1;
            kept.retain(|(place, _)| *place < mark);
            if wanted.contains(MARK_NAME) {
                kept.push((mark, MARK_NAME.to_string()));
            }
        }
        if kept.is_empty() {
            let carrier = columns_of(&joined, &BTreeSet::new())?;
            kept.extend(
                carrier
                    .into_iter()
                    .map(|place| (place, joined.field(place).name().clone())),
            );
        }
        spec.projection = kept.iter().map(|(place, _)| *place).collect();
        let fields = kept
            .iter()
            .map(|(place, name)| joined.field(*place).clone().with_name(name));
        let output = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        if output.fields().is_empty() {
            return Err(Error::invalid("join", "has no columns", ""));
        }
        Ok((spec, output))
    }
}
