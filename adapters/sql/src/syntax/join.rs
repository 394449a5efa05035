//! `USING` and `NATURAL` as `ON`, with one column where both sides have one.
//!
//! The merged column is the left side's; of a right join the right side's; of a full join the one that is
//! there. `SELECT *` has it once, in the place of the leftmost.

use std::collections::BTreeSet;

use datafusion_sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName,
    ObjectNamePart, OrderByKind, Query, ReplaceSelectElement, ReplaceSelectItem, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor, WildcardAdditionalOptions,
};
use pelton::error::Result;

use super::columns::{Known, of_factor};
use super::order::has_query;
use super::{filled, normal, replace_names};
use crate::problem::unsupported;

/// A table of a FROM clause.
struct Side {
    name: Ident,
    /// Names of its columns, if they are known here.
    columns: Option<Vec<String>>,
    /// Columns that are another table's in `*`.
    left_out: Vec<Ident>,
}

/// A column of a join's both sides.
struct Merged {
    name: Ident,
    /// The table in whose place it stands.
    owner: usize,
    value: Expr,
}

/// Rewrites the joins of a SELECT that the planner has by another name, or in another place: `SEMI` and `ANTI`
/// are of the left side, and a condition with a subquery stands behind WHERE where that is the same.
///
/// # Errors
/// Never for a text that was parsed.
pub(super) fn spell(select: &mut Select) -> Result<()> {
    let mut moved = Vec::new();
    for from in &mut select.from {
        let mut all_inner = true;
        for join in from.joins.iter_mut().rev() {
            let operator = &mut join.join_operator;
            match operator {
                JoinOperator::Semi(constraint) => {
                    *operator = JoinOperator::LeftSemi(constraint.clone());
                }
                JoinOperator::Anti(constraint) => {
                    *operator = JoinOperator::LeftAnti(constraint.clone());
                }
                JoinOperator::Join(JoinConstraint::On(condition))
                | JoinOperator::Inner(JoinConstraint::On(condition))
                    if all_inner && has_query(condition) =>
                {
                    let everything = filled("true", &[])?;
                    moved.push(std::mem::replace(condition, everything));
                }
                JoinOperator::Right(_)
                | JoinOperator::RightOuter(_)
                | JoinOperator::FullOuter(_) => all_inner = false,
                _ => {}
            }
        }
    }
    for condition in moved {
        select.selection = Some(match select.selection.take() {
            Some(selection) => filled("(__0 AND __1)", &[selection, condition])?,
            None => condition,
        });
    }
    Ok(())
}

/// Rewrites the joins of a query's SELECTs, not those of queries within.
///
/// # Errors
/// `Unsupported` where the columns of a side would have to be known and are not.
pub(super) fn merge_columns(query: &mut Query, known: Known<'_>) -> Result<()> {
    let Query { body, order_by, .. } = query;
    let mut order = Vec::new();
    if let Some(order_by) = order_by
        && let OrderByKind::Expressions(keys) = &mut order_by.kind
    {
        order.extend(keys.iter_mut().map(|key| &mut key.expr));
    }
    merge_in(body, order, known)
}

fn merge_in(body: &mut SetExpr, order: Vec<&mut Expr>, known: Known<'_>) -> Result<()> {
    match body {
        SetExpr::Select(select) => merge(select, order, known),
        SetExpr::SetOperation { left, right, .. } => {
            merge_in(left, Vec::new(), known)?;
            merge_in(right, Vec::new(), known)
        }
        _ => Ok(()),
    }
}

fn merge(select: &mut Select, order: Vec<&mut Expr>, known: Known<'_>) -> Result<()> {
    let joins = select.from.iter_mut().flat_map(|from| &mut from.joins);
    let merges = |(_, constraint): (Kept, &mut JoinConstraint)| {
        matches!(
            constraint,
            JoinConstraint::Using(_) | JoinConstraint::Natural
        )
    };
    let mut kept = joins.filter_map(|join| kept(&mut join.join_operator));
    if !kept.any(merges) {
        return Ok(());
    }
    let mut sides = Vec::new();
    let mut merged: Vec<Merged> = Vec::new();
    for from in &mut select.from {
        let first = sides.len();
        sides.push(side(&from.relation, known)?);
        for join in &mut from.joins {
            let mut right = side(&join.relation, known)?;
            let left = sides.get(first..).unwrap_or_default();
            right.left_out = constrain(&mut join.join_operator, left, first, &right, &mut merged)?;
            sides.push(right);
        }
    }
    spread_wildcards(select, &sides, &merged)?;
    replace(select, order, &merged);
    Ok(())
}

