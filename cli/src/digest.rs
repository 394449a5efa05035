//! The `digest` command: a fingerprint of the rows of Parquet files, equal for equal rows whatever
//! the encoding.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use sha2::{Digest, Sha256};

use crate::canonical::Rows;
use crate::checked::{CheckedFile, Kind, Problem, guarded};
use crate::failure::{Exit, Failure};

const EXAMPLES: &str = "\
For each file one line: DIGEST ROWS FILE, or ERROR KIND FILE: message. The digest is the first 16
hex digits of SHA-256 over the rows in canonical text, joined by line feeds. KIND is one of corrupt,
unsupported, encrypted, io, memory. Checksums of pages are verified. The exit code is 1 if any file
gave an error.

Examples:
  pelton digest data/*.parquet
  pelton digest untrusted.parquet";

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
/// A file could not be digested.
pub fn run(args: &DigestArgs) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let mut failed = false;
    for path in &args.files {
        let name = path.display();
        match file(path) {
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

/// Memory that decoding one file may take at once, about.
const MEMORY_LIMIT: u64 = 4 << 30;

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
/// The file cannot be decoded, whatever it holds.
fn file(path: &Path) -> Result<RowsDigest, Problem> {
    guarded(|| {
        let mut hash = Sha256::new();
        let mut rows = 0_u64;
        let mut text = String::with_capacity(TEXT_BYTES * 2);
        let file = CheckedFile::open(path, MEMORY_LIMIT)?;
        let fields = file.fields().clone();
        for batch in file {
            let batch = batch?;
            let unprintable = |cause| Problem::new(Kind::Unsupported, cause);
            let mut cells = Rows::new(&batch, &fields).map_err(unprintable)?;
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
    })
}
