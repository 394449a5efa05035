//! How many queues the driver gives this process.
//!
//! Streams share the device's hardware queues, 8 unless this variable says otherwise when the driver
//! starts; work of streams that share one runs one after the other. A scan has more streams: with 32
//! queues it is twice to three times as fast (docs/benchmarks.md).

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The driver's variable.
const VARIABLE: &str = "CUDA_DEVICE_MAX_CONNECTIONS";

/// The most that the driver takes.
const QUEUES: &str = "32";

/// Starts the program anew with the variable, unless somebody has set it. A program cannot safely
/// change the environment that a library of C is going to read; it can be started with another one.
pub fn raise() {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // It comes back only if it failed; then this process goes on with what it has.
    let _failed = command.args(arguments).env(VARIABLE, QUEUES).exec();
}
