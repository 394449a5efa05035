//! Pipelines as text.

use std::fmt::{self, Write};

use super::{Exchange, LimitSpec, Pipeline, ScanSpec, Source, TransformSpec};
use crate::expr::{TypedExpr, TypedKind};
use crate::operators::{GroupBySpec, OperatorSpec, Partitioning, SortKey, WindowSpec};
use crate::types::Schema;

/// A typed expression with the names of its columns.
struct Named<'a>(&'a TypedExpr, &'a Schema);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |expr| Named(expr, self.1);
        match &self.0.kind {
            TypedKind::Column(index) => match self.1.fields().get(*index) {
                Some(field) => f.write_str(field.name()),
                None => write!(f, "#{index}"),
            },
            TypedKind::Literal(literal) => write!(f, "{literal}"),
            TypedKind::Arithmetic { op, left, right } | TypedKind::Compare { op, left, right } => {
                write!(f, "({} {op} {})", named(left), named(right))
            }
            TypedKind::And(left, right) => write!(f, "({} and {})", named(left), named(right)),
            TypedKind::Or(left, right) => write!(f, "({} or {})", named(left), named(right)),
            TypedKind::Not(operand) => write!(f, "not {}", named(operand)),
            TypedKind::Negate(operand) => write!(f, "-{}", named(operand)),
            TypedKind::IsNull(operand) => write!(f, "({} is null)", named(operand)),
            TypedKind::IsNotNull(operand) => write!(f, "({} is not null)", named(operand)),
            TypedKind::Cast { expr, strict } => {
                let word = if *strict { "cast" } else { "try_cast" };
                write!(f, "{word}({} as {})", named(expr), self.0.data_type)
            }
            TypedKind::Case {
                branches,
                otherwise,
            } => {
                f.write_str("case")?;
                for (condition, value) in branches {
                    write!(f, " when {} then {}", named(condition), named(value))?;
                }
                if let Some(otherwise) = otherwise {
                    write!(f, " else {}", named(otherwise))?;
                }
                f.write_str(" end")
            }
            TypedKind::Coalesce(operands) => {
                let operands: Vec<_> = operands.iter().map(|o| named(o).to_string()).collect();
                write!(f, "coalesce({})", operands.join(", "))
            }
            TypedKind::Function { function, operands } => {
                let operands: Vec<_> = operands.iter().map(named).collect();
                f.write_str(&function.describe(&operands))
            }
        }
    }
}

