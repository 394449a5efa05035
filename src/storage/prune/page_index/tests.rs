//! Indexes that a hostile file may have.

use super::*;

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
