//! TPC-H-like data as Parquet: which files of which row groups, made by all cores.
//!
//! A row group is one part of a table's generator, made, encoded and compressed by one thread;
//! files take their row groups in order. So the bytes of a file depend on the request alone, not
//! on the number of cores, and memory holds about two compressed row groups a core. Everything is
//! written to a temporary folder inside the target folder and renamed when a table is complete.

pub mod command;
#[cfg(feature = "sql")]
mod star;
mod tables;
mod write;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use pelton::storage::{SinkCodec, temporary_folder};

pub use tables::Table;

use crate::failure::Failure;
use crate::interrupt::Registered;
use crate::terminal::Terminal;

/// How large row groups are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowGroups {
    /// About so many encoded bytes before compression.
    Bytes(u64),
    /// About so many rows.
    Rows(u64),
}

/// What to make.
#[derive(Debug, Clone)]
pub struct Request {
    /// The scale factor: 1 is about a gigabyte of text.
    pub scale: f64,
    /// The tables.
    pub tables: Vec<Table>,
    /// The size of row groups.
    pub row_groups: RowGroups,
    /// The compression of pages.
    pub codec: SinkCodec,
    /// Files a table.
    pub files: u32,
    /// Whether existing tables are replaced.
    pub overwrite: bool,
}

/// What was made of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The table.
    pub table: Table,
    /// Its file, or its folder of files.
    pub path: PathBuf,
    /// Files.
    pub files: u32,
    /// Row groups.
    pub row_groups: u32,
    /// Rows.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// One table's files: where they go and how the table is cut.
#[derive(Debug)]
struct Layout {
    table: Table,
    /// Files, each of `groups_per_file` row groups.
    files: u32,
    groups_per_file: u32,
}

impl Layout {
    fn new(table: Table, request: &Request) -> Result<Self, Failure> {
        let rows_per_group = match request.row_groups {
            RowGroups::Rows(rows) => rows,
            RowGroups::Bytes(bytes) => bytes / table.bytes_per_row(),
        };
        if !table.divisible() {
            return Ok(Layout {
                table,
                files: 1,
                groups_per_file: 1,
            });
        }
        let rows_per_file = table.rows(request.scale).div_ceil(u64::from(request.files));
        let groups = rows_per_file.div_ceil(rows_per_group.max(1));
        let groups_per_file = u32::try_from(groups).unwrap_or(u32::MAX);
        let parts = groups_per_file.checked_mul(request.files);
        match parts.and_then(|parts| i32::try_from(parts).ok()) {
            Some(_) => Ok(Layout {
                table,
                files: request.files,
                groups_per_file,
            }),
            None => Err(Failure::usage(format_args!(
                "{groups} row groups for each of {} files of {} are too many",
                request.files,
                table.name()
            ))),
        }
    }

    /// Row groups of the table, which are the parts of its generator.
    fn parts(&self) -> u32 {
        self.files * self.groups_per_file
    }

    /// A file's path below the folder of all tables.
    fn file(&self, index: u32) -> PathBuf {
        if self.files == 1 {
            PathBuf::from(format!("{}.parquet", self.table.name()))
        } else {
            Path::new(self.table.name()).join(format!("part-{index:05}.parquet"))
        }
    }

    /// What appears in the folder of all tables: a file or a folder.
    fn entry(&self) -> PathBuf {
        if self.files == 1 {
            self.file(0)
        } else {
            PathBuf::from(self.table.name())
        }
    }
}

/// Makes the tables in `folder`.
///
/// # Errors
/// A table exists and may not be replaced, or the disk refuses.
pub fn generate(
    folder: &Path,
    request: &Request,
    terminal: Terminal,
) -> Result<Vec<Made>, Failure> {
    let mut tables = request.tables.clone();
    tables.sort_unstable();
    tables.dedup();
    let properties = properties(request.codec)?;
    let layouts: Vec<Layout> = tables
        .iter()
        .map(|table| Layout::new(*table, request))
        .collect::<Result<_, _>>()?;
    if !request.overwrite {
        let mut existing = layouts
            .iter()
            .flat_map(|layout| existing(folder, layout.table));
        if let Some(existing) = existing.next() {
            return Err(Failure::new(format_args!(
                "{} exists; `--overwrite` replaces it",
                existing.display()
            )));
        }
    }

    fs::create_dir_all(folder).map_err(|cause| Failure::path("make folder", folder, cause))?;
    let temporary = temporary_folder(folder, "gen", None)
        .map_err(|cause| Failure::path("write to", folder, cause))?;
    let _registered = Registered::new(temporary.path());
    for layout in layouts.iter().filter(|layout| layout.files > 1) {
        let table = temporary.path().join(layout.table.name());
        fs::create_dir(&table).map_err(|cause| Failure::path("make folder", &table, cause))?;
    }

    let rows: u64 = tables.iter().map(|table| table.rows(request.scale)).sum();
    let progress = terminal.progress(rows, "generating");
    let outcome = write::write_all(
        temporary.path(),
        &layouts,
        request.scale,
        &properties,
        &progress,
    );
    progress.finish_and_clear();
    let written = outcome?;

    let mut made = Vec::with_capacity(layouts.len());
    for (layout, written) in layouts.iter().zip(written) {
        for old in existing(folder, layout.table) {
            remove(&old).map_err(|cause| Failure::path("replace", &old, cause))?;
        }
        let path = folder.join(layout.entry());
        fs::rename(temporary.path().join(layout.entry()), &path)
            .map_err(|cause| Failure::path("write", &path, cause))?;
        made.push(Made {
            table: layout.table,
            path,
            files: layout.files,
            row_groups: layout.parts(),
            rows: written.rows,
            bytes: written.bytes,
        });
    }
    Ok(made)
}

/// A table's file and folder, as far as they exist.
fn existing(folder: &Path, table: Table) -> Vec<PathBuf> {
    let file = folder.join(format!("{}.parquet", table.name()));
    let files = folder.join(table.name());
    [file, files]
        .into_iter()
        .filter(|path| path.exists())
        .collect()
}

fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

/// Data pages version 1, dictionaries and statistics on: what most writers do.
fn properties(codec: SinkCodec) -> Result<WriterPropertiesPtr, Failure> {
    // The crate spells codecs as we do, in capitals.
    let spelled = codec.to_string().to_ascii_uppercase();
    let compression: Compression = spelled.parse().map_err(Failure::usage)?;
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_created_by(format!("pelton {}", env!("CARGO_PKG_VERSION")));
    Ok(Arc::new(properties.build()))
}
