//! Files of options: what they set, what is stronger, and what is wrong with them.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::error::ErrorKind;
use crate::options::{FILE_VARIABLE, OPTIONS};

fn written(text: &str) -> Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("pelton.toml");
    fs::write(&path, text)?;
    Ok((folder, path))
}

fn shown(options: &EngineOptions, name: &str) -> String {
    let found = options.list().into_iter().find(|s| s.spec.name == name);
    found.map_or_else(String::new, |s| format!("{} {}", s.value, s.source))
}

/// The error of a file with this text, without the file's folder.
fn error_of(text: &str) -> Result<String> {
    let (folder, path) = written(text)?;
    let Err(error) = EngineOptions::from_file(path) else {
        return Ok("no error".to_string());
    };
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    let folder = format!("{}/", folder.path().display());
    Ok(error.to_string().replace(&folder, ""))
}

#[test]
fn strings_integers_and_booleans_are_values() -> Result<()> {
    let text = "# for the tests\r\n\
        backend = \"CPU\"\n\
        device = 0x1f\n\
        max_rows_per_partition = 1_000\n\
        target_partition_size = \"64MiB\"\n\
        channel_bytes = 4096\n\
        device_memory_limit = '80%'\n\
        spill = false\n\
        statistics = \"yes\"\n\
        deadline = \"2s\"\n\
        simt_seed = 18446744073709551615\n";
    let (_folder, path) = written(text)?;
    let options = EngineOptions::from_file(&path)?;
    for (name, value) in [
        ("backend", "cpu"),
        ("device", "31"),
        ("max_rows_per_partition", "1000"),
        ("target_partition_size", "64MiB"),
        ("channel_bytes", "4KiB"),
        ("device_memory_limit", "80%"),
        ("spill", "false"),
        ("statistics", "true"),
        ("deadline", "2s"),
        ("simt_seed", "18446744073709551615"),
    ] {
        assert_eq!(shown(&options, name), format!("{value} file"));
    }
    assert_eq!(shown(&options, "log"), "warn default");
    let (_folder, empty) = written("")?;
    let none = EngineOptions::from_file(empty)?.list();
    assert!(none.iter().all(|s| s.source == OptionSource::Default));
    Ok(())
}

#[test]
fn every_option_can_be_given_as_it_is_printed() -> Result<()> {
    let lines = EngineOptions::default().list().into_iter();
    let lines = lines.map(|s| format!("{} = {:?}\n", s.spec.name, s.value));
    let (_folder, path) = written(&lines.collect::<String>())?;
    let options = EngineOptions::from_file(path)?;
    for (set, default) in options.list().iter().zip(EngineOptions::default().list()) {
        assert_eq!(set.source, OptionSource::File);
        assert_eq!(set.value, default.value, "{}", set.spec.name);
    }
    assert_eq!(options.list().len(), OPTIONS.len());
    Ok(())
}

#[test]
fn explicit_beats_environment_beats_file() -> Result<()> {
    let (_folder, path) = written("device = 1\nnum_streams = 2\nlog = \"debug\"\n")?;
    let variables = |more: &[(&str, &str)]| {
        let pair = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        let named = [(FILE_VARIABLE.to_string(), path.display().to_string())];
        let all = named.into_iter().chain(more.iter().map(pair));
        EngineOptions::from_variables(all.collect::<Vec<_>>())
    };
    let both = [("PELTON_NUM_STREAMS", "3"), ("PELTON_DEVICE", "4")];
    let mut options = variables(&both)?;
    options.set("device", "5")?;
    assert_eq!(shown(&options, "device"), "5 explicit");
    assert_eq!(shown(&options, "num_streams"), "3 env");
    assert_eq!(shown(&options, "log"), "debug file");

    // The order in which they come decides nothing.
    let mut options = EngineOptions::default().with("device", "5")?;
    options.overlay_file(&path)?;
    assert_eq!(shown(&options, "device"), "5 explicit");
    assert_eq!(shown(&options, "num_streams"), "2 file");

    // A variable without a value names no file.
    let none = [(FILE_VARIABLE.to_string(), String::new())];
    let options = EngineOptions::from_variables(none)?;
    assert_eq!(shown(&options, "device"), "0 default");
    Ok(())
}

