//! From levels to arrays: offsets and validity of lists and maps, validity of structs.
//!
//! An entry of a leaf belongs to a list's element if its definition level reaches the elements of
//! the list, and begins a new one if its repetition level is not above the list's own. So what
//! every node has is found by going through the entries of its first leaf, and the leaves of one
//! node must agree on how many it has. It follows the `parquet` crate's reader, which is what the
//! CPU backend uses, in what it accepts. Written from the Parquet format's README, "Nested
//! Encoding", and the Dremel paper's idea.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, GenericListArray,
    GenericListViewArray, MapArray, OffsetSizeTrait, StructArray, UInt32Array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{filter, take};
use arrow::error::ArrowError;

use crate::storage::{NestedKind, NestedNode};
use crate::types::{DataType, Field};

/// Elements of lists of a fixed size in one batch. Lists that are null have theirs, too, although
/// nothing in the file backs them; 8 bytes of host memory are needed for each.
const FIXED_ELEMENTS_MAX: usize = 1 << 28;

/// The entries of a leaf: as many levels of both kinds as values.
pub(super) struct Leaf<'a> {
    pub(super) definition: &'a [u8],
    pub(super) repetition: &'a [u8],
    /// Null where the definition level is below its maximum.
    pub(super) values: ArrayRef,
    pub(super) definition_level_max: u16,
    pub(super) repetition_level_max: u16,
}

/// What is wrong, and with which leaf.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) leaf: usize,
    pub(super) cause: String,
    /// True if it is nothing wrong with the file: only that it cannot be put together here.
    pub(super) declined: bool,
}

impl Problem {
    fn corrupt(leaf: usize, cause: String) -> Problem {
        Problem {
            leaf,
            cause,
            declined: false,
        }
    }
}

/// Checks that the leaf at an index has levels in its bounds, and so many rows.
pub(super) fn check(index: usize, leaf: &Leaf, rows: u64) -> Result<(), Problem> {
    let wrong = |cause: String| Err(Problem::corrupt(index, cause));
    let most = |levels: &[u8]| levels.iter().copied().max().unwrap_or(0);
    let (definition, repetition) = (most(leaf.definition), most(leaf.repetition));
    // Of a level of one bit that is not below a list, anything but 0 counts as 1: so the CPU reads it.
    let one_bit = leaf.definition_level_max == 1 && leaf.repetition_level_max == 0;
    if u16::from(definition) > leaf.definition_level_max && !one_bit {
        let max = leaf.definition_level_max;
        return wrong(format!(
            "has a definition level of {definition} above {max}"
        ));
    }
    if u16::from(repetition) > leaf.repetition_level_max {
        let max = leaf.repetition_level_max;
        return wrong(format!(
            "has a repetition level of {repetition} above {max}"
        ));
    }
    if let Some(first) = leaf.repetition.first().filter(|level| **level > 0) {
        return wrong(format!("its first repetition level is {first}, not 0"));
    }
    let begun = leaf.repetition.iter().filter(|level| **level == 0).count() as u64;
    if begun != rows {
        return wrong(format!("has {begun} rows, its footer says {rows}"));
    }
    Ok(())
}

/// The array of a column: as many rows as its leaves have entries of repetition level 0.
pub(super) fn assemble(
    root: &NestedNode,
    data_type: &DataType,
    leaves: &[Leaf],
) -> Result<ArrayRef, Problem> {
    let outside = Scope {
        definition: 0,
        repetition: 0,
    };
    let mut assembly = Assembly { leaves, next: 0 };
    assembly.node(root, data_type, outside)
}

/// The elements of the innermost list around a node, or the rows: the levels of the entries that
/// begin one.
#[derive(Debug, Clone, Copy)]
struct Scope {
    /// From which definition level on there is an element.
    definition: u16,
    /// Up to which repetition level an entry begins one.
    repetition: u16,
}