fn side(factor: &TableFactor, known: Known<'_>) -> Result<Side> {
    let name = match factor {
        TableFactor::Table { name, alias, .. } => {
            let table = match name.0.as_slice() {
                [ObjectNamePart::Identifier(table)] => Some(table.clone()),
                _ => None,
            };
            alias.as_ref().map(|alias| alias.name.clone()).or(table)
        }
        TableFactor::Derived { alias, .. } => alias.as_ref().map(|alias| alias.name.clone()),
        _ => None,
    };
    Ok(Side {
        name: name.ok_or_else(|| unsupported("USING or NATURAL over a table without a name"))?,
        columns: of_factor(factor, known),
        left_out: Vec::new(),
    })
}

/// Which side a merged column is of.
#[derive(Clone, Copy, PartialEq)]
enum Kept {
    Left,
    Right,
    Either,
}

/// The condition of a join; none if it has no place for one.
pub(super) fn constraint_of(join: &JoinOperator) -> Option<&JoinConstraint> {
    match join {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => Some(constraint),
        _ => None,
    }
}

fn kept(join: &mut JoinOperator) -> Option<(Kept, &mut JoinConstraint)> {
    match join {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => Some((Kept::Left, constraint)),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
            Some((Kept::Right, constraint))
        }
        JoinOperator::FullOuter(constraint) => Some((Kept::Either, constraint)),
        _ => None,
    }
}

/// Gives a join its condition, and says what it merges. The left sides begin at the place `first`.
fn constrain(
    join: &mut JoinOperator,
    left: &[Side],
    first: usize,
    right: &Side,
    merged: &mut Vec<Merged>,
) -> Result<Vec<Ident>> {
    let Some((kept, constraint)) = kept(join) else {
        return Ok(Vec::new());
    };
    let columns: Vec<Ident> = match constraint {
        JoinConstraint::Using(columns) => {
            let columns = columns.iter().filter_map(|name| name.0.last());
            let columns = columns.filter_map(ObjectNamePart::as_ident);
            columns.cloned().collect()
        }
        JoinConstraint::Natural => shared(left, right)?,
        _ => return Ok(Vec::new()),
    };
    let mut conditions = Vec::new();
    for name in columns.iter().cloned() {
        let known = merged
            .iter()
            .position(|one| one.owner >= first && normal(&one.name) == normal(&name));
        let (owner, own) = match known.and_then(|place| merged.get(place)) {
            Some(one) => (one.owner, one.value.clone()),
            None => {
                let (place, side) = owner(left, &name)?;
                (first + place, column(&side.name, &name))
            }
        };
        let other = column(&right.name, &name);
        conditions.push(filled("(__0 = __1)", &[own.clone(), other.clone()])?);
        let value = match kept {
            Kept::Left => own,
            Kept::Right => other,
            Kept::Either => filled("coalesce(__0, __1)", &[own, other])?,
        };
        match known.and_then(|place| merged.get_mut(place)) {
            Some(one) => one.value = value,
            None => merged.push(Merged { name, owner, value }),
        }
    }
    let places: Vec<String> = (0..conditions.len())
        .map(|place| format!("__{place}"))
        .collect();
    *constraint = match places.is_empty() {
        true => JoinConstraint::On(filled("true", &[])?),
        false => JoinConstraint::On(filled(&places.join(" AND "), &conditions)?),
    };
    Ok(columns)
}

fn column(side: &Ident, name: &Ident) -> Expr {
    Expr::CompoundIdentifier(vec![side.clone(), name.clone()])
}

