//! Scans over HTTP, from a server of this test's own that counts what it is asked for.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "each test uses a part of the support")]

mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pelton::ErrorKind;
use pelton::prelude::*;
use pelton::storage::{ParquetSink, SinkOptions};
use support::equality::multiset;
use support::random::Random;
use support::tables::{self, Table};
use support::values::rows;

/// What the server has, and what it was asked for.
#[derive(Default)]
struct Served {
    files: Mutex<HashMap<String, (Vec<u8>, u64)>>,
    /// Answers of 503 before each file's next answer.
    failures: AtomicU64,
    failed: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Served {
    fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut files = self.files.lock().expect("the files");
        let version = files.get(name).map_or(0, |(_, version)| version + 1);
        files.insert(name.to_string(), (bytes, version));
    }

    /// The answer to a request: its head and its body.
    fn answer(&self, method: &str, name: &str, headers: &HashMap<String, String>) -> Vec<u8> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let refusal =
            |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes();
        if self.failed.load(Ordering::Relaxed) < self.failures.load(Ordering::Relaxed) {
            self.failed.fetch_add(1, Ordering::Relaxed);
            return refusal("503 Service Unavailable");
        }
        let files = self.files.lock().expect("the files");
        let Some((bytes, version)) = files.get(name) else {
            return refusal("404 Not Found");
        };
        let tag = format!("\"{version}\"");
        if headers.get("if-match").is_some_and(|wanted| *wanted != tag) {
            return refusal("412 Precondition Failed");
        }
        let range = headers.get("range").and_then(|range| {
            let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?))
        });
        let (status, body) = match range {
            Some((from, to)) => {
                let content = format!("Content-Range: bytes {from}-{to}/{}\r\n", bytes.len());
                (
                    format!("206 Partial Content\r\n{content}"),
                    &bytes[from..=to],
                )
            }
            None => ("200 OK\r\n".to_string(), &bytes[..]),
        };
        let head = format!(
            "HTTP/1.1 {status}ETag: {tag}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if method == "HEAD" {
            return head.into_bytes();
        }
        self.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        [head.as_bytes(), body].concat()
    }

    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut writer = stream.try_clone()?;
        let mut lines = BufReader::new(stream).lines();
        while let Some(request) = lines.next().transpose()? {
            let mut headers = HashMap::new();
            for line in lines.by_ref() {
                let line = line?;
                let Some((name, value)) = line.split_once(':') else {
                    break;
                };
                headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
            }
            let mut words = request.split(' ');
            let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            writer.write_all(&self.answer(method, path.trim_start_matches('/'), &headers))?;
        }
        Ok(())
    }
}

/// A server on a port of its own, and its address.
fn server() -> (Arc<Served>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let served = Arc::new(Served::default());
    let shared = Arc::clone(&served);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.serve(stream));
        }
    });
    (served, address)
}

