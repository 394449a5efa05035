//! The order of inner joins, by estimated rows.
//!
//! Equal: rows, as a multiset, and columns. Joins of up to ten relations are ordered by dynamic
//! programming over sets of them, bushy trees included (Selinger et al., Access Path Selection, SIGMOD
//! 1979; Moerkotte, Neumann, Analysis of Two Existing and One New Dynamic Programming Algorithm, VLDB
//! 2006: subsets are enumerated, which is fast enough here); more of them greedily, the join with the
//! fewest rows first (Fegaras, A New Heuristic for Optimizing Large Queries, DEXA 1998). A plan costs
//! the rows of all joins, and the rows that are hashed and looked up; sets that no predicate connects
//! are joined only where there is no other way.

use super::join_graph::{JoinGraph, Leaves};
use super::predicate::conjunction;
use crate::expr::{BinaryOp, Expr, JoinKind, resolve_keys};
use crate::limits::KEYS_MAX;
use crate::plan::estimate::{key_share, rows_of, share_of};
use crate::plan::schema::Schemas;
use crate::plan::{JOIN_SUFFIX, LogicalPlan};
use crate::types::Semantics;

/// Most relations that are ordered by dynamic programming: 3^10 pairs of sets.
const EXHAUSTIVE_MAX: usize = 10;

/// What a build row costs, in probe rows.
const BUILD_ROW_COST: f64 = 2.0;

pub(super) fn order(plan: LogicalPlan, semantics: Semantics) -> LogicalPlan {
    if !has_join(&plan) {
        return plan;
    }
    match Schemas::of(&plan) {
        Ok(schemas) => order_steps(plan, &schemas, semantics),
        Err(_) => plan,
    }
}

fn has_join(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Join { .. }) || plan.inputs().into_iter().any(has_join)
}

fn order_steps(plan: LogicalPlan, schemas: &Schemas, semantics: Semantics) -> LogicalPlan {
    let Some(mut graph) = JoinGraph::of(&plan, schemas, semantics) else {
        return plan.map_inputs_with(schemas, &mut |input, schemas| {
            order_steps(input, schemas, semantics)
        });
    };
    let leaves = std::mem::take(&mut graph.leaves).into_iter();
    graph.leaves = leaves.map(|leaf| order(leaf, semantics)).collect();
    graph.add_implied();
    graph.settle_leaves();
    let search = Search::new(&graph);
    let tree = match graph.leaves.len() > EXHAUSTIVE_MAX {
        true => search.greedy(),
        false => search.exhaustive(),
    };
    match tree.and_then(|tree| search.build(&tree)) {
        Some(joined) => graph.with_names(joined),
        None => plan,
    }
}

/// A predicate between leaves.
struct Edge<'g> {
    predicate: &'g Expr,
    leaves: Leaves,
    /// The leaves of either side, if it is an equality of what some have with what others have.
    sides: Option<(Leaves, Leaves)>,
}

/// Which sets are joined with which.
#[derive(Clone)]
enum Tree {
    Leaf(usize),
    Join(Box<Tree>, Box<Tree>),
}

impl Tree {
    fn leaves(&self) -> Leaves {
        match self {
            Tree::Leaf(place) => 1 << place,
            Tree::Join(left, right) => left.leaves() | right.leaves(),
        }
    }
}

struct Search<'g> {
    graph: &'g JoinGraph,
    edges: Vec<Edge<'g>>,
    /// Rows of each leaf.
    rows: Vec<f64>,
    /// Shares of all pairs of rows that predicates keep, by the leaves that they are over.
    shares: Vec<(Leaves, f64)>,
}

impl<'g> Search<'g> {
    fn new(graph: &'g JoinGraph) -> Self {
        let edges = graph.conjuncts.iter().map(|predicate| Edge {
            predicate,
            leaves: graph.reads(predicate),
            sides: sides_of(predicate, graph),
        });
        let edges: Vec<Edge> = edges.collect();
        let rows = graph.leaves.iter().map(rows_of).collect();
        let shares = shares(graph, &edges);
        Search {
            graph,
            edges,
            rows,
            shares,
        }
    }

