//! Views among packed bytes: their addresses are counted from the first packed byte, and what they point
//! to is packed with them.
//!
//! Text lies where pages and functions left it, and a batch's views may use all of a buffer or little of
//! it. Stretches that are nearly all used are packed as they are, also where many rows point to the same
//! bytes; else the strings are put behind one another by a kernel first.

use std::collections::HashMap;
use std::sync::Arc;

use super::Piece;
use super::layout::{Packing, Section, pack_validity, pack_values, rows_before};
use crate::device::DeviceBuffer;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::text::text_collect;
use crate::kernels::{DeviceColumn, Launch};
use crate::memory::Tier;
use crate::types::PhysicalType;

/// Bytes of a view: an address of 8, a length of 4, and 4 that are zero.
const VIEW_BYTES: usize = 16;

/// Text is packed as it lies if at most this part of the bytes that are used comes on top.
const UNUSED_SHARE: u64 = 4;

/// Where stretches of text begin: words that have the first and the last byte are whole then.
const TEXT_ALIGNMENT: u64 = 64;

/// The sections with the text of columns, by the columns' indices.
pub(super) type Texts = HashMap<usize, Vec<Section>>;

/// A column of views that is parked.
#[derive(Debug)]
struct ViewColumn<'a> {
    index: usize,
    column: &'a DeviceColumn,
    rows: u64,
    values: Section,
    validity: Option<Section>,
}

/// All columns of views of a batch. They are packed before everything else: which text they need is
/// known when they are on the host.
#[derive(Debug)]
pub(super) struct ParkedViews<'a> {
    columns: Vec<ViewColumn<'a>>,
    /// Views, and behind them their validity.
    pub packing: Packing,
    bytes: u64,
}

