//! Pure functions from a kernel specification to CUDA text.
//!
//! A generator takes a list and gives a string: no input or output, no date, no path, no hash map.
//! The logic of a kernel stands in a `.cuh` that a person wrote; what is printed here is an
//! include and one thin entry per type. `cargo xtask kernels generate` writes the text to
//! `kernels/generated/`, where it is committed; a test of this crate compares.

#![forbid(unsafe_code)]

mod project;

/// One generated file: its path below `kernels/generated/`, and its text.
pub type GeneratedFile = (String, String);

/// A value type of the kernels: its suffix in entry names, and its name in CUDA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueType {
    /// As Rust writes it: `i64`.
    pub suffix: &'static str,
    /// As the kernels write it: `int64_t`.
    pub cuda: &'static str,
}

const fn value_type(suffix: &'static str, cuda: &'static str) -> ValueType {
    ValueType { suffix, cuda }
}

/// The types that arithmetic is instantiated for.
pub const NUMBERS: [ValueType; 10] = [
    value_type("i8", "int8_t"),
    value_type("i16", "int16_t"),
    value_type("i32", "int32_t"),
    value_type("i64", "int64_t"),
    value_type("u8", "uint8_t"),
    value_type("u16", "uint16_t"),
    value_type("u32", "uint32_t"),
    value_type("u64", "uint64_t"),
    value_type("f32", "float"),
    value_type("f64", "double"),
];

/// The type that only comparisons add: wide decimals compute through `project_decimal`.
pub const WIDE: ValueType = value_type("i128", "int128_t");

/// Every generated file.
pub fn generate() -> Vec<GeneratedFile> {
    vec![
        (
            "project_arithmetic.cu".to_string(),
            project::emit_arithmetic(&NUMBERS),
        ),
        (
            "project_compare.cu".to_string(),
            project::emit_compare(&NUMBERS.iter().copied().chain([WIDE]).collect::<Vec<_>>()),
        ),
    ]
}
