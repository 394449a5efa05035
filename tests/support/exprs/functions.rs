//! Random functions of numbers, dates and times. Those that every backend computes to the bit may
//! stand anywhere in an expression; the others stand alone ([`inexact`]).

use std::sync::LazyLock;

use pelton::expr::{
    CalendarUnit, DatePart, Expr, Function, TemporalFunction, TypedExpr, greatest, least, lit,
    make_date,
};
use pelton::types::{DataType, Literal, Schema, TimeUnit};

use super::super::random::Random;
use super::{Maker, is_whole, number_literal};

const PARTS: [DatePart; 15] = [
    DatePart::Year,
    DatePart::IsoYear,
    DatePart::Quarter,
    DatePart::Month,
    DatePart::IsoWeek,
    DatePart::Day,
    DatePart::DayOfYear,
    DatePart::DayOfWeek,
    DatePart::Hour,
    DatePart::Minute,
    DatePart::Second,
    DatePart::Millisecond,
    DatePart::Microsecond,
    DatePart::Nanosecond,
    DatePart::Epoch,
];

const UNITS: [CalendarUnit; 10] = [
    CalendarUnit::Year,
    CalendarUnit::Quarter,
    CalendarUnit::Month,
    CalendarUnit::Week,
    CalendarUnit::Day,
    CalendarUnit::Hour,
    CalendarUnit::Minute,
    CalendarUnit::Second,
    CalendarUnit::Millisecond,
    CalendarUnit::Microsecond,
];

/// Types that every timestamp can be cast to on every backend: zones without an offset.
static INSTANTS: LazyLock<[DataType; 4]> = LazyLock::new(|| {
    [
        DataType::Int64,
        DataType::Timestamp(TimeUnit::Second, None),
        DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into())),
    ]
});

/// A function that every backend computes to the bit.
pub fn exact(random: &mut Random, schema: &Schema, depth: usize) -> (Expr, TypedExpr) {
    Maker::new(random, schema).make(|maker| match maker.random.below(4) {
        0 => maker.number_function(depth),
        1 => maker.boolean_function(depth),
        _ => maker.temporal_function(),
    })
}

/// A function whose last bits are the backend's own, over exact operands.
pub fn inexact(random: &mut Random, schema: &Schema, depth: usize) -> (Expr, TypedExpr) {
    Maker::new(random, schema).make(|maker| {
        let (a, b) = (maker.number(depth), maker.number(depth));
        match maker.random.below(14) {
            0 => a.cbrt(),
            1 => a.exp(),
            2 => a.ln(),
            3 => a.log10(),
            4 => a.log2(),
            5 => a.sin(),
            6 => a.cos(),
            7 => a.tan(),
            8 => a.asin(),
            9 => a.acos(),
            10 => a.atan(),
            11 => a.power(b),
            12 => a.log(b),
            _ => a.atan2(b),
        }
    })
}

impl Maker<'_> {
    pub(super) fn number_function(&mut self, depth: usize) -> Expr {
        let depth = depth.saturating_sub(1);
        let a = self.number(depth);
        let digits = self.random.between(-5..=5) as i8;
        match self.random.below(16) {
            0 => a.abs(),
            1 => a.sign(),
            2 => a.round(digits),
            3 => a.round(*self.random.pick(&[0, 2, -19, 38, -38])),
            4 => a.trunc(digits),
            5 => a.floor(),
            6 => a.ceil(),
            7 => a.sqrt(),
            8 if self.random.once_in(2) => a.degrees(),
            8 => a.radians(),
            9 => greatest([a, self.number(depth), self.number(depth)]),
            10 => least([a, self.number(depth)]),
            11 => a.nullif(self.number(depth)),
            12..14 => self.bit_function(),
            _ => {
                let part = *self.random.pick(&PARTS);
                let function = Function::Temporal(TemporalFunction::Extract(part));
                let operands = vec![self.column(is_clock)];
                Expr::Function { function, operands }
            }
        }
    }

    fn bit_function(&mut self) -> Expr {
        let (a, b) = (self.column(is_whole), self.column(is_whole));
        let count = lit(self.random.between(-1..=65));
        match self.random.below(6) {
            0 => a.bit_and(b),
            1 => a.bit_or(b),
            2 => a.bit_xor(b),
            3 => a.bit_not(),
            4 => a.shift_left(count),
            _ => a.shift_right(count),
        }
    }

    pub(super) fn boolean_function(&mut self, depth: usize) -> Expr {
        let depth = depth.saturating_sub(1);
        match self.random.below(7) {
            0 => self.number(depth).is_nan(),
            1 => self.number(depth).is_finite(),
            2 => {
                let (low, high) = (self.number(depth), self.number(depth));
                self.number(depth).between(low, high)
            }
            3 => {
                let value = self.column(is_clock);
                let (low, high) = (self.column(is_clock), self.column(is_clock));
                value.clone().gt(low).and(value.lt(high))
            }
            4 => self
                .column(pelton::types::is_string)
                .is_in(["b", "é", "no row has this"]),
            _ => {
                let count = *self.random.pick(&[0, 1, 3, 8, 9, 40]);
                let value = self.number(depth);
                let constants = (0..count).map(|_| match number_literal(self.random) {
                    Expr::Literal(Literal::Null) if !self.random.once_in(4) => Literal::Int64(0),
                    Expr::Literal(literal) => literal,
                    other => unreachable!("{other} is a literal"),
                });
                value.is_in(constants.collect::<Vec<_>>())
            }
        }
    }

    /// Dates, timestamps, times and durations.
    pub(super) fn temporal_function(&mut self) -> Expr {
        let a = self.column(is_clock);
        match self.random.below(9) {
            8 => {
                let to = self.random.pick(&*INSTANTS).clone();
                self.column(|data_type| matches!(data_type, DataType::Timestamp(..)))
                    .try_cast(to)
            }
            0..2 => a.truncate(*self.random.pick(&UNITS)),
            2 => a.last_day(),
            3 => {
                let year = self.column(is_whole);
                let month = self.column(is_whole) % lit(13);
                let day = if self.random.once_in(2) {
                    lit(self.random.between(-1..=32))
                } else {
                    self.column(is_whole)
                };
                make_date(year, month, day)
            }
            4..6 => {
                let small = self.random.once_in(2);
                let mut draw = |small_max: i64, max: i64| {
                    let max = if small { small_max } else { max };
                    self.random.between(-max..=max)
                };
                let interval = lit(Literal::Interval {
                    months: draw(30, i32::MAX.into()) as i32,
                    days: draw(40, i32::MAX.into()) as i32,
                    nanos: 1_000_000_000 * draw(3, i64::MAX / 1_000_000_000),
                });
                let whole_days = lit(Literal::Interval {
                    months: draw(30, i32::MAX.into()) as i32,
                    days: draw(40, i32::MAX.into()) as i32,
                    nanos: 0,
                });
                match self.random.below(3) {
                    0 => a + interval,
                    1 => a + whole_days,
                    _ => a - whole_days,
                }
            }
            _ => {
                let b = self.column(is_temporal);
                let days = self.column(is_whole);
                match self.random.below(4) {
                    0 => a - b,
                    1 => a + b,
                    2 => a + days,
                    _ => a - lit(self.random.between(-400..=400)),
                }
            }
        }
    }
}

fn is_clock(data_type: &DataType) -> bool {
    data_type.is_temporal() && !matches!(data_type, DataType::Duration(_))
}

fn is_temporal(data_type: &DataType) -> bool {
    data_type.is_temporal()
}
