//! How the leaves of a nested column become its rows: the levels of every node.
//!
//! Parquet stores a leaf of a nested column as values with two levels each ("Nested Encoding" in the
//! format's README): how much of the path to the value is there, and at which list an entry goes on.
//! A [`NestedShape`] says what the numbers mean for a column of a file. It follows from the Arrow
//! type, which is made of the same schema: what may be null is one definition level, a list one of
//! each. Reading levels, and building arrays of them, is a backend's business.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use super::{ParquetFile, Partition};
use crate::error::Result;

/// A column of a file as a tree, and its leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NestedShape {
    /// The column itself.
    pub root: NestedNode,
    /// The leaf columns, in their order: their paths, and the types of their values.
    pub leaves: Vec<Field>,
}

/// A node of a nested column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NestedNode {
    /// The definition level from which on it is not null.
    pub definition_level: u16,
    /// What it is.
    pub kind: NestedKind,
}

/// What a node of a nested column is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NestedKind {
    /// Values: the next leaf column.
    Leaf,
    /// One value of each child.
    Struct(Vec<NestedNode>),
    /// Any number of elements; of a map they are structs of key and value. From one definition
    /// level above the list's own on there is an element.
    List {
        /// The repetition level of an entry that adds an element to a list.
        repetition_level: u16,
        /// What the elements are.
        element: Box<NestedNode>,
    },
}

impl NestedNode {
    /// How many leaf columns are below it.
    pub fn leaf_count(&self) -> usize {
        match &self.kind {
            NestedKind::Leaf => 1,
            NestedKind::Struct(children) => children.iter().map(NestedNode::leaf_count).sum(),
            NestedKind::List { element, .. } => element.leaf_count(),
        }
    }
}

impl ParquetFile {
    /// How the leaves of a column of the schema become its rows. None if the levels in the file are
    /// not those that the column's type asks for.
    pub fn nested_shape(&self, column: usize) -> Option<NestedShape> {
        let field = self.schema().fields().get(column)?;
        let columns = self.footer().parquet_schema();
        shape_of(field, columns, self.leaves_of(column))
    }
}

impl Partition {
    /// [`ParquetFile::nested_shape`] of a column of the partition, for each row group.
    ///
    /// # Errors
    /// `InvalidInput` if the partition is not of its dataset.
    pub fn nested_shapes(&self, column: usize) -> Result<Vec<Option<Arc<NestedShape>>>> {
        let mut shapes = Vec::with_capacity(self.row_groups().len());
        let mut last = None;
        for row_group in self.row_groups() {
            let shape = match &last {
                Some((file, shape)) if *file == row_group.file => Option::clone(shape),
                _ => {
                    let of_file = self.shape().file_columns(row_group.file);
                    let file = self.shape().file(row_group.file)?;
                    let shape = of_file.get(column).and_then(|own| file.nested_shape(*own));
                    shape.map(Arc::new)
                }
            };
            last = Some((row_group.file, Option::clone(&shape)));
            shapes.push(shape);
        }
        Ok(shapes)
    }
}

fn shape_of(
    field: &FieldRef,
    columns: &SchemaDescriptor,
    leaf_columns: &[usize],
) -> Option<NestedShape> {
    let mut walk = Walk {
        columns,
        coming: leaf_columns,
        leaves: Vec::with_capacity(leaf_columns.len()),
    };
    let outside = Levels {
        definition: 0,
        repetition: 0,
    };
    let root = walk.node(field.data_type(), field.is_nullable(), outside)?;
    walk.coming.is_empty().then_some(NestedShape {
        root,
        leaves: walk.leaves,
    })
}

/// The levels of what a node is in.
#[derive(Clone, Copy)]
struct Levels {
    definition: u16,
    repetition: u16,
}

/// Goes down an Arrow type and along the leaf columns.
struct Walk<'a> {
    columns: &'a SchemaDescriptor,
    coming: &'a [usize],
    leaves: Vec<Field>,
}

impl Walk<'_> {
    fn node(&mut self, data_type: &DataType, nullable: bool, within: Levels) -> Option<NestedNode> {
        let definition = within.definition + u16::from(nullable);
        let here = Levels {
            definition,
            ..within
        };
        let kind = match data_type {
            DataType::Struct(fields) => {
                let children = fields.iter();
                let children =
                    children.map(|child| self.node(child.data_type(), child.is_nullable(), here));
                NestedKind::Struct(children.collect::<Option<_>>()?)
            }
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item) => {
                let inside = here.inside();
                let element = self.node(item.data_type(), item.is_nullable(), inside)?;
                inside.list(element)
            }
            DataType::Map(entries, _) => {
                let inside = here.inside();
                let element = self.entries(entries, inside)?;
                inside.list(element)
            }
            leaf if !leaf.is_nested() => {
                self.leaf(leaf, nullable, here)?;
                NestedKind::Leaf
            }
            _ => return None,
        };
        Some(NestedNode {
            definition_level: definition,
            kind,
        })
    }

    /// Key and value of a map. Some writers make keys optional, which Arrow's type does not say.
    fn entries(&mut self, entries: &Field, within: Levels) -> Option<NestedNode> {
        let DataType::Struct(fields) = entries.data_type() else {
            return None;
        };
        let [key, value] = fields.as_ref() else {
            return None;
        };
        let below = definition_levels_to_first_leaf(key.data_type());
        let key_nullable = self.first()?.max_def_level() > signed(within.definition + below)?;
        let key = self.node(key.data_type(), key_nullable, within)?;
        let value = self.node(value.data_type(), value.is_nullable(), within)?;
        Some(NestedNode {
            definition_level: within.definition,
            kind: NestedKind::Struct(vec![key, value]),
        })
    }

    fn first(&self) -> Option<&ColumnDescriptor> {
        let columns = self.columns.columns();
        columns.get(*self.coming.first()?).map(AsRef::as_ref)
    }

    fn leaf(&mut self, data_type: &DataType, nullable: bool, here: Levels) -> Option<()> {
        let column = self.first()?;
        let expected = (signed(here.definition)?, signed(here.repetition)?);
        if (column.max_def_level(), column.max_rep_level()) != expected {
            return None;
        }
        let field = Field::new(column.path().string(), data_type.clone(), nullable);
        self.leaves.push(field);
        self.coming = self.coming.get(1..)?;
        Some(())
    }
}

