//! The eight tables: names, sizes and generators.

use arrow::array::RecordBatchReader;
use arrow::datatypes::SchemaRef;
use clap::ValueEnum;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow,
    SupplierArrow,
};

/// Rows that a generator makes at a time.
const BATCH_ROWS: usize = 8192;

/// A table of TPC-H. Declared largest first: that is the order of work, so that the cores are busy
/// to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Table {
    /// Items of orders.
    Lineitem,
    /// Orders.
    Orders,
    /// Which supplier has which part.
    Partsupp,
    /// Customers.
    Customer,
    /// Parts.
    Part,
    /// Suppliers.
    Supplier,
    /// 25 nations.
    Nation,
    /// 5 regions.
    Region,
}

impl Table {
    /// All tables.
    pub const ALL: [Table; 8] = [
        Table::Lineitem,
        Table::Orders,
        Table::Partsupp,
        Table::Customer,
        Table::Part,
        Table::Supplier,
        Table::Nation,
        Table::Region,
    ];

    /// The table's name, which is also the stem of its files.
    pub fn name(self) -> &'static str {
        match self {
            Table::Lineitem => "lineitem",
            Table::Orders => "orders",
            Table::Partsupp => "partsupp",
            Table::Customer => "customer",
            Table::Part => "part",
            Table::Supplier => "supplier",
            Table::Nation => "nation",
            Table::Region => "region",
        }
    }

    /// About how many rows the table has.
    pub fn rows(self, scale: f64) -> u64 {
        let at_scale_1 = match self {
            Table::Lineitem => 6_001_215.0,
            Table::Orders => 1_500_000.0,
            Table::Partsupp => 800_000.0,
            Table::Part => 200_000.0,
            Table::Customer => 150_000.0,
            Table::Supplier => 10_000.0,
            Table::Nation => return 25,
            Table::Region => return 5,
        };
        // A float as cast saturates; a table has a row at least.
        ((at_scale_1 * scale) as u64).max(1)
    }

    /// Encoded, uncompressed bytes of a row in a large row group, as measured at scale 1 with
    /// `--row-group-bytes 128MiB`.
    pub fn bytes_per_row(self) -> u64 {
        match self {
            Table::Lineitem => 63,
            Table::Orders => 76,
            Table::Partsupp => 140,
            Table::Customer => 169,
            Table::Part => 70,
            Table::Supplier => 164,
            Table::Nation | Table::Region => 110,
        }
    }

    /// Whether the table can be made in parts. The smallest two are one part always.
    pub fn divisible(self) -> bool {
        !matches!(self, Table::Nation | Table::Region)
    }

    /// The table's schema.
    pub fn schema(self) -> SchemaRef {
        match self {
            Table::Lineitem => LineItemArrow::schema_ref(),
            Table::Orders => OrderArrow::schema_ref(),
            Table::Partsupp => PartSuppArrow::schema_ref(),
            Table::Customer => CustomerArrow::schema_ref(),
            Table::Part => PartArrow::schema_ref(),
            Table::Supplier => SupplierArrow::schema_ref(),
            Table::Nation => NationArrow::schema_ref(),
            Table::Region => RegionArrow::schema_ref(),
        }
    }

    /// The batches of part `part` (from 0) of `parts` equal parts.
    pub fn batches(self, scale: f64, part: i32, parts: i32) -> Box<dyn RecordBatchReader> {
        macro_rules! batches {
            ($generator:ident, $arrow:ident) => {{
                let generator = $generator::new(scale, part + 1, parts);
                Box::new($arrow::new(generator).with_batch_size(BATCH_ROWS))
            }};
        }
        match self {
            Table::Lineitem => batches!(LineItemGenerator, LineItemArrow),
            Table::Orders => batches!(OrderGenerator, OrderArrow),
            Table::Partsupp => batches!(PartSuppGenerator, PartSuppArrow),
            Table::Customer => batches!(CustomerGenerator, CustomerArrow),
            Table::Part => batches!(PartGenerator, PartArrow),
            Table::Supplier => batches!(SupplierGenerator, SupplierArrow),
            Table::Nation => batches!(NationGenerator, NationArrow),
            Table::Region => batches!(RegionGenerator, RegionArrow),
        }
    }
}
