//! A tree of inner joins as a graph: what is joined, and the predicates between.

use std::collections::BTreeMap;

use super::predicate::{
    column_of, columns_of, conjunction, conjuncts, disjuncts, filtered, is_disjunction, joined,
    may_fail,
};
use crate::expr::{BinaryOp, Expr, JoinKind};
use crate::plan::schema::{Schemas, has_column};
use crate::plan::{LogicalPlan, join_names, join_pair};
use crate::types::{Schema, Semantics};

/// Some of the leaves, a bit each.
pub(super) type Leaves = u64;

/// Most leaves of a graph; what is above stays a join of graphs.
const LEAVES_MAX: usize = 63;

/// What inner joins, the filters between them and mere choices of columns come to.
pub(super) struct JoinGraph {
    /// What is joined. No two have a column of one name.
    pub(super) leaves: Vec<LogicalPlan>,
    /// What must be true of the rows, over the leaves' names. None of it may fail.
    pub(super) conjuncts: Vec<Expr>,
    /// The columns of the tree: their names, and those that they have in the leaves.
    pub(super) columns: Vec<(String, String)>,
    /// The leaf of each column.
    owners: BTreeMap<String, usize>,
}

/// Whether the step is an inner join that may be taken apart, or a choice of rows or columns of one.
fn is_inside(plan: &LogicalPlan, schemas: &Schemas, semantics: Semantics) -> bool {
    match (plan, schemas.inputs.as_slice()) {
        (
            LogicalPlan::Join {
                kind: JoinKind::Inner,
                on,
                null_equals_null,
                residual,
                suffix,
                ..
            },
            [left, right],
        ) => {
            let (l, r) = (&left.own, &right.own);
            let risky_key =
                |(a, b): &(Expr, Expr)| may_fail(a, l, semantics) || may_fail(b, r, semantics);
            let nulls = *null_equals_null && !on.is_empty();
            let risky = residual.as_ref().is_some_and(|residual| {
                let pair = join_pair(l, r, suffix);
                pair.map_or(true, |pair| may_fail(residual, &pair, semantics))
            });
            !nulls && !risky && !on.iter().any(risky_key)
        }
        (LogicalPlan::Filter { input, predicate }, [below]) => {
            is_inside(input, below, semantics) && !may_fail(predicate, &below.own, semantics)
        }
        (LogicalPlan::Project { input, exprs }, [below]) => {
            exprs.iter().all(|expr| column_of(expr).is_some()) && is_inside(input, below, semantics)
        }
        _ => false,
    }
}

impl JoinGraph {
    /// The graph of a plan that is a tree of inner joins.
    pub(super) fn of(
        plan: &LogicalPlan,
        schemas: &Schemas,
        semantics: Semantics,
    ) -> Option<JoinGraph> {
        let inside = is_inside(plan, schemas, semantics);
        if !inside || count_leaves(plan, schemas, semantics) > LEAVES_MAX {
            return None;
        }
        let mut graph = JoinGraph {
            leaves: Vec::new(),
            conjuncts: Vec::new(),
            columns: Vec::new(),
            owners: BTreeMap::new(),
        };
        graph.columns = graph.gather(plan, schemas, semantics)?;
        Some(graph)
    }

    /// Adds a plan's leaves and predicates; gives its columns' names, and those in the leaves.
    fn gather(
        &mut self,
        plan: &LogicalPlan,
        schemas: &Schemas,
        semantics: Semantics,
    ) -> Option<Vec<(String, String)>> {
        if !is_inside(plan, schemas, semantics) {
            return self.leaf(plan, &schemas.own);
        }
        match (plan, schemas.inputs.as_slice()) {
            (
                LogicalPlan::Join {
                    left,
                    right,
                    on,
                    residual,
                    suffix,
                    ..
                },
                [of_left, of_right],
            ) => {
                let l = self.gather(left, of_left, semantics)?;
                let r = self.gather(right, of_right, semantics)?;
                for (a, b) in on {
                    let (a, b) = (renamed(a, &l), renamed(b, &r));
                    self.conjuncts.push(a.eq(b));
                }
                let names = join_names(&of_left.own, &of_right.own, suffix);
                let own = l.into_iter().chain(r).map(|(_, own)| own);
                let columns: Vec<_> = names.into_iter().zip(own).collect();
                if let Some(residual) = residual {
                    self.conjuncts
                        .extend(conjuncts(renamed(residual, &columns)));
                }
                Some(columns)
            }
            (LogicalPlan::Filter { input, predicate }, [below]) => {
                let columns = self.gather(input, below, semantics)?;
                self.conjuncts
                    .extend(conjuncts(renamed(predicate, &columns)));
                Some(columns)
            }
            (LogicalPlan::Project { input, exprs }, [below]) => {
                let columns = self.gather(input, below, semantics)?;
                let pick = |expr: &Expr| {
                    let (_, own) = columns
                        .iter()
                        .find(|(name, _)| Some(name.as_str()) == column_of(expr))?;
                    Some((expr.output_name(), own.clone()))
                };
                exprs.iter().map(pick).collect()
            }
            _ => None,
        }
    }