impl<'a> ParkedViews<'a> {
    /// The views among these columns.
    pub(super) fn new(arrays: &[(&'a DeviceColumn, u64)]) -> ParkedViews<'a> {
        let mut packing = Packing::default();
        let views = arrays.iter().enumerate();
        let views = views.filter(|(_, (column, _))| column.physical() == PhysicalType::View);
        let columns = views.filter_map(|(index, (column, rows))| {
            packing.forget(); // views are changed, and what is valid of them may differ
            Some(ViewColumn {
                index,
                column,
                rows: *rows,
                values: pack_values(&mut packing, column, *rows)?,
                validity: None,
            })
        });
        let mut columns: Vec<ViewColumn> = columns.collect();
        let bytes = packing.bytes();
        for view in &mut columns {
            view.validity = pack_validity(&mut packing, view.column, view.rows);
        }
        ParkedViews {
            columns,
            packing,
            bytes,
        }
    }

    /// Packed bytes that are views.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The values and the validity of the column of this index, if it has views.
    pub(super) fn sections(&self, index: usize) -> Option<(Section, Option<Section>)> {
        let found = self.columns.iter().find(|view| view.index == index)?;
        Some((found.values, found.validity))
    }

    /// Packs the text of the views in `pieces`, which then are counted from the first packed byte. May
    /// wait for the stream.
    ///
    /// # Errors
    /// What failed on the stream, or no memory is left for text that must be put together.
    pub(super) fn relocate(
        &self,
        launch: &Launch,
        pieces: &mut [Piece],
        packing: &mut Packing,
    ) -> Result<Texts> {
        let texts = self.columns.iter().map(|view| {
            let text = view.relocate(launch, pieces, packing)?;
            Ok((view.index, text))
        });
        texts.collect()
    }
}

/// The bytes of a view.
fn view_of(cell: &[u8]) -> (u64, u32) {
    let address = cell.first_chunk().copied().map_or(0, u64::from_ne_bytes);
    let length = cell.get(8..12).and_then(|bytes| bytes.try_into().ok());
    (address, length.map_or(0, u32::from_ne_bytes))
}

/// Shows every view of a section with its row.
fn for_each_view(pieces: &mut [Piece], section: Section, mut show: impl FnMut(u64, &mut [u8])) {
    let (mut at, mut row) = (0, 0);
    for piece in pieces {
        let bytes = piece.as_mut();
        let end = at + bytes.len() as u64;
        // Sections and pieces begin at whole views.
        let from = section.at.clamp(at, end) - at;
        let to = (section.at + section.bytes).clamp(at, end) - at;
        for cell in bytes[from as usize..to as usize].chunks_exact_mut(VIEW_BYTES) {
            show(row, cell);
            row += 1;
        }
        at = end;
    }
}

/// The bytes of a section.
fn bytes_of(pieces: &[Piece], section: Section) -> Vec<u8> {
    let mut copied = Vec::with_capacity(section.bytes as usize);
    let mut at = 0;
    for piece in pieces {
        let bytes = piece.as_ref();
        let end = at + bytes.len() as u64;
        let from = section.at.clamp(at, end) - at;
        let to = (section.at + section.bytes).clamp(at, end) - at;
        copied.extend_from_slice(&bytes[from as usize..to as usize]);
        at = end;
    }
    copied
}

/// Views with the address of the first packed byte added.
pub(super) fn moved(views: &[u8], base: u64) -> Vec<u8> {
    let mut moved = views.to_vec();
    for cell in moved.chunks_exact_mut(VIEW_BYTES) {
        let (address, _) = view_of(cell);
        cell[..8].copy_from_slice(&address.wrapping_add(base).to_ne_bytes());
    }
    moved
}

/// What views use of a buffer.
#[derive(Debug, Clone, Copy)]
struct Stretch<'a> {
    buffer: &'a Arc<DeviceBuffer>,
    /// The first address that is used, and the one behind the last; none is where they cross.
    first: u64,
    end: u64,
}

impl Stretch<'_> {
    fn is_used(&self) -> bool {
        self.first < self.end
    }

    /// Where in the buffer packing begins.
    fn start(&self) -> u64 {
        let start = self.first.saturating_sub(self.buffer.address());
        start - start % TEXT_ALIGNMENT
    }

    fn bytes(&self) -> u64 {
        match self.is_used() {
            true => self.end - self.buffer.address() - self.start(),
            false => 0,
        }
    }
}

/// What a column's views use of the buffers that it keeps.
#[derive(Debug)]
struct Uses<'a> {
    /// By address.
    stretches: Vec<Stretch<'a>>,
    /// The one that was found last.
    last: usize,
    /// Bytes of all strings together.
    bytes: u64,
    /// Whether a view points to nothing that is kept.
    lost: bool,
}

