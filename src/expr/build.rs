//! The words with which a user builds expressions.

use super::{
    AggregateFunction, BinaryOp, Ddof, Expr, Function, Interpolation, LikePattern, Probability,
    StringFunction, TrimSide,
};
use crate::types::{DataType, Literal};

/// The column of this name.
pub fn col(name: impl Into<String>) -> Expr {
    Expr::Column(name.into())
}

/// A constant.
pub fn lit(value: impl Into<Literal>) -> Expr {
    Expr::Literal(value.into())
}

/// The first operand that is not null.
pub fn coalesce(operands: impl IntoIterator<Item = Expr>) -> Expr {
    Expr::Coalesce(operands.into_iter().collect())
}

/// SQL's `||` of several strings; null if one of them is.
pub fn concat(operands: impl IntoIterator<Item = Expr>) -> Expr {
    Expr::Function {
        function: Function::String(StringFunction::Concat),
        operands: operands.into_iter().collect(),
    }
}

/// The strings that are not null, `separator` between each two: SQL's `concat_ws`.
pub fn concat_with(separator: impl Into<String>, operands: impl IntoIterator<Item = Expr>) -> Expr {
    Expr::Function {
        function: Function::String(StringFunction::ConcatWith(separator.into())),
        operands: operands.into_iter().collect(),
    }
}

/// The number of rows of a group.
pub fn count_rows() -> Expr {
    Expr::Aggregate {
        function: AggregateFunction::Count,
        expr: None,
    }
}

/// Starts a conditional expression: `when(a).then(b).otherwise(c)`.
pub fn when(condition: Expr) -> CaseBuilder {
    CaseBuilder {
        branches: Vec::new(),
        condition,
    }
}

/// A conditional expression that waits for a value.
#[derive(Debug, Clone)]
pub struct CaseBuilder {
    branches: Vec<(Expr, Expr)>,
    condition: Expr,
}

impl CaseBuilder {
    /// The value where the condition is true.
    #[must_use]
    pub fn then(mut self, value: Expr) -> CaseBranches {
        self.branches.push((self.condition, value));
        CaseBranches {
            branches: self.branches,
        }
    }
}

/// A conditional expression that may be ended or given another branch.
#[derive(Debug, Clone)]
pub struct CaseBranches {
    branches: Vec<(Expr, Expr)>,
}

impl CaseBranches {
    /// Another branch, tried where the conditions before it are not true.
    #[must_use]
    pub fn when(self, condition: Expr) -> CaseBuilder {
        CaseBuilder {
            branches: self.branches,
            condition,
        }
    }

    /// The value where no condition is true.
    #[must_use]
    pub fn otherwise(self, value: Expr) -> Expr {
        Expr::Case {
            branches: self.branches,
            otherwise: Some(Box::new(value)),
        }
    }

    /// Null where no condition is true.
    #[must_use]
    pub fn end(self) -> Expr {
        Expr::Case {
            branches: self.branches,
            otherwise: None,
        }
    }
}

impl Expr {
    pub(super) fn binary(self, op: BinaryOp, right: Expr) -> Expr {
        Expr::Binary {
            op,
            left: Box::new(self),
            right: Box::new(right),
        }
    }

    fn aggregate(self, function: AggregateFunction) -> Expr {
        Expr::Aggregate {
            function,
            expr: Some(Box::new(self)),
        }
    }

    pub(super) fn function(self, function: Function) -> Expr {
        Expr::Function {
            function,
            operands: vec![self],
        }
    }

    /// The same under another name.
    #[must_use]
    pub fn alias(self, name: impl Into<String>) -> Expr {
        Expr::Alias {
            expr: Box::new(self),
            name: name.into(),
        }
    }

    /// `self / right`; see [`BinaryOp::Divide`].
    #[must_use]
    pub fn divide(self, right: Expr) -> Expr {
        self.binary(BinaryOp::Divide, right)
    }

    /// `self * right`
    #[must_use]
    pub fn multiply(self, right: Expr) -> Expr {
        self.binary(BinaryOp::Multiply, right)
    }

    /// `self % right`
    #[must_use]
    pub fn remainder(self, right: Expr) -> Expr {
        self.binary(BinaryOp::Remainder, right)
    }

