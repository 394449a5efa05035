//! Plans as indented text, the last step first.

use std::fmt;

use super::window::List;
use super::{LogicalPlan, Query};

impl LogicalPlan {
    /// The step and those below, each further to the right than the one that it is an input of.
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        if depth > 0 {
            writeln!(f)?;
        }
        write!(f, "{:width$}", "", width = depth * 2)?;
        self.write_step(f)?;
        self.inputs()
            .into_iter()
            .try_for_each(|input| input.write(f, depth + 1))
    }

    fn write_step(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogicalPlan::Scan { files } => {
                write!(f, "scan {} file(s)", files.paths.len())?;
                match files.paths.first() {
                    Some(first) => write!(f, ", first {}", first.display()),
                    None => Ok(()),
                }
            }
            LogicalPlan::Memory { table } => write!(f, "table of {} rows", table.rows()),
            LogicalPlan::Stored { rows } => {
                write!(f, "result {} of {} rows", rows.number, rows.rows)
            }
            LogicalPlan::Filter { predicate, .. } => write!(f, "filter {predicate}"),
            LogicalPlan::Project { exprs, .. } => write!(f, "project {}", List(exprs)),
            LogicalPlan::Aggregate {
                group_keys,
                aggregates,
                ..
            } => {
                write!(f, "aggregate {}", List(aggregates))?;
                match group_keys.is_empty() {
                    true => Ok(()),
                    false => write!(f, " by {}", List(group_keys)),
                }
            }
            LogicalPlan::Distinct { on, keep, .. } => {
                write!(f, "distinct, keep {keep}")?;
                match on.is_empty() {
                    true => Ok(()),
                    false => write!(f, ", on {}", on.join(", ")),
                }
            }
            LogicalPlan::Join {
                kind, on, residual, ..
            } => {
                write!(f, "{kind} join")?;
                for (index, (left, right)) in on.iter().enumerate() {
                    let word = if index == 0 { "on" } else { "and" };
                    write!(f, " {word} {left} = {right}")?;
                }
                match residual {
                    Some(residual) => write!(f, " where {residual}"),
                    None => Ok(()),
                }
            }
            LogicalPlan::Sort { keys, .. } => write!(f, "sort by {}", List(keys)),
            LogicalPlan::Window { functions, .. } => write!(f, "window {}", List(functions)),
            LogicalPlan::Union { inputs } => write!(f, "union of {}", inputs.len()),
            LogicalPlan::Limit { skip, rows, .. } => {
                f.write_str("limit")?;
                if let Some(rows) = rows {
                    write!(f, " {rows}")?;
                }
                match skip {
                    0 => Ok(()),
                    skip => write!(f, " from {skip}"),
                }
            }
        }
    }
}

impl fmt::Display for LogicalPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}
