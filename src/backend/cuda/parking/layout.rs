//! What packed bytes mean: where each column's values, validity and text lie among them.

use std::collections::HashMap;
use std::sync::Arc;

use super::text::{ParkedViews, Texts};
use crate::backend::cuda::batch::CudaBatch;
use crate::backend::cuda::dictionary::Dictionary;
use crate::backend::cuda::nested::{
    NestedColumn, NestedLeaf, NestedLevels, NestedLists, NestedPart, NestedValues,
};
use crate::device::{DeviceBuffer, PackedRange};
use crate::error::{Error, Result};
use crate::kernels::DeviceColumn;
use crate::types::{Field, PhysicalType};

/// Where sections begin, as buffers of the device do.
const ALIGNMENT: u64 = 64;

/// Bytes of one buffer among the packed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section {
    pub at: u64,
    pub bytes: u64,
}

impl Section {
    /// As part of the buffer that has all packed bytes.
    fn of(self, whole: &Arc<DeviceBuffer>) -> Arc<DeviceBuffer> {
        let bytes = self.bytes.next_multiple_of(ALIGNMENT);
        Arc::new(DeviceBuffer::part(whole, self.at, bytes))
    }
}

/// Ranges that are to be copied, each to a section.
#[derive(Debug, Default)]
pub(super) struct Packing {
    ranges: Vec<PackedRange>,
    /// The sections of ranges, by address and length: what is there is not packed again.
    known: HashMap<(u64, u64), Section>,
    end: u64,
}

impl Packing {
    /// Behind so many bytes that are packed already.
    pub(super) fn behind(end: u64) -> Packing {
        Packing {
            end,
            ..Packing::default()
        }
    }

    /// Lets what is packed from here on have sections of its own.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Bytes that are packed when all is copied: a multiple of 64.
    pub(super) fn bytes(&self) -> u64 {
        self.end
    }

    pub(super) fn ranges(&self) -> &[PackedRange] {
        &self.ranges
    }

    /// The bytes of a buffer from `start` to `end`.
    pub(super) fn add(&mut self, buffer: &Arc<DeviceBuffer>, start: u64, end: u64) -> Section {
        let bytes = end.saturating_sub(start);
        if bytes == 0 {
            return Section {
                at: self.end,
                bytes,
            };
        }
        let key = (buffer.address() + start, bytes);
        if let Some(section) = self.known.get(&key) {
            return *section;
        }
        let section = Section {
            at: self.end,
            bytes,
        };
        let padded = bytes.next_multiple_of(ALIGNMENT);
        self.ranges.push(PackedRange {
            buffer: Arc::clone(buffer),
            start,
            // With the padding, where the buffer has it: neighbours are one copy then.
            bytes: padded.min(buffer.bytes().saturating_sub(start)),
            at: section.at,
        });
        self.end += padded;
        self.known.insert(key, section);
        section
    }
}

/// The bits of a column from which on its buffers are packed, and its first row behind them. A bitmap
/// can only be cut between bytes, and values begin with the bitmap.
fn cut(column: &DeviceColumn) -> (u64, u64) {
    let bitmaps = column.physical() == PhysicalType::Boolean || column.validity().is_some();
    let offset = if bitmaps { column.offset() % 8 } else { 0 };
    (column.offset() - offset, offset)
}

/// A column's validity, from the byte of the first row on.
pub(super) fn pack_validity(
    packing: &mut Packing,
    column: &DeviceColumn,
    rows: u64,
) -> Option<Section> {
    let (skipped, offset) = cut(column);
    let validity = column.validity()?;
    let end = (skipped + offset + rows).div_ceil(8);
    Some(packing.add(validity, skipped / 8, end))
}

/// A column's values, from the row on that its validity begins with; none for a scalar.
pub(super) fn pack_values(
    packing: &mut Packing,
    column: &DeviceColumn,
    rows: u64,
) -> Option<Section> {
    let (skipped, offset) = cut(column);
    let (values, physical) = (column.values()?, column.physical());
    let end = physical.bytes(skipped + offset + rows);
    Some(packing.add(values, physical.bytes(skipped), end))
}

/// Rows that lie before a column's first one in what is packed of it.
pub(super) fn rows_before(column: &DeviceColumn) -> u64 {
    cut(column).1
}

/// All columns of a batch with their rows, those of nested columns behind the others.
pub(super) fn arrays(batch: &CudaBatch, rows: u64) -> Vec<(&DeviceColumn, u64)> {
    let flat = batch.columns.iter().map(|column| (column, rows));
    let nested = batch.nested.iter().flat_map(|column| match &column.values {
        NestedValues::Levels(levels) => {
            let leaves = levels.leaves.iter().map(|leaf| &leaf.column);
            leaves.collect::<Vec<_>>()
        }
        NestedValues::Lists(NestedLists {
            values,
            starts,
            lists,
        }) => vec![values, starts, lists],
    });
    let nested = nested.map(|column| (column, column.rows()));
    flat.chain(nested).collect()
}

/// A column without its buffers.
#[derive(Debug)]
enum ColumnLayout {
    /// Holds on to what its bits may point to.
    Scalar(DeviceColumn),
    Array {
        physical: PhysicalType,
        values: Section,
        validity: Option<Section>,
        offset: u64,
        rows: u64,
        text: Vec<Section>,
    },
}

