//! Joins two columns with Pelton's kernels alone: no engine, no plan, no Parquet.
//!
//! The program opens a device, a GPU if there is one and the emulator otherwise, allocates two
//! columns on it, builds a hash table of one and probes it with the other.
//!
//! ```sh
//! cargo run --example link_hash_join
//! ```

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::sync::Arc;

use pelton::Result;
use pelton::device::Device;
use pelton::device::cuda::CudaDriver;
use pelton::device::simt::{SimtDriver, SimtOptions};
use pelton::kernels::hash_join::{JoinKey, JoinLayout, JoinNeed, JoinTable, JoinTuning};
use pelton::kernels::{DeviceColumn, DeviceRows, Launch};
use pelton::memory::{MemoryLimits, MemoryManager};
use pelton::types::PhysicalType;

/// Numbers of customers, each once.
const CUSTOMERS: [i64; 5] = [101, 204, 333, 420, 512];
/// The customer of each order; a customer may have many, and 999 is nobody.
const ORDERS: [i64; 8] = [204, 101, 999, 512, 204, 420, 999, 101];

/// A GPU, or the emulator.
fn open() -> Result<Arc<Device>> {
    let memory = MemoryManager::new(MemoryLimits::UNLIMITED);
    // A guest leaves the context as it is for other users of the GPU in this process.
    Ok(match CudaDriver::guest(0, None) {
        Ok(driver) => Device::new(Arc::new(driver), memory),
        Err(_no_gpu) => Device::new(Arc::new(SimtDriver::new(SimtOptions::default())), memory),
    })
}

/// A column of this program's own: allocated, filled, described.
fn column(launch: &Launch, values: &[i64]) -> Result<DeviceColumn> {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect();
    let device = launch.device();
    let buffer = device.alloc(launch.stream(), bytes.len() as u64)?;
    device.write(launch.stream(), &buffer, &bytes)?;
    let rows = values.len() as u64;
    DeviceColumn::array(PhysicalType::Int64, Arc::new(buffer), None, 0, rows)
}

/// Row numbers in host memory.
fn fetch(launch: &Launch, column: &DeviceColumn, rows: u64) -> Result<Vec<u32>> {
    let mut bytes = vec![0; rows as usize * 4];
    if let Some(buffer) = column.values() {
        launch.device().read(launch.stream(), buffer, &mut bytes)?;
    }
    let words = bytes.chunks_exact(4);
    Ok(words
        .map(|word| word.try_into().map_or(0, u32::from_ne_bytes))
        .collect())
}

/// Joins, and says what happened.
pub fn run() -> Result<String> {
    let device = open()?;
    let stream = device.take_stream()?;
    let launch = Launch::new(&device, stream);
    let (customers, orders) = (column(&launch, &CUSTOMERS)?, column(&launch, &ORDERS)?);

    let key = JoinKey {
        physical: PhysicalType::Int64,
        nullable: false,
        bits: 64,
    };
    let tuning = JoinTuning::default();
    let layout = JoinLayout::new(&[key], false, &tuning)?;
    let build_rows = customers.rows();
    let table = JoinTable::build(
        &launch,
        layout,
        &[&customers],
        build_rows,
        JoinNeed::Rows,
        tuning,
    )?;
    // Customers' numbers are unique, so that an order has at most one; else `count` and `emit`.
    let pairs = table.pairs(&launch, &[&orders], &DeviceRows::known(orders.rows()))?;
    let rows = pairs.rows.resolve(&launch)?; // waits for the stream

    let probe_rows = fetch(&launch, &pairs.probe_rows, rows)?;
    let build_rows = fetch(&launch, &pairs.build_rows, rows)?;
    let mut found: Vec<(u32, u32)> = probe_rows.into_iter().zip(build_rows).collect();
    found.sort_unstable(); // pairs come in no order

    let mut text = String::new();
    let _infallible = writeln!(
        text,
        "joined {} orders with {} customers: {rows} pairs",
        ORDERS.len(),
        CUSTOMERS.len()
    );
    for (order, customer) in found {
        let number = CUSTOMERS[customer as usize];
        let _infallible = writeln!(
            text,
            "order {order} is of customer {number}, row {customer}"
        );
    }
    device.give_back_stream(stream);
    Ok(text)
}

#[expect(clippy::print_stdout, reason = "an example shows what it did")]
fn main() -> Result<()> {
    print!("{}", run()?);
    Ok(())
}