impl Leaf<'_> {
    fn levels(&self) -> impl Iterator<Item = (u16, u16)> {
        let definition = self.definition.iter().map(|level| u16::from(*level));
        definition.zip(self.repetition.iter().map(|level| u16::from(*level)))
    }

    /// The definition levels of the entries that begin an element.
    fn elements(&self, scope: Scope) -> impl Iterator<Item = u16> {
        let begins = move |(definition, repetition): &(u16, u16)| {
            *definition >= scope.definition && *repetition <= scope.repetition
        };
        self.levels()
            .filter(begins)
            .map(|(definition, _)| definition)
    }

    /// Which elements of a scope have a node that is null below this definition level; none if it
    /// cannot be.
    fn nulls(&self, scope: Scope, definition_level: u16) -> Option<NullBuffer> {
        if definition_level <= scope.definition {
            return None;
        }
        let valid = self.elements(scope);
        let valid: BooleanBuffer = valid.map(|level| level >= definition_level).collect();
        Some(NullBuffer::new(valid)).filter(|nulls| nulls.null_count() > 0)
    }

    /// Where the list of each element of a scope begins, and where the last one ends: in elements
    /// of the list.
    fn offsets(&self, scope: Scope, element: Scope) -> Vec<usize> {
        let mut offsets = Vec::with_capacity(self.values.len() + 1);
        let mut count = 0;
        for (definition, repetition) in self.levels() {
            if definition < scope.definition {
                continue;
            }
            if repetition <= scope.repetition {
                offsets.push(count);
            }
            if definition >= element.definition && repetition <= element.repetition {
                count += 1;
            }
        }
        offsets.push(count);
        offsets
    }
}

/// Goes down a column's tree and along its leaves.
struct Assembly<'a> {
    leaves: &'a [Leaf<'a>],
    next: usize,
}

impl<'a> Assembly<'a> {
    fn node(
        &mut self,
        node: &NestedNode,
        data_type: &DataType,
        scope: Scope,
    ) -> Result<ArrayRef, Problem> {
        let index = self.next;
        let wrong = |cause: String| Problem::corrupt(index, cause);
        let failed = |cause: ArrowError| wrong(cause.to_string());
        let Some(first) = self.leaves.get(index) else {
            return Err(wrong("has fewer leaves than its type".to_string()));
        };
        match (&node.kind, data_type) {
            (NestedKind::Leaf, _) => {
                self.next += 1;
                leaf_values(first, scope).map_err(failed)
            }
            (NestedKind::Struct(children), DataType::Struct(fields)) => {
                let mut arrays = Vec::with_capacity(children.len());
                let mut length = None;
                for (child, field) in children.iter().zip(fields) {
                    let leaf = self.next;
                    let array = self.node(child, field.data_type(), scope)?;
                    let expected = *length.get_or_insert(array.len());
                    if array.len() != expected {
                        let have = array.len();
                        let cause = format!("has {have} values in a struct of {expected}");
                        return Err(Problem::corrupt(leaf, cause));
                    }
                    // Arrow knows no null keys; the file does, where a writer made them optional.
                    let optional = child.definition_level > node.definition_level;
                    if optional && !field.is_nullable() && array.null_count() > 0 {
                        let cause = "has null keys of maps".to_string();
                        let declined = true;
                        return Err(Problem {
                            leaf,
                            cause,
                            declined,
                        });
                    }
                    arrays.push(array);
                }
                let nulls = first.nulls(scope, node.definition_level);
                let array = StructArray::try_new(fields.clone(), arrays, nulls);
                Ok(Arc::new(array.map_err(failed)?))
            }
            (
                NestedKind::List {
                    repetition_level,
                    element,
                },
                data_type,
            ) => {
                let inside = Scope {
                    definition: node.definition_level + 1,
                    repetition: *repetition_level,
                };
                let item = item_of(data_type);
                let item =
                    item.ok_or_else(|| wrong(format!("is a list and read as {data_type}")))?;
                let values = self.node(element, item.data_type(), inside)?;
                let offsets = first.offsets(scope, inside);
                let count = offsets.last().copied().unwrap_or(0);
                if values.len() != count {
                    let have = values.len();
                    return Err(wrong(format!("has {have} values in lists of {count}")));
                }
                let lists = Lists {
                    first,
                    scope,
                    inside,
                    offsets,
                    nulls: first.nulls(scope, node.definition_level),
                    values,
                };
                lists.into_array(data_type).map_err(wrong)
            }
            (NestedKind::Struct(_), other) => {
                Err(wrong(format!("is a struct and read as {other}")))
            }
        }
    }
}

/// The values of a leaf that stand for an element of the innermost list around it.
fn leaf_values(leaf: &Leaf, scope: Scope) -> Result<ArrayRef, ArrowError> {
    let stands = |definition: u8| u16::from(definition) >= scope.definition;
    if leaf.definition.iter().all(|level| stands(*level)) {
        return Ok(Arc::clone(&leaf.values));
    }
    let kept: BooleanBuffer = leaf.definition.iter().map(|level| stands(*level)).collect();
    filter(&leaf.values, &BooleanArray::new(kept, None))
}

/// The elements of a list type.
fn item_of(data_type: &DataType) -> Option<&Arc<Field>> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => Some(item),
        _ => None,
    }
}

