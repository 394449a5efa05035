//! What the benchmarks share: the device, timing by its own clock, data, and the table at the end.
//!
//! Time is that of CUDA events around the launches, through criterion's `iter_custom`: what the
//! host does between them is not the kernels' doing. Where a launcher waits for the device itself
//! (`group_by`), it is wall time around it, the waiting included, because users pay it.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use pelton::Result;
use pelton::device::Device;
use pelton::device::cuda::CudaDriver;
use pelton::kernels::{DeviceColumn, Launch};
use pelton::memory::{MemoryLimits, MemoryManager, StreamHandle};
use pelton::types::PhysicalType;

/// The rows for which the peers' figures hold.
pub const PEER_ROWS: u64 = 100_000_000;

/// A device, a stream of it, and the table so far.
pub struct Bench {
    pub device: Arc<Device>,
    pub stream: StreamHandle,
    copy_bytes_per_second: f64,
    lines: Vec<String>,
}

/// How long one run took.
pub enum Clock {
    /// As the device counts, around what was queued.
    Events,
    /// As the host counts, until the device is done.
    Wall,
}

/// One line of the table.
pub struct Case {
    /// Its id: `operator/shape/axis=value`.
    pub id: String,
    pub rows: u64,
    /// Bytes that the kernels read and write, by their `Cost` lines.
    pub bytes: u64,
    /// libcudf's milliseconds for the same at 100 M rows, where they are known.
    pub peer_ms: Option<f64>,
    pub clock: Clock,
}

/// Rows to run with: `PELTON_BENCH_ROWS`, else 100 M.
pub fn rows() -> u64 {
    let wanted = std::env::var("PELTON_BENCH_ROWS").ok();
    wanted
        .and_then(|text| text.parse().ok())
        .unwrap_or(PEER_ROWS)
}

/// A criterion that spends about a second on each case.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .without_plots()
        .configure_from_args()
}

