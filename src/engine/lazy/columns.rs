//! Steps that change which columns there are, row by row, and those of windows.

use std::collections::BTreeMap;

use super::LazyFrame;
use crate::expr::{Expr, coalesce, col, resolve};
use crate::plan::{LogicalPlan, WindowExpr};
use crate::types::{Literal, SchemaRef};

impl LazyFrame {
    /// The schema so far, for steps that name columns by what there is. A plan that has no schema has
    /// an error, which shows when it is collected.
    fn schema(&self) -> Option<SchemaRef> {
        self.query.plan.schema().ok()
    }

    /// All columns and these; one of the same name is replaced.
    pub fn with_columns(self, exprs: impl IntoIterator<Item = Expr>) -> LazyFrame {
        let mut added: Vec<Expr> = exprs.into_iter().collect();
        let mut all: Vec<Expr> = Vec::new();
        if let Some(schema) = self.schema() {
            for field in schema.fields() {
                let own = |expr: &Expr| expr.output_name() == *field.name();
                all.push(match added.iter().position(own) {
                    Some(index) => added.remove(index),
                    None => col(field.name()),
                });
            }
        }
        all.append(&mut added);
        self.select_columns(all)
    }

    /// All columns but these.
    ///
    /// ```
    /// use pelton::prelude::*;
    /// # fn main() -> pelton::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # pelton::doc_support::write_orders(folder.path())?;
    /// # let orders = folder.path().join("orders.parquet");
    /// let engine = Engine::new(EngineOptions::default())?;
    /// let amounts = scan_parquet(&orders)?.drop(["customer_id"]).collect(&engine)?;
    /// assert_eq!(amounts.schema.fields().len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn drop<Name: Into<String>>(self, names: impl IntoIterator<Item = Name>) -> LazyFrame {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let Some(schema) = self.schema() else {
            return self;
        };
        let is_unknown = |name: &&String| schema.index_of(name).is_err();
        let unknown = names.iter().find(is_unknown).map(col);
        let left = schema.fields().iter().map(|field| field.name());
        let left = left.filter(|name| !names.contains(name)).map(col);
        // A name that is not there makes the projection fail, by that name.
        self.select_columns(left.chain(unknown).collect())
    }

    /// All columns, these under other names: pairs of the old and the new name.
    ///
    /// ```
    /// use pelton::prelude::*;
    /// # fn main() -> pelton::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # pelton::doc_support::write_orders(folder.path())?;
    /// # let orders = folder.path().join("orders.parquet");
    /// let engine = Engine::new(EngineOptions::default())?;
    /// let cents = scan_parquet(&orders)?.rename([("amount", "cents")]).collect(&engine)?;
    /// assert_eq!(cents.schema.field(1).name(), "cents");
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename<Old: Into<String>, New: Into<String>>(
        self,
        names: impl IntoIterator<Item = (Old, New)>,
    ) -> LazyFrame {
        let names = names.into_iter().map(|(old, new)| (old.into(), new.into()));
        let mut names: BTreeMap<String, String> = names.collect();
        let Some(schema) = self.schema() else {
            return self;
        };
        let fields = schema.fields().iter();
        let mut exprs: Vec<Expr> = fields
            .map(|field| match names.remove(field.name()) {
                Some(new) => col(field.name()).alias(new),
                None => col(field.name()),
            })
            .collect();
        // A name that is not there makes the projection fail, by that name.
        exprs.extend(names.into_iter().map(|(old, new)| col(old).alias(new)));
        self.select_columns(exprs)
    }

    /// This value in the place of nulls, in each column whose type holds it; other columns stay as
    /// they are.
    ///
    /// ```
    /// use pelton::prelude::*;
    /// # fn main() -> pelton::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # pelton::doc_support::write_orders(folder.path())?;
    /// # let orders = folder.path().join("orders.parquet");
    /// let engine = Engine::new(EngineOptions::default())?;
    /// let large = when(col("amount").gt(lit(100))).then(col("amount")).end();
    /// let filled = scan_parquet(&orders)?
    ///     .select([large.alias("large")])
    ///     .fill_null(0)
    ///     .select([col("large").min()]);
    /// assert_eq!(filled.collect(&engine)?.rows(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn fill_null(self, value: impl Into<Literal>) -> LazyFrame {
        let value = Expr::Literal(value.into());
        let Some(schema) = self.schema() else {
            return self;
        };
        let filled = |name: &String| coalesce([col(name), value.clone()]).alias(name);
        let fields = schema.fields().iter();
        let exprs = fields.map(|field| match resolve(&filled(field.name()), &schema) {
            Ok(typed) if typed.data_type == *field.data_type() => filled(field.name()),
            _ => col(field.name()),
        });
        let exprs = exprs.collect();
        self.select_columns(exprs)
    }

    fn select_columns(self, exprs: Vec<Expr>) -> LazyFrame {
        self.map(|input| LogicalPlan::Project { input, exprs })
    }

    /// All columns, and one per window function. The rows leave in no stated order.
    ///
    /// ```
    /// use pelton::prelude::*;
    /// # fn main() -> pelton::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # pelton::doc_support::write_orders(folder.path())?;
    /// # let orders = folder.path().join("orders.parquet");
    /// let engine = Engine::new(EngineOptions::default())?;
    /// let largest = scan_parquet(&orders)?
    ///     .with_windows([
    ///         rank().over([col("customer_id")]).order_by([col("amount").desc()]).alias("rank"),
    ///         col("amount").sum().over([col("customer_id")]).alias("total"),
    ///     ])
    ///     .filter(col("rank").eq(lit(1)));
    /// assert_eq!(largest.collect(&engine)?.rows(), 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_windows(self, functions: impl IntoIterator<Item = WindowExpr>) -> LazyFrame {
        let functions = functions.into_iter().collect();
        self.map(|input| LogicalPlan::Window { input, functions })
    }
}
