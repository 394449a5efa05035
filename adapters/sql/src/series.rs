//! Tables of numbers at equal distances: `range` and `generate_series`.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use datafusion_sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, TableFunctionArgs, UnaryOperator, Value,
};
use pelton::engine::{LazyFrame, from_batches};
use pelton::error::{Error, Result};

use crate::source::SQL;

/// The function whose numbers end before the last operand.
pub(crate) const RANGE: &str = "range";
/// The function whose numbers may end with it.
pub(crate) const GENERATE_SERIES: &str = "generate_series";

/// Most numbers of a series: they stand in memory.
const ROWS_MAX: usize = 1 << 24;

/// The numbers of a call, and what the table is called.
pub(crate) struct Series {
    function: &'static str,
    start: i64,
    end: i64,
    step: i64,
}

impl Series {
    /// The series of a call, if the function makes one.
    ///
    /// # Errors
    /// `InvalidInput` for operands that are not one to three integer constants, the third of them not 0.
    pub(crate) fn of(name: &str, args: &TableFunctionArgs) -> Option<Result<Series>> {
        let mut known = [RANGE, GENERATE_SERIES].into_iter();
        let function = known.find(|known| name.eq_ignore_ascii_case(known))?;
        let numbers = args.args.iter().map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => integer(expr),
            _ => None,
        });
        let numbers: Option<Vec<i64>> = numbers.collect();
        let (start, end, step) = match numbers.as_deref() {
            Some([end]) => (0, *end, 1),
            Some([start, end]) => (*start, *end, 1),
            Some([start, end, step]) if *step != 0 => (*start, *end, *step),
            _ => {
                let cause =
                    format!("{function} takes one to three integers, and a step that is not 0");
                let remedy = format!("as in {function}(10) or {function}(1, 10, 2)");
                return Some(Err(Error::invalid(SQL, cause, remedy)));
            }
        };
        Some(Ok(Series {
            function,
            start,
            end,
            step,
        }))
    }

    /// The call as text.
    pub(crate) fn text(&self) -> String {
        format!(
            "{}({}, {}, {})",
            self.function, self.start, self.end, self.step
        )
    }

    /// A table of one column, which has the function's name.
    ///
    /// # Errors
    /// `InvalidInput` for more numbers than memory should hold.
    pub(crate) fn table(&self) -> Result<LazyFrame> {
        let is_within = |number: &i64| {
            let left = if self.step > 0 {
                self.end.cmp(number)
            } else {
                number.cmp(&self.end)
            };
            left.is_gt() || left.is_eq() && self.function == GENERATE_SERIES
        };
        let numbers = std::iter::successors(Some(self.start), |last| last.checked_add(self.step));
        let numbers: Vec<i64> = numbers.take_while(is_within).take(ROWS_MAX + 1).collect();
        if numbers.len() > ROWS_MAX {
            let cause = format!("{} has more than {ROWS_MAX} numbers", self.text());
            return Err(Error::invalid(SQL, cause, "make several of it"));
        }
        let column = Arc::new(Int64Array::from(numbers)) as _;
        let rows = RecordBatch::try_from_iter([(self.function, column)]);
        let rows = rows.map_err(|cause| Error::invalid(SQL, cause.to_string(), ""))?;
        from_batches(vec![rows])
    }
}

/// The value of an integer constant.
fn integer(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.parse().ok(),
            _ => None,
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => integer(expr)?.checked_neg(),
        _ => None,
    }
}
