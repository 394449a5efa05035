//! The examples run, on a GPU if there is one and on the emulator otherwise, and say what they say.

#[expect(dead_code, reason = "an example has a `main`")]
#[path = "../examples/link_hash_join.rs"]
mod link_hash_join;

#[expect(dead_code, reason = "an example has a `main`")]
#[path = "../examples/larger_than_memory.rs"]
mod larger_than_memory;

#[test]
fn larger_than_memory_gives_the_same_rows_in_little() {
    let rows = |options: &[&str]| larger_than_memory::run(None, options).expect("it runs");
    let much = rows(&["backend=cpu"]);
    assert_eq!(much.len(), 80);
    assert_eq!(rows(&["backend=cpu", "host_memory_limit=400KiB"]), much);
}

#[test]
fn link_hash_join_finds_the_pairs() {
    expect_test::expect![[r#"
        joined 8 orders with 5 customers: 6 pairs
        order 0 is of customer 204, row 1
        order 1 is of customer 101, row 0
        order 3 is of customer 512, row 4
        order 4 is of customer 204, row 1
        order 5 is of customer 420, row 3
        order 7 is of customer 101, row 0
    "#]]
    .assert_eq(&link_hash_join::run().expect("the example runs"));
}