    /// `self + right`
    #[must_use]
    pub fn plus(self, right: Expr) -> Expr {
        self.binary(BinaryOp::Add, right)
    }

    /// `self - right`
    #[must_use]
    pub fn minus(self, right: Expr) -> Expr {
        self.binary(BinaryOp::Subtract, right)
    }

    /// `self = right`
    #[must_use]
    pub fn eq(self, right: Expr) -> Expr {
        self.binary(BinaryOp::Equal, right)
    }

    /// `self <> right`
    #[must_use]
    pub fn not_eq(self, right: Expr) -> Expr {
        self.binary(BinaryOp::NotEqual, right)
    }

    /// `self < right`
    #[must_use]
    pub fn lt(self, right: Expr) -> Expr {
        self.binary(BinaryOp::Less, right)
    }

    /// `self <= right`
    #[must_use]
    pub fn lt_eq(self, right: Expr) -> Expr {
        self.binary(BinaryOp::LessOrEqual, right)
    }

    /// `self > right`
    #[must_use]
    pub fn gt(self, right: Expr) -> Expr {
        self.binary(BinaryOp::Greater, right)
    }

    /// `self >= right`
    #[must_use]
    pub fn gt_eq(self, right: Expr) -> Expr {
        self.binary(BinaryOp::GreaterOrEqual, right)
    }

    /// `low <= self and self <= high`
    #[must_use]
    pub fn between(self, low: Expr, high: Expr) -> Expr {
        self.clone().gt_eq(low).and(self.lt_eq(high))
    }

    /// Kleene conjunction.
    #[must_use]
    pub fn and(self, right: Expr) -> Expr {
        self.binary(BinaryOp::And, right)
    }

    /// Kleene disjunction.
    #[must_use]
    pub fn or(self, right: Expr) -> Expr {
        self.binary(BinaryOp::Or, right)
    }

    /// True where null.
    #[must_use]
    pub fn is_null(self) -> Expr {
        Expr::IsNull(Box::new(self))
    }

    /// True where not null.
    #[must_use]
    pub fn is_not_null(self) -> Expr {
        Expr::IsNotNull(Box::new(self))
    }

    /// Cast; a value that does not fit is an error.
    #[must_use]
    pub fn cast(self, to: DataType) -> Expr {
        Expr::Cast {
            expr: Box::new(self),
            to,
            strict: true,
        }
    }

    /// Cast; a value that does not fit is null.
    #[must_use]
    pub fn try_cast(self, to: DataType) -> Expr {
        Expr::Cast {
            expr: Box::new(self),
            to,
            strict: false,
        }
    }

    /// Sum of a group; see [`AggregateFunction::Sum`].
    #[must_use]
    pub fn sum(self) -> Expr {
        self.aggregate(AggregateFunction::Sum)
    }

    /// Number of values of a group that are not null.
    #[must_use]
    pub fn count(self) -> Expr {
        self.aggregate(AggregateFunction::Count)
    }

    /// Number of different values of a group that are not null.
    #[must_use]
    pub fn n_unique(self) -> Expr {
        self.aggregate(AggregateFunction::CountDistinct)
    }

    /// Smallest value of a group.
    #[must_use]
    pub fn min(self) -> Expr {
        self.aggregate(AggregateFunction::Min)
    }

    /// Greatest value of a group.
    #[must_use]
    pub fn max(self) -> Expr {
        self.aggregate(AggregateFunction::Max)
    }

    /// Mean of a group, as a float.
    #[must_use]
    pub fn mean(self) -> Expr {
        self.aggregate(AggregateFunction::Mean)
    }

    /// Variance of a group's values as a sample; see [`AggregateFunction::Variance`].
    #[must_use]
    pub fn var(self) -> Expr {
        self.variance(Ddof::Sample)
    }

    /// Variance of a group.
    #[must_use]
    pub fn variance(self, ddof: Ddof) -> Expr {
        self.aggregate(AggregateFunction::Variance(ddof))
    }

    /// Standard deviation of a group's values as a sample.
    #[must_use]
    pub fn std(self) -> Expr {
        self.standard_deviation(Ddof::Sample)
    }