/// Lists whose elements are there.
struct Lists<'a> {
    first: &'a Leaf<'a>,
    scope: Scope,
    inside: Scope,
    offsets: Vec<usize>,
    nulls: Option<NullBuffer>,
    values: ArrayRef,
}

impl Lists<'_> {
    fn into_array(self, data_type: &DataType) -> Result<ArrayRef, String> {
        let failed = |cause: ArrowError| cause.to_string();
        match data_type {
            DataType::List(item) => {
                let offsets = offsets_of::<i32>(&self.offsets)?;
                let item = Arc::clone(item);
                let array = GenericListArray::try_new(item, offsets, self.values, self.nulls);
                Ok(Arc::new(array.map_err(failed)?))
            }
            DataType::LargeList(item) => {
                let offsets = offsets_of::<i64>(&self.offsets)?;
                let item = Arc::clone(item);
                let array = GenericListArray::try_new(item, offsets, self.values, self.nulls);
                Ok(Arc::new(array.map_err(failed)?))
            }
            DataType::ListView(item) => self.into_views::<i32>(item),
            DataType::LargeListView(item) => self.into_views::<i64>(item),
            DataType::Map(entries, sorted) => {
                let offsets = offsets_of::<i32>(&self.offsets)?;
                let values = self.values.as_struct_opt();
                let values = values.ok_or("a map's entries are no structs")?.clone();
                let entries = Arc::clone(entries);
                let array = MapArray::try_new(entries, offsets, values, self.nulls, *sorted);
                Ok(Arc::new(array.map_err(failed)?))
            }
            DataType::FixedSizeList(item, size) => self.into_fixed(item, *size),
            other => Err(format!("is a list and read as {other}")),
        }
    }

    fn into_views<O: OffsetSizeTrait>(self, item: &Arc<Field>) -> Result<ArrayRef, String> {
        let ends = offsets_of::<O>(&self.offsets)?;
        let sizes = ends.windows(2).map(|ends| ends[1] - ends[0]);
        let sizes: ScalarBuffer<O> = sizes.collect::<Vec<O>>().into();
        let starts: ScalarBuffer<O> = ends[..ends.len() - 1].to_vec().into();
        let item = Arc::clone(item);
        let array = GenericListViewArray::try_new(item, starts, sizes, self.values, self.nulls);
        Ok(Arc::new(array.map_err(|cause| cause.to_string())?))
    }

    /// Lists of so many elements each. A list that is null has that many, too, which are null.
    fn into_fixed(self, item: &Arc<Field>, size: i32) -> Result<ArrayRef, String> {
        let wanted = usize::try_from(size).map_err(|_| format!("has lists of {size} elements"))?;
        let mut indices = Vec::with_capacity(self.values.len());
        let elements = self.first.elements(self.scope);
        for (ends, definition) in self.offsets.windows(2).zip(elements) {
            let length = ends[1] - ends[0];
            if indices.len().saturating_add(wanted) > FIXED_ELEMENTS_MAX {
                let cause = format!("has more than {FIXED_ELEMENTS_MAX} elements in one batch");
                return Err(format!("{cause}, in lists of {size}"));
            }
            if definition < self.inside.definition && length == 0 {
                indices.extend(std::iter::repeat_n(None, wanted));
                continue;
            }
            if length != wanted {
                return Err(format!(
                    "has a list of {length} elements among lists of {size}"
                ));
            }
            for index in ends[0]..ends[1] {
                indices.push(Some(index_of(index)?));
            }
        }
        let lists = self.offsets.len() - 1;
        let values = if indices.len() == self.values.len() {
            self.values
        } else {
            take(&self.values, &UInt32Array::from(indices), None)
                .map_err(|cause| cause.to_string())?
        };
        let item = Arc::clone(item);
        let array = FixedSizeListArray::try_new_with_length(item, size, values, self.nulls, lists);
        Ok(Arc::new(array.map_err(|cause| cause.to_string())?))
    }
}

fn index_of(index: usize) -> Result<u32, String> {
    u32::try_from(index).map_err(|_| format!("has {index} values in one batch"))
}

/// Offsets of a list array; they ascend.
fn offsets_of<O: OffsetSizeTrait>(offsets: &[usize]) -> Result<OffsetBuffer<O>, String> {
    let mut narrow = Vec::with_capacity(offsets.len());
    for offset in offsets {
        let offset = O::from_usize(*offset);
        narrow.push(offset.ok_or("has more values than offsets of a list count")?);
    }
    Ok(OffsetBuffer::new(ScalarBuffer::from(narrow)))
}

#[cfg(test)]
mod tests;
