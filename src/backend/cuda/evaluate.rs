//! Expressions by kernels: one launch per step, the results columns in device memory.

use arrow::array::AsArray;

use crate::error::{Error, Result};
use crate::expr::{BinaryOp, Function, StringFunction, TypedExpr, TypedKind, literal_array};
use crate::kernels::project::{self as kernel, Failures, Rescale};
use crate::kernels::{DeviceColumn, Launch, Status, abi, math};
use crate::types::{
    DECIMAL128_PRECISION_MAX, DataType, DivisionByZero, Literal, Overflow, PhysicalType, Semantics,
    decimal_parts, is_binary, is_string, is_text,
};

use super::batch::CudaBatch;
use super::cast::{Cast, HostCast};
use super::download::array_of;
use super::function::strings::{Operand, Strings};
use super::function::{self, Call};
use super::{cast, rescale, upload};

/// Evaluates expressions over one batch.
pub(super) struct Evaluator<'a> {
    launch: Launch<'a>,
    batch: &'a CudaBatch,
    flags: u32,
    status: Option<&'a Status>,
}

impl<'a> Evaluator<'a> {
    /// An evaluator over a batch. A status is needed for expressions that [`may_fail`].
    pub(super) fn new(
        launch: Launch<'a>,
        batch: &'a CudaBatch,
        semantics: Semantics,
        status: impl Into<Option<&'a Status>>,
    ) -> Self {
        let mut flags = 0;
        if semantics.overflow == Overflow::Error {
            flags |= abi::PROJECT_OVERFLOW_IS_ERROR;
        }
        if semantics.division_by_zero == DivisionByZero::Error {
            flags |= abi::PROJECT_DIVISION_BY_ZERO_IS_ERROR;
        }
        Evaluator {
            launch,
            batch,
            flags,
            status: status.into(),
        }
    }

