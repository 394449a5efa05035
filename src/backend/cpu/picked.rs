//! Aggregates that keep values as they are: the one of a row, or all.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, UInt32Array, new_empty_array, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{interleave, take};

use super::accumulate::refused;
use crate::error::Result;
use crate::types::{DataType, Field};

/// Which row of a group is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    First,
    Last,
    FirstValid,
}

/// Arrays, and a place in them for each value that is kept.
type Place = (usize, usize);

/// A value of one row per group.
pub(super) struct Picked {
    pick: Pick,
    chunks: Vec<ArrayRef>,
    places: Vec<Option<Place>>,
}

impl Picked {
    pub(super) fn new(pick: Pick) -> Picked {
        Picked {
            pick,
            chunks: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Room for so many groups.
    pub(super) fn grow(&mut self, groups: usize) {
        self.places.resize(groups, None);
    }

    /// Looks at a column's values, each for its row's group.
    pub(super) fn add(&mut self, groups: &[usize], column: &ArrayRef) -> Result<()> {
        let nulls = column.logical_nulls();
        let chunk = self.chunks.len();
        for (row, &group) in groups.iter().enumerate() {
            let place = &mut self.places[group];
            let wanted = match self.pick {
                Pick::Last => true,
                Pick::First => place.is_none(),
                Pick::FirstValid => {
                    place.is_none() && nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
                }
            };
            if wanted {
                *place = Some((chunk, row));
            }
        }
        self.chunks.push(Arc::clone(column));
        self.compact(chunk)
    }

    /// Keeps of a chunk what was picked from it.
    fn compact(&mut self, chunk: usize) -> Result<()> {
        let mut rows = Vec::new();
        for place in self.places.iter_mut().flatten() {
            if place.0 == chunk {
                rows.push(place.1 as u32);
                place.1 = rows.len() - 1;
            }
        }
        self.chunks[chunk] = take(&self.chunks[chunk], &UInt32Array::from(rows), None)
            .map_err(|cause| refused(&cause))?;
        Ok(())
    }

    /// Adds another's, whose rows came later; its group `i` is this one's `groups[i]`.
    pub(super) fn merge(&mut self, other: Picked, groups: &[usize]) {
        let before = self.chunks.len();
        for (place, &group) in other.places.into_iter().zip(groups) {
            let Some((chunk, row)) = place else { continue };
            let own = &mut self.places[group];
            if own.is_none() || self.pick == Pick::Last {
                *own = Some((before + chunk, row));
            }
        }
        self.chunks.extend(other.chunks);
    }

    /// The values, null where there is none.
    pub(super) fn finish(self, data_type: &DataType) -> Result<ArrayRef> {
        let null = (self.chunks.len(), 0);
        let places: Vec<Place> = self.places.iter().map(|p| p.unwrap_or(null)).collect();
        gathered(&self.chunks, &places, data_type)
    }
}

/// All values of each group, in the order in which they came.
pub(super) struct Listed {
    /// Whether nulls are left out.
    valid_only: bool,
    chunks: Vec<ArrayRef>,
    places: Vec<Vec<Place>>,
}

impl Listed {
    pub(super) fn new(valid_only: bool) -> Listed {
        Listed {
            valid_only,
            chunks: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Room for so many groups.
    pub(super) fn grow(&mut self, groups: usize) {
        self.places.resize(groups, Vec::new());
    }

    /// Adds a column's values, each to its row's group.
    pub(super) fn add(&mut self, groups: &[usize], column: &ArrayRef) {
        let nulls = column.logical_nulls().filter(|_| self.valid_only);
        let chunk = self.chunks.len();
        for (row, &group) in groups.iter().enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                self.places[group].push((chunk, row));
            }
        }
        self.chunks.push(Arc::clone(column));
    }

    /// Adds another's, whose rows came later; its group `i` is this one's `groups[i]`.
    pub(super) fn merge(&mut self, other: Listed, groups: &[usize]) {
        let before = self.chunks.len();
        for (places, &group) in other.places.into_iter().zip(groups) {
            let moved = places.into_iter().map(|(chunk, row)| (before + chunk, row));
            self.places[group].extend(moved);
        }
        self.chunks.extend(other.chunks);
    }

    /// The values of all groups behind one another, and how many each group has.
    pub(super) fn flat(self, data_type: &DataType) -> Result<(ArrayRef, Vec<usize>)> {
        let lengths = self.places.iter().map(Vec::len).collect();
        let places: Vec<Place> = self.places.into_iter().flatten().collect();
        Ok((gathered(&self.chunks, &places, data_type)?, lengths))
    }

    /// A list per group.
    pub(super) fn finish(self, data_type: &DataType) -> Result<ArrayRef> {
        let (values, lengths) = self.flat(data_type)?;
        lists(values, &lengths)
    }
}

/// Lists of so many values each, none of them null.
pub(super) fn lists(values: ArrayRef, lengths: &[usize]) -> Result<ArrayRef> {
    let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    let no_nulls: Option<NullBuffer> = None;
    let lists = ListArray::try_new(item, offsets, values, no_nulls);
    Ok(Arc::new(lists.map_err(|cause| refused(&cause))?))
}

/// The values at these places; a place behind the last chunk is a null.
fn gathered(chunks: &[ArrayRef], places: &[Place], data_type: &DataType) -> Result<ArrayRef> {
    if places.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    let null = new_null_array(data_type, 1);
    let arrays: Vec<&dyn Array> = chunks.iter().chain([&null]).map(AsRef::as_ref).collect();
    interleave(&arrays, places).map_err(|cause| refused(&cause))
}
