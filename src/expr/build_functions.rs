//! The words with which a user builds functions over numbers, dates and times.

use super::{
    BitFunction, CalendarUnit, DatePart, Expr, FloatFunction, Function, InList, MathFunction,
    Rounding, TemporalFunction, lit, when,
};
use crate::types::Literal;

/// The greatest operand that is not null; see [`MathFunction::Greatest`].
pub fn greatest(operands: impl IntoIterator<Item = Expr>) -> Expr {
    many(Function::Math(MathFunction::Greatest), operands)
}

/// The least operand that is not null; see [`MathFunction::Least`].
pub fn least(operands: impl IntoIterator<Item = Expr>) -> Expr {
    many(Function::Math(MathFunction::Least), operands)
}

/// The date of a year, month and day; see [`TemporalFunction::MakeDate`].
pub fn make_date(year: Expr, month: Expr, day: Expr) -> Expr {
    let function = Function::Temporal(TemporalFunction::MakeDate);
    many(function, [year, month, day])
}

fn many(function: Function, operands: impl IntoIterator<Item = Expr>) -> Expr {
    Expr::Function {
        function,
        operands: operands.into_iter().collect(),
    }
}

impl Expr {
    fn math(self, function: MathFunction) -> Expr {
        self.function(Function::Math(function))
    }

    fn float(self, function: FloatFunction) -> Expr {
        self.math(MathFunction::Float(function))
    }

    fn math_with(self, function: MathFunction, right: Expr) -> Expr {
        many(Function::Math(function), [self, right])
    }

    fn rounded(self, digits: i8, rounding: Rounding) -> Expr {
        self.math(MathFunction::Round { digits, rounding })
    }

    fn extract(self, part: DatePart) -> Expr {
        self.function(Function::Temporal(TemporalFunction::Extract(part)))
    }

    /// The value without its sign; see [`MathFunction::Abs`].
    #[must_use]
    pub fn abs(self) -> Expr {
        self.math(MathFunction::Abs)
    }

    /// −1, 0 or 1; see [`MathFunction::Sign`].
    #[must_use]
    pub fn sign(self) -> Expr {
        self.math(MathFunction::Sign)
    }

    /// Rounded to so many digits behind the point, half away from zero; see
    /// [`MathFunction::Round`].
    #[must_use]
    pub fn round(self, digits: i8) -> Expr {
        self.rounded(digits, Rounding::HalfAwayFromZero)
    }

    /// Rounded toward zero to so many digits behind the point; see [`MathFunction::Round`].
    #[must_use]
    pub fn trunc(self, digits: i8) -> Expr {
        self.rounded(digits, Rounding::TowardZero)
    }

    /// Rounded down to a whole number; see [`MathFunction::Round`].
    #[must_use]
    pub fn floor(self) -> Expr {
        self.rounded(0, Rounding::Floor)
    }

    /// Rounded up to a whole number; see [`MathFunction::Round`].
    #[must_use]
    pub fn ceil(self) -> Expr {
        self.rounded(0, Rounding::Ceiling)
    }

    /// Square root; see [`FloatFunction::Sqrt`].
    #[must_use]
    pub fn sqrt(self) -> Expr {
        self.float(FloatFunction::Sqrt)
    }

    /// Cube root; see [`FloatFunction::Cbrt`].
    #[must_use]
    pub fn cbrt(self) -> Expr {
        self.float(FloatFunction::Cbrt)
    }

    /// e to the power of this; see [`FloatFunction::Exp`].
    #[must_use]
    pub fn exp(self) -> Expr {
        self.float(FloatFunction::Exp)
    }

    /// Natural logarithm; see [`FloatFunction::Ln`].
    #[must_use]
    pub fn ln(self) -> Expr {
        self.float(FloatFunction::Ln)
    }

    /// Logarithm to base 10; see [`FloatFunction::Log10`].
    #[must_use]
    pub fn log10(self) -> Expr {
        self.float(FloatFunction::Log10)
    }