    /// Rows of the join of some leaves, whatever the order.
    fn rows_of(&self, leaves: Leaves) -> f64 {
        let rows = self.rows.iter().enumerate();
        let rows = rows.filter(|(place, _)| leaves >> place & 1 == 1);
        let all: f64 = rows.map(|(_, rows)| rows).product();
        let inside = self.shares.iter().filter(|(of, _)| of & leaves == *of);
        let share: f64 = inside.map(|(_, share)| share).product();
        (all * share).max(1.0)
    }

    /// Whether some key is between two sets.
    fn connects(&self, a: Leaves, b: Leaves) -> bool {
        self.edges.iter().any(|edge| edge.is_key(a, b))
    }

    /// The cheapest tree of all leaves.
    fn exhaustive(&self) -> Option<Tree> {
        let count = self.graph.leaves.len();
        let all: Leaves = (1 << count) - 1;
        let connected = self.best(all, false);
        let best = match connected.last()? {
            None => self.best(all, true),
            Some(_) => connected,
        };
        tree_of(&best, all)
    }

    /// For each set of leaves, what the cheapest tree costs, and the half of it that has the set's
    /// first leaf.
    fn best(&self, all: Leaves, crossing: bool) -> Vec<Option<(f64, Leaves)>> {
        let rows: Vec<f64> = (0..=all).map(|set| self.rows_of(set)).collect();
        let mut best: Vec<Option<(f64, Leaves)>> = vec![None; all as usize + 1];
        for set in 1..=all {
            if set.count_ones() == 1 {
                best[set as usize] = Some((0.0, set));
                continue;
            }
            let first = set & set.wrapping_neg();
            let mut half = (set - 1) & set;
            while half > 0 {
                let rest = set ^ half;
                if half & first != 0
                    && let (Some((a, _)), Some((b, _))) = (best[half as usize], best[rest as usize])
                    && let connected = self.connects(half, rest)
                    && (crossing || connected)
                {
                    let of = |set: Leaves| rows[set as usize];
                    let cost = a + b + cost(of(half), of(rest), of(set), connected);
                    if best[set as usize].is_none_or(|(known, _)| cost < known) {
                        best[set as usize] = Some((cost, half));
                    }
                }
                half = (half - 1) & set;
            }
        }
        best
    }

    /// A tree of all leaves, the join with the fewest rows first.
    fn greedy(&self) -> Option<Tree> {
        let mut trees: Vec<Tree> = (0..self.graph.leaves.len()).map(Tree::Leaf).collect();
        while trees.len() > 1 {
            let mut best: Option<(bool, f64, usize, usize)> = None;
            for a in 0..trees.len() {
                for b in a + 1..trees.len() {
                    let (l, r) = (trees[a].leaves(), trees[b].leaves());
                    let found = (!self.connects(l, r), self.rows_of(l | r), a, b);
                    if best.is_none_or(|best| (found.0, found.1) < (best.0, best.1)) {
                        best = Some(found);
                    }
                }
            }
            let (_, _, a, b) = best?;
            let right = trees.remove(b);
            let left = trees.remove(a);
            trees.push(Tree::Join(Box::new(left), Box::new(right)));
        }
        trees.pop()
    }