    /// The stream that the work goes to.
    pub(super) fn launch(&self) -> &Launch<'a> {
        &self.launch
    }

    /// The batch that the columns come from.
    pub(super) fn batch(&self) -> &'a CudaBatch {
        self.batch
    }

    /// The column of an expression.
    pub(super) fn evaluate(&self, expr: &TypedExpr) -> Result<DeviceColumn> {
        self.evaluate_any(expr, None)
    }

    /// As `evaluate_where`, but strings and bytes may stay views: what only passes them on, tests them
    /// for null or is a function of strings takes either.
    fn evaluate_any(
        &self,
        expr: &TypedExpr,
        active: Option<&DeviceColumn>,
    ) -> Result<DeviceColumn> {
        match &expr.kind {
            TypedKind::Column(index) => Ok(self.batch.columns[*index].clone()),
            TypedKind::Cast {
                expr: input,
                strict,
            } => self.cast(input, &expr.data_type, *strict, active),
            TypedKind::Function { function, operands } => {
                self.function(function, operands, &expr.data_type, active)
            }
            _ => self.evaluate_where(expr, active),
        }
    }

    /// Functions of the strings of the batch.
    pub(super) fn strings(&self) -> Strings<'_> {
        Strings {
            launch: &self.launch,
            dictionary: &self.batch.dictionary,
            rows: &self.batch.rows,
            status: self.status,
        }
    }

    /// An operand of a function over strings.
    fn text(&self, expr: &TypedExpr, active: Option<&DeviceColumn>) -> Result<Operand> {
        match &expr.kind {
            TypedKind::Literal(Literal::Utf8(text)) => Ok(Operand::Constant(text.clone())),
            _ => self.evaluate_any(expr, active).map(Operand::Column),
        }
    }

    fn function(
        &self,
        function: &Function,
        operands: &[TypedExpr],
        data_type: &DataType,
        active: Option<&DeviceColumn>,
    ) -> Result<DeviceColumn> {
        let several = || operands.iter().map(|operand| self.text(operand, active));
        match function {
            Function::String(StringFunction::Concat) => self
                .strings()
                .concat(&several().collect::<Result<Vec<_>>>()?, None),
            Function::String(StringFunction::ConcatWith(separator)) => {
                let operands = several().collect::<Result<Vec<_>>>()?;
                self.strings().concat(&operands, Some(separator))
            }
            Function::String(function) if operands.len() == 1 => {
                let operand = self.evaluate_any(&operands[0], active)?;
                self.strings().call(function, &operand)
            }
            function => {
                let columns = operands.iter().map(|operand| match function {
                    Function::InList(_) => self.evaluate_any(operand, active),
                    _ => self.evaluate_where(operand, active),
                });
                let call = Call {
                    operands,
                    columns: &columns.collect::<Result<Vec<_>>>()?,
                    data_type,
                    active,
                };
                function::call(self, function, &call)
            }
        }
    }

    fn compare_strings(
        &self,
        op: BinaryOp,
        (left, right): (&TypedExpr, &TypedExpr),
        active: Option<&DeviceColumn>,
    ) -> Result<DeviceColumn> {
        let strings = self.strings();
        match (self.text(left, active)?, self.text(right, active)?) {
            (Operand::Column(left), right) => strings.compare((op, compare_op(op)), &left, &right),
            (left, Operand::Column(right)) => {
                let op = op.swapped();
                strings.compare((op, compare_op(op)), &right, &left)
            }
            (Operand::Constant(_), right) => {
                let left = self.evaluate_where(left, active)?;
                strings.compare((op, compare_op(op)), &left, &right)
            }
        }
    }

    /// What rows without a result do, among those of `active`; `flags` are `abi::PROJECT_*`.
    pub(super) fn failures<'b>(
        &'b self,
        flags: u32,
        active: Option<&'b DeviceColumn>,
    ) -> Failures<'b> {
        Failures {
            flags,
            status: self.status,
            active,
        }
    }

    /// The column of an expression, errors being raised only for rows where `active` is true.
    fn evaluate_where(
        &self,
        expr: &TypedExpr,
        active: Option<&DeviceColumn>,
    ) -> Result<DeviceColumn> {
        let rows = &self.batch.rows;
        match &expr.kind {
            TypedKind::Column(_) | TypedKind::Function { .. } if is_text(&expr.data_type) => {
                self.strings().coded(&self.evaluate_any(expr, active)?)
            }
            TypedKind::Column(index) => Ok(self.batch.columns[*index].clone()),
            TypedKind::Literal(literal) => self.literal(literal, &expr.data_type),
            TypedKind::Arithmetic { op, left, right } => {
                let operands = (
                    self.evaluate_where(left, active)?,
                    self.evaluate_where(right, active)?,
                );
                self.arithmetic(arithmetic_op(*op), &expr.data_type, operands, active)
            }
            TypedKind::Negate(operand) => {
                let operand = self.evaluate_where(operand, active)?;
                let operands = (operand.clone(), operand);
                self.arithmetic(abi::PROJECT_NEGATE, &expr.data_type, operands, active)
            }
            TypedKind::Compare { op, left, right } if is_text(&left.data_type) => {
                self.compare_strings(*op, (left, right), active)
            }
            TypedKind::Compare { op, left, right } => self.compare(*op, left, right, active),
            TypedKind::And(left, right) if range(left, right).is_some() => {
                self.between(left, right, active)
            }
            TypedKind::And(left, right) => self.logic(abi::PROJECT_AND, left, right, active),
            TypedKind::Or(left, right) => self.logic(abi::PROJECT_OR, left, right, active),
            TypedKind::Not(operand) => self.logic(abi::PROJECT_NOT, operand, operand, active),
            TypedKind::IsNull(operand) => {
                let operand = self.evaluate_any(operand, active)?;
                kernel::logic(&self.launch, abi::PROJECT_IS_NULL, &operand, &operand, rows)
            }
            TypedKind::IsNotNull(operand) => {
                let operand = self.evaluate_any(operand, active)?;
                kernel::logic(
                    &self.launch,
                    abi::PROJECT_IS_NOT_NULL,
                    &operand,
                    &operand,
                    rows,
                )
            }
            TypedKind::Cast {
                expr: input,
                strict,
            } => {
                let column = self.cast(input, &expr.data_type, *strict, active)?;
                match is_text(&expr.data_type) {
                    true => self.strings().coded(&column),
                    false => Ok(column),
                }
            }
            TypedKind::Case {
                branches,
                otherwise,
            } => self.case(branches, otherwise.as_deref(), &expr.data_type, active),
            TypedKind::Coalesce(operands) => self.coalesce(operands, active),
            TypedKind::Function { function, operands } => {
                self.function(function, operands, &expr.data_type, active)
            }
        }
    }

    /// A cast column; strings and bytes are codes or views.
    fn cast(
        &self,
        input: &TypedExpr,
        to: &DataType,
        strict: bool,
        active: Option<&DeviceColumn>,
    ) -> Result<DeviceColumn> {
        let from = &input.data_type;
        if *from == DataType::Null {
            return self.literal(&Literal::Null, to);
        }
        let column = match is_text(from) {
            true => self.evaluate_any(input, active)?,
            false => self.evaluate_where(input, active)?,
        };
        if keeps_bytes(from, to) {
            return Ok(column);
        }
        if let Some(cast) = self.rescaled(&column, (from, to), strict, active)? {
            return Ok(cast);
        }
        let (launch, rows) = (&self.launch, &self.batch.rows);
        if let Some(text) = cast::formatted(launch, &column, (from, to), strict, rows)? {
            return Ok(text);
        }
        // The unit is ours, what a zone takes local time for is Arrow's.
        if let (DataType::Timestamp(_, None), DataType::Timestamp(unit, Some(_))) = (from, to) {
            let local = DataType::Timestamp(*unit, None);
            let column = self.rescaled(&column, (from, &local), strict, active)?;
            let column = column.ok_or_else(|| no_cast(from, to))?;
            return self.cast_by_host(&column, (&local, to), strict, active);
        }
        if !cast::is_known(from, to) {
            return Err(no_cast(from, to));
        }
        self.cast_by_host(&column, (from, to), strict, active)
    }

    /// A cast by a kernel, if there is one.
    fn rescaled(
        &self,
        column: &DeviceColumn,
        (from, to): (&DataType, &DataType),
        strict: bool,
        active: Option<&DeviceColumn>,
    ) -> Result<Option<DeviceColumn>> {
        if from == to {
            return Ok(Some(column.clone()));
        }
        let Some((rescale, mut flags)) = rescale::rescale(from, to) else {
            return Ok(None);
        };
        let to = physical(to)?;
        if strict && !rescale.always_fits(column.physical(), to) {
            flags |= abi::PROJECT_CAST_IS_STRICT;
        }
        let failures = self.failures(flags, active);
        let rows = &self.batch.rows;
        kernel::cast(&self.launch, column, to, rescale, rows, &failures).map(Some)
    }

    /// A cast that no kernel has.
    fn cast_by_host(
        &self,
        column: &DeviceColumn,
        (from, to): (&DataType, &DataType),
        strict: bool,
        active: Option<&DeviceColumn>,
    ) -> Result<DeviceColumn> {
        let (launch, rows) = (&self.launch, &self.batch.rows);
        let dictionary = &self.batch.dictionary;
        let host = HostCast {
            launch,
            dictionary,
            rows,
            from,
            to,
        };
        let Cast { column, misfits } = host.call(column)?;
        if let Some(misfits) = misfits.filter(|_| strict) {
            let failed = self.mask(abi::PROJECT_TAKEN, &misfits, active)?;
            let count = rows.resolve(launch)?;
            let failed = array_of(launch, &failed, count, &DataType::Boolean, dictionary)?;
            let failed = failed.as_boolean().iter();
            if let Some(row) = failed.into_iter().position(|row| row == Some(true)) {
                let cause = format!("the {from} in row {row} does not fit {to}");
                return Err(Error::arithmetic("cast", cause));
            }
        }
        Ok(column)
    }

    fn literal(&self, literal: &Literal, data_type: &DataType) -> Result<DeviceColumn> {
        let rows = self.batch.rows.max();
        if *data_type == DataType::Null {
            return Ok(DeviceColumn::scalar(PhysicalType::Boolean, None, rows));
        }
        let array = literal_array(literal, data_type)?;
        let bits = upload::scalar_bits(&array, &self.batch.dictionary)?;
        Ok(DeviceColumn::scalar(physical(data_type)?, bits, rows))
    }

    fn arithmetic(
        &self,
        op: u32,
        data_type: &DataType,
        (left, right): (DeviceColumn, DeviceColumn),
        active: Option<&DeviceColumn>,
    ) -> Result<DeviceColumn> {
        let (launch, rows) = (&self.launch, &self.batch.rows);
        let failures = self.failures(self.flags, active);
        match decimal_parts(data_type) {
            Some((precision, _)) => {
                let limit = 10i128.pow(u32::from(precision.min(DECIMAL128_PRECISION_MAX)));
                let physical = physical(data_type)?;
                kernel::decimal(launch, op, &left, &right, physical, limit, rows, &failures)
            }
            None => kernel::arithmetic(launch, op, &left, &right, rows, &failures),
        }
    }

    fn compare(
        &self,
        op: BinaryOp,
        left: &TypedExpr,
        right: &TypedExpr,
        active: Option<&DeviceColumn>,
    ) -> Result<DeviceColumn> {
        let left = self.evaluate_where(left, active)?;
        let right = self.evaluate_where(right, active)?;
        let wide = comparable(left.physical()).max(comparable(right.physical()));
        let (left, right) = (self.widen(left, wide)?, self.widen(right, wide)?);
        kernel::compare(
            &self.launch,
            compare_op(op),
            &left,
            &right,
            &self.batch.rows,
        )
    }

    /// The column in a layout whose order kernels know.
    pub(super) fn comparable(&self, column: DeviceColumn) -> Result<DeviceColumn> {
        let to = comparable(column.physical());
        self.widen(column, to)
    }

    /// What rows do whose arithmetic has no result, as the plan's semantics say.
    pub(super) fn arithmetic_failures<'b>(
        &'b self,
        active: Option<&'b DeviceColumn>,
    ) -> Failures<'b> {
        self.failures(self.flags, active)
    }

    /// The same values in a wider layout, or truth of bytes.
    pub(super) fn widen(&self, column: DeviceColumn, to: PhysicalType) -> Result<DeviceColumn> {
        if column.physical() == to {
            return Ok(column);
        }
        let none = Failures::default();
        kernel::cast(
            &self.launch,
            &column,
            to,
            Rescale::NONE,
            &self.batch.rows,
            &none,
        )
    }

    /// Two comparisons of one value as one step.
    fn between(
        &self,
        left: &TypedExpr,
        right: &TypedExpr,
        active: Option<&DeviceColumn>,
    ) -> Result<DeviceColumn> {
        let Some((value, [(op_low, low), (op_high, high)])) = range(left, right) else {
            return self.logic(abi::PROJECT_AND, left, right, active);
        };
        let operands = [value, low, high].map(|operand| {
            let column = self.evaluate_where(operand, active)?;
            self.comparable(column)
        });
        let [value, low, high] = operands;
        let (value, low, high) = (value?, low?, high?);
        let wide = value.physical().max(low.physical()).max(high.physical());
        let value = self.widen(value, wide)?;
        let (low, high) = (self.widen(low, wide)?, self.widen(high, wide)?);
        let (low, high) = ((compare_op(op_low), &low), (compare_op(op_high), &high));
        math::between(&self.launch, &value, low, high, &self.batch.rows)
    }

    fn logic(
        &self,
        op: u32,
        left: &TypedExpr,
        right: &TypedExpr,
        active: Option<&DeviceColumn>,
    ) -> Result<DeviceColumn> {
        let left = self.evaluate_where(left, active)?;
        let right = if op == abi::PROJECT_NOT {
            left.clone()
        } else {
            self.evaluate_where(right, active)?
        };
        kernel::logic(&self.launch, op, &left, &right, &self.batch.rows)
    }

    /// The rows of `active` (all, if it is absent) for which `condition` has or has not been taken.
    fn mask(
        &self,
        op: u32,
        condition: &DeviceColumn,
        active: Option<&DeviceColumn>,
    ) -> Result<DeviceColumn> {
        let all = DeviceColumn::scalar(PhysicalType::Boolean, Some(1), self.batch.rows.max());
        let active = active.unwrap_or(&all);
        kernel::logic(&self.launch, op, condition, active, &self.batch.rows)
    }

    fn case(
        &self,
        branches: &[(TypedExpr, TypedExpr)],
        otherwise: Option<&TypedExpr>,
        data_type: &DataType,
        active: Option<&DeviceColumn>,
    ) -> Result<DeviceColumn> {
        let mut rest = active.cloned();
        let mut taken = Vec::with_capacity(branches.len());
        for (condition, value) in branches {
            let condition = self.evaluate_where(condition, rest.as_ref())?;
            let here = self.mask(abi::PROJECT_TAKEN, &condition, rest.as_ref())?;
            let value = self.evaluate_where(value, Some(&here))?;
            rest = Some(self.mask(abi::PROJECT_NOT_TAKEN, &condition, rest.as_ref())?);
            taken.push((condition, value));
        }
        let mut result = match otherwise {
            Some(otherwise) => self.evaluate_where(otherwise, rest.as_ref())?,
            None => self.literal(&Literal::Null, data_type)?,
        };
        for (condition, value) in taken.into_iter().rev() {
            let rows = &self.batch.rows;
            result = kernel::select(&self.launch, &condition, false, &value, &result, rows)?;
        }
        Ok(result)
    }

    fn coalesce(
        &self,
        operands: &[TypedExpr],
        active: Option<&DeviceColumn>,
    ) -> Result<DeviceColumn> {
        let mut rest = active.cloned();
        let mut columns = Vec::with_capacity(operands.len());
        let rows = &self.batch.rows;
        for operand in operands {
            let column = self.evaluate_where(operand, rest.as_ref())?;
            let valid = kernel::logic(
                &self.launch,
                abi::PROJECT_IS_NOT_NULL,
                &column,
                &column,
                rows,
            )?;
            rest = Some(self.mask(abi::PROJECT_NOT_TAKEN, &valid, rest.as_ref())?);
            columns.push(column);
        }
        let Some(mut result) = columns.pop() else {
            return Err(Error::invalid("coalesce", "has no operands", ""));
        };
        for column in columns.into_iter().rev() {
            result = kernel::select(&self.launch, &column, true, &column, &result, rows)?;
        }
        Ok(result)
    }
}

