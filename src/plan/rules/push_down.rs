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

use super::predicate::{
    columns_of, conjunction, conjuncts, filtered, has_unequal_equals, may_fail, rejects_nulls,
    sure_and_risky,
};
use crate::expr::{BinaryOp, Expr, Function, JoinKind, MARK_NAME, resolve_keys};
use crate::limits::KEYS_MAX;
use crate::plan::{LogicalPlan, WindowExpr, join_names, join_pair};
use crate::types::{Schema, SchemaRef, Semantics};

pub(super) fn push_down(plan: LogicalPlan, semantics: Semantics) -> LogicalPlan {
    sink(plan, Vec::new(), semantics)
}

/// The plan's rows that satisfy the conjuncts, none of which may fail, each as far down as it goes.
fn sink(plan: LogicalPlan, above: Vec<Expr>, semantics: Semantics) -> LogicalPlan {
    let inputs = plan.inputs();
    let schemas: Vec<SchemaRef> = inputs.iter().filter_map(|i| i.schema().ok()).collect();
    let Some(schema) = schemas
        .first()
        .cloned()
        .filter(|_| schemas.len() == inputs.len())
    else {
        return filtered(plan, above);
    };
    let passes = |conjunct: Expr, of: &dyn Fn(&str) -> Option<Expr>| {
        let names = columns_of(&conjunct);
        let known = !names.is_empty() && names.iter().all(|name| of(name).is_some());
        let below = conjunct.with_columns_as(of);
        match known && !may_fail(&below, &schema, semantics) {
            true => Ok(below),
            false => Err(conjunct),
        }
    };
    match plan {
        LogicalPlan::Scan { .. } | LogicalPlan::Memory { .. } | LogicalPlan::Stored { .. } => {
            filtered(plan, above)
        }
        LogicalPlan::Filter { input, predicate } => {
            let (sure, risky) = sure_and_risky(conjuncts(predicate), &schema, semantics);
            let below = sure.into_iter().chain(above).collect();
            filtered(sink(*input, below, semantics), risky)
        }
        LogicalPlan::Sort { .. } => {
            plan.map_inputs(&mut |input| sink(input, above.clone(), semantics))
        }
        LogicalPlan::Limit { .. } => {
            let cut = plan.map_inputs(&mut |input| sink(input, Vec::new(), semantics));
            filtered(cut, above)
        }
        LogicalPlan::Union { inputs } => into_union(inputs, &schemas, &above, semantics),
        LogicalPlan::Join { .. } => into_join(plan, above, semantics),
        LogicalPlan::Project { .. }
        | LogicalPlan::Aggregate { .. }
        | LogicalPlan::Distinct { .. }
        | LogicalPlan::Window { .. } => {
            let of = |name: &str| passed_as(&plan, name, &schema);
            let (mut below, mut stay) = (Vec::new(), Vec::new());
            for conjunct in above {
                match passes(conjunct, &of) {
                    Ok(conjunct) => below.push(conjunct),
                    Err(conjunct) => stay.push(conjunct),
                }
            }
            let step = plan.map_inputs(&mut |input| sink(input, below.clone(), semantics));
            filtered(step, stay)
        }
    }
}

/// What an output column is of the step's input, if a condition on it is one on input rows that go
/// or stay together.
fn passed_as(plan: &LogicalPlan, name: &str, input: &Schema) -> Option<Expr> {
    let of = |exprs: &[Expr]| {
        let found = exprs.iter().find(|expr| expr.output_name() == name)?;
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
            let known = input.index_of(name).is_ok() && functions.iter().all(splits);
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
    schemas: &[SchemaRef],
    above: &[Expr],
    semantics: Semantics,
) -> LogicalPlan {
    let first = schemas.first().cloned();
    let inputs = inputs.into_iter().zip(schemas).map(|(input, own)| {
        let name = |name: &str| {
            let place = first.as_ref()?.index_of(name).ok()?;
            Some(Expr::Column(own.fields().get(place)?.name().clone()))
        };
        let own = above.iter().map(|conjunct| conjunct.with_columns_as(&name));
        sink(input, own.collect(), semantics)
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
    fn is_left(&self, name: &str) -> bool {
        self.left.index_of(name).is_ok()
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

fn into_join(plan: LogicalPlan, above: Vec<Expr>, semantics: Semantics) -> LogicalPlan {
    let LogicalPlan::Join {
        left,
        right,
        kind,
        mut on,
        mut null_equals_null,
        residual,
        suffix,
    } = plan
    else {
        return filtered(plan, above);
    };
    let (Ok(left_schema), Ok(right_schema)) = (left.schema(), right.schema()) else {
        let residual = residual.clone();
        let join = LogicalPlan::Join {
            left,
            right,
            kind,
            on,
            null_equals_null,
            residual,
            suffix,
        };
        return filtered(join, above);
    };
    let names = join_names(&left_schema, &right_schema, &suffix);
    let pair = join_pair(&left_schema, &right_schema, &suffix);
    let sides = Sides {
        left: left_schema,
        right: right_schema,
        names,
    };
    let kind = simplified(kind, &above, &sides);
    let mut places = Places::default();
    for conjunct in above {
        let reads = match kind.gives_build_rows() {
            true => sides.reads(&conjunct),
            // All columns are the left input's, but for the mark.
            false if columns_of(&conjunct).contains(MARK_NAME) && kind == JoinKind::Mark => {
                Reads::Both
            }
            false => Reads::Left,
        };
        places.put_above(kind, reads, conjunct);
    }
    let own = residual.map(conjuncts).unwrap_or_default();
    let (sure, risky) = match &pair {
        Ok(pair) => sure_and_risky(own, pair, semantics),
        Err(_) => (Vec::new(), own),
    };
    for conjunct in sure {
        places.put_residual(kind, sides.reads(&conjunct), conjunct);
    }
    let mut rest = Vec::new();
    for conjunct in places.join {
        let may_mix = !null_equals_null || on.is_empty();
        match key_pair(&conjunct, &sides).filter(|_| may_mix && on.len() < KEYS_MAX) {
            Some(keys) => {
                null_equals_null = false;
                if !on.contains(&keys) {
                    on.push(keys);
                }
            }
            None => rest.push(conjunct),
        }
    }
    rest.extend(risky);
    let of_right = |name: &str| sides.right_name(name);
    let to_right = places
        .right
        .iter()
        .map(|conjunct| conjunct.with_columns_as(&of_right));
    let join = LogicalPlan::Join {
        left: Box::new(sink(*left, places.left, semantics)),
        right: Box::new(sink(*right, to_right.collect(), semantics)),
        kind,
        on,
        null_equals_null,
        residual: conjunction(rest),
        suffix,
    };
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
