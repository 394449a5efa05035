//! What the SQL planner may know: tables and functions.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use datafusion_common::config::ConfigOptions;
use datafusion_common::{DataFusionError, Result, TableReference};
use datafusion_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use pelton::engine::LazyFrame;
use pelton::types::{DataType, SchemaRef};

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

/// The tables of a catalog and DataFusion's built-in functions.
pub(crate) struct Provider<'a> {
    tables: &'a BTreeMap<String, LazyFrame>,
    options: Arc<ConfigOptions>,
    scalars: HashMap<String, Arc<ScalarUDF>>,
    aggregates: HashMap<String, Arc<AggregateUDF>>,
    windows: HashMap<String, Arc<WindowUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

/// Other names of functions, as DuckDB and PostgreSQL have them.
const ALIASES: &[(&str, &str)] = &[
    ("approx_count_distinct", "approx_distinct"),
    ("ceiling", "ceil"),
    ("every", "bool_and"),
    ("first", "first_value"),
    ("group_concat", "string_agg"),
    ("last", "last_value"),
    ("lcase", "lower"),
    ("len", "character_length"),
    ("list", "array_agg"),
    ("listagg", "string_agg"),
    ("ord", "ascii"),
    ("regexp_matches", "regexp_like"),
    ("sign", "signum"),
    ("strlen", "octet_length"),
    ("ucase", "upper"),
    ("unicode", "ascii"),
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

impl<'a> Provider<'a> {
    pub(crate) fn new(
        tables: &'a BTreeMap<String, LazyFrame>,
        options: Arc<ConfigOptions>,
    ) -> Provider<'a> {
        Provider {
            tables,
            options,
            scalars: by_name!(
                datafusion_functions::all_default_functions()
                    .into_iter()
                    .chain(crate::planner::functions())
            ),
            aggregates: by_name!(datafusion_functions_aggregate::all_default_aggregate_functions()),
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
}

impl Provider<'_> {
    /// The options of analyser and optimiser.
    pub(crate) fn shared_options(&self) -> Arc<ConfigOptions> {
        Arc::clone(&self.options)
    }
}

impl ContextProvider for Provider<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let table = (name.schema().is_none()).then(|| self.tables.get(name.table()));
        let Some(table) = table.flatten() else {
            let known: Vec<&str> = self.tables.keys().map(String::as_str).collect();
            let known = match known.is_empty() {
                true => "there are no tables".to_string(),
                false => format!("there are {}", known.join(", ")),
            };
            return Err(DataFusionError::Plan(format!("no table `{name}`; {known}")));
        };
        let schema = table.query().plan.schema();
        let schema = schema.map_err(|error| DataFusionError::Plan(error.to_string()))?;
        Ok(Arc::new(Source { schema }))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(crate::planner::Types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalars.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregates.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.windows.get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.scalars.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.aggregates.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.windows.keys().cloned().collect()
    }
}