impl Levels {
    /// The levels of an element of a list of these levels.
    fn inside(self) -> Levels {
        Levels {
            definition: self.definition + 1,
            repetition: self.repetition + 1,
        }
    }

    fn list(self, element: NestedNode) -> NestedKind {
        NestedKind::List {
            repetition_level: self.repetition,
            element: Box::new(element),
        }
    }
}

fn signed(level: u16) -> Option<i16> {
    i16::try_from(level).ok()
}

/// Definition levels that a required node of this type adds on the way to its first leaf.
fn definition_levels_to_first_leaf(data_type: &DataType) -> u16 {
    let of = |field: &Field| {
        u16::from(field.is_nullable()) + definition_levels_to_first_leaf(field.data_type())
    };
    match data_type {
        DataType::Struct(fields) => fields.first().map_or(0, |field| of(field)),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => 1 + of(item),
        _ => 0,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use parquet::arrow::parquet_to_arrow_schema;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    /// The shape of the one column of a message, as nested text: each node's definition level, and
    /// a list's repetition level behind it.
    fn shape(message: &str) -> Option<String> {
        let parquet = SchemaDescriptor::new(Arc::new(parse_message_type(message).unwrap()));
        let arrow = parquet_to_arrow_schema(&parquet, None).unwrap();
        let columns: Vec<usize> = (0..parquet.num_columns()).collect();
        let shape = shape_of(&arrow.fields()[0], &parquet, &columns)?;
        assert_eq!(shape.leaves.len(), shape.root.leaf_count());
        Some(text(&shape.root))
    }

    fn text(node: &NestedNode) -> String {
        let level = node.definition_level;
        match &node.kind {
            NestedKind::Leaf => level.to_string(),
            NestedKind::Struct(children) => {
                let children: Vec<String> = children.iter().map(text).collect();
                format!("{level}{{{}}}", children.join(" "))
            }
            NestedKind::List {
                repetition_level,
                element,
            } => format!("{level}[{repetition_level}: {}]", text(element)),
        }
    }

    #[test]
    fn levels_follow_the_schema() {
        for (column, expected) in [
            ("repeated int32 a;", "0[1: 1]"),
            ("required group a { required int32 b; }", "0{0}"),
            (
                "optional group a { required int32 b; optional int32 c; }",
                "1{1 2}",
            ),
            (
                "optional group a (LIST) { repeated group list { optional int32 element; } }",
                "1[1: 3]",
            ),
            (
                "required group a (LIST) { repeated int32 element; }",
                "0[1: 1]",
            ),
            (
                "optional group a (LIST) { repeated group array { required int32 b; } }",
                "1[1: 2{2}]",
            ),
            (
                "optional group a (LIST) { repeated group list { repeated int32 b; } }",
                "1[1: 2[2: 3]]",
            ),
            (
                "optional group a { repeated group b { optional binary c; repeated int32 d; } }",
                "1{1[1: 2{3 2[2: 3]}]}",
            ),
            (
                "optional group a (MAP) { repeated group key_value {
                     required binary key; optional int32 value; } }",
                "1[1: 2{2 3}]",
            ),
            (
                "required group a (MAP) { repeated group map {
                     optional binary key; required int32 value; } }",
                "0[1: 1{2 1}]",
            ),
            (
                "required group a (MAP) { repeated group map {
                     optional group key { optional int32 b; } required int32 value; } }",
                "0[1: 1{2{3} 1}]",
            ),
            (
                "optional group a (MAP) { repeated group key_value { required binary key; } }",
                "1[1: 2]",
            ),
        ] {
            let message = format!("message m {{ {column} }}");
            assert_eq!(shape(&message).as_deref(), Some(expected), "{column}");
        }
    }

    #[test]
    fn other_levels_than_the_types_are_no_shape() {
        let of = |message| SchemaDescriptor::new(Arc::new(parse_message_type(message).unwrap()));
        let optional = of("message m { optional group a { optional int32 b; } }");
        let arrow = parquet_to_arrow_schema(&optional, None).unwrap();
        let field = &arrow.fields()[0];
        let required = of("message m { optional group a { required int32 b; } }");
        assert!(shape_of(field, &optional, &[0]).is_some());
        assert_eq!(shape_of(field, &required, &[0]), None);
        assert_eq!(shape_of(field, &optional, &[]), None, "a leaf is missing");
        assert_eq!(shape_of(field, &optional, &[7]), None, "no such leaf");
        assert_eq!(shape_of(field, &optional, &[0, 0]), None, "one too many");
    }
}