/// A status word for expressions, if any of them can fail.
pub(super) fn status_for<'b>(
    launch: &Launch,
    entry: &'static str,
    mut exprs: impl Iterator<Item = &'b TypedExpr>,
    semantics: Semantics,
) -> Result<Option<Status>> {
    let fails = exprs.any(|expr| may_fail(expr, semantics));
    fails.then(|| Status::new(launch, entry)).transpose()
}

/// Whether an expression's evaluation can end in an error.
pub(super) fn may_fail(expr: &TypedExpr, semantics: Semantics) -> bool {
    let checked = semantics.overflow == Overflow::Error
        || semantics.division_by_zero == DivisionByZero::Error;
    let fails = match &expr.kind {
        // Their results may be longer than a string can be.
        TypedKind::Function {
            function:
                Function::String(
                    StringFunction::Concat
                    | StringFunction::ConcatWith(_)
                    | StringFunction::Replace { .. },
                ),
            ..
        } => true,
        TypedKind::Arithmetic { .. } | TypedKind::Negate(_) | TypedKind::Function { .. } => checked,
        TypedKind::Cast {
            expr: input,
            strict,
        } => {
            let layouts = (
                PhysicalType::of(&input.data_type),
                PhysicalType::of(&expr.data_type),
            );
            let rescale = rescale::rescale(&input.data_type, &expr.data_type);
            *strict
                && match (layouts, rescale) {
                    ((Some(from), Some(to)), Some((rescale, _))) => !rescale.always_fits(from, to),
                    _ => true,
                }
        }
        _ => false,
    };
    let mut operands = expr.children().into_iter();
    fails || operands.any(|operand| may_fail(operand, semantics))
}

