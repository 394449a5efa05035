//! Predicates go down: through projections, sorts, unions, windows and groups as far as these pass
//! the columns, and into the sides of joins. What both sides of a join have goes into it, an equality
//! as a pair of keys; an outer join whose null rows no predicate lets through becomes an inner one.
//!
//! Equal: the rows. A predicate that may fail stays where it is, in a join's residual too.
//! Where a predicate stops, by kind of join (from above; of the residual):
//!
//! | kind | left columns | right columns | both |
//! | --- | --- | --- | --- |
//! | inner | left; left | right; right | join; join |
//! | left | left; join | above; right | above; join |
//! | right | above; left | right; join | above; join |
//! | full | above; join | above; join | above; join |
//! | semi | left; left | -; right | -; join |
//! | anti, mark | left; join | -; right | -; join |

use std::sync::Arc;

use super::predicate::{
    columns_of, conjunction, conjuncts, filtered, has_unequal_equals, may_fail, rejects_nulls,
    sure_and_risky,
};
use crate::expr::{BinaryOp, Expr, Function, JoinKind, MARK_NAME, resolve_keys};
use crate::limits::KEYS_MAX;
use crate::plan::schema::{Schemas, has_column};
use crate::plan::{LogicalPlan, WindowExpr, join_names, join_pair};
use crate::types::{Schema, SchemaRef, Semantics};

pub(super) fn push_down(plan: LogicalPlan, semantics: Semantics) -> LogicalPlan {
    match Schemas::of(&plan) {
        Ok(schemas) => sink(plan, &schemas, Vec::new(), semantics),
        Err(_) => plan,
    }
}

/// The plan's rows that satisfy the conjuncts, none of which may fail, each as far down as it goes.
fn sink(
    plan: LogicalPlan,
    schemas: &Schemas,
    above: Vec<Expr>,
    semantics: Semantics,
) -> LogicalPlan {
    let schema = schemas.input();
    let passes = |conjunct: Expr, of: &dyn Fn(&str) -> Option<Expr>| {
        let names = columns_of(&conjunct);
        let known = !names.is_empty() && names.iter().all(|name| of(name).is_some());
        let below = conjunct.with_columns_as(of);
        match known && !may_fail(&below, schema, semantics) {
            true => Ok(below),
            false => Err(conjunct),
        }
    };
    match plan {
        LogicalPlan::Scan { .. } | LogicalPlan::Memory { .. } | LogicalPlan::Stored { .. } => {
            filtered(plan, above)
        }
        LogicalPlan::Filter { input, predicate } => {
            let (sure, risky) = sure_and_risky(conjuncts(predicate), schema, semantics);
            let below = sure.into_iter().chain(above).collect();
            let input = match schemas.inputs.first() {
                Some(schemas) => sink(*input, schemas, below, semantics),
                None => filtered(*input, below),
            };
            filtered(input, risky)
        }
        LogicalPlan::Sort { .. } => plan.map_inputs_with(schemas, &mut |input, schemas| {
            sink(input, schemas, above.clone(), semantics)
        }),
        LogicalPlan::Limit { .. } => {
            let cut = plan.map_inputs_with(schemas, &mut |input, schemas| {
                sink(input, schemas, Vec::new(), semantics)
            });
            filtered(cut, above)
        }
        LogicalPlan::Union { inputs } => into_union(inputs, &schemas.inputs, &above, semantics),
        LogicalPlan::Join { .. } => into_join(plan, schemas, above, semantics),
        LogicalPlan::Project { .. }
        | LogicalPlan::Aggregate { .. }
        | LogicalPlan::Distinct { .. }
        | LogicalPlan::Window { .. } => {
            let of = |name: &str| passed_as(&plan, name, schema);
            let (mut below, mut stay) = (Vec::new(), Vec::new());
            for conjunct in above {
                match passes(conjunct, &of) {
                    Ok(conjunct) => below.push(conjunct),
                    Err(conjunct) => stay.push(conjunct),
                }
            }
            let step = plan.map_inputs_with(schemas, &mut |input, schemas| {
                sink(input, schemas, below.clone(), semantics)
            });
            filtered(step, stay)
        }
    }
}

