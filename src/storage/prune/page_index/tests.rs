//! Indexes that a hostile file may have.

use super::*;

/// Pages of 10 and 20 bytes that begin at rows 0 and 4.
const PAGES: [u8; 19] = [
    0x19, 0x2c, 0x16, 8, 0x15, 20, 0x16, 0, 0, 0x16, 28, 0x15, 40, 0x16, 8, 0, 0, 0, 0,
];

#[test]
fn an_offset_index_is_read_and_a_cut_one_is_none() {
    let expected = PageRows {
        first_rows: vec![0, 4],
        bytes: vec![10, 20],
    };
    assert_eq!(offset_index(&PAGES), Ok(expected));
    for length in 0..17 {
        assert!(offset_index(&PAGES[..length]).is_err(), "{length}");
    }
    for place in 0..PAGES.len() {
        for value in 0..=255 {
            let mut changed = PAGES;
            changed[place] = value;
            let pages = offset_index(&changed).map_or(0, |pages| pages.first_rows.len());
            assert!(pages <= PAGES.len());
        }
    }
    // 2^31 pages in seven bytes.
    let many = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(offset_index(&many), Err(Malformed::Ended));
}

#[test]
fn a_column_index_is_read_and_other_types_are_refused() {
    // Pages of nulls only and of 7 and 8; one null page, and counts 2 and 0.
    let index = [
        0x19, 0x21, 1, 2, 0x19, 0x28, 0, 1, 7, 0x19, 0x28, 0, 1, 8, 0x15, 0, 0x19, 0x26, 4, 0, 0,
    ];
    let read = column_index(&index);
    assert!(read.is_ok_and(|read| {
        read.only_nulls == [true, false]
            && read.mins == [b"".as_slice(), &[7]]
            && read.maxes == [b"".as_slice(), &[8]]
            && read.null_counts == [2, 0]
    }));
    let integers_for_bytes = [0x29, 0x25, 2, 2, 0];
    assert_eq!(
        column_index(&integers_for_bytes).err(),
        Some(Malformed::Wrong)
    );
    let no_truth_value = [0x19, 0x11, 7, 0];
    assert_eq!(column_index(&no_truth_value).err(), Some(Malformed::Wrong));
}

#[test]
fn pages_between_the_ranges_are_outside() {
    let pages = PageRows {
        first_rows: vec![0, 4, 8],
        bytes: vec![1, 10, 100],
    };
    for (first, second, expected) in [
        (0..6, 6..12, (0, 0)),
        (0..1, 11..12, (1, 10)),
        (3..4, 4..5, (1, 100)),
        (4..6, 7..8, (2, 101)),
    ] {
        let ranges = [first, second];
        assert_eq!(pages.outside(&ranges, 12), expected, "{ranges:?}");
    }
    assert_eq!(pages.outside(&[], 12), (3, 111));
}
