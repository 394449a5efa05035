//! What the machine has.

use std::fs;

/// Bytes of host memory that this process may use: the machine's, or its control group's limit if
/// that is lower. `None` where neither can be read.
pub(super) fn memory_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.as_deref().and_then(total_of_meminfo);
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok());
    match (machine, group) {
        (Some(machine), Some(group)) => Some(group.min(machine)),
        (machine, group) => machine.or(group),
    }
}

fn total_of_meminfo(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_words() {
        let text = "MemTotal:       24623452 kB\nMemFree:        22000000 kB\n";
        assert_eq!(total_of_meminfo(text), Some(24_623_452 * 1024));
        assert_eq!(total_of_meminfo("nothing"), None);
    }
}
