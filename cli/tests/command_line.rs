//! Help, exit codes, options and errors of the command line itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{command, finish, line, names, orders, pelton, write_parquet};

#[test]
fn help_everywhere_with_examples() {
    let help = line("--help").ok().stdout;
    for words in [
        "Exit codes",
        "130",
        "NO_COLOR",
        "quickstart",
        "digest",
        "Examples",
    ] {
        assert!(help.contains(words), "no `{words}` in {help}");
    }
    assert!(line("-h").ok().stdout.len() < help.len());
    for name in [
        "quickstart",
        "run",
        "gen tpch",
        "digest",
        "info",
        "config",
        "sql",
        "explain",
    ] {
        let help = line(&format!("{name} --help")).ok().stdout;
        assert!(
            help.contains("Examples:\n  ") || help.contains("\n  pelton"),
            "{name}: {help}"
        );
        assert!(help.contains("--backend"), "{name}: {help}");
    }
    let version = line("--version").ok().stdout;
    assert_eq!(version, format!("pelton {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn mistakes_of_usage_exit_with_2() {
    assert_eq!(line("").code, Some(2));
    line("fly").fails(2, &["fly"]);
    line("info --backend gpu").fails(2, &["gpu", "cuda"]);
    line("info --format xml").fails(2, &["xml", "ndjson"]);
    line("info --quiet --verbose").fails(2, &["--verbose"]);
    line("digest").fails(2, &["FILE"]);
    line("run").fails(2, &["PLAN.json"]);
    line("config -o target_partition_sizes=1").fails(2, &["did you mean `target_partition_size`?"]);
    line("config -o device").fails(2, &["name=value"]);
    line("config -o device=x").fails(2, &["`x`", "whole number"]);
    let mut wrong = command();
    wrong.arg("config").env("PELTON_BAKEND", "cpu");
    finish(wrong).fails(2, &["PELTON_BAKEND", "PELTON_BACKEND"]);
}

#[test]
fn options_say_where_they_come_from() {
    let mut given = command();
    given
        .env("PELTON_NUM_STREAMS", "3")
        .env("PELTON_DEVICE", "1");
    given.args([
        "config",
        "--format",
        "csv",
        "-o",
        "device=2",
        "--backend",
        "cpu",
    ]);
    let text = finish(given).ok().stdout;
    let row = |name: &str| {
        let found = text
            .lines()
            .find(|line| line.starts_with(&format!("{name},")));
        found
            .unwrap()
            .split(',')
            .take(4)
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(row("backend"), "backend,cpu,explicit,auto");
    assert_eq!(row("device"), "device,2,explicit,0");
    assert_eq!(row("num_streams"), "num_streams,3,env,20");
    assert_eq!(row("log"), "log,warn,default,warn");
}

/// `value,source` of an option.
fn setting(text: &str, name: &str) -> String {
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name},")));
    let cells = line.unwrap().split(',').skip(1).take(2);
    cells.collect::<Vec<_>>().join(",")
}

#[test]
fn a_file_of_options_is_weaker_than_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let one = write("one.toml", "device = 1\nnum_streams = 2\nlog = \"debug\"\n");
    let two = write("two.toml", "spill = false\n");
    let mut given = command();
    given
        .env("PELTON_CONFIG", &two)
        .env("PELTON_NUM_STREAMS", "3");
    given.args(["config", "--format", "csv", "--config", &one]);
    given.args(["-o", "device=4"]);
    let text = finish(given).ok().stdout;
    assert_eq!(setting(&text, "device"), "4,explicit");
    assert_eq!(setting(&text, "num_streams"), "3,env");
    assert_eq!(setting(&text, "log"), "debug,file");
    // The flag names the file instead of the variable.
    assert_eq!(setting(&text, "spill"), "true,default");

    let mut given = command();
    given.env("PELTON_CONFIG", &two);
    given.args(["config", "--format", "csv"]);
    let text = finish(given).ok().stdout;
    assert_eq!(setting(&text, "spill"), "false,file");

    let wrong = write("wrong.toml", "device = 1\nlogg = \"debug\"\n");
    pelton(&["info", "--config", &wrong]).fails(2, &["wrong.toml, line 2", "did you mean `log`?"]);
    let wrong = write("type.toml", "spill = 3\n");
    pelton(&["config", "--config", &wrong]).fails(2, &["type.toml, line 1", "true or false"]);
    let absent = folder.path().join("absent.toml").display().to_string();
    pelton(&["config", "--config", &absent]).fails(1, &["absent.toml"]);
    let mut given = command();
    given.arg("config").env("PELTON_CONFIG", &absent);
    finish(given).fails(1, &["absent.toml"]);
}

#[test]
fn info_says_which_backend_and_why() {
    let ran = line("info --backend cpu --format csv").ok();
    assert!(ran.stdout.contains("backend,cpu\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("backend_reason,"), "{}", ran.stdout);
}

#[test]
fn an_absent_gpu_exits_with_3() {
    let ran = line("info --backend auto --format csv").ok();
    if ran.stdout.contains("backend,cuda\n") {
        eprintln!("skipped: this machine has a GPU");
        return;
    }
    line("info --backend cuda").fails(3, &["CUDA"]);
    let mut asked = command();
    asked.arg("info").env("PELTON_BACKEND", "cuda");
    finish(asked).fails(3, &["CUDA"]);
}

#[test]
fn digests_name_kinds_and_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    write_parquet(folder.path().join("good.parquet").as_path(), &orders());
    let whole = std::fs::read(path("good.parquet")).unwrap();
    std::fs::write(path("short.parquet"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(path("empty.parquet"), "").unwrap();
    let mut encrypted = whole.clone();
    let end = encrypted.len();
    encrypted[end - 4..].copy_from_slice(b"PARE");
    std::fs::write(path("secret.parquet"), &encrypted).unwrap();

    let files =
        ["short", "empty", "secret", "absent", "good"].map(|name| path(&format!("{name}.parquet")));
    let mut arguments = vec!["digest".to_string()];
    arguments.extend(files.clone());
    let ran = pelton(&arguments);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stderr, "");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    for (line, (kind, file)) in lines
        .iter()
        .zip(["corrupt", "corrupt", "encrypted", "io"].iter().zip(&files))
    {
        assert!(
            line.starts_with(&format!("ERROR {kind} {file}: ")),
            "{line}"
        );
    }
    let canonical = "\"ann\",10\n\"bob\",20\n\"ann\",30\n\"cy\",NULL";
    let expected = {
        use sha2::Digest;
        let hash = sha2::Sha256::digest(canonical);
        hash[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    assert_eq!(lines[4], format!("{expected} 4 {}", files[4]));
    assert_eq!(pelton(&["digest", &files[4]]).code, Some(0));
    assert_eq!(names(folder.path()).len(), 4);

    let ran = pelton(&["digest".as_ref(), folder.path().as_os_str()]);
    assert!(ran.stdout.starts_with("ERROR io "), "{ran:?}");
    assert!(ran.stdout.contains("not a regular file"), "{ran:?}");
}