    /// Logarithm to base 2; see [`FloatFunction::Log2`].
    #[must_use]
    pub fn log2(self) -> Expr {
        self.float(FloatFunction::Log2)
    }

    /// Sine, of radians; see [`FloatFunction::Sin`].
    #[must_use]
    pub fn sin(self) -> Expr {
        self.float(FloatFunction::Sin)
    }

    /// Cosine, of radians; see [`FloatFunction::Cos`].
    #[must_use]
    pub fn cos(self) -> Expr {
        self.float(FloatFunction::Cos)
    }

    /// Tangent, of radians; see [`FloatFunction::Tan`].
    #[must_use]
    pub fn tan(self) -> Expr {
        self.float(FloatFunction::Tan)
    }

    /// Inverse sine; see [`FloatFunction::Asin`].
    #[must_use]
    pub fn asin(self) -> Expr {
        self.float(FloatFunction::Asin)
    }

    /// Inverse cosine; see [`FloatFunction::Acos`].
    #[must_use]
    pub fn acos(self) -> Expr {
        self.float(FloatFunction::Acos)
    }

    /// Inverse tangent; see [`FloatFunction::Atan`].
    #[must_use]
    pub fn atan(self) -> Expr {
        self.float(FloatFunction::Atan)
    }

    /// Radians as degrees; see [`FloatFunction::Degrees`].
    #[must_use]
    pub fn degrees(self) -> Expr {
        self.float(FloatFunction::Degrees)
    }

    /// Degrees as radians; see [`FloatFunction::Radians`].
    #[must_use]
    pub fn radians(self) -> Expr {
        self.float(FloatFunction::Radians)
    }

    /// This to a power; see [`FloatFunction::Power`].
    #[must_use]
    pub fn power(self, exponent: Expr) -> Expr {
        self.math_with(MathFunction::Float(FloatFunction::Power), exponent)
    }

    /// Logarithm to a base; see [`FloatFunction::Log`].
    #[must_use]
    pub fn log(self, base: Expr) -> Expr {
        self.math_with(MathFunction::Float(FloatFunction::Log), base)
    }

    /// The angle of the point (x, this); see [`FloatFunction::Atan2`].
    #[must_use]
    pub fn atan2(self, x: Expr) -> Expr {
        self.math_with(MathFunction::Float(FloatFunction::Atan2), x)
    }

    /// Bits that both have; see [`BitFunction::And`].
    #[must_use]
    pub fn bit_and(self, right: Expr) -> Expr {
        self.math_with(MathFunction::Bits(BitFunction::And), right)
    }

    /// Bits that one has; see [`BitFunction::Or`].
    #[must_use]
    pub fn bit_or(self, right: Expr) -> Expr {
        self.math_with(MathFunction::Bits(BitFunction::Or), right)
    }

    /// Bits that differ; see [`BitFunction::Xor`].
    #[must_use]
    pub fn bit_xor(self, right: Expr) -> Expr {
        self.math_with(MathFunction::Bits(BitFunction::Xor), right)
    }

    /// Shifted toward the sign; see [`BitFunction::ShiftLeft`].
    #[must_use]
    pub fn shift_left(self, count: Expr) -> Expr {
        self.math_with(MathFunction::Bits(BitFunction::ShiftLeft), count)
    }

    /// Shifted away from the sign; see [`BitFunction::ShiftRight`].
    #[must_use]
    pub fn shift_right(self, count: Expr) -> Expr {
        self.math_with(MathFunction::Bits(BitFunction::ShiftRight), count)
    }

    /// Bits inverted; see [`BitFunction::Not`].
    #[must_use]
    pub fn bit_not(self) -> Expr {
        self.math(MathFunction::Bits(BitFunction::Not))
    }

    /// True for NaN; see [`MathFunction::IsNan`].
    #[must_use]
    pub fn is_nan(self) -> Expr {
        self.math(MathFunction::IsNan)
    }