    /// Standard deviation of a group.
    #[must_use]
    pub fn standard_deviation(self, ddof: Ddof) -> Expr {
        self.aggregate(AggregateFunction::StandardDeviation(ddof))
    }

    /// Value of a group's first row; see [`AggregateFunction::First`]. Rows of a scan come in no
    /// stated order.
    #[must_use]
    pub fn first(self) -> Expr {
        self.aggregate(AggregateFunction::First)
    }

    /// Value of a group's last row.
    #[must_use]
    pub fn last(self) -> Expr {
        self.aggregate(AggregateFunction::Last)
    }

    /// A value of a group that is not null, if there is one.
    #[must_use]
    pub fn any_value(self) -> Expr {
        self.aggregate(AggregateFunction::AnyValue)
    }

    /// Whether a condition is true in some row of a group; see [`AggregateFunction::Any`].
    #[must_use]
    pub fn any(self) -> Expr {
        self.aggregate(AggregateFunction::Any)
    }

    /// Whether a condition is true in all rows of a group; see [`AggregateFunction::All`].
    #[must_use]
    pub fn all(self) -> Expr {
        self.aggregate(AggregateFunction::All)
    }

    /// Estimated number of different values of a group that are not null.
    #[must_use]
    pub fn approx_n_unique(self) -> Expr {
        self.aggregate(AggregateFunction::ApproxCountDistinct)
    }

    /// The value in the middle of a group's sorted values; of two in the middle, their mean.
    ///
    /// ```
    /// use pelton::expr::col;
    /// assert_eq!(col("price").median().to_string(), "median(price)");
    /// ```
    #[must_use]
    pub fn median(self) -> Expr {
        self.quantile(Probability::HALF, Interpolation::Linear)
    }

    /// The value at a place of a group's sorted values; see [`AggregateFunction::Quantile`].
    #[must_use]
    pub fn quantile(self, q: Probability, interpolation: Interpolation) -> Expr {
        self.aggregate(AggregateFunction::Quantile { q, interpolation })
    }

    /// A group's values as a list; see [`AggregateFunction::Collect`].
    #[must_use]
    pub fn collect_list(self) -> Expr {
        self.aggregate(AggregateFunction::Collect)
    }
}

/// Functions over strings; see [`StringFunction`] for what each gives.
///
/// ```
/// use pelton::expr::{col, concat, lit};
/// let wanted = col("comment").not_like("%special%requests%").and(col("name").starts_with("a"));
/// assert_eq!(
///     wanted.to_string(),
///     r#"(not like["%special%requests%"](comment) and starts_with["a"](name))"#
/// );
/// let initial = concat([col("name").left(1).upper(), lit(".")]);
/// assert_eq!(initial.to_string(), r#"concat(upper(left[1](name)), ".")"#);
/// ```
impl Expr {
    fn string(self, function: StringFunction) -> Expr {
        self.function(Function::String(function))
    }

    /// Number of bytes; see [`StringFunction::ByteLength`].
    #[must_use]
    pub fn byte_length(self) -> Expr {
        self.string(StringFunction::ByteLength)
    }

    /// True where `part` occurs.
    #[must_use]
    pub fn contains(self, part: impl Into<String>) -> Expr {
        self.string(StringFunction::Contains(part.into()))
    }

    /// True where the string ends with `end`.
    #[must_use]
    pub fn ends_with(self, end: impl Into<String>) -> Expr {
        self.string(StringFunction::EndsWith(end.into()))
    }

    /// Position of `part`, counted from 1; see [`StringFunction::Find`].
    #[must_use]
    pub fn find(self, part: impl Into<String>) -> Expr {
        self.string(StringFunction::Find(part.into()))
    }

    /// SQL's ILIKE: [`Expr::like`] without regard to case; see [`LikePattern::ignore_case`].
    #[must_use]
    pub fn ilike(self, pattern: impl Into<String>) -> Expr {
        self.string(StringFunction::Like(LikePattern {
            pattern: pattern.into(),
            escape: None,
            ignore_case: true,
        }))
    }

    /// The first characters; see [`StringFunction::Left`].
    #[must_use]
    pub fn left(self, count: i64) -> Expr {
        self.string(StringFunction::Left(count))
    }