/// What an output column is of the step's input, if a condition on it is one on input rows that go
/// or stay together.
fn passed_as(plan: &LogicalPlan, name: &str, input: &Schema) -> Option<Expr> {
    let of = |exprs: &[Expr]| {
        let found = exprs.iter().find(|expr| expr.has_name(name))?;
        match found {
            Expr::Alias { expr, .. } => Some(expr.as_ref().clone()),
            other => Some(other.clone()),
        }
    };
    let equals = |expr: Expr| match &expr {
        Expr::Column(name) => (!has_unequal_equals(input, name)).then_some(expr),
        _ => None,
    };
    match plan {
        LogicalPlan::Project { exprs, .. } => of(exprs).filter(is_cheap),
        LogicalPlan::Aggregate { group_keys, .. } => of(group_keys).and_then(equals),
        LogicalPlan::Distinct { on, .. } => {
            let is_key = on.is_empty() || on.iter().any(|key| key == name);
            equals(Expr::Column(name.to_string())).filter(|_| is_key)
        }
        LogicalPlan::Window { functions, .. } => {
            let column = Expr::Column(name.to_string());
            let splits = |window: &WindowExpr| window.partition_by.contains(&column);
            let known = has_column(input, name) && functions.iter().all(splits);
            equals(column).filter(|_| known)
        }
        _ => None,
    }
}

/// True if it is worth computing twice: once for the predicate below, once for the projection.
fn is_cheap(expr: &Expr) -> bool {
    let own = match expr {
        Expr::Literal(_) | Expr::Case { .. } => false, // a literal takes the type of what it meets
        Expr::Function { function, .. } => !matches!(function, Function::String(_)),
        _ => true,
    };
    let literal = |child: &&Expr| !matches!(child, Expr::Literal(_));
    own && expr.children().into_iter().filter(literal).all(is_cheap)
}

/// Each input gets the conjuncts under its own names; columns meet by their place.
fn into_union(
    inputs: Vec<LogicalPlan>,
    schemas: &[Schemas],
    above: &[Expr],
    semantics: Semantics,
) -> LogicalPlan {
    let first = schemas.first();
    let inputs = inputs.into_iter().zip(schemas).map(|(input, schemas)| {
        let name = |name: &str| {
            let place = first?.own.index_of(name).ok()?;
            let field = schemas.own.fields().get(place)?;
            Some(Expr::Column(field.name().clone()))
        };
        let own = above.iter().map(|conjunct| conjunct.with_columns_as(&name));
        sink(input, schemas, own.collect(), semantics)
    });
    LogicalPlan::Union {
        inputs: inputs.collect(),
    }
}

/// A join's columns as they leave: which side has them, under which name.
struct Sides {
    left: SchemaRef,
    right: SchemaRef,
    names: Vec<String>,
}

/// Which sides' columns an expression reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    Nothing,
    Left,
    Right,
    Both,
}

impl Sides {
    fn of(left: &SchemaRef, right: &SchemaRef, suffix: &str) -> Sides {
        Sides {
            left: Arc::clone(left),
            right: Arc::clone(right),
            names: join_names(left, right, suffix),
        }
    }

    fn is_left(&self, name: &str) -> bool {
        has_column(&self.left, name)
    }

    /// The right input's own name of a column.
    fn right_name(&self, name: &str) -> Option<Expr> {
        let count = self.left.fields().len();
        let place = self
            .names
            .iter()
            .skip(count)
            .position(|have| have == name)?;
        Some(Expr::Column(self.right.field(place).name().clone()))
    }

    fn reads(&self, expr: &Expr) -> Reads {
        let names = columns_of(expr);
        let left = names.iter().any(|name| self.is_left(name));
        let right = names.iter().any(|name| !self.is_left(name));
        match (left, right) {
            (false, false) => Reads::Nothing,
            (true, false) => Reads::Left,
            (false, true) => Reads::Right,
            (true, true) => Reads::Both,
        }
    }
}

/// Where the conjuncts at a join go.
#[derive(Default)]
struct Places {
    left: Vec<Expr>,
    right: Vec<Expr>,
    join: Vec<Expr>,
    above: Vec<Expr>,
}

impl Places {
    /// Where conjuncts from above the join and those of its residual go.
    fn of(kind: JoinKind, above: Vec<Expr>, residual: Vec<Expr>, sides: &Sides) -> Places {
        let mut places = Places::default();
        for conjunct in above {
            let of_mark = kind == JoinKind::Mark && columns_of(&conjunct).contains(MARK_NAME);
            let reads = match kind.gives_build_rows() {
                true => sides.reads(&conjunct),
                false if of_mark => Reads::Both,
                false => Reads::Left,
            };
            places.put_above(kind, reads, conjunct);
        }
        for conjunct in residual {
            places.put_residual(kind, sides.reads(&conjunct), conjunct);
        }
        places
    }

