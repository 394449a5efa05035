//! Nothing stays on disk, however a process ends.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fs, thread};

use pelton::memory::{
    Batch, DiskFiles, HostParking, MemoryLimits, MemoryManager, SpillClass, SpillManager,
    SpillOptions, StoredBatch, Tier,
};

use crate::bed::numbered;

const FOLDER: &str = "PELTON_TEST_SPILL_FOLDER";

fn spilled_into(folder: &Path) -> Vec<Arc<StoredBatch>> {
    let memory = MemoryManager::new(MemoryLimits::UNLIMITED);
    let options = SpillOptions {
        folder: Some(folder.to_path_buf()),
        check_every: None,
        ..SpillOptions::default()
    };
    let spiller = SpillManager::new(&memory, options, Arc::new(DiskFiles));
    let store = |number| {
        spiller
            .store(
                Batch::host(numbered(number)),
                Arc::new(HostParking),
                SpillClass::Build,
            )
            .unwrap()
    };
    let stored: Vec<_> = (0..20).map(store).collect();
    spiller.spill(Tier::Host, u64::MAX).unwrap();
    assert!(stored.iter().all(|stored| stored.tier() == Tier::Disk));
    stored
}

/// The child of the test below; as a test of its own it does nothing.
#[test]
fn child_that_spills_and_waits() {
    let Some(folder) = env::var_os(FOLDER) else {
        return;
    };
    let stored = spilled_into(Path::new(&folder));
    println!("\nspilled {}", stored.len());
    loop {
        thread::park();
    }
}

#[test]
fn a_killed_process_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "killed::child_that_spills_and_waits",
            "--nocapture",
        ])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let spilled = lines.map_while(Result::ok).any(|line| line == "spilled 20");
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    assert!(spilled, "the child spilled before it was killed");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn nothing_is_to_be_seen_in_the_folder_before_during_or_after() {
    let folder = tempfile::tempdir().unwrap();
    let stored = spilled_into(folder.path());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    drop(stored);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
