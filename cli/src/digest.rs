//! The `digest` command: a fingerprint of the rows of Parquet files, equal for equal rows whatever
//! the encoding.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use pelton::engine::{Engine, QueryResult};
use pelton::options::{EngineOptions, OptionSource};
use pelton::plan::{LogicalPlan, ParquetFiles, Query};
use pelton::storage::Dataset;
use pelton::types::Semantics;
use sha2::{Digest, Sha256};

use crate::args::Globals;
use crate::canonical::Rows;
use crate::failure::{Exit, Failure};
use crate::problem::{Kind, Problem, guarded};
use crate::session;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
For each file one line: DIGEST ROWS FILE, or ERROR KIND FILE: message. The digest is the first 16
hex digits of SHA-256 over the rows in canonical text, joined by line feeds. KIND is one of corrupt,
unsupported, encrypted, io, memory. Checksums of pages are verified. The CPU reads the files unless
--backend says who else; what that backend cannot do is an error, never left to the CPU. The exit
code is 1 if any file gave an error.

Examples:
  pelton digest data/*.parquet
  pelton digest untrusted.parquet
  pelton digest data/*.parquet --backend cuda";

/// Flags of `digest`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DigestArgs {
    /// Parquet files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// A file could not be digested, or there is no engine to do it.
pub fn run(args: &DigestArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    let engine = session::engine_of(options(globals)?, terminal)?;
    let mut out = std::io::stdout().lock();
    let mut failed = false;
    for path in &args.files {
        let name = path.display();
        match file(&engine, path)? {
            Ok(rows) => writeln!(out, "{rows} {name}")?,
            Err(problem) => {
                failed = true;
                writeln!(out, "ERROR {} {name}: {}", problem.kind, problem.message)?;
            }
        }
        out.flush()?;
    }
    if failed {
        Err(Failure::Quiet(Exit::Failed))
    } else {
        Ok(())
    }
}

/// The options of the command line, with the CPU where nobody chose a backend, and no fallback:
/// a digest says what one backend reads.
fn options(globals: &Globals) -> Result<EngineOptions, Failure> {
    let mut options = session::options(globals)?;
    let chosen = |setting: &pelton::options::OptionSetting| {
        setting.spec.name == "backend" && setting.source != OptionSource::Default
    };
    if !options.list().iter().any(chosen) {
        options.set("backend", "cpu").map_err(Failure::usage)?;
    }
    options
        .set("fallback_mode", "raise")
        .map_err(Failure::usage)?;
    Ok(options)
}

/// Text that is hashed at a time.
const TEXT_BYTES: usize = 1 << 16;

/// A file's rows in brief.
#[derive(Debug, PartialEq, Eq)]
struct RowsDigest {
    /// The first eight bytes of SHA-256 over the canonical text of all rows, joined by line feeds.
    digest: [u8; 8],
    /// How many rows.
    rows: u64,
}

impl fmt::Display for RowsDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.digest {
            write!(f, "{byte:02x}")?;
        }
        write!(f, " {}", self.rows)
    }
}

/// Digests one file.
///
/// # Errors
/// What is no fault of the file's.
fn file(engine: &Engine, path: &Path) -> Result<Result<RowsDigest, Problem>, Failure> {
    match scan(engine, path) {
        Ok(result) => Ok(guarded(|| digest(&result))),
        Err(error) => Ok(Err(Problem::of(path, error)?)),
    }
}

/// All rows of a file, in its order. The path is taken by its letters: no pattern.
fn scan(engine: &Engine, path: &Path) -> pelton::Result<QueryResult> {
    let paths = vec![path.to_path_buf()];
    let schema = Dataset::open(&paths)?.schema().as_ref().clone();
    let files = ParquetFiles {
        paths,
        schema,
        rows: None,
        columns: Vec::new(),
    };
    engine.execute(&Query {
        plan: LogicalPlan::Scan { files },
        semantics: Semantics::default(),
    })
}

fn digest(result: &QueryResult) -> Result<RowsDigest, Problem> {
    let unprintable = |cause| Problem::new(Kind::Unsupported, cause);
    let mut hash = Sha256::new();
    let mut rows = 0_u64;
    let mut text = String::with_capacity(TEXT_BYTES * 2);
    for batch in &result.batches {
        let mut cells = Rows::new(batch, result.schema.fields()).map_err(unprintable)?;
        for row in 0..batch.num_rows() {
            if rows > 0 {
                text.push('\n');
            }
            cells.write(row, &mut text).map_err(unprintable)?;
            rows += 1;
            if text.len() >= TEXT_BYTES {
                hash.update(text.as_bytes());
                text.clear();
            }
        }
    }
    hash.update(text.as_bytes());
    let mut digest = [0; 8];
    digest.copy_from_slice(&hash.finalize()[..8]);
    Ok(RowsDigest { digest, rows })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;

    use parquet::data_type::{FixedLenByteArray, FixedLenByteArrayType};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    #[test]
    fn uuids_are_marked_wherever_they_are() {
        let schema = "message m {
            required fixed_len_byte_array(16) a (UUID);
            required group l (LIST) {
                repeated group list { required fixed_len_byte_array(16) element (UUID); }
            }
        }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer =
            SerializedFileWriter::new(file.reopen().unwrap(), schema, Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let value = FixedLenByteArray::from((0..16).collect::<Vec<u8>>());
        for levels in [None, Some(1)] {
            let mut column = group.next_column().unwrap().unwrap();
            let typed = column.typed::<FixedLenByteArrayType>();
            let definition = levels.map(|level| vec![level]);
            let repetition = levels.map(|_| vec![0]);
            typed
                .write_batch(
                    std::slice::from_ref(&value),
                    definition.as_deref(),
                    repetition.as_deref(),
                )
                .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();

        let options = EngineOptions::default().with("backend", "cpu").unwrap();
        let result = scan(&Engine::new(options).unwrap(), file.path()).unwrap();
        let mut text = String::new();
        Rows::new(&result.batches[0], result.schema.fields())
            .unwrap()
            .write(0, &mut text)
            .unwrap();
        let uuid = "00010203-0405-0607-0809-0a0b0c0d0e0f";
        assert_eq!(text, format!("\"{uuid}\",\"[\"\"{uuid}\"\"]\""));
    }
}
