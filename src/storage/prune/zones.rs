//! Bounds from the footer's statistics: of each row group, and of a whole file.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::basic::{ColumnOrder, SortOrder, Type};

use super::{Bounds, Evidence};
use crate::storage::ParquetFile;
use crate::storage::interval::{Sample, sample};
use crate::types::{decimal_parts, is_string};

/// The statistics of a file's row groups, each column's converted once and only if asked for.
pub(super) struct Zones<'f> {
    file: &'f ParquetFile,
    /// The file's column of each column that a predicate may name.
    columns: &'f [usize],
    converted: RefCell<HashMap<usize, Option<Rc<ColumnZones>>>>,
}

/// The statistics of one column: an entry per row group.
struct ColumnZones {
    mins: Option<ArrayRef>,
    maxes: Option<ArrayRef>,
    groups: Vec<Option<GroupZone>>,
}

/// What is known besides the ends.
#[derive(Clone, Copy)]
struct GroupZone {
    /// Whether the ends can be believed.
    ordered: bool,
    any: bool,
    null: bool,
}

impl<'f> Zones<'f> {
    pub(super) fn new(file: &'f ParquetFile, columns: &'f [usize]) -> Self {
        Zones {
            file,
            columns,
            converted: RefCell::default(),
        }
    }

    /// The leaf column of a column, which is not nested.
    pub(super) fn leaf(&self, column: usize) -> Option<usize> {
        leaf_of(self.file, *self.columns.get(column)?)
    }

    /// The type in which a column is read.
    pub(super) fn data_type(&self, column: usize) -> Option<&'f DataType> {
        let column = *self.columns.get(column)?;
        let field = self.file.schema().fields().get(column)?;
        Some(field.data_type())
    }

    fn of(&self, column: usize) -> Option<Rc<ColumnZones>> {
        if let Some(known) = self.converted.borrow().get(&column) {
            return known.clone();
        }
        let zones = self.convert(column).map(Rc::new);
        let mut converted = self.converted.borrow_mut();
        converted.insert(column, zones.clone());
        zones
    }

    fn convert(&self, column: usize) -> Option<ColumnZones> {
        let leaf = self.leaf(column)?;
        let field = self.file.schema().field(*self.columns.get(column)?);
        let footer = self.file.footer();
        let row_groups = footer.metadata().row_groups();
        let descriptor = footer.parquet_schema();
        let converter = StatisticsConverter::from_column_index(leaf, field, descriptor).ok()?;
        let order = footer.metadata().file_metadata().column_order(leaf);
        let groups = row_groups.iter().map(|row_group| {
            let statistics = row_group.column(leaf).statistics()?;
            let rows = u64::try_from(row_group.num_rows()).ok()?;
            let nulls = statistics.null_count_opt();
            let facts = Order {
                order,
                physical: statistics.physical_type(),
                deprecated: statistics.is_min_max_deprecated(),
            };
            Some(GroupZone {
                ordered: facts.is_ours(field.data_type()),
                any: nulls.is_none_or(|nulls| nulls < rows),
                null: nulls.is_none_or(|nulls| nulls > 0),
            })
        });
        let groups: Vec<_> = groups.collect();
        let complete = |ends: &ArrayRef| ends.len() == row_groups.len();
        Some(ColumnZones {
            mins: converter.row_group_mins(row_groups).ok().filter(complete),
            maxes: converter.row_group_maxes(row_groups).ok().filter(complete),
            groups,
        })
    }
}

/// The leaf column of a file's column that is not nested.
pub(super) fn leaf_of(file: &ParquetFile, column: usize) -> Option<usize> {
    let [leaf] = file.leaves_of(column) else {
        return None;
    };
    let field = file.schema().fields().get(column)?;
    (!field.data_type().is_nested()).then_some(*leaf)
}

impl ColumnZones {
    fn bounds(&self, row_group: usize) -> Option<Bounds> {
        let zone = (*self.groups.get(row_group)?)?;
        let end = |ends: &Option<ArrayRef>| {
            let ends = ends.as_ref().filter(|_| zone.ordered)?;
            ends.is_valid(row_group).then(|| ends.slice(row_group, 1))
        };
        Some(Bounds {
            min: end(&self.mins),
            max: end(&self.maxes),
            any: zone.any,
            null: zone.null,
            one: false,
        })
    }
}