    /// The joins of a tree, each with the predicates that are over both its sides.
    fn build(&self, tree: &Tree) -> Option<LogicalPlan> {
        let (left, right) = match tree {
            Tree::Leaf(place) => return self.graph.leaves.get(*place).cloned(),
            Tree::Join(left, right) => (left, right),
        };
        let (a, b) = (left.leaves(), right.leaves());
        let (left, right) = (self.build(left)?, self.build(right)?);
        let (left_schema, right_schema) = (left.schema().ok()?, right.schema().ok()?);
        let (mut on, mut residual) = (Vec::new(), Vec::new());
        for edge in &self.edges {
            let inside = |set: Leaves| edge.leaves & set == edge.leaves;
            if !inside(a | b) || inside(a) || inside(b) {
                continue;
            }
            let keys = edge.keys(a, b).filter(|(l, r)| {
                let meet = resolve_keys((l, &left_schema), (r, &right_schema)).is_ok();
                meet && on.len() < KEYS_MAX
            });
            match keys {
                Some(keys) => on.push(keys),
                None => residual.push(edge.predicate.clone()),
            }
        }
        Some(LogicalPlan::Join {
            left: Box::new(left),
            right: Box::new(right),
            kind: JoinKind::Inner,
            on,
            null_equals_null: false,
            residual: conjunction(residual),
            suffix: JOIN_SUFFIX.to_string(),
        })
    }
}

/// What it costs to join sides of so many rows, once both are there.
fn cost(left: f64, right: f64, joined: f64, has_keys: bool) -> f64 {
    let lookups = match has_keys {
        true => left.max(right),
        false => left * right,
    };
    joined + BUILD_ROW_COST * left.min(right) + lookups
}

impl Edge<'_> {
    /// Whether it is an equality of what one set has with what the other has.
    fn is_key(&self, a: Leaves, b: Leaves) -> bool {
        self.sides.is_some_and(|(l, r)| {
            let within = |side: Leaves, set: Leaves| side & set == side;
            within(l, a) && within(r, b) || within(l, b) && within(r, a)
        })
    }

    /// The keys of either set.
    fn keys(&self, a: Leaves, b: Leaves) -> Option<(Expr, Expr)> {
        let Expr::Binary { left, right, .. } = self.predicate else {
            return None;
        };
        let (l, _) = self.sides.filter(|_| self.is_key(a, b))?;
        let (left, right) = (left.as_ref().clone(), right.as_ref().clone());
        Some(if l & a == l {
            (left, right)
        } else {
            (right, left)
        })
    }
}

/// The leaves of an equality's sides, if they have none in common and each has some.
fn sides_of(predicate: &Expr, graph: &JoinGraph) -> Option<(Leaves, Leaves)> {
    let Expr::Binary {
        op: BinaryOp::Equal,
        left,
        right,
    } = predicate
    else {
        return None;
    };
    let (l, r) = (graph.reads(left), graph.reads(right));
    (l != 0 && r != 0 && l & r == 0).then_some((l, r))
}

/// Equalities between the same two leaves are one key of several columns.
fn shares(graph: &JoinGraph, edges: &[Edge]) -> Vec<(Leaves, f64)> {
    let mut shares = Vec::new();
    let mut pairs: Vec<(Leaves, Leaves)> = Vec::new();
    for edge in edges {
        match edge.sides {
            Some((l, r)) if l.count_ones() == 1 && r.count_ones() == 1 => {
                let pair = (l.min(r), l.max(r));
                if !pairs.contains(&pair) {
                    pairs.push(pair);
                }
            }
            Some(_) => shares.push((edge.leaves, share_of(edge.predicate, None))),
            None => shares.push((edge.leaves, share_of(edge.predicate, None))),
        }
    }
    for (a, b) in pairs {
        let keys: Vec<(Expr, Expr)> = edges.iter().filter_map(|edge| edge.keys(a, b)).collect();
        let leaf = |set: Leaves| graph.leaves.get(set.trailing_zeros() as usize);
        if let (Some(left), Some(right)) = (leaf(a), leaf(b)) {
            shares.push((a | b, key_share(left, right, &keys)));
        }
    }
    shares
}

fn tree_of(best: &[Option<(f64, Leaves)>], set: Leaves) -> Option<Tree> {
    if set.count_ones() == 1 {
        return Some(Tree::Leaf(set.trailing_zeros() as usize));
    }
    let (_, half) = (*best.get(set as usize)?)?;
    let left = Box::new(tree_of(best, half)?);
    let right = Box::new(tree_of(best, set ^ half)?);
    Some(Tree::Join(left, right))
}
