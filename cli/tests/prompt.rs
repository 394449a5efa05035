//! The prompt of `pelton sql`, in a terminal that the test makes.
#![cfg(feature = "sql")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{orders, write_parquet};

/// A prompt that waits for what is typed.
struct Prompt {
    child: Child,
    keys: File,
    shown: Arc<Mutex<String>>,
    /// Bytes of what was shown that were looked at.
    seen: usize,
}

impl Prompt {
    /// Starts a prompt over the table `orders` of a folder that keeps its history, too.
    fn new(folder: &std::path::Path) -> Prompt {
        let size = Winsize {
            ws_row: 50,
            ws_col: 200,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
        let mut command = support::command();
        command
            .args(["sql", "--backend", "cpu", "--dir"])
            .arg(folder.join("data"));
        command
            .env("XDG_STATE_HOME", folder.join("state"))
            .env("TERM", "xterm");
        command.stdin(slave.try_clone().unwrap());
        command.stdout(slave.try_clone().unwrap()).stderr(slave);
        let child = command.spawn().unwrap();
        drop(command);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut screen, all) = (File::from(master.try_clone().unwrap()), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                all.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Prompt {
            child,
            keys: File::from(master),
            shown,
            seen: 0,
        }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown behind what was waited for before.
    #[track_caller]
    fn shows(&mut self, wanted: &str) {
        let started = Instant::now();
        loop {
            let shown = self.shown.lock().unwrap();
            if let Some(at) = shown[self.seen..].find(wanted) {
                self.seen += at + wanted.len();
                return;
            }
            let late = started.elapsed() > Duration::from_secs(60);
            assert!(
                !late,
                "no {wanted:?} behind byte {} of {shown:?}",
                self.seen
            );
            drop(shown);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end; the exit code.
    fn ends(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    write_parquet(&folder.path().join("data/orders.parquet"), &orders());
    folder
}

#[test]
fn a_conversation() {
    let folder = folder();
    let mut prompt = Prompt::new(folder.path());
    prompt.shows("pelton> ");
    prompt.types("SELECT sum(amount) AS total\r");
    prompt.shows("   ...> ");
    prompt.types("FROM orders;\r");
    prompt.shows("| 60 ");
    prompt.shows("pelton> ");
    prompt.types("SELECT amont FROM orders;\r");
    prompt.shows("did you mean `amount`?");
    prompt.shows("^^^^^");
    prompt.shows("pelton> ");
    prompt.types(".schema orders\r");
    prompt.shows("| orders | amount   | Int64 | yes   |");
    prompt.shows("pelton> ");
    for entry in [".format csv", ".timer on"] {
        prompt.types(&format!("{entry}\r"));
        prompt.shows(entry);
        prompt.shows("pelton> ");
    }
    prompt.types("SELECT 6 * 7;\r");
    prompt.shows("\r\n42\r\n");
    prompt.shows(" s\r\n");
    prompt.shows("pelton> ");
    prompt.types("\u{4}");
    assert_eq!(prompt.ends(), Some(0));

    // Another one knows what was entered, and completes it.
    let mut prompt = Prompt::new(folder.path());
    prompt.shows("pelton> ");
    prompt.types("\u{1b}[A");
    prompt.shows("SELECT 6 * 7;");
    prompt.types("\u{3}");
    prompt.shows("pelton> ");
    prompt.types("SELECT max(amo\t) + 1 FROM ord\t");
    prompt.shows("max(amount) + 1 FROM order");
    prompt.types("s;\r");
    prompt.shows("| 31 ");
    prompt.shows("pelton> ");
    prompt.types(".quit\r");
    assert_eq!(prompt.ends(), Some(0));
}

#[test]
fn an_interrupt_ends_the_query_and_not_the_prompt() {
    let folder = folder();
    let mut prompt = Prompt::new(folder.path());
    prompt.shows("pelton> ");
    let many = ["orders"; 20].iter().enumerate();
    let many: Vec<String> = many.map(|(n, table)| format!("{table} AS t{n}")).collect();
    prompt.types(&format!("SELECT count(*) FROM {};\r", many.join(", ")));
    prompt.shows("querying");
    kill(
        Pid::from_raw(prompt.child.id().try_into().unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    prompt.shows("error: ");
    prompt.shows("interrupted");
    prompt.shows("pelton> ");
    prompt.types("SELECT 6 * 7;\r");
    prompt.shows("| 42 ");
    prompt.shows("pelton> ");
    prompt.types("\u{4}");
    assert_eq!(prompt.ends(), Some(0));
}