/// What the statistics say of one row group.
pub(super) struct GroupEvidence<'z> {
    pub(super) zones: &'z Zones<'z>,
    pub(super) row_group: usize,
}

impl Evidence for GroupEvidence<'_> {
    fn bounds(&self, column: usize) -> Option<Bounds> {
        self.zones.of(column)?.bounds(self.row_group)
    }
}

/// What the statistics of all row groups with rows say of the file.
pub(super) struct FileEvidence<'z> {
    pub(super) zones: &'z Zones<'z>,
}

impl Evidence for FileEvidence<'_> {
    fn bounds(&self, column: usize) -> Option<Bounds> {
        let zones = self.zones.of(column)?;
        let mut union: Option<Bounds> = None;
        let row_groups = self.zones.file.footer().metadata().row_groups();
        for (index, row_group) in row_groups.iter().enumerate() {
            if row_group.num_rows() == 0 {
                continue;
            }
            let bounds = zones.bounds(index)?;
            union = Some(match union {
                Some(union) => joined(union, bounds),
                None => checked(bounds),
            });
        }
        union
    }
}

/// Bounds without ends that contradict each other, which would vanish among others.
fn checked(mut bounds: Bounds) -> Bounds {
    let ends = (bounds.min.as_ref(), bounds.max.as_ref());
    if let (Some(min), Some(max)) = ends
        && !is_below(min, max)
    {
        (bounds.min, bounds.max) = (None, None);
    }
    bounds
}

/// Whether the one end is at most the other; false if either is no value in the order.
fn is_below(left: &ArrayRef, right: &ArrayRef) -> bool {
    let ends = (sample(left.as_ref(), 0), sample(right.as_ref(), 0));
    match ends {
        (Some(Sample::Value(left)), Some(Sample::Value(right))) => {
            left.order(&right).is_some_and(std::cmp::Ordering::is_le)
        }
        _ => false,
    }
}

fn joined(union: Bounds, more: Bounds) -> Bounds {
    let more = checked(more);
    let null = union.null || more.null;
    if !more.any || !union.any {
        // Only nulls on one side: the other side has the ends.
        let ends = if union.any { union } else { more };
        return Bounds { null, ..ends };
    }
    let outer = |left: Option<ArrayRef>, right: Option<ArrayRef>, low: bool| {
        let (left, right) = (left?, right?);
        match (is_below(&left, &right), is_below(&right, &left)) {
            (false, false) => None,
            (left_is_low, _) if left_is_low == low => Some(left),
            _ => Some(right),
        }
    };
    Bounds {
        min: outer(union.min, more.min, true),
        max: outer(union.max, more.max, false),
        any: true,
        null,
        one: false,
    }
}

/// In what order a writer compared the values of a column.
pub(super) struct Order {
    pub(super) order: ColumnOrder,
    pub(super) physical: Type,
    /// Whether the ends are in the fields from before there were orders.
    pub(super) deprecated: bool,
}

impl Order {
    /// Whether it is the order of values of this type. Before `ColumnOrder`, writers compared
    /// everything as signed, which is right for plain numbers only.
    pub(super) fn is_ours(&self, data_type: &DataType) -> bool {
        let ours = match data_type {
            DataType::Boolean | DataType::Float32 | DataType::Float64 => SortOrder::SIGNED,
            other if other.is_signed_integer() || other.is_temporal() => SortOrder::SIGNED,
            other if decimal_parts(other).is_some() => SortOrder::SIGNED,
            other if other.is_unsigned_integer() || is_string(other) || is_binary(other) => {
                SortOrder::UNSIGNED
            }
            _ => return false,
        };
        let plain = matches!(
            self.physical,
            Type::BOOLEAN | Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE
        );
        match self.order {
            _ if self.physical == Type::INT96 => false,
            ColumnOrder::TYPE_DEFINED_ORDER(order) if !self.deprecated => {
                order == ours || self.physical == Type::BOOLEAN
            }
            ColumnOrder::TYPE_DEFINED_ORDER(_) | ColumnOrder::UNDEFINED => {
                plain && ours == SortOrder::SIGNED
            }
            ColumnOrder::UNKNOWN => false,
        }
    }
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    )
}