impl<'a> Uses<'a> {
    fn new(kept: &'a [Arc<DeviceBuffer>]) -> Uses<'a> {
        let stretch = |buffer| Stretch {
            buffer,
            first: u64::MAX,
            end: 0,
        };
        let mut stretches: Vec<Stretch> = kept.iter().map(stretch).collect();
        stretches.sort_by_key(|stretch| stretch.buffer.address());
        Uses {
            stretches,
            last: 0,
            bytes: 0,
            lost: false,
        }
    }

    /// The index of the buffer that has these bytes.
    fn find(&mut self, address: u64, end: u64) -> Option<usize> {
        let has = |stretch: &Stretch| {
            let start = stretch.buffer.address();
            start <= address && end <= start + stretch.buffer.bytes()
        };
        if !self.stretches.get(self.last).is_some_and(has) {
            let above = |stretch: &Stretch| stretch.buffer.address() <= address;
            let index = self.stretches.partition_point(above).checked_sub(1)?;
            self.stretches.get(index).filter(|stretch| has(stretch))?;
            self.last = index;
        }
        Some(self.last)
    }

    fn add(&mut self, address: u64, length: u32) {
        let end = address.saturating_add(u64::from(length));
        self.bytes += u64::from(length);
        let found = self.find(address, end);
        match found.and_then(|index| self.stretches.get_mut(index)) {
            None => self.lost = true,
            Some(stretch) => {
                stretch.first = stretch.first.min(address);
                stretch.end = stretch.end.max(end);
            }
        }
    }

    /// Whether stretches are nearly all used, where none is missing.
    fn lie_well(&self) -> bool {
        let packed: u64 = self.stretches.iter().map(Stretch::bytes).sum();
        let aligned = TEXT_ALIGNMENT * self.stretches.len() as u64;
        !self.lost && packed <= self.bytes + self.bytes / UNUSED_SHARE + aligned
    }
}

impl ViewColumn<'_> {
    /// Shows every view that is a string of its row, and makes the others views of nothing.
    fn for_each_string(
        &self,
        pieces: &mut [Piece],
        validity: Option<&[u8]>,
        mut show: impl FnMut(&mut [u8], u64, u32),
    ) {
        let before = rows_before(self.column);
        for_each_view(pieces, self.values, |row, cell| {
            let valid = validity.is_none_or(|bits| {
                let byte = bits.get((row / 8) as usize);
                byte.is_some_and(|byte| byte >> (row % 8) & 1 == 1)
            });
            let (address, length) = view_of(cell);
            if row < before || !valid || length == 0 {
                cell.fill(0);
            } else {
                show(cell, address, length);
            }
        });
    }

    fn relocate(
        &self,
        launch: &Launch,
        pieces: &mut [Piece],
        packing: &mut Packing,
    ) -> Result<Vec<Section>> {
        let validity = self.validity.map(|section| bytes_of(pieces, section));
        let validity = validity.as_deref();
        let mut uses = Uses::new(self.column.kept());
        self.for_each_string(pieces, validity, |_, address, length| {
            uses.add(address, length);
        });
        if uses.bytes == 0 {
            return Ok(Vec::new());
        }
        if !uses.lie_well()
            && let Some((text, bytes)) = self.collect(launch, uses.lost)?
        {
            let section = packing.add(&text, 0, bytes);
            let mut at = section.at;
            self.for_each_string(pieces, validity, |cell, _, length| {
                point(cell, at);
                at += u64::from(length);
            });
            return Ok(vec![section]);
        }
        // Of each stretch, the section, or one of nothing.
        let pack = |stretch: &Stretch| {
            let start = stretch.start();
            packing.add(stretch.buffer, start, start + stretch.bytes())
        };
        let used = |stretch: &&Stretch| stretch.is_used();
        uses.stretches = uses.stretches.iter().filter(used).copied().collect();
        uses.last = 0;
        let sections: Vec<Section> = uses.stretches.iter().map(pack).collect();
        self.for_each_string(pieces, validity, |cell, address, length| {
            let found = uses.find(address, address + u64::from(length));
            let place = found.and_then(|index| {
                let (stretch, section) = (uses.stretches.get(index)?, sections.get(index)?);
                let from = stretch.buffer.address() + stretch.start();
                Some(section.at + (address - from))
            });
            point(cell, place.unwrap_or(0));
        });
        Ok(sections)
    }

    /// The strings behind one another, and their bytes; nothing if the device has no room for that and
    /// they can stay where they are.
    fn collect(&self, launch: &Launch, lost: bool) -> Result<Option<(Arc<DeviceBuffer>, u64)>> {
        let is_full = |error: &Error| {
            let tier = Tier::Device;
            matches!(error.kind(), ErrorKind::Reservation { tier: full, .. } if *full == tier)
        };
        match text_collect(launch, self.column, self.rows) {
            Ok((_, text, bytes)) => Ok(Some((Arc::new(text), bytes))),
            Err(error) if !lost && is_full(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Lets a view point to a packed byte.
fn point(cell: &mut [u8], at: u64) {
    cell[..8].copy_from_slice(&at.to_ne_bytes());
}
