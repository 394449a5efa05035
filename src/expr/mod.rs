//! Expressions: what a user writes ([`Expr`]), and what a backend evaluates ([`TypedExpr`]).
//!
//! An [`Expr`] names columns and has no types. [`resolve`] checks it against a schema and inserts
//! every cast, so that a backend never meets operands of two types. Evaluation lives in the
//! backends; nothing here touches data, apart from casting literals.

#![forbid(unsafe_code)]

mod aggregate;
mod build;
mod build_functions;
mod coerce;
mod display;
mod failure;
mod function;
mod join;
mod resolve;
mod rewrite;
mod typed;
mod window;

pub use aggregate::{Ddof, Interpolation, Keep, Probability};
pub use build::{CaseBuilder, coalesce, col, concat, concat_with, count_rows, lit, when};
pub use build_functions::{greatest, least, make_date};
pub use function::{
    BitFunction, CalendarUnit, DatePart, FloatFunction, Function, InList, LikePattern, LikeStep,
    ListAggregate, MathFunction, Regression, Rounding, StringFunction, TemporalFunction,
    TextFunction, TrimSide,
};
pub(crate) use function::{lower_character, regex};
pub use join::{JoinKind, MARK_NAME};
pub use resolve::{aggregate_type, resolve, resolve_keys};
pub use typed::{TypedExpr, TypedKind, literal_array};
pub use window::{Frame, WindowFunction};

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::types::{DataType, Literal};

/// An operator with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`; of integers it truncates toward zero, of decimals it is a float.
    Divide,
    /// `%`, with the sign of the dividend.
    Remainder,
    /// `=`; null if an operand is null.
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// Kleene conjunction: false and null is false.
    And,
    /// Kleene disjunction: true or null is true.
    Or,
}

impl BinaryOp {
    /// True for the five arithmetic operators.
    pub fn is_arithmetic(self) -> bool {
        use BinaryOp::{Add, Divide, Multiply, Remainder, Subtract};
        matches!(self, Add | Subtract | Multiply | Divide | Remainder)
    }

    /// True for the six comparisons.
    pub fn is_comparison(self) -> bool {
        !self.is_arithmetic() && !matches!(self, BinaryOp::And | BinaryOp::Or)
    }

    /// The comparison with its operands exchanged: `a < b` is `b > a`.
    #[must_use]
    pub fn swapped(self) -> BinaryOp {
        match self {
            BinaryOp::Less => BinaryOp::Greater,
            BinaryOp::LessOrEqual => BinaryOp::GreaterOrEqual,
            BinaryOp::Greater => BinaryOp::Less,
            BinaryOp::GreaterOrEqual => BinaryOp::LessOrEqual,
            other => other,
        }
    }
}

/// A function of many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AggregateFunction {
    /// Sum of the values that are not null. Integers sum to 64 bits, decimals to 38 digits
    /// (modulo 2^128 until the end), floats to `Float64`.
    Sum,
    /// Number of values that are not null; of rows, if it has no operand.
    Count,
    /// Number of different values that are not null.
    CountDistinct,
    /// Smallest value; NaN is greater than every number.
    Min,
    /// Greatest value.
    Max,
    /// Sum divided by count, as `Float64`; null for no values.
    Mean,
    /// Mean of the squared distances from the mean, as `Float64`; null for fewer values than the
    /// denominator needs.
    Variance(Ddof),
    /// Square root of the variance.
    StandardDeviation(Ddof),
    /// Value of the row that came first, a null included.
    First,
    /// Value of the row that came last, a null included.
    Last,
    /// The first value that is not null.
    AnyValue,
    /// Kleene disjunction of Booleans: true if one is, else null if one is, else false.
    Any,
    /// Kleene conjunction of Booleans: false if one is, else null if one is, else true.
    All,
    /// Estimated number of different values that are not null.
    ApproxCountDistinct,
    /// The value at a place of the sorted values that are not null; NaN comes last. Null for no
    /// values.
    Quantile {
        /// The place: 0 is the least value, 1 the greatest.
        q: Probability,
        /// What a place between two values gives.
        interpolation: Interpolation,
    },
    /// The values as a list, in the order in which they came, nulls included.
    Collect,
}

