//! Nested columns: structs, lists and maps, which a scan reads and a result shows.
//!
//! On the device such a column is its leaves, each an array with a value per level entry beside the
//! entries' levels, or the lists that an operator collected ([`lists`]). `group_by` takes these as states;
//! other operators take none of them. On their way to the host the leaves become the arrays of the column's
//! type ([`assemble`]). What the levels mean is said by a
//! [`NestedShape`](crate::storage::NestedShape).

mod assemble;
mod lists;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray};
use arrow::compute::concat;

use super::dictionary::Dictionary;
use super::download::{array_of, read_bytes};
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::kernels::{DeviceColumn, Launch};
use crate::metrics::names;
use crate::storage::{NestedShape, StoredChunk};
use crate::types::{DataType, Field};
use assemble::{Leaf, Problem};
pub(super) use lists::NestedLists;

/// A nested column of a batch.
#[derive(Debug, Clone)]
pub(super) struct NestedColumn {
    /// Which column of the batch's schema it is.
    pub place: usize,
    /// What it is made of.
    pub values: NestedValues,
}

/// What a nested column is made of.
#[derive(Debug, Clone)]
pub(super) enum NestedValues {
    /// What a scan read.
    Levels(NestedLevels),
    /// What an operator collected.
    Lists(NestedLists),
}

/// Leaves with their levels.
#[derive(Debug, Clone)]
pub(super) struct NestedLevels {
    /// The leaves.
    pub leaves: Vec<NestedLeaf>,
    /// The row groups whose entries the leaves have, in order.
    pub parts: Vec<NestedPart>,
}

/// A leaf of a nested column, over all row groups of the batch.
#[derive(Debug, Clone)]
pub(super) struct NestedLeaf {
    /// Its path, and the type of its values.
    pub field: Field,
    /// A value per level entry; null where the entry has none.
    pub column: DeviceColumn,
    /// A definition level per entry, a byte each; zeros where there can be no other.
    pub definition: Arc<DeviceBuffer>,
    /// A repetition level per entry, a byte each; not written where there can be only 0.
    pub repetition: Arc<DeviceBuffer>,
}

/// A row group's part of a nested column.
#[derive(Debug, Clone)]
pub(super) struct NestedPart {
    shape: Arc<NestedShape>,
    rows: u64,
    /// Of each leaf.
    leaves: Vec<PartLeaf>,
}

/// A row group's part of a leaf.
#[derive(Debug, Clone)]
struct PartLeaf {
    chunk: StoredChunk,
    entries: u64,
    definition_level_max: u16,
    repetition_level_max: u16,
}

impl NestedPart {
    /// The part that these column chunks of one row group are, one per leaf.
    ///
    /// # Errors
    /// `Corrupt` if a chunk lies outside of its file.
    pub(super) fn new(shape: Arc<NestedShape>, chunks: Vec<StoredChunk>) -> Result<NestedPart> {
        let rows = chunks.first().map_or(0, |chunk| chunk.rows);
        let mut leaves = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let facts = chunk.chunk()?.facts().clone();
            leaves.push(PartLeaf {
                chunk,
                entries: facts.value_count,
                definition_level_max: facts.definition_level_max,
                repetition_level_max: facts.repetition_level_max,
            });
        }
        Ok(NestedPart {
            shape,
            rows,
            leaves,
        })
    }

    /// What is wrong with it, as an error of its file.
    fn refuse(&self, problem: &Problem) -> Error {
        if problem.declined {
            let leaf = self.shape.leaves.get(problem.leaf);
            let name = leaf.map_or("", |leaf| leaf.name());
            let reason = format!("column `{name}` is left to the host: {}", problem.cause);
            return Error::unsupported("cuda", "scan", reason);
        }
        let found = self.leaves.get(problem.leaf).or(self.leaves.first());
        match found {
            Some(leaf) => leaf.chunk.corrupt(&problem.cause),
            None => Error::invalid("nested column", &problem.cause, ""),
        }
    }
}

impl NestedColumn {
    /// Bytes of device memory that the column holds on to.
    pub(super) fn bytes(&self) -> u64 {
        let of = |leaf: &NestedLeaf| {
            leaf.column.bytes() + leaf.definition.bytes() + leaf.repetition.bytes()
        };
        match &self.values {
            NestedValues::Levels(levels) => levels.leaves.iter().map(of).sum(),
            NestedValues::Lists(lists) => lists.bytes(),
        }
    }
}

/// The column that an array of lists is, at its place in a batch.
///
/// # Errors
/// As uploading its values, and `Unsupported` for lists that are null.
pub(super) fn upload(
    launch: &Launch,
    place: usize,
    array: &ListArray,
    values: impl FnOnce(&ArrayRef) -> Result<DeviceColumn>,
) -> Result<NestedColumn> {
    let lists = lists::upload(launch, array, values)?;
    let values = NestedValues::Lists(lists);
    Ok(NestedColumn { place, values })
}

