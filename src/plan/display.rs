//! Plans as indented text, the last step first.

use std::fmt;

use super::{LogicalPlan, Query};
use crate::expr::Expr;

struct List<'a>(&'a [Expr]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, expr) in self.0.iter().enumerate() {
            write!(f, "{}{expr}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Display for LogicalPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut step = Some(self);
        let mut depth = 0;
        while let Some(plan) = step {
            if depth > 0 {
                writeln!(f)?;
            }
            write!(f, "{:width$}", "", width = depth * 2)?;
            match plan {
                LogicalPlan::Scan { files } => {
                    let first = files.paths.first().map(|path| path.display().to_string());
                    write!(f, "scan {} file(s)", files.paths.len())?;
                    if let Some(first) = first {
                        write!(f, ", first {first}")?;
                    }
                }
                LogicalPlan::Filter { predicate, .. } => write!(f, "filter {predicate}")?,
                LogicalPlan::Project { exprs, .. } => write!(f, "project {}", List(exprs))?,
                LogicalPlan::Aggregate {
                    group_keys,
                    aggregates,
                    ..
                } => {
                    write!(f, "aggregate {}", List(aggregates))?;
                    if !group_keys.is_empty() {
                        write!(f, " by {}", List(group_keys))?;
                    }
                }
                LogicalPlan::Distinct { on, keep, .. } => {
                    write!(f, "distinct, keep {keep}")?;
                    if !on.is_empty() {
                        write!(f, ", on {}", on.join(", "))?;
                    }
                }
                LogicalPlan::Limit { rows, .. } => write!(f, "limit {rows}")?,
            }
            step = plan.input();
            depth += 1;
        }
        Ok(())
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}
