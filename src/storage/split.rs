//! Pages of BYTE_STREAM_SPLIT values that are shorter than their values.
//!
//! The host's decoder takes the length of a stream from that of the page, and where the page is too
//! short it reads bytes of other streams. How many values there must be only the levels tell, where
//! a page of version 1 can have nulls: so they are counted here first.

use super::pages::{ChunkFacts, Page, PageEncoding, PageKind};

/// Whether the length of a page must be compared with its levels.
pub(super) fn is_suspect(facts: &ChunkFacts, page: &Page) -> bool {
    page.kind == PageKind::DataV1
        && page.encoding == PageEncoding::ByteStreamSplit
        && facts.definition_level_max > 0
}

/// Whether a page's decompressed body holds as many values as its levels say. Levels that cannot be
/// read are the decoder's to report.
pub(super) fn is_whole(facts: &ChunkFacts, page: &Page, body: &[u8]) -> bool {
    let mut left = body;
    if facts.repetition_level_max > 0
        && section(
            page,
            page.repetition_encoding,
            facts.repetition_level_max,
            &mut left,
        )
        .is_none()
    {
        return true;
    }
    let (encoding, level_max) = (page.definition_encoding, facts.definition_level_max);
    let Some(levels) = section(page, encoding, level_max, &mut left) else {
        return true;
    };
    let values = match encoding {
        PageEncoding::BitPacked => packed(levels, page.value_count, level_max),
        _ => by_runs(levels, page.value_count, level_max),
    };
    values * u64::from(facts.value_bytes()) <= left.len() as u64
}

fn bits(level_max: u16) -> u32 {
    u16::BITS - level_max.leading_zeros()
}

/// The section of levels at the front of the bytes, which then begin behind it.
fn section<'a>(
    page: &Page,
    encoding: PageEncoding,
    level_max: u16,
    bytes: &mut &'a [u8],
) -> Option<&'a [u8]> {
    let length = if encoding == PageEncoding::BitPacked {
        (u64::from(page.value_count) * u64::from(bits(level_max))).div_ceil(8)
    } else {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        *bytes = rest;
        u64::from(u32::from_le_bytes(*length))
    };
    let (levels, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(levels)
}

/// Values among `count` levels that are packed from the low bits on.
fn packed(levels: &[u8], count: u32, level_max: u16) -> u64 {
    let width = u64::from(bits(level_max));
    let level = |index: u64| {
        let bit = |at: u64| {
            let byte = usize::try_from(at / 8)
                .ok()
                .and_then(|byte| levels.get(byte));
            u16::from(byte.is_some_and(|byte| byte >> (at % 8) & 1 == 1))
        };
        (0..width).fold(0, |level, k| level | bit(index * width + k) << k)
    };
    let valid = (0..u64::from(count)).filter(|index| level(*index) == level_max);
    valid.count() as u64
}

/// Values among `count` levels in runs and packed groups.
fn by_runs(mut levels: &[u8], count: u32, level_max: u16) -> u64 {
    let (mut values, mut left) = (0, u64::from(count));
    while left > 0 {
        let Some(header) = varint(&mut levels) else {
            break;
        };
        if header & 1 == 1 {
            let groups = (header >> 1).min(left.div_ceil(8));
            let bytes = groups * u64::from(bits(level_max));
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            let (run, rest) = levels.split_at(bytes.min(levels.len()));
            let held = u32::try_from(left.min(groups * 8)).unwrap_or(u32::MAX);
            values += packed(run, held, level_max);
            left -= u64::from(held);
            levels = rest;
        } else {
            let Some((run, rest)) = levels.split_at_checked(bits(level_max).div_ceil(8) as usize)
            else {
                break;
            };
            let held = left.min(header >> 1);
            let level = run
                .iter()
                .rev()
                .fold(0, |level, byte| level << 8 | u64::from(*byte));
            // To the decoder of flat columns any level above 0 is a value's.
            if level == u64::from(level_max) || (level_max == 1 && level > 0) {
                values += held;
            }
            left -= held;
            levels = rest;
        }
    }
    values
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut sum = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        sum |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            return Some(sum);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::pages::{Codec, PhysicalKind};
    use super::*;

    #[test]
    fn a_page_holds_as_many_values_as_its_levels_say() {
        let facts = ChunkFacts {
            bytes: 0,
            value_count: 10,
            codec: Codec::Uncompressed,
            definition_level_max: 1,
            repetition_level_max: 0,
            physical: PhysicalKind::Int32,
            type_length: 0,
        };
        let mut page = Page {
            value_count: 10,
            encoding: PageEncoding::ByteStreamSplit,
            compressed: false,
            ..Page::sample(0, &[], 0)
        };
        assert!(is_suspect(&facts, &page));
        // A run of two values, then a group of which three are values.
        let levels = [4, 0, 0, 0, 4, 1, 3, 0b0101_0001];
        let body = |values: usize| [&levels[..], &vec![9; 4 * values]].concat();
        assert!(is_whole(&facts, &page, &body(5)));
        assert!(!is_whole(&facts, &page, &body(4)));
        page.definition_encoding = PageEncoding::BitPacked;
        let body = |values: usize| [&[0xff, 0][..], &vec![9; 4 * values]].concat();
        assert!(is_whole(&facts, &page, &body(8)));
        assert!(!is_whole(&facts, &page, &body(7)));
        assert!(is_whole(&facts, &page, &[]), "the decoder's to report");
    }
}
