//! The bodies of the fuzz targets over seeded inputs: random bytes, and good files with changes.

use parquet::file::reader::{FileReader, SerializedFileReader};

use super::mutants::{mutated, written};
use super::support::random::Random;

#[path = "../../fuzz/src/lib.rs"]
mod targets;

/// Inputs of each target.
const INPUTS: u64 = 10_000;

/// Inputs that are made of one good file.
const INPUTS_PER_FILE: u64 = 100;

fn random_bytes(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.bits() as u8).collect()
}

#[test]
fn footers_of_any_bytes_are_read_or_refused() {
    let mut good = Vec::new();
    for number in 0..INPUTS {
        let mut random = Random::new(number);
        if number % INPUTS_PER_FILE == 0 {
            good = written(&mut random);
        }
        let mut bytes = match number % 10 {
            0 => {
                let count = random.below(200);
                random_bytes(&mut random, count)
            }
            _ => mutated(&mut random, &good).1,
        };
        if number % 20 == 0 && bytes.len() > 12 {
            let footer = u32::try_from(bytes.len() - 12).unwrap();
            let end = bytes.len() - 8;
            bytes[end..end + 4].copy_from_slice(&footer.to_le_bytes());
            bytes[end + 4..].copy_from_slice(b"PAR1");
        }
        targets::footer(&bytes);
    }
}

/// A column chunk of a good file, behind the bytes that choose what its footer says.
fn chunk_of(random: &mut Random, good: &[u8]) -> Vec<u8> {
    let reader = SerializedFileReader::new(bytes::Bytes::from(good.to_vec())).unwrap();
    let group = reader.metadata().row_group(0);
    let column = group.column(random.below(group.num_columns()));
    let (start, length) = column.byte_range();
    let physical = match column.column_type() as u8 {
        // By number: FLOAT, DOUBLE, BYTE_ARRAY and FIXED_LEN_BYTE_ARRAY follow INT96 in both.
        kind @ 0..=7 => kind,
        _ => 0,
    };
    let values = u16::try_from(column.num_values())
        .unwrap_or(0)
        .to_le_bytes();
    let levels = column.column_descr().max_def_level() as u8;
    let codec = random.below(8) as u8;
    let portion = 1 + random.below(64) as u8;
    let mut input = vec![codec, physical, levels, portion, values[0], values[1]];
    input.extend_from_slice(&good[start as usize..(start + length) as usize]);
    input
}

#[test]
fn page_headers_of_any_bytes_are_walked_alike_in_portions() {
    let mut good = Vec::new();
    for number in 0..INPUTS {
        let mut random = Random::new(number);
        if number % INPUTS_PER_FILE == 0 {
            good = written(&mut random);
        }
        let mut input = match number % 10 {
            0 => {
                let count = random.below(300);
                random_bytes(&mut random, count)
            }
            _ => chunk_of(&mut random, &good),
        };
        for _ in 0..random.below(4) {
            if !input.is_empty() {
                let at = random.below(input.len());
                input[at] = random.bits() as u8;
            }
        }
        targets::page_headers(&input);
    }
}
