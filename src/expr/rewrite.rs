//! Expressions made of expressions.

use super::Expr;

impl Expr {
    /// The expression with each operand replaced, left to right.
    #[must_use]
    pub fn map_children(&self, map: &mut dyn FnMut(&Expr) -> Expr) -> Expr {
        let mut boxed = |expr: &Expr| Box::new(map(expr));
        match self {
            Expr::Column(_) | Expr::Literal(_) => self.clone(),
            Expr::Alias { expr, name } => Expr::Alias {
                expr: boxed(expr),
                name: name.clone(),
            },
            Expr::Binary { op, left, right } => Expr::Binary {
                op: *op,
                left: boxed(left),
                right: boxed(right),
            },
            Expr::Not(expr) => Expr::Not(boxed(expr)),
            Expr::Negate(expr) => Expr::Negate(boxed(expr)),
            Expr::IsNull(expr) => Expr::IsNull(boxed(expr)),
            Expr::IsNotNull(expr) => Expr::IsNotNull(boxed(expr)),
            Expr::Cast { expr, to, strict } => Expr::Cast {
                expr: boxed(expr),
                to: to.clone(),
                strict: *strict,
            },
            Expr::Case {
                branches,
                otherwise,
            } => Expr::Case {
                branches: branches
                    .iter()
                    .map(|(condition, value)| (*boxed(condition), *boxed(value)))
                    .collect(),
                otherwise: otherwise.as_ref().map(|otherwise| boxed(otherwise)),
            },
            Expr::Coalesce(operands) => {
                Expr::Coalesce(operands.iter().map(|operand| *boxed(operand)).collect())
            }
            Expr::Function { function, operands } => Expr::Function {
                function: function.clone(),
                operands: operands.iter().map(|operand| *boxed(operand)).collect(),
            },
            Expr::Aggregate { function, expr } => Expr::Aggregate {
                function: *function,
                expr: expr.as_ref().map(|expr| boxed(expr)),
            },
        }
    }

    /// The expression with those operands replaced for which there is another one; none if there is none
    /// at all.
    #[must_use]
    pub fn map_changed(&self, change: &mut dyn FnMut(&Expr) -> Option<Expr>) -> Option<Expr> {
        let changed: Vec<Option<Expr>> = self.children().into_iter().map(change).collect();
        if changed.iter().all(Option::is_none) {
            return None;
        }
        let mut changed = changed.into_iter();
        Some(self.map_children(&mut |child| match changed.next() {
            Some(Some(other)) => other,
            _ => child.clone(),
        }))
    }

    /// The expression with each column replaced by what stands for its name; others stay.
    #[must_use]
    pub fn with_columns_as(&self, of: &dyn Fn(&str) -> Option<Expr>) -> Expr {
        match self {
            Expr::Column(name) => of(name).unwrap_or_else(|| self.clone()),
            _ => self.map_children(&mut |child| child.with_columns_as(of)),
        }
    }

    /// The expression under this name, without an alias if it has the name already.
    #[must_use]
    pub fn named(self, name: &str) -> Expr {
        if self.has_name(name) {
            return self;
        }
        match self {
            Expr::Alias { expr, .. } => expr.named(name),
            other => other.alias(name),
        }
    }
}