    /// A conjunct from above the join.
    fn put_above(&mut self, kind: JoinKind, reads: Reads, conjunct: Expr) {
        use JoinKind::{Anti, Full, Inner, Left, Mark, Right, Semi};
        let place = match (kind, reads) {
            (Inner, Reads::Both) => &mut self.join,
            (Inner | Right, Reads::Right) => &mut self.right,
            (Inner | Left | Semi | Anti | Mark, Reads::Left | Reads::Nothing) => &mut self.left,
            (Right, Reads::Nothing) => &mut self.right,
            (Left | Right | Full | Semi | Anti | Mark, _) => &mut self.above,
        };
        place.push(conjunct);
    }

    /// A conjunct of the residual.
    fn put_residual(&mut self, kind: JoinKind, reads: Reads, conjunct: Expr) {
        use JoinKind::{Anti, Inner, Left, Mark, Right, Semi};
        let place = match (kind, reads) {
            (Inner | Right | Semi, Reads::Left) => &mut self.left,
            (Inner | Left | Semi | Anti | Mark, Reads::Right) => &mut self.right,
            _ => &mut self.join,
        };
        place.push(conjunct);
    }
}

fn into_join(
    mut plan: LogicalPlan,
    schemas: &Schemas,
    above: Vec<Expr>,
    semantics: Semantics,
) -> LogicalPlan {
    let (
        LogicalPlan::Join {
            kind,
            on,
            null_equals_null,
            residual,
            suffix,
            ..
        },
        [left, right],
    ) = (&mut plan, schemas.inputs.as_slice())
    else {
        return filtered(plan, above);
    };
    let sides = Sides::of(&left.own, &right.own, suffix);
    *kind = simplified(*kind, &above, &sides);
    let (sure, risky) = match residual.take().map(conjuncts) {
        None => (Vec::new(), Vec::new()),
        Some(own) => match join_pair(&sides.left, &sides.right, suffix) {
            Ok(pair) => sure_and_risky(own, &pair, semantics),
            Err(_) => (Vec::new(), own),
        },
    };
    let places = Places::of(*kind, above, sure, &sides);
    let mut rest = Vec::new();
    for conjunct in places.join {
        let may_mix = !*null_equals_null || on.is_empty();
        match key_pair(&conjunct, &sides).filter(|_| may_mix && on.len() < KEYS_MAX) {
            Some(keys) => {
                *null_equals_null = false;
                if !on.contains(&keys) {
                    on.push(keys);
                }
            }
            None => rest.push(conjunct),
        }
    }
    rest.extend(risky);
    *residual = conjunction(rest);
    let of_right = |name: &str| sides.right_name(name);
    let to_right = places.right.iter();
    let to_right = to_right.map(|conjunct| conjunct.with_columns_as(&of_right));
    let mut to_sides = [places.left, to_right.collect()].into_iter();
    let join = plan.map_inputs_with(schemas, &mut |input, schemas| {
        let conjuncts = to_sides.next().unwrap_or_default();
        sink(input, schemas, conjuncts, semantics)
    });
    filtered(join, places.above)
}

/// The kind that gives the same rows once the conjuncts are applied: without the null rows of a side
/// that none of them lets through.
fn simplified(kind: JoinKind, above: &[Expr], sides: &Sides) -> JoinKind {
    let of_left = |name: &str| sides.is_left(name);
    let of_right = |name: &str| !sides.is_left(name);
    // Rows without a left part go if a conjunct on left columns is not true of nulls.
    let no_left = above
        .iter()
        .any(|conjunct| rejects_nulls(conjunct, &of_left));
    let no_right = above
        .iter()
        .any(|conjunct| rejects_nulls(conjunct, &of_right));
    match kind {
        JoinKind::Left if no_right => JoinKind::Inner,
        JoinKind::Right if no_left => JoinKind::Inner,
        JoinKind::Full => match (no_left, no_right) {
            (true, true) => JoinKind::Inner,
            (true, false) => JoinKind::Left,
            (false, true) => JoinKind::Right,
            (false, false) => JoinKind::Full,
        },
        other => other,
    }
}

/// The keys that an equality is one of, each over its own side.
fn key_pair(conjunct: &Expr, sides: &Sides) -> Option<(Expr, Expr)> {
    let Expr::Binary {
        op: BinaryOp::Equal,
        left,
        right,
    } = conjunct
    else {
        return None;
    };
    let (l, r) = match (sides.reads(left), sides.reads(right)) {
        (Reads::Left, Reads::Right) => (left, right),
        (Reads::Right, Reads::Left) => (right, left),
        _ => return None,
    };
    let r = r.with_columns_as(&|name| sides.right_name(name));
    resolve_keys((l, &sides.left), (&r, &sides.right)).ok()?;
    Some((l.as_ref().clone(), r))
}
