//! The `config` command: every option, its value, and where that came from.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use clap::Args;
use pelton::options::OptionSetting;

use crate::args::Globals;
use crate::failure::Failure;
use crate::{output, session};

const EXAMPLES: &str = "\
A value comes from -o NAME=VALUE, else from the environment variable PELTON_NAME, else from the file
of --config or PELTON_CONFIG, else it is the default; the column `source` says which: explicit, env,
file or default. The file has a line `name = value` for each option, in TOML.

Examples:
  pelton config
  pelton config --format json
  pelton config --config pelton.toml
  PELTON_LOG=debug pelton config -o target_partition_size=64MiB";

/// Flags of `config`: none of its own.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ConfigArgs {}

/// Runs the command.
///
/// # Errors
/// An option that does not exist, or a value that cannot be read.
pub fn run(globals: &Globals) -> Result<(), Failure> {
    let settings = session::options(globals)?.list();
    let column = |cell: fn(&OptionSetting) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(settings.iter().map(cell)))
    };
    let batch = RecordBatch::try_from_iter([
        ("option", column(|setting| setting.spec.name.to_string())),
        ("value", column(|setting| setting.value.clone())),
        ("source", column(|setting| setting.source.to_string())),
        ("default", column(|setting| setting.spec.default_text())),
        ("unit", column(|setting| setting.spec.unit.to_string())),
        ("type", column(|setting| setting.spec.expected.to_string())),
        ("meaning", column(|setting| setting.spec.doc.to_string())),
    ])
    .map_err(Failure::new)?;
    output::write(&batch.schema(), &[batch], globals)
}
