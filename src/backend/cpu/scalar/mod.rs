//! What each operation does to one value: the rules that every backend copies.
//!
//! Nothing here knows a column, a null or a batch: a null operand gives null before these
//! functions are asked. Array code stands in `arithmetic.rs`, `compare.rs` and `cast.rs` of the
//! room above; device code repeats these functions line by line.
//!
//! # Arithmetic
//!
//! | operation | integers | decimals | floats |
//! |---|---|---|---|
//! | `+` `-` `*` | wrap, or an error | exact; too many digits: null, or an error | IEEE 754 |
//! | `/` | toward zero; MIN / −1 is MIN, or an error | (a float) | IEEE 754 |
//! | `%` | sign of the dividend; MIN % −1 is 0 | as integers | `fmod` |
//! | `/ 0` `% 0` | null, or an error | null, or an error | ±∞ or NaN |
//! | `-a` | −MIN is MIN, or an error | exact | flips the sign bit |
//!
//! `Float16` is computed as `Float32`. No operation is contracted (no fused multiply-add).
//!
//! # Casts
//!
//! "Fits" means: else null, or, if the cast is strict, an error.
//!
//! | from | to | rule |
//! |---|---|---|
//! | Boolean | number | 0 or 1, then as an integer |
//! | number | Boolean | `value != 0`; NaN is true, −0.0 is false |
//! | integer | integer | must fit |
//! | integer | Float64, Float32 | nearest, ties to even, in one step |
//! | integer | Float16 | through Float32 |
//! | integer | decimal | value × 10^scale must fit; a negative scale rounds as below |
//! | Float64 | Float32 | nearest, ties to even; too great is ∞ |
//! | Float64 | Float16 | through Float32: rounded twice |
//! | Float16, Float32 | a wider float | exact |
//! | float | integer | truncates toward zero, then must fit; NaN and ±∞ do not |
//! | float | decimal | `round(f64 × 10^scale)`, half away from zero, then must fit |
//! | decimal | integer | truncates toward zero, then must fit |
//! | decimal | Float64 | `(value as f64) / 10^scale`, 10^scale the nearest f64 |
//! | decimal | Float32, Float16 | through Float64 (Float16 then through Float32) |
//! | decimal | decimal | a lower scale rounds half away from zero; must fit the digits |
//! | date, timestamp | date, timestamp | a coarser unit floors; a finer one must fit |
//! | time of day, duration | itself in another unit | a coarser unit floors; a finer one must fit |
//! | timestamp without zone | time of day | units since midnight; a coarser unit floors |
//! | date, time, timestamp, duration | number | its count of units, as an integer |
//! | number | date, time, timestamp, duration | as to an integer of its width |
//! | timestamp with zone | timestamp, with or without | keeps the instant |
//! | timestamp | timestamp with zone | the local time of that zone: itself if that is UTC, else Arrow's rule |
//! | string | anything, and back | Arrow's rule |
//! | any other pair | | Arrow's rule, where Arrow has one |
//!
//! # Sums and means
//!
//! Integers and decimals add exactly, modulo 2^128. A sum then narrows to its type: integers wrap
//! to 64 bits or fail, a decimal beyond 38 digits is null or fails. A mean turns that exact sum
//! into an `f64` once, divides it by 10^scale (decimals), then by the count as an `f64`. Floats
//! add as `f64`.
//!
//! # Functions
//!
//! | function | rule |
//! |---|---|
//! | `abs` | −MIN of an integer is MIN, or an error |
//! | `sign` | −1, 0, 1; of floats ±1.0, the zero itself, NaN |
//! | `round` `floor` `ceil` `trunc` of decimals, integers | exact; decimals beyond their digits are null, integers wrap, or an error |
//! | the same of floats | `round(x × 10^n) / 10^n` in `f64`; `x` if the product is not below 2^52 |
//! | `sqrt` … `atan2` | libm in `f64`: no domain error, NaN or ±∞ |
//! | `bit_*`, shifts | two's complement; a count outside of 0 … width − 1 is null, or an error |
//! | `greatest` `least` | ignore nulls; the order below; the first of equal operands |
//! | `is_in` | `=` with each value, joined by Kleene `or` |
//! | dates and times | proleptic Gregorian; a result that does not fit is null, or an error |
//!
//! # Order and equality
//!
//! NaN equals NaN and is greater than every number; −0.0 equals 0.0; strings and binaries compare
//! by their bytes; false is less than true. Where a float leaves as a group key, or as a `min` or
//! `max`, it is [`canonical`](order::canonical): 0.0 for −0.0, one NaN for all.

pub(crate) mod arithmetic;
pub(crate) mod cast;
pub(crate) mod math;
pub(crate) mod order;
pub(crate) mod temporal;
