//! Windows that add to a named one, `OVER (w ROWS 1 PRECEDING)`, as what they are together.

use std::collections::BTreeMap;

use datafusion_sql::sqlparser::ast::{Expr, NamedWindowExpr, Select, WindowSpec, WindowType};
use pelton::error::{Error, Result};

use super::normal;

/// The named windows of a SELECT.
pub(super) type Windows = BTreeMap<String, WindowSpec>;

/// The windows that a SELECT names; one may add to another before it.
///
/// # Errors
/// `InvalidInput` if one adds to a window that is not there.
pub(super) fn named(select: &Select) -> Result<Windows> {
    let mut windows = Windows::new();
    for definition in &select.named_window {
        let spec = match &definition.1 {
            NamedWindowExpr::NamedWindow(other) => find(&windows, &normal(other))?.clone(),
            NamedWindowExpr::WindowSpec(spec) => {
                let mut spec = spec.clone();
                complete(&mut spec, &windows)?;
                spec
            }
        };
        windows.insert(normal(&definition.0), spec);
    }
    Ok(windows)
}

/// Completes the window of a call.
///
/// # Errors
/// As [`named`].
pub(super) fn rewrite(expr: &mut Expr, windows: &Windows) -> Result<()> {
    match expr {
        Expr::Function(call) => match &mut call.over {
            Some(WindowType::WindowSpec(spec)) => complete(spec, windows),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn complete(spec: &mut WindowSpec, windows: &Windows) -> Result<()> {
    let Some(name) = spec.window_name.take() else {
        return Ok(());
    };
    let base = find(windows, &normal(&name))?;
    if spec.partition_by.is_empty() {
        spec.partition_by.clone_from(&base.partition_by);
    }
    if spec.order_by.is_empty() {
        spec.order_by.clone_from(&base.order_by);
    }
    if spec.window_frame.is_none() {
        spec.window_frame.clone_from(&base.window_frame);
    }
    Ok(())
}

fn find<'a>(windows: &'a Windows, name: &str) -> Result<&'a WindowSpec> {
    let unknown = || Error::invalid("SQL", format!("no window `{name}`"), "name it after WINDOW");
    windows.get(name).ok_or_else(unknown)
}