    /// Number of characters; see [`StringFunction::Length`].
    #[must_use]
    pub fn length(self) -> Expr {
        self.string(StringFunction::Length)
    }

    /// SQL's LIKE without an escape character: `%` stands for any characters, `_` for one.
    #[must_use]
    pub fn like(self, pattern: impl Into<String>) -> Expr {
        self.string(StringFunction::Like(LikePattern {
            pattern: pattern.into(),
            escape: None,
            ignore_case: false,
        }))
    }

    /// SQL's LIKE with all its choices.
    #[must_use]
    pub fn like_pattern(self, pattern: LikePattern) -> Expr {
        self.string(StringFunction::Like(pattern))
    }

    /// Lower case; see [`StringFunction::Lower`].
    #[must_use]
    pub fn lower(self) -> Expr {
        self.string(StringFunction::Lower)
    }

    /// Without these characters at the start.
    #[must_use]
    pub fn ltrim(self, characters: impl Into<String>) -> Expr {
        self.trimmed(TrimSide::Start, characters.into())
    }

    /// True where a regular expression matches a part; see [`StringFunction::Matches`].
    #[must_use]
    pub fn matches(self, pattern: impl Into<String>) -> Expr {
        self.string(StringFunction::Matches(pattern.into()))
    }

    /// Not [`Expr::like`].
    #[must_use]
    pub fn not_like(self, pattern: impl Into<String>) -> Expr {
        Expr::Not(Box::new(self.like(pattern)))
    }

    /// Every occurrence of `from` replaced; see [`StringFunction::Replace`].
    #[must_use]
    pub fn replace(self, from: impl Into<String>, to: impl Into<String>) -> Expr {
        self.string(StringFunction::Replace {
            from: from.into(),
            to: to.into(),
        })
    }

    /// The characters in reverse order.
    #[must_use]
    pub fn reverse(self) -> Expr {
        self.string(StringFunction::Reverse)
    }

    /// The last characters; see [`StringFunction::Right`].
    #[must_use]
    pub fn right(self, count: i64) -> Expr {
        self.string(StringFunction::Right(count))
    }

    /// Without these characters at the end.
    #[must_use]
    pub fn rtrim(self, characters: impl Into<String>) -> Expr {
        self.trimmed(TrimSide::End, characters.into())
    }

    /// A part of what a delimiter separates; see [`StringFunction::SplitPart`].
    #[must_use]
    pub fn split_part(self, delimiter: impl Into<String>, index: i64) -> Expr {
        self.string(StringFunction::SplitPart {
            delimiter: delimiter.into(),
            index,
        })
    }

    /// True where the string starts with `start`.
    #[must_use]
    pub fn starts_with(self, start: impl Into<String>) -> Expr {
        self.string(StringFunction::StartsWith(start.into()))
    }

    /// Characters from a position on, counted from 1; see [`StringFunction::Substring`].
    #[must_use]
    pub fn substring(self, start: i64, length: Option<i64>) -> Expr {
        self.string(StringFunction::Substring { start, length })
    }

    /// Without these characters at either end; SQL's TRIM takes `" "`.
    #[must_use]
    pub fn trim(self, characters: impl Into<String>) -> Expr {
        self.trimmed(TrimSide::Both, characters.into())
    }

    fn trimmed(self, side: TrimSide, characters: String) -> Expr {
        self.string(StringFunction::Trim { side, characters })
    }

    /// Upper case; see [`StringFunction::Upper`].
    #[must_use]
    pub fn upper(self) -> Expr {
        self.string(StringFunction::Upper)
    }
}

impl std::ops::Not for Expr {
    type Output = Expr;
    fn not(self) -> Expr {
        Expr::Not(Box::new(self))
    }
}

impl std::ops::Neg for Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        Expr::Negate(Box::new(self))
    }
}

macro_rules! operator {
    ($($trait:ident $method:ident $op:ident),*) => {
        $(impl std::ops::$trait for Expr {
            type Output = Expr;
            fn $method(self, right: Expr) -> Expr {
                self.binary(BinaryOp::$op, right)
            }
        })*
    };
}

operator!(Add add Add, Sub sub Subtract, Mul mul Multiply, Div div Divide, Rem rem Remainder);
