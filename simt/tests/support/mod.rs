//! Typed buffers over a device, launch structs by hand, and test cases by seed.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(missing_docs, reason = "test support")]

use pelton_simt::{Device, DevicePointer, SimtError, SimtOptions, StreamId};

/// Plain numbers: any bytes are a value, and there is no padding.
pub trait Number: Copy + Default {}
impl Number for u8 {}
impl Number for u32 {}
impl Number for i32 {}
impl Number for u64 {}

/// A device with one stream.
pub struct Bench {
    pub device: Device,
    pub stream: StreamId,
}

impl Bench {
    pub fn new(options: SimtOptions) -> Bench {
        let device = Device::new(options);
        let stream = device.stream_create();
        Bench { device, stream }
    }

    /// A buffer with unwritten values.
    pub fn unwritten<T: Number>(&self, name: &'static str, count: usize) -> DevicePointer {
        self.device.alloc(self.stream, (count * size_of::<T>()) as u64, name).unwrap()
    }

    pub fn upload<T: Number>(&self, name: &'static str, values: &[T]) -> DevicePointer {
        let pointer = self.unwritten::<T>(name, values.len());
        let bytes = size_of_val(values) as u64;
        // SAFETY: `values` outlives the synchronise below.
        unsafe { self.device.copy_to_device(self.stream, pointer, values.as_ptr().cast(), bytes) }
            .unwrap();
        self.device.stream_synchronize(self.stream).unwrap();
        pointer
    }

    pub fn download<T: Number>(
        &self,
        pointer: DevicePointer,
        count: usize,
    ) -> Result<Vec<T>, SimtError> {
        let mut values = vec![T::default(); count];
        let bytes = (count * size_of::<T>()) as u64;
        // SAFETY: `values` outlives the synchronise below, and any bytes are a `Number`.
        unsafe {
            self.device.copy_to_host(self.stream, values.as_mut_ptr().cast(), pointer, bytes)?;
        }
        self.device.stream_synchronize(self.stream)?;
        Ok(values)
    }

    pub fn launch(&self, entry: &str, grid: u32, block: u32, params: &Params) {
        self.device.launch(self.stream, entry, [grid, 1, 1], [block, 1, 1], 0, &params.0).unwrap();
    }
}

/// The bytes of a launch struct, field by field.
#[derive(Clone, Default)]
pub struct Params(pub Vec<u8>);

impl Params {
    pub fn new() -> Params {
        Params::default()
    }

    pub fn u64(mut self, value: u64) -> Params {
        self.0.extend(value.to_ne_bytes());
        self
    }

    pub fn u32(mut self, value: u32) -> Params {
        self.0.extend(value.to_ne_bytes());
        self
    }
}

/// splitmix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}