/// A file of several row groups, and its rows.
fn sample(seed: u64, rows: usize) -> (Vec<u8>, Table) {
    let mut random = Random::new(seed);
    let schema = tables::schema(&mut random, 4);
    let table = tables::table(&mut random, &schema, rows, &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.parquet");
    let options = SinkOptions {
        row_group_rows: 700,
        ..SinkOptions::default()
    };
    let mut sink = ParquetSink::create(&path, schema, options).expect("a sink");
    for batch in &table.batches {
        sink.write(batch).expect("rows written");
    }
    sink.finish().expect("a file");
    (std::fs::read(path).expect("its bytes"), table)
}

fn engine(backend: &str) -> Engine {
    let mut options = EngineOptions::default();
    options.set("backend", backend).expect("an option");
    Engine::new(options).expect("an engine")
}

fn same_rows(engine: &Engine, url: &str, table: &Table) {
    let result = scan_parquet(Path::new(url))
        .and_then(|frame| frame.collect(engine))
        .unwrap_or_else(|error| panic!("{url}: {error}"));
    let whole = std::slice::from_ref(&table.whole);
    if let Err(difference) = multiset(&rows(whole), &rows(&result.batches), 0, &[]) {
        panic!("{url}: {difference}");
    }
}

#[test]
fn objects_have_the_rows_of_files() {
    let (served, address) = server();
    for seed in 0..6 {
        let (bytes, table) = sample(seed, 2500);
        served.put(&format!("folder/{seed}.parquet"), bytes);
        for backend in ["cpu", "simt"] {
            same_rows(
                &engine(backend),
                &format!("{address}/folder/{seed}.parquet"),
                &table,
            );
        }
    }
}

#[test]
fn what_the_device_has_is_not_asked_for_again() {
    let (served, address) = server();
    let url = format!("{address}/a.parquet");
    let engine = engine("simt");
    for seed in [11, 12] {
        let (bytes, table) = sample(seed, 1500);
        served.put("a.parquet", bytes);
        let mut asked = Vec::new();
        for _ in 0..3 {
            let before = served.bytes.load(Ordering::Relaxed);
            same_rows(&engine, &url, &table);
            asked.push(served.bytes.load(Ordering::Relaxed) - before);
        }
        assert!(asked[0] > 0 && asked[1..] == [0, 0], "{asked:?}");
    }
}

#[test]
fn requests_that_fail_are_made_again() {
    let (served, address) = server();
    let (bytes, table) = sample(7, 1500);
    served.put("a.parquet", bytes);
    served.failures.store(3, Ordering::Relaxed);
    same_rows(&engine("cpu"), &format!("{address}/a.parquet"), &table);
    assert_eq!(served.failed.load(Ordering::Relaxed), 3);
}

#[test]
fn only_what_is_needed_is_asked_for_and_at_once() {
    let (served, address) = server();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.parquet");
    // Two columns of 4 MiB that do not compress.
    let mut random = Random::new(1);
    let mut column = || -> Vec<i64> { (0..1 << 19).map(|_| random.bits() as i64).collect() };
    let columns = [("a", column()), ("b", column())].map(|(name, values)| {
        let array: arrow::array::ArrayRef = Arc::new(arrow::array::Int64Array::from(values));
        (name, array)
    });
    let batch = arrow::array::RecordBatch::try_from_iter(columns).expect("a batch");
    let mut sink =
        ParquetSink::create(&path, batch.schema(), SinkOptions::default()).expect("a sink");
    sink.write(&batch).expect("rows written");
    sink.finish().expect("a file");
    let bytes = std::fs::read(&path).expect("its bytes");
    let all = bytes.len() as u64;
    served.put("a.parquet", bytes);
    let frame = scan_parquet(Path::new(&format!("{address}/a.parquet"))).expect("a footer");
    let of_footer = served.requests.load(Ordering::Relaxed);
    assert_eq!(of_footer, 3, "its size, its begin, its end");
    let sum = frame
        .select([col("a").max()])
        .collect(&engine("cpu"))
        .expect("a maximum");
    assert_eq!(sum.rows(), 1);
    let bytes = served.bytes.load(Ordering::Relaxed);
    assert!(bytes < all * 6 / 10, "{bytes} of {all} bytes");
    let requests = served.requests.load(Ordering::Relaxed) - of_footer;
    assert!(requests <= 3, "{requests} requests for one column chunk");
}

#[test]
fn an_object_that_changes_is_an_error() {
    let (served, address) = server();
    let (bytes, _) = sample(3, 1500);
    let url = format!("{address}/a.parquet");
    served.put("a.parquet", bytes.clone());
    let file = pelton::storage::OpenedFile::open(Path::new(&url)).expect("an object");
    let mut head = [0; 4];
    file.read_exact_at(&mut head, 0).expect("its begin");
    assert_eq!(&head, b"PAR1");
    served.put("a.parquet", bytes);
    let error = file
        .read_exact_at(&mut head, 0)
        .expect_err("another version");
    assert!(
        error.to_string().contains("changed while it was read"),
        "{error}"
    );
}

#[test]
fn what_is_not_there_or_not_listed_is_named() {
    let (_served, address) = server();
    let error = |url: &str| scan_parquet(Path::new(url)).expect_err("no such object");
    let missing = error(&format!("{address}/none.parquet"));
    assert!(matches!(missing.kind(), ErrorKind::Io { .. }), "{missing}");
    assert!(missing.to_string().contains("none.parquet"), "{missing}");
    let listed = error(&format!("{address}/*.parquet"));
    assert!(listed.to_string().contains("name the files"), "{listed}");
    let scheme = error("gopher://host/a.parquet");
    assert!(
        matches!(scheme.kind(), ErrorKind::InvalidInput { .. }),
        "{scheme}"
    );
}