/// An expression over named columns, with no types yet. Build it with [`col`], [`lit`] and the
/// methods of this type.
///
/// ```
/// use pelton::expr::{col, lit};
/// let e = col("price").multiply(lit(2)).gt(lit(10));
/// assert_eq!(e.to_string(), "((price * 2) > 10)");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expr {
    /// A column, by name.
    Column(String),
    /// A constant.
    Literal(Literal),
    /// An expression under another name.
    Alias {
        /// What is renamed.
        expr: Box<Expr>,
        /// The new name.
        name: String,
    },
    /// An operator with two operands.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand.
        right: Box<Expr>,
    },
    /// Kleene negation.
    Not(Box<Expr>),
    /// Arithmetic negation.
    Negate(Box<Expr>),
    /// True where the operand is null; never null.
    IsNull(Box<Expr>),
    /// True where the operand is not null; never null.
    IsNotNull(Box<Expr>),
    /// A change of type.
    Cast {
        /// What is cast.
        expr: Box<Expr>,
        /// The target type.
        to: DataType,
        /// True: a value that does not fit is an error. False: it is null.
        strict: bool,
    },
    /// The value of the first branch whose condition is true.
    Case {
        /// Condition and value of each branch, tried in order.
        branches: Vec<(Expr, Expr)>,
        /// Value where no condition is true; null if absent.
        otherwise: Option<Box<Expr>>,
    },
    /// The first operand that is not null.
    Coalesce(Vec<Expr>),
    /// A function of the operands' values in one row.
    Function {
        /// The function.
        function: Function,
        /// Its operands, in order.
        operands: Vec<Expr>,
    },
    /// A function of all rows of a group; only under an aggregation.
    Aggregate {
        /// The function.
        function: AggregateFunction,
        /// Its operand; none for the number of rows.
        expr: Option<Box<Expr>>,
    },
}

impl Expr {
    /// The name that the expression's column gets: its alias, its column's name, or its text.
    pub fn output_name(&self) -> String {
        self.own_name().into_owned()
    }

    /// Whether the expression's column gets this name.
    pub fn has_name(&self, name: &str) -> bool {
        self.own_name() == name
    }

    fn own_name(&self) -> Cow<'_, str> {
        match self {
            Expr::Alias { name, .. } | Expr::Column(name) => Cow::Borrowed(name),
            other => Cow::Owned(other.to_string()),
        }
    }

    /// The operands, left to right.
    pub fn children(&self) -> Vec<&Expr> {
        let mut children = Vec::new();
        self.each_child(&mut |child| children.push(child));
        children
    }

    /// Hands out the operands, left to right.
    fn each_child<'e>(&'e self, take: &mut dyn FnMut(&'e Expr)) {
        match self {
            Expr::Column(_) | Expr::Literal(_) => {}
            Expr::Alias { expr, .. }
            | Expr::Not(expr)
            | Expr::Negate(expr)
            | Expr::IsNull(expr)
            | Expr::IsNotNull(expr)
            | Expr::Cast { expr, .. } => take(expr),
            Expr::Binary { left, right, .. } => {
                take(left);
                take(right);
            }
            Expr::Case {
                branches,
                otherwise,
            } => {
                for (condition, value) in branches {
                    take(condition);
                    take(value);
                }
                otherwise.iter().for_each(|otherwise| take(otherwise));
            }
            Expr::Coalesce(operands) | Expr::Function { operands, .. } => {
                operands.iter().for_each(take);
            }
            Expr::Aggregate { expr, .. } => expr.iter().for_each(|expr| take(expr)),
        }
    }

    /// Adds the names of all columns that the expression reads.
    pub fn collect_columns(&self, names: &mut std::collections::BTreeSet<String>) {
        if let Expr::Column(name) = self
            && !names.contains(name)
        {
            names.insert(name.clone());
        }
        self.each_child(&mut |child| child.collect_columns(names));
    }

    /// True if an aggregate stands anywhere in the expression.
    pub fn has_aggregate(&self) -> bool {
        let mut found = matches!(self, Expr::Aggregate { .. });
        self.each_child(&mut |child| found = found || child.has_aggregate());
        found
    }

    /// Number of nested levels; a leaf has one.
    pub fn depth(&self) -> usize {
        let mut below = 0;
        self.each_child(&mut |child| below = below.max(child.depth()));
        1 + below
    }
}