/// True if a cast between strings and bytes leaves every value as it is.
pub(super) fn keeps_bytes(from: &DataType, to: &DataType) -> bool {
    let checks = is_binary(from) && is_string(to) || matches!(to, DataType::FixedSizeBinary(_));
    from == to || (is_text(from) && is_text(to) && !checks)
}

fn no_cast(from: &DataType, to: &DataType) -> Error {
    Error::unsupported("cuda", "project", format!("a cast from {from} to {to}"))
}

/// What two comparisons have in common, if that is the value on their left sides: it, and the operator
/// and right side of each. Not of strings, whose codes are in no order.
fn range<'b>(
    left: &'b TypedExpr,
    right: &'b TypedExpr,
) -> Option<(&'b TypedExpr, [(BinaryOp, &'b TypedExpr); 2])> {
    let compared = |expr: &'b TypedExpr| match &expr.kind {
        TypedKind::Compare { op, left, right } => Some((*op, &**left, &**right)),
        _ => None,
    };
    let ((op_low, value, low), (op_high, same, high)) = (compared(left)?, compared(right)?);
    let ordered = PhysicalType::of(&value.data_type).is_some() && !is_string(&value.data_type);
    (ordered && value == same).then_some((value, [(op_low, low), (op_high, high)]))
}

/// The layout of a type; operators were checked when they were made.
pub(super) fn physical(data_type: &DataType) -> Result<PhysicalType> {
    PhysicalType::of(data_type)
        .ok_or_else(|| Error::unsupported("cuda", "batch", format!("type {data_type}")))
}

/// The narrowest layout with the same order that comparisons know.
fn comparable(physical: PhysicalType) -> PhysicalType {
    match physical {
        PhysicalType::Boolean => PhysicalType::UInt8,
        PhysicalType::Float16 => PhysicalType::Float32,
        other => other,
    }
}

fn arithmetic_op(op: BinaryOp) -> u32 {
    match op {
        BinaryOp::Subtract => abi::PROJECT_SUBTRACT,
        BinaryOp::Multiply => abi::PROJECT_MULTIPLY,
        BinaryOp::Divide => abi::PROJECT_DIVIDE,
        BinaryOp::Remainder => abi::PROJECT_REMAINDER,
        _ => abi::PROJECT_ADD,
    }
}

fn compare_op(op: BinaryOp) -> u32 {
    match op {
        BinaryOp::NotEqual => abi::PROJECT_NOT_EQUAL,
        BinaryOp::Less => abi::PROJECT_LESS,
        BinaryOp::LessOrEqual => abi::PROJECT_LESS_OR_EQUAL,
        BinaryOp::Greater => abi::PROJECT_GREATER,
        BinaryOp::GreaterOrEqual => abi::PROJECT_GREATER_OR_EQUAL,
        _ => abi::PROJECT_EQUAL,
    }
}
