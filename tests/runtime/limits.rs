//! The plans in little memory: on the device, and on the host.

use crate::run::{SUITE, device};

#[test]
fn little_device_memory_is_enough() -> pelton::Result<()> {
    for share in [2, 10, 50] {
        let limit = SUITE.data.bytes() / share;
        for executor in ["streaming", "tasks"] {
            let options = [
                &format!("device_memory_limit={limit}"),
                &format!("executor={executor}"),
                "num_streams=2",
                "num_streaming_threads=2",
                "target_partition_size=1",
                "max_rows_per_partition=40",
                "memory_reserve_timeout=5ms",
            ];
            let engine = device(&options)?;
            let metrics = SUITE.check(&options.join(" "), &engine);
            for m in &metrics {
                eprintln!(
                    "{limit} {executor} peak {} parts {} spill {} fallbacks {}",
                    m.get("device_bytes_peak"),
                    m.get("fold_parts"),
                    m.get("spilled_device_bytes"),
                    m.get("operator_fallbacks")
                );
            }
        }
    }
    Ok(())
}
