//! A second opinion on `window`: for each row its partition is looked up among all rows, sorted, and
//! its whole frame aggregated, from the contract alone.

use std::cmp::Ordering;

use arrow::array::RecordBatch;
use pelton::expr::literal_array;
use pelton::operators::{Frame, WindowCall, WindowFunction, WindowSpec};
use pelton::types::Literal;

use super::oracle::Stop;
use super::oracle_group_by::aggregate;
use super::values::{Rows, Value, cell, rows};

/// A row among the rows of its partition, which are sorted.
struct Row<'a> {
    cells: &'a Rows,
    partition: Vec<usize>,
    place: usize,
    /// Places of the row's first peer, and behind its last one.
    peers: (usize, usize),
    /// Groups of peers before its own.
    groups_before: usize,
}

/// What `window` must give, in the order of the input.
pub fn window(spec: &WindowSpec, batch: &RecordBatch) -> Result<Rows, Stop> {
    let cells = rows(std::slice::from_ref(batch));
    let mut out = Vec::with_capacity(cells.len());
    for number in 0..cells.len() {
        let row = Row::new(spec, &cells, number);
        let passed = spec.projection.iter();
        let mut line: Vec<Value> = passed
            .map(|&column| cells[number][column].clone())
            .collect();
        for call in &spec.functions {
            line.push(row.call(spec, call)?);
        }
        out.push(line);
    }
    Ok(out)
}

fn in_order(spec: &WindowSpec, a: &[Value], b: &[Value]) -> Ordering {
    for key in &spec.order_by {
        let (a, b) = (&a[key.column], &b[key.column]);
        let nulls = if key.nulls_first {
            Ordering::Less
        } else {
            Ordering::Greater
        };
        let order = match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => nulls,
            (false, true) => nulls.reverse(),
            (false, false) if key.descending => b.compare(a),
            (false, false) => a.compare(b),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

impl<'a> Row<'a> {
    fn new(spec: &WindowSpec, cells: &'a Rows, number: usize) -> Row<'a> {
        let own = &cells[number];
        let same = |other: &usize| {
            let mut keys = spec.partition_by.iter();
            keys.all(|&key| own[key].compare(&cells[*other][key]).is_eq())
        };
        let mut partition: Vec<usize> = (0..cells.len()).filter(same).collect();
        partition.sort_by(|&a, &b| in_order(spec, &cells[a], &cells[b]));
        let count = |wanted: &dyn Fn(Ordering) -> bool| {
            let rows = partition.iter();
            rows.filter(|&&row| wanted(in_order(spec, &cells[row], own)))
                .count()
        };
        let peers = (count(&Ordering::is_lt), count(&Ordering::is_le));
        let groups =
            partition[..peers.0].chunk_by(|&a, &b| in_order(spec, &cells[a], &cells[b]).is_eq());
        let groups_before = groups.count();
        let place = partition.iter().position(|&row| row == number);
        Row {
            cells,
            place: place.expect("a row is in its partition"),
            partition,
            peers,
            groups_before,
        }
    }

    fn value(&self, column: usize, place: i128) -> Option<Value> {
        let row = self.partition.get(usize::try_from(place).ok()?)?;
        Some(self.cells[*row][column].clone())
    }

    fn neighbour(
        &self,
        spec: &WindowSpec,
        column: usize,
        offset: i128,
        default: &Literal,
    ) -> Result<Value, Stop> {
        if let Some(value) = self.value(column, self.place as i128 + offset) {
            return Ok(value);
        }
        let data_type = spec.input.field(column).data_type();
        let default = literal_array(default, data_type).map_err(|_| Stop::Unknown)?;
        Ok(cell(default.as_ref(), 0))
    }

    /// The places of the frame, in order.
    fn frame(&self, frame: Frame) -> Vec<i128> {
        let within = |place: &i128| match frame {
            Frame::Partition => true,
            Frame::RangeToCurrent => *place < self.peers.1 as i128,
            Frame::Rows { start, end } => {
                let distance = place - self.place as i128;
                start.is_none_or(|start| distance >= start.into())
                    && end.is_none_or(|end| distance <= end.into())
            }
        };
        (0..self.partition.len() as i128).filter(within).collect()
    }

    fn call(&self, spec: &WindowSpec, call: &WindowCall) -> Result<Value, Stop> {
        let number = |number: usize| Ok(Value::Integer(number as i128));
        let share = |part: usize, of: usize| Ok(Value::Float(part as f64 / of as f64));
        let rows = self.partition.len();
        let frame = self.frame(call.frame);
        let picked = |column: usize, place: Option<&i128>| {
            let value = place.and_then(|place| self.value(column, *place));
            Ok(value.unwrap_or(Value::Null))
        };
        match &call.function {
            WindowFunction::RowNumber => number(self.place + 1),
            WindowFunction::Rank => number(self.peers.0 + 1),
            WindowFunction::DenseRank => number(self.groups_before + 1),
            WindowFunction::PercentRank if rows == 1 => share(0, 1),
            WindowFunction::PercentRank => share(self.peers.0, rows - 1),
            WindowFunction::CumeDist => share(self.peers.1, rows),
            WindowFunction::Ntile(buckets) => {
                // Rows are dealt to buckets one by one, then counted off.
                let buckets = (*buckets).min(rows as u64) as usize;
                let mut sizes = vec![0; buckets];
                (0..rows).for_each(|row| sizes[row % buckets] += 1);
                let mut last = 0;
                for (bucket, size) in sizes.iter().enumerate() {
                    last += size;
                    if self.place < last {
                        return number(bucket + 1);
                    }
                }
                unreachable!("every row is in a bucket")
            }
            WindowFunction::Lag {
                operand,
                offset,
                default,
            } => self.neighbour(spec, *operand, -i128::from(*offset), default),
            WindowFunction::Lead {
                operand,
                offset,
                default,
            } => self.neighbour(spec, *operand, (*offset).into(), default),
            WindowFunction::FirstValue(column) => picked(*column, frame.first()),
            WindowFunction::LastValue(column) => picked(*column, frame.last()),
            WindowFunction::NthValue { operand: column, n } => {
                let nth = usize::try_from(*n - 1).ok();
                picked(*column, nth.and_then(|nth| frame.get(nth)))
            }
            WindowFunction::Aggregate { function, operand } => {
                let Some(column) = *operand else {
                    return number(frame.len());
                };
                let values = frame.iter().map(|&place| self.value(column, place));
                let values = values.flatten().filter(|value| !value.is_null()).collect();
                let data_type = spec.input.field(column).data_type();
                aggregate((spec.semantics, false), *function, values, data_type)
            }
        }
    }
}