/// A deterministic word for each index (splitmix64).
pub fn mixed(index: u64) -> u64 {
    let mut word = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl Bench {
    /// The first device, its copy rate measured; none if there is none, which is said.
    pub fn open() -> Option<Bench> {
        let driver = match CudaDriver::new(0, None) {
            Ok(driver) => driver,
            Err(error) => {
                let mut stdout = std::io::stdout().lock();
                let _closed = writeln!(stdout, "skipped: no CUDA device ({error})");
                return None;
            }
        };
        let device = Device::new(
            Arc::new(driver),
            MemoryManager::new(MemoryLimits::UNLIMITED),
        );
        let stream = device.take_stream().unwrap();
        let mut bench = Bench {
            device,
            stream,
            copy_bytes_per_second: 1.0,
            lines: Vec::new(),
        };
        let bytes: u64 = if rows() < 1_000_000 { 1 << 20 } else { 2 << 30 };
        let source = bench.device.alloc_zeroed(stream, bytes).unwrap();
        let target = bench.device.alloc(stream, bytes).unwrap();
        let best = (0..5).map(|_| {
            bench.events(|launch| {
                let driver = launch.device().driver();
                driver.copy_device(launch.stream(), target.address(), source.address(), bytes)
            })
        });
        let best = best.min().unwrap_or_default();
        bench.copy_bytes_per_second = 2.0 * bytes as f64 / best.as_secs_f64();
        Some(bench)
    }

    /// The device's copy rate, bytes read and written.
    pub fn copy_rate(&self) -> f64 {
        self.copy_bytes_per_second
    }

    pub fn launch(&self) -> Launch<'_> {
        Launch::new(&self.device, self.stream)
    }

    /// Time of what `work` queues, as the device counts.
    pub fn events(&self, work: impl FnOnce(&Launch) -> Result<()>) -> Duration {
        let driver = self.device.driver();
        let (start, end) = (
            driver.timer_create().unwrap(),
            driver.timer_create().unwrap(),
        );
        driver.stream_synchronize(self.stream).unwrap();
        driver.event_record(start, self.stream).unwrap();
        work(&self.launch()).unwrap();
        driver.event_record(end, self.stream).unwrap();
        driver.event_synchronize(end).unwrap();
        let milliseconds = driver.event_elapsed(start, end).unwrap();
        driver.event_destroy(start);
        driver.event_destroy(end);
        Duration::from_secs_f64(f64::from(milliseconds) / 1e3)
    }

    /// Wall time of `work` until the device is done.
    pub fn wall(&self, work: impl FnOnce(&Launch) -> Result<()>) -> Duration {
        let driver = self.device.driver();
        driver.stream_synchronize(self.stream).unwrap();
        let started = Instant::now();
        work(&self.launch()).unwrap();
        driver.stream_synchronize(self.stream).unwrap();
        started.elapsed()
    }

    /// Measures a case and adds its line.
    pub fn run(
        &mut self,
        criterion: &mut Criterion,
        case: &Case,
        work: impl Fn(&Launch) -> Result<()>,
    ) {
        let mut samples: Vec<Duration> = Vec::new();
        let mut group = criterion.benchmark_group(case.id.clone());
        group.throughput(Throughput::Bytes(case.bytes));
        group.bench_function("cuda", |bencher| {
            bencher.iter_custom(|iterations| {
                let mut sum = Duration::ZERO;
                for _ in 0..iterations {
                    let once = match case.clock {
                        Clock::Events => self.events(&work),
                        Clock::Wall => self.wall(&work),
                    };
                    samples.push(once);
                    sum += once;
                }
                sum
            });
        });
        group.finish();
        if samples.is_empty() {
            return; // filtered out on the command line
        }
        samples.sort_unstable();
        let seconds = samples[samples.len() / 2].as_secs_f64();
        let rate = case.bytes as f64 / seconds;
        let peer = case.peer_ms.filter(|_| case.rows == PEER_ROWS);
        self.lines.push(format!(
            "{},{},{:.3},{:.2},{:.0},{:.3},{},{}",
            case.id,
            case.rows,
            seconds * 1e3,
            case.rows as f64 / seconds / 1e9,
            rate / 1e9,
            rate / self.copy_bytes_per_second,
            peer.map(|ms| ms.to_string()).unwrap_or_default(),
            peer.map(|ms| format!("{:.2}", ms / (seconds * 1e3)))
                .unwrap_or_default(),
        ));
    }

    /// A line of the table that no criterion measured.
    pub fn note(&mut self, line: String) {
        self.lines.push(line);
    }

    /// Prints the table, and appends it to the file that `PELTON_BENCH_CSV` names.
    pub fn finish(self) {
        let head = "id,rows,ms,Grows/s,GB/s,of_copy,libcudf_ms,libcudf/ours";
        let table = format!("{head}\n{}\n", self.lines.join("\n"));
        let name = self.device.properties().name.clone();
        let copy = self.copy_bytes_per_second / 1e9;
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{name}, copy {copy:.0} GB/s\n{table}").unwrap();
        if let Some(path) = std::env::var_os("PELTON_BENCH_CSV") {
            let file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path);
            file.unwrap().write_all(table.as_bytes()).unwrap();
        }
    }

    /// A column of 64-bit values, made by index.
    pub fn words(
        &self,
        physical: PhysicalType,
        rows: u64,
        value: impl Fn(u64) -> u64,
    ) -> DeviceColumn {
        let bytes: Vec<u8> = (0..rows).flat_map(|row| value(row).to_ne_bytes()).collect();
        let buffer = Arc::new(self.device.upload(self.stream, &bytes).unwrap());
        DeviceColumn::array(physical, buffer, None, 0, rows).unwrap()
    }

    /// A Boolean column, made by index.
    pub fn bits(&self, rows: u64, value: impl Fn(u64) -> bool) -> DeviceColumn {
        let bytes: Vec<u8> = (0..rows.div_ceil(8))
            .map(|byte| (0..8).fold(0, |bits, bit| bits | u8::from(value(byte * 8 + bit)) << bit))
            .collect();
        let buffer = Arc::new(self.device.upload(self.stream, &bytes).unwrap());
        DeviceColumn::array(PhysicalType::Boolean, buffer, None, 0, rows).unwrap()
    }

    /// The first `rows` 64-bit values of a column.
    pub fn read_words(&self, column: &DeviceColumn, rows: u64) -> Vec<u64> {
        let mut bytes = vec![0; rows as usize * 8];
        let values = column.values().unwrap();
        self.device.read(self.stream, values, &mut bytes).unwrap();
        bytes
            .chunks_exact(8)
            .map(|word| u64::from_ne_bytes(word.try_into().unwrap()))
            .collect()
    }
}
