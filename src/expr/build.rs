//! The words with which a user builds expressions.

use super::{
    AggregateFunction, BinaryOp, DatePart, Ddof, Expr, Function, Interpolation, MathFunction,
    Probability, StringFunction, TemporalFunction,
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
    fn binary(self, op: BinaryOp, right: Expr) -> Expr {
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

    fn function(self, function: Function) -> Expr {
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

    /// The value without its sign; see [`MathFunction::Abs`].
    #[must_use]
    pub fn abs(self) -> Expr {
        self.function(Function::Math(MathFunction::Abs))
    }

    /// Number of characters; see [`StringFunction::Length`].
    #[must_use]
    pub fn length(self) -> Expr {
        self.function(Function::String(StringFunction::Length))
    }

    /// The year of a date; see [`DatePart::Year`].
    #[must_use]
    pub fn year(self) -> Expr {
        let function = TemporalFunction::Extract(DatePart::Year);
        self.function(Function::Temporal(function))
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