    /// A leaf, its columns renamed where another leaf has their names.
    fn leaf(&mut self, plan: &LogicalPlan, schema: &Schema) -> Option<Vec<(String, String)>> {
        let mut columns = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let mut own = field.name().clone();
            let mut number = 2;
            while self.owners.contains_key(&own) || own != *field.name() && has_column(schema, &own)
            {
                own = format!("{}__{number}", field.name());
                number += 1;
            }
            self.owners.insert(own.clone(), self.leaves.len());
            columns.push((field.name().clone(), own));
        }
        let same = columns.iter().all(|(name, own)| name == own);
        self.leaves.push(match same {
            true => plan.clone(),
            false => LogicalPlan::Project {
                input: Box::new(plan.clone()),
                exprs: columns
                    .iter()
                    .map(|(name, own)| Expr::Column(name.clone()).named(own))
                    .collect(),
            },
        });
        Some(columns)
    }

    /// The leaves that an expression reads.
    pub(super) fn reads(&self, expr: &Expr) -> Leaves {
        let places = columns_of(expr);
        let places = places.iter().filter_map(|name| self.owners.get(name));
        places.fold(0, |leaves, place| leaves | 1 << place)
    }

    /// Adds, for each alternative of several leaves, what it asks of each single one: of `(a.x = 1 and
    /// b.y = 2) or (a.x = 2 and b.y = 1)` that `a.x = 1 or a.x = 2`, and the same of b. It is implied,
    /// and can be asked before they are joined.
    pub(super) fn add_implied(&mut self) {
        let mut implied = Vec::new();
        for conjunct in &self.conjuncts {
            let leaves = self.reads(conjunct);
            if !is_disjunction(conjunct) || leaves.count_ones() < 2 {
                continue;
            }
            let branches: Vec<Vec<Expr>> = disjuncts(conjunct.clone())
                .into_iter()
                .map(conjuncts)
                .collect();
            for leaf in (0..self.leaves.len()).filter(|leaf| leaves >> leaf & 1 == 1) {
                let of_leaf = |branch: &Vec<Expr>| {
                    let own = branch.iter().filter(|part| self.reads(part) == 1 << leaf);
                    conjunction(own.cloned().collect())
                };
                let parts = branches.iter().map(of_leaf).collect::<Option<Vec<_>>>();
                implied.extend(parts.and_then(|parts| joined(BinaryOp::Or, parts)));
            }
        }
        self.conjuncts.extend(implied);
    }

    /// Moves what is asked of single leaves to them, and what asks of none to the first.
    pub(super) fn settle_leaves(&mut self) {
        let all = std::mem::take(&mut self.conjuncts);
        let mut of_leaves: Vec<Vec<Expr>> = vec![Vec::new(); self.leaves.len()];
        for conjunct in all {
            let leaves = self.reads(&conjunct);
            match leaves.count_ones() {
                0 | 1 => {
                    let leaf = if leaves == 0 {
                        0
                    } else {
                        leaves.trailing_zeros() as usize
                    };
                    of_leaves[leaf].push(conjunct);
                }
                _ if self.conjuncts.contains(&conjunct) => {}
                _ => self.conjuncts.push(conjunct),
            }
        }
        let leaves = std::mem::take(&mut self.leaves).into_iter();
        self.leaves = leaves
            .zip(of_leaves)
            .map(|(leaf, own)| filtered(leaf, own))
            .collect();
    }

    /// The tree's columns, of a plan that has the leaves'.
    pub(super) fn with_names(&self, plan: LogicalPlan) -> LogicalPlan {
        let exprs = self.columns.iter();
        let exprs = exprs.map(|(name, own)| Expr::Column(own.clone()).named(name));
        LogicalPlan::Project {
            input: Box::new(plan),
            exprs: exprs.collect(),
        }
    }
}

fn count_leaves(plan: &LogicalPlan, schemas: &Schemas, semantics: Semantics) -> usize {
    if !is_inside(plan, schemas, semantics) {
        return 1;
    }
    let inputs = plan.inputs().into_iter().zip(&schemas.inputs);
    inputs
        .map(|(input, schemas)| count_leaves(input, schemas, semantics))
        .sum()
}

fn renamed(expr: &Expr, columns: &[(String, String)]) -> Expr {
    expr.with_columns_as(&|name| {
        let (_, own) = columns.iter().find(|(have, _)| have == name)?;
        Some(Expr::Column(own.clone()))
    })
}
