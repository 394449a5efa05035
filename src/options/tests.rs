//! Options from text, from the environment, and as text.

use super::*;

fn text_of<T>(result: Result<T>) -> String {
    result.map_or_else(|error| error.to_string(), |_| "no error".to_string())
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_string(), (*value).to_string()))
        .collect()
}

#[test]
fn every_printed_value_can_be_read_back() -> Result<()> {
    let mut options = EngineOptions::default();
    for setting in EngineOptions::default().list() {
        options.set(setting.spec.name, &setting.value)?;
        assert!(!setting.spec.doc.is_empty());
    }
    let values = |options: &EngineOptions| -> Vec<String> {
        options.list().into_iter().map(|s| s.value).collect()
    };
    assert_eq!(values(&options), values(&EngineOptions::default()));
    assert!(
        options
            .list()
            .iter()
            .all(|s| s.source == OptionSource::Explicit)
    );
    Ok(())
}

#[test]
fn explicit_beats_environment_beats_default() -> Result<()> {
    let mut options = EngineOptions::from_variables(variables(&[
        ("PELTON_DEVICE", "3"),
        ("PELTON_BACKEND", "CPU"),
        ("PELTON_REQUIRE_GPU", "1"),
        ("HOME", "/root"),
    ]))?;
    options.set_pair("device=4")?;
    let shown: Vec<_> = options.list()[..3]
        .iter()
        .map(|s| (s.spec.name, s.value.clone(), s.source.to_string()))
        .collect();
    assert_eq!(
        shown[..2],
        [
            ("backend", "cpu".to_string(), "env".to_string()),
            ("device", "4".to_string(), "explicit".to_string()),
        ]
    );
    assert_eq!(shown[2].2, "default");
    let later = EngineOptions::from_variables(variables(&[("PELTON_DEVICE", "5")]))?;
    assert_eq!(later.device(), 5);
    Ok(())
}

#[test]
fn sizes_shares_and_durations() {
    for (text, bytes) in [
        ("8GiB", 8 << 30),
        ("1.5GB", 1_500_000_000),
        ("64k", 65_536),
        ("0", 0),
        ("1_000", 1000),
        ("2 MiB", 2 << 20),
    ] {
        assert_eq!(super::values::parse_bytes(text), Some(bytes), "{text}");
    }
    for text in ["", "GiB", "-1", "1x", "1e99", "99999999999TiB", "NaN"] {
        assert_eq!(super::values::parse_bytes(text), None, "{text}");
    }
    assert_eq!(
        MemoryLimit::parse("80%").map(|limit| limit.of(Some(1000))),
        Some(800)
    );
    assert_eq!(MemoryLimit::parse("120%"), None);
    assert_eq!(MemoryLimit::Percent(50.0).of(None), u64::MAX);
    assert_eq!(
        <Duration as OptionValue>::parse("100ms"),
        Some(Duration::from_millis(100))
    );
    assert_eq!(<Duration as OptionValue>::parse("100"), None);
}

#[test]
fn errors_say_what_is_expected() {
    let mut options = EngineOptions::default();
    assert_eq!(
        text_of(options.set("num_stream", "1")),
        "option `num_stream`: no such option; did you mean `num_streams`?"
    );
    assert_eq!(
        text_of(options.set("device_memory_limit", "a lot")),
        "option `device_memory_limit`: `a lot` is not a value of it; \
         expected is a size such as 8GiB, or a share such as 80%"
    );
    assert_eq!(
        text_of(options.set("num_streaming_threads", "0")),
        "option `num_streaming_threads`: `0` is not a value of it; \
         expected is a whole number from 1, such as 8"
    );
    assert_eq!(
        text_of(options.set_pair("backend")),
        "option `backend`: has no value; write `name=value`"
    );
    assert_eq!(
        text_of(EngineOptions::from_variables(variables(&[(
            "PELTON_BAKCEND",
            "cpu"
        )]))),
        "environment variable `PELTON_BAKCEND`: no such option; \
         did you mean `PELTON_BACKEND`?"
    );
}

#[test]
fn steps_of_pruning_are_on_until_they_are_switched_off() -> Result<()> {
    type Step = (&'static str, fn(&EngineOptions) -> bool);
    let steps: [Step; 3] = [
        ("parquet_bloom_filter", EngineOptions::parquet_bloom_filter),
        (
            "parquet_dictionary_pruning",
            EngineOptions::parquet_dictionary_pruning,
        ),
        ("parquet_page_index", EngineOptions::parquet_page_index),
    ];
    for (name, is_on) in steps {
        assert!(is_on(&EngineOptions::default()), "{name}");
        let off = EngineOptions::default().with(name, "off")?;
        for (other, is_on) in steps {
            assert_eq!(is_on(&off), other != name, "{name} and {other}");
        }
    }
    Ok(())
}
