//! What the SQL planner may know: tables and functions.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use datafusion_common::config::ConfigOptions;
use datafusion_common::{DataFusionError, Result, TableReference};
use datafusion_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion_expr::{AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use pelton::engine::LazyFrame;
use pelton::error::Error;
use pelton::types::{DataType, SchemaRef};

use crate::files::READ_PARQUET;
use crate::problem::suggestion;
use crate::series::{GENERATE_SERIES, RANGE};
use crate::source::SQL;

/// A table's schema.
struct Source {
    schema: SchemaRef,
}

impl TableSource for Source {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.schema.fmt(f)
    }
}

/// DataFusion's built-in functions and options, for all statements of a text.
pub(crate) struct Functions {
    options: Arc<ConfigOptions>,
    scalars: HashMap<String, Arc<ScalarUDF>>,
    aggregates: HashMap<String, Arc<AggregateUDF>>,
    windows: HashMap<String, Arc<WindowUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

/// The tables that a statement may name, and the functions.
pub(crate) struct Provider<'a> {
    pub(crate) tables: &'a BTreeMap<String, LazyFrame>,
    pub(crate) functions: &'a Functions,
}

/// Other names of functions, as DuckDB and PostgreSQL have them.
const ALIASES: &[(&str, &str)] = &[
    ("approx_count_distinct", "approx_distinct"),
    ("arbitrary", "first_value"),
    ("ceiling", "ceil"),
    ("datepart", "date_part"),
    ("datetrunc", "date_trunc"),
    ("editdist3", "levenshtein"),
    ("every", "bool_and"),
    ("first", "first_value"),
    ("last", "last_value"),
    ("lcase", "lower"),
    ("len", "character_length"),
    ("list", "array_agg"),
    ("mismatches", "hamming"),
    ("prefix", "starts_with"),
    ("regexp_matches", "regexp_like"),
    ("sign", "signum"),
    ("strlen", "octet_length"),
    ("suffix", "ends_with"),
    ("ucase", "upper"),
    ("variance", "var_samp"),
];

/// Functions by each of their names.
macro_rules! by_name {
    ($functions:expr) => {{
        let mut all = HashMap::new();
        for function in $functions {
            for alias in function.aliases() {
                all.insert(alias.clone(), Arc::clone(&function));
            }
            all.insert(function.name().to_string(), function);
        }
        for (alias, name) in ALIASES {
            if let Some(function) = all.get(*name).cloned() {
                all.entry((*alias).to_string()).or_insert(function);
            }
        }
        all
    }};
}

impl Functions {
    pub(crate) fn new() -> Functions {
        Functions {
            options: Arc::new(ConfigOptions::default()),
            scalars: by_name!(
                datafusion_functions::all_default_functions()
                    .into_iter()
                    .chain(crate::planner::functions())
            ),
            aggregates: by_name!(
                datafusion_functions_aggregate::all_default_aggregate_functions()
                    .into_iter()
                    .chain(crate::aggregates::functions())
            ),
            windows: by_name!(datafusion_functions_window::all_default_window_functions()),
            planners: vec![
                Arc::new(crate::planner::Operators),
                Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
                Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
                Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
                Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
                Arc::new(datafusion_functions_window::planner::WindowFunctionPlanner),
            ],
        }
    }

    /// The options of analyser and optimiser.
    pub(crate) fn shared_options(&self) -> Arc<ConfigOptions> {
        Arc::clone(&self.options)
    }

    /// The names of all functions.
    pub(crate) fn names(&self) -> Vec<&str> {
        let scalars = self.scalars.keys().chain(self.aggregates.keys());
        let names = scalars.chain(self.windows.keys());
        names.map(String::as_str).collect()
    }
}

impl ContextProvider for Provider<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let table = (name.schema().is_none()).then(|| self.tables.get(name.table()));
        let Some(table) = table.flatten() else {
            let known: Vec<&str> = self.tables.keys().map(String::as_str).collect();
            let remedy = match known.is_empty() {
                true => "there are no tables".to_string(),
                false => suggestion(&name.to_string(), &known, "the tables are"),
            };
            let error = Error::invalid(SQL, format!("there is no table `{name}`"), remedy);
            return Err(DataFusionError::External(Box::new(error)));
        };
        let schema = table.query().plan.schema();
        let schema = schema.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Arc::new(Source { schema }))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.functions.planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(crate::planner::Types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalars.get(name).cloned()
    }

    fn get_table_function_source(
        &self,
        name: &str,
        _args: Vec<Expr>,
    ) -> Result<Arc<dyn TableSource>> {
        let name = name.to_lowercase();
        let cause = format!("there is no table function `{name}`");
        let error = Error::invalid(
            SQL,
            cause,
            suggestion(&name, &[READ_PARQUET, RANGE, GENERATE_SERIES], "there are"),
        );
        Err(DataFusionError::External(Box::new(error)))
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregates.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.functions.windows.get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.functions.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.scalars.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.functions.aggregates.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.functions.windows.keys().cloned().collect()
    }
}