fn names(schema: &Schema, columns: &[usize]) -> String {
    let name = |column: &usize| match schema.fields().get(*column) {
        Some(field) => field.name().clone(),
        None => format!("#{column}"),
    };
    columns.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// One line about an operator.
fn operator(spec: &OperatorSpec) -> String {
    match spec {
        OperatorSpec::Filter(filter) => {
            let mut text = format!("filter {}", Named(&filter.predicate, &filter.input));
            if filter.projection.len() < filter.input.fields().len() {
                let _ = write!(text, ", keep {}", names(&filter.input, &filter.projection));
            }
            text
        }
        OperatorSpec::Project(project) => {
            let fields = project.output.fields().iter();
            let columns = project.exprs.iter().zip(fields).map(|(expr, field)| {
                let text = Named(expr, &project.input).to_string();
                if text == *field.name() {
                    text
                } else {
                    format!("{text} as {}", field.name())
                }
            });
            format!("project {}", columns.collect::<Vec<_>>().join(", "))
        }
        OperatorSpec::Gather(_) => "gather rows by index".to_string(),
        OperatorSpec::GroupBy(group_by) => group_by_line(group_by),
        OperatorSpec::HashJoinBuild(join) => {
            format!(
                "hash_join build on {}",
                names(&join.build, &join.build_keys)
            )
        }
        OperatorSpec::HashJoinProbe(join) => {
            let keys = names(&join.probe, &join.probe_keys);
            format!("hash_join probe, {}, on {keys}", join.kind)
        }
        OperatorSpec::ShufflePartition(shuffle) => {
            let (count, keys) = (shuffle.partitions, shuffle.by.keys());
            let keys = names(&shuffle.input, &keys);
            match &shuffle.by {
                Partitioning::Hash { .. } => {
                    format!("shuffle_partition into {count}, hash of {keys}")
                }
                Partitioning::Range { .. } => {
                    format!("shuffle_partition into {count}, ranges of {keys}")
                }
                Partitioning::RoundRobin { .. } => {
                    format!("shuffle_partition into {count}, in turn")
                }
            }
        }
        OperatorSpec::NestedLoopJoinBuild(_) => "nested_loop_join build".to_string(),
        OperatorSpec::NestedLoopJoinProbe(join) => {
            let condition = match &join.condition {
                Some(condition) => format!(", where {}", Named(condition, &join.pair())),
                None => String::new(),
            };
            format!("nested_loop_join probe, {}{condition}", join.kind)
        }
        OperatorSpec::Sort(sort) => format!("sort by {}", sort_keys(&sort.input, &sort.keys)),
        OperatorSpec::TopK(top_k) => {
            let keys = sort_keys(&top_k.input, &top_k.keys);
            format!("top_k {} from {} by {keys}", top_k.k, top_k.offset)
        }
        OperatorSpec::Window(window) => window_line(window),
    }
}

/// Sort keys by their columns' names, with what is unusual about each.
fn sort_keys(input: &Schema, keys: &[SortKey]) -> String {
    let key = |key: &SortKey| format!("{}{key}", names(input, &[key.column]));
    keys.iter().map(key).collect::<Vec<_>>().join(", ")
}

fn window_line(spec: &WindowSpec) -> String {
    let outputs = spec.output.fields().iter().skip(spec.projection.len());
    let functions = spec.functions.iter().zip(outputs).map(|(call, field)| {
        let operand = call.function.operand().map(|column| [*column]);
        let operand = operand.map_or_else(String::new, |column| names(&spec.input, &column));
        format!("{}({operand}) as {}", call.function.name(), field.name())
    });
    let mut text = format!("window {}", functions.collect::<Vec<_>>().join(", "));
    if !spec.partition_by.is_empty() {
        text += &format!(" partition by {}", names(&spec.input, &spec.partition_by));
    }
    if !spec.order_by.is_empty() {
        text += &format!(" order by {}", sort_keys(&spec.input, &spec.order_by));
    }
    text
}

fn group_by_line(spec: &GroupBySpec) -> String {
    let outputs = spec.output.fields().iter().skip(spec.group_keys.len());
    let aggregates = spec.aggregates.iter().zip(outputs).map(|(one, field)| {
        let operand = match one.input {
            Some(column) => names(&spec.input, &[column]),
            None => "*".to_string(),
        };
        format!("{}({operand}) as {}", one.function, field.name())
    });
    let mut text = format!("group_by {}", aggregates.collect::<Vec<_>>().join(", "));
    if !spec.group_keys.is_empty() {
        if spec.aggregates.is_empty() {
            text.pop();
        }
        let _ = write!(text, " by {}", names(&spec.input, &spec.group_keys));
    }
    text
}

/// One line about a source; pipelines are counted from 1.
pub fn describe_source(source: &Source) -> String {
    match source {
        Source::Pipelines(numbers) => {
            let numbers: Vec<String> = numbers.iter().map(|n| (n + 1).to_string()).collect();
            let word = if numbers.len() == 1 {
                "pipeline"
            } else {
                "pipelines"
            };
            format!("from {word} {}", numbers.join(", "))
        }
        Source::Memory { table, projection } => {
            let columns = names(table.schema(), projection);
            format!("table of {} rows: {columns}", table.rows())
        }
        Source::Stored(rows) => format!("result {} of {} rows", rows.number, rows.rows),
        Source::Scan(ScanSpec {
            files,
            file_schema,
            projection,
            predicate,
        }) => {
            let mut text = format!(
                "scan {} file(s), {} of {} columns: {}",
                files.len(),
                projection.len(),
                file_schema.fields().len(),
                names(file_schema, projection)
            );
            if let Some(predicate) = predicate {
                let _ = write!(text, "; prune by {}", Named(predicate, file_schema));
            }
            text
        }
    }
}

/// A pipeline in lines: its source, the lines of `about_source`, and its steps: transforms, fold,
/// exchange, limit, each with what `about` says of it, as far as that goes. `number` counts from 1.
pub fn describe(number: usize, pipeline: &Pipeline, about_source: &str, about: &[&str]) -> String {
    let mut about = about.iter();
    let mut about = || {
        about
            .next()
            .map_or_else(String::new, |about| format!(" [{about}]"))
    };
    let mut text = format!("{number}. {}\n", describe_source(&pipeline.source));
    for line in about_source.lines() {
        let _ = writeln!(text, "   {line}");
    }
    for TransformSpec { spec, built } in &pipeline.transforms {
        let built = built.map_or_else(String::new, |n| format!(", built by pipeline {}", n + 1));
        let _ = writeln!(text, "   {}{built}{}", operator(spec), about());
    }
    if let Some(spec) = &pipeline.fold {
        let _ = writeln!(text, "   {}{}", operator(spec), about());
    }
    if let Some(exchange) = &pipeline.exchange {
        let to = match exchange {
            Exchange::Broadcast => "to every rank".to_string(),
            Exchange::First => "to rank 0".to_string(),
            Exchange::Hash(keys) => {
                format!("to ranks by the hash of {}", names(&pipeline.output, keys))
            }
            Exchange::Range(keys) => {
                format!(
                    "to ranks by ranges of {}",
                    sort_keys(&pipeline.output, keys)
                )
            }
        };
        let _ = writeln!(text, "   {to}{}", about());
    }
    if let Some(LimitSpec { skip, rows }) = pipeline.limit {
        let rows = match rows {
            u64::MAX => String::new(),
            rows => format!(" {rows}"),
        };
        let skip = match skip {
            0 => String::new(),
            skip => format!(" from {skip}"),
        };
        let _ = writeln!(text, "   limit{rows}{skip}{}", about());
    }
    text
}