impl ColumnLayout {
    fn column(&self, whole: &Arc<DeviceBuffer>) -> Result<DeviceColumn> {
        match self {
            ColumnLayout::Scalar(column) => Ok(column.clone()),
            ColumnLayout::Array {
                physical,
                values,
                validity,
                offset,
                rows,
                text,
            } => {
                let validity = validity.map(|section| section.of(whole));
                let values = values.of(whole);
                let column = DeviceColumn::array(*physical, values, validity, *offset, *rows)?;
                let text = text.iter().map(|section| section.of(whole));
                Ok(column.keeping(text.collect()))
            }
        }
    }
}

/// A nested column without its columns, which lie behind the batch's others.
#[derive(Debug)]
enum NestedLayout {
    Levels {
        leaves: Vec<LeafLayout>,
        parts: Vec<NestedPart>,
    },
    Lists,
}

#[derive(Debug)]
struct LeafLayout {
    field: Field,
    definition: Section,
    repetition: Section,
}

impl NestedLayout {
    fn new(values: &NestedValues, packing: &mut Packing) -> NestedLayout {
        let NestedValues::Levels(levels) = values else {
            return NestedLayout::Lists;
        };
        let mut leaf = |leaf: &NestedLeaf| {
            let mut pack = |levels: &Arc<DeviceBuffer>| {
                packing.add(levels, 0, leaf.column.rows().min(levels.bytes()))
            };
            LeafLayout {
                field: leaf.field.clone(),
                definition: pack(&leaf.definition),
                repetition: pack(&leaf.repetition),
            }
        };
        NestedLayout::Levels {
            leaves: levels.leaves.iter().map(&mut leaf).collect(),
            parts: levels.parts.clone(),
        }
    }

    fn values(
        &self,
        whole: &Arc<DeviceBuffer>,
        columns: &mut impl Iterator<Item = DeviceColumn>,
    ) -> Result<NestedValues> {
        let mut column = || {
            let column = columns.next();
            column.ok_or_else(|| Error::invalid("parked batch", "a column is missing", ""))
        };
        match self {
            NestedLayout::Lists => Ok(NestedValues::Lists(NestedLists {
                values: column()?,
                starts: column()?,
                lists: column()?,
            })),
            NestedLayout::Levels { leaves, parts } => {
                let leaf = |layout: &LeafLayout| {
                    Ok(NestedLeaf {
                        field: layout.field.clone(),
                        column: column()?,
                        definition: layout.definition.of(whole),
                        repetition: layout.repetition.of(whole),
                    })
                };
                Ok(NestedValues::Levels(NestedLevels {
                    leaves: leaves.iter().map(leaf).collect::<Result<_>>()?,
                    parts: parts.clone(),
                }))
            }
        }
    }
}

/// What the packed bytes of a batch mean.
#[derive(Debug)]
pub(super) struct ParkedLayout {
    /// Columns, then those of nested columns.
    columns: Vec<ColumnLayout>,
    flat: usize,
    nested: Vec<(usize, NestedLayout)>,
    pub rows: u64,
    pub dictionary: Arc<Dictionary>,
    /// Packed bytes.
    pub bytes: u64,
    /// Of them the first, which are views.
    pub views_bytes: u64,
}

impl ParkedLayout {
    /// Packs what is left when views and text are: the other columns and levels.
    pub(super) fn new(
        batch: &CudaBatch,
        arrays: &[(&DeviceColumn, u64)],
        rows: u64,
        texts: &Texts,
        views: &ParkedViews,
        packing: &mut Packing,
    ) -> ParkedLayout {
        let mut columns = Vec::with_capacity(arrays.len());
        for (index, (column, rows)) in arrays.iter().enumerate() {
            let (values, validity) = match views.sections(index) {
                Some((values, validity)) => (Some(values), validity),
                None => (
                    pack_values(packing, column, *rows),
                    pack_validity(packing, column, *rows),
                ),
            };
            columns.push(match values {
                None => ColumnLayout::Scalar((*column).clone()),
                Some(values) => ColumnLayout::Array {
                    physical: column.physical(),
                    values,
                    validity,
                    offset: rows_before(column),
                    rows: *rows,
                    text: texts.get(&index).cloned().unwrap_or_default(),
                },
            });
        }
        let nested = batch.nested.iter();
        let nested = nested.map(|column| {
            let layout = NestedLayout::new(&column.values, packing);
            (column.place, layout)
        });
        ParkedLayout {
            nested: nested.collect(),
            columns,
            flat: batch.columns.len(),
            rows,
            dictionary: Arc::clone(&batch.dictionary),
            bytes: packing.bytes(),
            views_bytes: views.bytes(),
        }
    }

    /// The columns in the buffer that has the packed bytes.
    ///
    /// # Errors
    /// `InvalidInput` if the buffer is another's.
    pub(super) fn columns(
        &self,
        whole: &Arc<DeviceBuffer>,
    ) -> Result<(Vec<DeviceColumn>, Vec<NestedColumn>)> {
        let columns = self.columns.iter().map(|layout| layout.column(whole));
        let mut columns: Vec<DeviceColumn> = columns.collect::<Result<_>>()?;
        let mut inner = columns.split_off(self.flat).into_iter();
        let nested = self.nested.iter().map(|(place, layout)| {
            let values = layout.values(whole, &mut inner)?;
            Ok(NestedColumn {
                place: *place,
                values,
            })
        });
        let nested = nested.collect::<Result<_>>()?;
        Ok((columns, nested))
    }
}