    /// True unless NaN or infinite; see [`MathFunction::IsFinite`].
    #[must_use]
    pub fn is_finite(self) -> Expr {
        self.math(MathFunction::IsFinite)
    }

    /// Null where this equals `other`, else this.
    #[must_use]
    pub fn nullif(self, other: Expr) -> Expr {
        when(self.clone().eq(other))
            .then(lit(Literal::Null))
            .otherwise(self)
    }

    /// True if this equals one of the constants; see [`InList`] for nulls.
    #[must_use]
    pub fn is_in<T: Into<Literal>>(self, values: impl IntoIterator<Item = T>) -> Expr {
        let values = values.into_iter().map(Into::into).collect();
        self.function(Function::InList(InList { values }))
    }

    /// The year; see [`DatePart::Year`].
    #[must_use]
    pub fn year(self) -> Expr {
        self.extract(DatePart::Year)
    }

    /// The year of the ISO week; see [`DatePart::IsoYear`].
    #[must_use]
    pub fn iso_year(self) -> Expr {
        self.extract(DatePart::IsoYear)
    }

    /// The quarter; see [`DatePart::Quarter`].
    #[must_use]
    pub fn quarter(self) -> Expr {
        self.extract(DatePart::Quarter)
    }

    /// The month; see [`DatePart::Month`].
    #[must_use]
    pub fn month(self) -> Expr {
        self.extract(DatePart::Month)
    }

    /// The week of ISO 8601; see [`DatePart::IsoWeek`].
    #[must_use]
    pub fn iso_week(self) -> Expr {
        self.extract(DatePart::IsoWeek)
    }

    /// The day of the month; see [`DatePart::Day`].
    #[must_use]
    pub fn day(self) -> Expr {
        self.extract(DatePart::Day)
    }

    /// The day of the year; see [`DatePart::DayOfYear`].
    #[must_use]
    pub fn day_of_year(self) -> Expr {
        self.extract(DatePart::DayOfYear)
    }

    /// The day of the week, Monday being 1; see [`DatePart::DayOfWeek`].
    #[must_use]
    pub fn day_of_week(self) -> Expr {
        self.extract(DatePart::DayOfWeek)
    }

    /// The hour; see [`DatePart::Hour`].
    #[must_use]
    pub fn hour(self) -> Expr {
        self.extract(DatePart::Hour)
    }

    /// The minute; see [`DatePart::Minute`].
    #[must_use]
    pub fn minute(self) -> Expr {
        self.extract(DatePart::Minute)
    }

    /// The second; see [`DatePart::Second`].
    #[must_use]
    pub fn second(self) -> Expr {
        self.extract(DatePart::Second)
    }

    /// Milliseconds of the second; see [`DatePart::Millisecond`].
    #[must_use]
    pub fn millisecond(self) -> Expr {
        self.extract(DatePart::Millisecond)
    }

    /// Microseconds of the second; see [`DatePart::Microsecond`].
    #[must_use]
    pub fn microsecond(self) -> Expr {
        self.extract(DatePart::Microsecond)
    }

    /// Nanoseconds of the second; see [`DatePart::Nanosecond`].
    #[must_use]
    pub fn nanosecond(self) -> Expr {
        self.extract(DatePart::Nanosecond)
    }

    /// Seconds since 1970; see [`DatePart::Epoch`].
    #[must_use]
    pub fn epoch(self) -> Expr {
        self.extract(DatePart::Epoch)
    }

    /// The start of the unit that this lies in; see [`TemporalFunction::Truncate`].
    #[must_use]
    pub fn truncate(self, unit: CalendarUnit) -> Expr {
        self.function(Function::Temporal(TemporalFunction::Truncate(unit)))
    }

    /// The last day of the month; see [`TemporalFunction::LastDay`].
    #[must_use]
    pub fn last_day(self) -> Expr {
        self.function(Function::Temporal(TemporalFunction::LastDay))
    }
}