/// The column as an array of its type. Waits for the stream.
///
/// # Errors
/// `Corrupt` if the levels are none of such a column.
pub(super) fn download(
    launch: &Launch,
    column: &NestedColumn,
    data_type: &DataType,
    dictionary: &Dictionary,
) -> Result<ArrayRef> {
    let levels = match &column.values {
        NestedValues::Levels(levels) => levels,
        NestedValues::Lists(lists) => {
            return lists::download(launch, lists, data_type, dictionary);
        }
    };
    let mut leaves = Vec::with_capacity(levels.leaves.len());
    for (index, leaf) in levels.leaves.iter().enumerate() {
        leaves.push(HostLeaf::read(launch, levels, index, leaf, dictionary)?);
    }
    // Row groups are put together at once, as far as their levels mean the same: all of one file's.
    let mut arrays = Vec::new();
    let mut starts = vec![0; leaves.len()];
    let alike = |left: &NestedPart, right: &NestedPart| left.shape == right.shape;
    for parts in levels.parts.chunk_by(alike) {
        let from = starts.clone();
        for part in parts {
            let slices = slices(&leaves, part, &mut starts);
            let checked = slices.iter().enumerate();
            let mut checked = checked.map(|(index, leaf)| assemble::check(index, leaf, part.rows));
            checked
                .try_for_each(|checked| checked)
                .map_err(|problem| part.refuse(&problem))?;
        }
        arrays.push(assemble_alike(parts, &leaves, from, data_type)?);
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    match arrays.as_slice() {
        [] => Ok(arrow::array::new_empty_array(data_type)),
        [one] => Ok(one.slice(0, one.len())),
        several => {
            concat(several).map_err(|cause| Error::invalid("nested column", cause.to_string(), ""))
        }
    }
}

/// A leaf on the host.
struct HostLeaf {
    definition: Vec<u8>,
    repetition: Vec<u8>,
    values: ArrayRef,
}

impl HostLeaf {
    fn read(
        launch: &Launch,
        levels: &NestedLevels,
        index: usize,
        leaf: &NestedLeaf,
        dictionary: &Dictionary,
    ) -> Result<HostLeaf> {
        let entries = leaf.column.rows();
        let data_type = leaf.field.data_type();
        let values = array_of(launch, &leaf.column, entries, data_type, dictionary)?;
        let in_parts = || {
            levels
                .parts
                .iter()
                .filter_map(|part| part.leaves.get(index))
        };
        let read = |buffer, wanted: bool| {
            if !wanted {
                return Ok(vec![0; values.len()]);
            }
            launch.count(names::DOWNLOAD_BYTES, entries);
            read_bytes(launch, buffer, 0, entries)
        };
        let definition = in_parts().any(|part| part.definition_level_max > 0);
        let definition = read(&leaf.definition, definition)?;
        let repetition = in_parts().any(|part| part.repetition_level_max > 0);
        let repetition = read(&leaf.repetition, repetition)?;
        Ok(HostLeaf {
            definition,
            repetition,
            values,
        })
    }

    fn slice(&self, part: &PartLeaf, start: usize, length: usize) -> Leaf<'_> {
        let end = (start + length).min(self.values.len());
        let start = start.min(end);
        Leaf {
            definition: &self.definition[start..end],
            repetition: &self.repetition[start..end],
            values: self.values.slice(start, end - start),
            definition_level_max: part.definition_level_max,
            repetition_level_max: part.repetition_level_max,
        }
    }
}

/// The entries of one row group, which begin at `starts`; moves the starts behind them.
fn slices<'a>(leaves: &'a [HostLeaf], part: &NestedPart, starts: &mut [usize]) -> Vec<Leaf<'a>> {
    let each = leaves.iter().zip(&part.leaves).zip(starts);
    let of_each = each.map(|((leaf, part), start)| {
        // At most a batch's entries, which fit 32 bits.
        let length = usize::try_from(part.entries).unwrap_or(usize::MAX);
        let slice = leaf.slice(part, *start, length);
        *start += length;
        slice
    });
    of_each.collect()
}

/// Row groups whose levels mean the same, as one array.
fn assemble_alike(
    parts: &[NestedPart],
    leaves: &[HostLeaf],
    starts: Vec<usize>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let Some(first) = parts.first() else {
        return Ok(arrow::array::new_empty_array(data_type));
    };
    let mut whole = first.clone();
    for part in &parts[1..] {
        for (all, more) in whole.leaves.iter_mut().zip(&part.leaves) {
            all.entries += more.entries;
        }
    }
    let together = slices(leaves, &whole, &mut starts.clone());
    match assemble::assemble(&first.shape.root, data_type, &together) {
        Ok(array) => Ok(array),
        Err(problem) if parts.len() == 1 => Err(first.refuse(&problem)),
        Err(problem) => {
            // One of them is wrong: the first that cannot be put together alone.
            let mut starts = starts;
            for part in parts {
                let alone = slices(leaves, part, &mut starts);
                if let Err(problem) = assemble::assemble(&part.shape.root, data_type, &alone) {
                    return Err(part.refuse(&problem));
                }
            }
            Err(first.refuse(&problem))
        }
    }
}
