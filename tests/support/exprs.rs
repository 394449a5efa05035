//! Random expressions, built as a user would and typed by `resolve`, so that typing is under test
//! too.

pub mod functions;

use pelton::expr::{Expr, TypedExpr, coalesce, col, greatest, least, lit, resolve, when};
use pelton::types::{
    DataType, DivisionByZero, EmptySum, Literal, Overflow, Schema, Semantics, is_string,
};

use super::random::Random;
use super::tables::{BYTES, TEMPORALS, number_type};

/// Random semantics, the defaults more often than not.
pub fn semantics(random: &mut Random) -> Semantics {
    Semantics {
        overflow: *random.pick(&[Overflow::Wrap, Overflow::Wrap, Overflow::Error]),
        division_by_zero: *random.pick(&[
            DivisionByZero::Null,
            DivisionByZero::Null,
            DivisionByZero::Error,
        ]),
        empty_sum: *random.pick(&[EmptySum::Null, EmptySum::Zero]),
    }
}

/// A random expression of any type.
pub fn any(random: &mut Random, schema: &Schema, depth: usize) -> (Expr, TypedExpr) {
    Maker::new(random, schema).make(|maker| match maker.random.below(8) {
        0..4 => maker.number(depth),
        4..6 => maker.boolean(depth),
        6 => maker.same_family(depth),
        _ => maker.column(|_| true),
    })
}

/// A random Boolean expression.
pub fn predicate(random: &mut Random, schema: &Schema, depth: usize) -> (Expr, TypedExpr) {
    Maker::new(random, schema).make(|maker| maker.boolean(depth))
}

struct Maker<'a> {
    random: &'a mut Random,
    schema: &'a Schema,
    /// Strict casts turn most random tables into errors: only some expressions have them.
    strict: bool,
}

impl<'a> Maker<'a> {
    fn new(random: &'a mut Random, schema: &'a Schema) -> Self {
        let strict = random.once_in(6);
        Maker {
            random,
            schema,
            strict,
        }
    }

    /// Tries until an expression has types.
    fn make(mut self, mut draw: impl FnMut(&mut Self) -> Expr) -> (Expr, TypedExpr) {
        for _ in 0..100 {
            let expr = draw(&mut self);
            if let Ok(typed) = resolve(&expr, self.schema)
                && typed.data_type != DataType::Null
            {
                return (expr, typed);
            }
        }
        let expr = lit(true);
        let typed = resolve(&expr, self.schema).expect("a literal");
        (expr, typed)
    }

    fn column(&mut self, wanted: impl Fn(&DataType) -> bool) -> Expr {
        let fields = self.schema.fields().iter();
        let names: Vec<&String> = fields
            .filter(|field| wanted(field.data_type()))
            .map(|field| field.name())
            .collect();
        if names.is_empty() {
            return lit(Literal::Null);
        }
        col(self.random.pick(&names).as_str())
    }

    /// The expression if it has types, else a number column.
    fn typed(&mut self, expr: Expr) -> Expr {
        match resolve(&expr, self.schema) {
            Ok(_) => expr,
            Err(_) => self.column(is_number),
        }
    }

    fn number(&mut self, depth: usize) -> Expr {
        if depth == 0 || self.random.once_in(6) {
            return if self.random.once_in(4) {
                number_literal(self.random)
            } else {
                self.column(is_number)
            };
        }
        let depth = depth - 1;
        let expr = match self.random.below(17) {
            15.. => self.number_function(depth),
            14 => self.guarded(depth),
            0..7 => {
                let (left, right) = (self.number(depth), self.number(depth));
                match self.random.below(8) {
                    0..2 => left + right,
                    2..4 => left - right,
                    4..6 => left * right,
                    6 => left / right,
                    _ => left % right,
                }
            }
            7 => -self.number(depth),
            8..10 => {
                let operand = self.castable(depth);
                let to = number_type(self.random);
                self.cast(operand, to)
            }
            10..12 => self.case(depth, Self::number),
            12 => coalesce([self.number(depth), self.number(depth), self.number(depth)]),
            _ => {
                let operand = self.column(|data_type| *data_type == DataType::Boolean);
                let to = number_type(self.random);
                self.cast(operand, to)
            }
        };
        self.typed(expr)
    }

    /// A step that fails on some values, for the rows whose values it does not fail on.
    fn guarded(&mut self, depth: usize) -> Expr {
        let (dividend, operand) = (self.number(depth), self.number(depth));
        match self.random.below(4) {
            0 => when(operand.clone().eq(lit(0)))
                .then(dividend.clone())
                .otherwise(dividend / operand),
            1 => when(operand.clone().not_eq(lit(0)))
                .then(dividend % operand)
                .end(),
            2 => when(operand.clone().between(lit(-100), lit(100)))
                .then(operand.cast(DataType::Int8))
                .otherwise(lit(0)),
            _ => coalesce([
                operand.clone().try_cast(DataType::UInt8),
                operand.is_null().cast(DataType::UInt8),
                dividend.cast(DataType::UInt8),
            ]),
        }
    }