/// The table on the left that has a column, and its place among them.
fn owner<'a>(left: &'a [Side], name: &Ident) -> Result<(usize, &'a Side)> {
    if let [only] = left {
        return Ok((0, only));
    }
    let mut owners = Vec::new();
    for (place, side) in left.iter().enumerate() {
        let Some(columns) = &side.columns else {
            let construct = "USING after a join with a query, whose columns are not known before";
            return Err(unsupported(construct));
        };
        if columns.contains(&normal(name)) {
            owners.push((place, side));
        }
    }
    match owners.as_slice() {
        [one] => Ok(*one),
        _ => Err(unsupported(format!(
            "USING ({name}), which {} tables on the left have,",
            owners.len()
        ))),
    }
}

/// The columns that both sides of a NATURAL join have.
fn shared(left: &[Side], right: &Side) -> Result<Vec<Ident>> {
    let unknown = || {
        unsupported(
            "NATURAL JOIN of a query whose columns are not known before; name them with USING",
        )
    };
    let others = right.columns.as_ref().ok_or_else(unknown)?;
    let mut names = Vec::new();
    for side in left {
        for name in side.columns.as_ref().ok_or_else(unknown)? {
            if others.contains(name) && !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    Ok(names
        .into_iter()
        .map(|name| Ident::with_quote('"', name))
        .collect())
}

/// `*` as the columns of each table, a merged one once.
fn spread_wildcards(select: &mut Select, sides: &[Side], merged: &[Merged]) -> Result<()> {
    let mut items = Vec::with_capacity(select.projection.len());
    for item in std::mem::take(&mut select.projection) {
        let SelectItem::Wildcard(options) = item else {
            items.push(item);
            continue;
        };
        if options != WildcardAdditionalOptions::default() {
            return Err(unsupported(
                "EXCLUDE and the like of `*` over a join with USING",
            ));
        }
        for (index, side) in sides.iter().enumerate() {
            let own = merged.iter().filter(|column| column.owner == index);
            let replaced = own.filter(|one| one.value != column(&side.name, &one.name));
            let replaced: Vec<_> = replaced
                .map(|one| {
                    Box::new(ReplaceSelectElement {
                        expr: one.value.clone(),
                        column_name: one.name.clone(),
                        as_keyword: true,
                    })
                })
                .collect();
            let left_out: Vec<ObjectName> = side
                .left_out
                .iter()
                .map(|name| ObjectName::from(vec![name.clone()]))
                .collect();
            let options = WildcardAdditionalOptions {
                opt_exclude: (!left_out.is_empty())
                    .then_some(ExcludeSelectItem::Multiple(left_out)),
                opt_replace: (!replaced.is_empty())
                    .then_some(ReplaceSelectItem { items: replaced }),
                ..WildcardAdditionalOptions::default()
            };
            let name = ObjectName::from(vec![side.name.clone()]);
            let kind = SelectItemQualifiedWildcardKind::ObjectName(name);
            items.push(SelectItem::QualifiedWildcard(kind, options));
        }
    }
    select.projection = items;
    Ok(())
}

/// Puts merged columns where their names stand alone.
fn replace(select: &mut Select, order: Vec<&mut Expr>, merged: &[Merged]) {
    let mut names = BTreeSet::new();
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => {
                let column = merged.iter().find(|one| normal(&one.name) == normal(name));
                if let Some(one) = column {
                    names.insert(normal(name));
                    *item = SelectItem::ExprWithAlias {
                        expr: one.value.clone(),
                        alias: name.clone(),
                    };
                }
            }
            SelectItem::QualifiedWildcard(..) => {
                names.extend(merged.iter().map(|one| normal(&one.name)));
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                names.insert(normal(alias));
            }
            _ => {}
        }
    }
    let mut within = |expr: &mut Expr| {
        replace_names(expr, |name| {
            let column = merged.iter().find(|one| normal(&one.name) == name);
            column.map(|one| one.value.clone())
        });
    };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            within(expr);
        }
    }
    for condition in [
        &mut select.selection,
        &mut select.having,
        &mut select.qualify,
    ] {
        condition.iter_mut().for_each(&mut within);
    }
    if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        keys.iter_mut().for_each(&mut within);
    }
    for key in order {
        // A name of a result is that of the result.
        let of_result = matches!(&*key, Expr::Identifier(name) if names.contains(&normal(name)));
        if !of_result {
            within(key);
        }
    }
}