#[test]
fn errors_have_the_file_and_the_line() -> Result<()> {
    for (text, message) in [
        (
            "device = 1\n\ndevise = 2\nlgo = 1",
            "pelton.toml, line 3: option `devise`: no such option; did you mean `device`?",
        ),
        (
            "log = 3",
            "pelton.toml, line 1: option `log`: an integer is not a value of it; \
             expected is none, error, warn, info, debug or trace",
        ),
        (
            "device = true",
            "pelton.toml, line 1: option `device`: a boolean is not a value of it; \
             expected is a whole number from 0, such as 0",
        ),
        (
            "spill = 1",
            "pelton.toml, line 1: option `spill`: an integer is not a value of it; \
             expected is true or false",
        ),
        (
            "spill_folder = ['a']",
            "pelton.toml, line 1: option `spill_folder`: an array is not a value of it; \
             expected is a folder; empty for the default",
        ),
        (
            "channel_bytes = 1.5",
            "pelton.toml, line 1: option `channel_bytes`: a float is not a value of it; \
             expected is a size such as 512MiB, 1.5GB or 64k",
        ),
        (
            "deadline = 2026-01-01",
            "pelton.toml, line 1: option `deadline`: a date or time is not a value of it; \
             expected is a duration such as 1ms or 2s, or disabled",
        ),
        (
            "\nnum_streams = 0",
            "pelton.toml, line 2: option `num_streams`: `0` is not a value of it; \
             expected is a whole number from 1, such as 8",
        ),
        (
            "device = -1",
            "pelton.toml, line 1: option `device`: `-1` is not a value of it; \
             expected is a whole number from 0, such as 0",
        ),
        (
            "# options\n[engine]\ndevice = 1",
            "pelton.toml, line 2: option `engine`: tables have no meaning; \
             write `name = value`, outside of sections",
        ),
    ] {
        assert_eq!(error_of(text)?, message);
    }
    for (text, place) in [
        ("device = 1\ndevice = 2\n", "pelton.toml, line 2: "),
        ("device = 1\nlog = debug\n", "pelton.toml, line 2: "),
        ("device", "pelton.toml, line 1: "),
    ] {
        let message = error_of(text)?;
        assert!(message.starts_with(place), "{message}");
        assert!(
            message.ends_with("; write `name = value`, and text in quotes"),
            "{message}"
        );
    }
    Ok(())
}

#[test]
fn a_mistake_is_one_whoever_else_sets_the_option() -> Result<()> {
    let (_folder, path) = written("log = \"warn\"\ndevice = \"x\"\n")?;
    let mut options = EngineOptions::default().with("device", "5")?;
    assert!(options.overlay_file(&path).is_err());
    // And what stands before it is not set.
    assert_eq!(shown(&options, "log"), "warn default");
    assert_eq!(shown(&options, "device"), "5 explicit");
    Ok(())
}

#[test]
fn files_that_cannot_be_read_are_errors_of_theirs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let binary = folder.path().join("binary");
    fs::write(&binary, b"device = \"\xff\"")?;
    for path in [&folder.path().join("absent"), folder.path(), &binary] {
        let error = EngineOptions::from_file(path).err();
        let kind = error.as_ref().map(crate::error::Error::kind);
        let expected =
            matches!(kind, Some(ErrorKind::Io { path: at, operation: "read", .. }) if at == path);
        assert!(expected, "{error:?}");
    }
    let named = [(FILE_VARIABLE.to_string(), "/nowhere/pelton.toml".into())];
    let error = EngineOptions::from_variables(named).err();
    assert!(error.is_some_and(|error| error.to_string().contains("/nowhere/pelton.toml")));
    Ok(())
}