    fn boolean(&mut self, depth: usize) -> Expr {
        if depth == 0 || self.random.once_in(8) {
            return match self.random.below(6) {
                0 => lit(self.random.once_in(2)),
                1 => lit(Literal::Null).is_null(),
                _ => self.column(|data_type| *data_type == DataType::Boolean),
            };
        }
        let depth = depth - 1;
        match self.random.below(16) {
            14.. => {
                let expr = self.boolean_function(depth);
                match resolve(&expr, self.schema) {
                    Ok(_) => expr,
                    Err(_) => self.column(|_| true).is_null(),
                }
            }
            0..6 => {
                let (left, right) = match self.random.below(4) {
                    0..2 => (self.number(depth), self.number(depth)),
                    2 => {
                        let column = self.column(is_number);
                        (column, number_literal(self.random))
                    }
                    _ => {
                        let column = self.same_family(0);
                        (column, self.same_family(0))
                    }
                };
                let expr = self.compare(left, right);
                match resolve(&expr, self.schema) {
                    Ok(_) => expr,
                    Err(_) => self.column(|_| true).is_not_null(),
                }
            }
            6 => {
                let column = self.column(is_string);
                let word = *self
                    .random
                    .pick(&["", "a", "b", "é", "12", "no row has this"]);
                self.compare(column, lit(word))
            }
            7..9 => self.boolean(depth).and(self.boolean(depth)),
            9..11 => self.boolean(depth).or(self.boolean(depth)),
            11 => !self.boolean(depth),
            12 => match self.random.below(3) {
                0 => self.column(|_| true).is_null(),
                1 => self.number(depth).is_not_null(),
                _ => self.number(depth).try_cast(DataType::Boolean),
            },
            _ => self.case(depth, Self::boolean),
        }
    }

    /// Strings, bytes, dates and times; `case`, `coalesce` and extremes of them.
    fn same_family(&mut self, depth: usize) -> Expr {
        let strings = self.random.once_in(3);
        let bytes = (!strings && self.random.once_in(4)).then(|| self.random.pick(&BYTES).clone());
        let leaf = |maker: &mut Self| {
            if strings {
                match maker.random.below(4) {
                    0 => lit("b"),
                    _ => maker.column(is_string),
                }
            } else if let Some(bytes) = &bytes {
                maker.column(|data_type| data_type == bytes)
            } else {
                maker.column(|data_type| TEMPORALS.contains(data_type))
            }
        };
        match self.random.below(5) {
            0 if depth > 0 => self.case(depth - 1, |maker, _| leaf(maker)),
            1 if depth > 0 => coalesce([leaf(self), leaf(self)]),
            2 if depth > 0 && !strings && bytes.is_none() => {
                let operand = self.castable(depth - 1);
                let to = self.random.pick(&TEMPORALS).clone();
                self.cast(operand, to)
            }
            3 if depth > 0 && strings => {
                let to = self
                    .random
                    .pick(&[DataType::Utf8, DataType::LargeUtf8])
                    .clone();
                let operand = self.column(|data_type| is_string(data_type) || is_whole(data_type));
                self.cast(operand, to)
            }
            4 if depth > 0 => match self.random.once_in(2) {
                true => greatest([leaf(self), leaf(self)]),
                false => least([leaf(self), leaf(self), leaf(self)]),
            },
            _ => leaf(self),
        }
    }

    fn castable(&mut self, depth: usize) -> Expr {
        match self.random.below(8) {
            0..5 => self.number(depth),
            5..7 => self.column(|data_type| TEMPORALS.contains(data_type)),
            _ => self.column(is_string),
        }
    }

    fn cast(&mut self, operand: Expr, to: DataType) -> Expr {
        if self.strict && self.random.once_in(2) {
            operand.cast(to)
        } else {
            operand.try_cast(to)
        }
    }

    fn compare(&mut self, left: Expr, right: Expr) -> Expr {
        match self.random.below(6) {
            0 => left.eq(right),
            1 => left.not_eq(right),
            2 => left.lt(right),
            3 => left.lt_eq(right),
            4 => left.gt(right),
            _ => left.gt_eq(right),
        }
    }

    fn case(&mut self, depth: usize, mut value: impl FnMut(&mut Self, usize) -> Expr) -> Expr {
        let first = self.boolean(depth.min(1));
        let mut case = when(first).then(value(self, depth));
        if self.random.once_in(2) {
            case = case
                .when(self.boolean(depth.min(1)))
                .then(value(self, depth));
        }
        if self.random.once_in(3) {
            return case.end();
        }
        case.otherwise(value(self, depth))
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

fn is_whole(data_type: &DataType) -> bool {
    data_type.is_integer()
}

fn number_literal(random: &mut Random) -> Expr {
    match random.below(12) {
        0..7 => lit(random.between(-3..=3)),
        7 => lit(*random.pick(&[i64::MIN, i64::MAX, 127, 128, -129, 1_000_000])),
        8 => lit(u64::MAX),
        9 => lit(*random.pick(&[0.5, -1.5, 1e300, 0.1])),
        10 => lit(Literal::Decimal {
            value: random.between(-1000..=1000).into(),
            precision: 5,
            scale: random.below(4) as i8,
        }),
        _ => lit(Literal::Null),
    }
}
