//! Objects of stores, and files on web servers, read by ranges.
//!
//! Reads are planned: neighbouring ranges become one, long ones are cut, and the pieces are asked for
//! at the same time. The client retries what may pass (its connection, the server's 5xx) with growing
//! pauses. Every request names the version of the object that the first one met, where the store has
//! versions: an object that is replaced midway is an error, never a mixture.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io::{Error as IoError, ErrorKind as IoKind, Result as IoResult};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path as ObjectPath;
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, ObjectStoreScheme,
    RetryConfig,
};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use url::Url;

use super::opened::Stamp;
use crate::error::{Error, Result};

/// Gaps up to this are read along: a request costs more.
const GAP_BYTES_MAX: u64 = 1 << 20;

/// Longer ranges are read in pieces, side by side: one connection does not fill a network.
const PIECE_BYTES: u64 = 8 << 20;

/// Requests under way at one time, of the whole process.
const REQUESTS_MAX: usize = 64;

/// A request that fails is tried again so often, and for so long.
const RETRIES_MAX: usize = 5;
const RETRY_MAX: Duration = Duration::from_secs(30);

type Store = Arc<dyn ObjectStore>;

/// The stores that this process has met, by scheme and host.
static STORES: LazyLock<Mutex<HashMap<String, Store>>> = LazyLock::new(Mutex::default);

static REQUESTS: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(REQUESTS_MAX)));

/// What runs requests: started when the first URL is read.
static RUNTIME: LazyLock<IoResult<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .thread_name("pelton-remote")
        .enable_all()
        .build()
});

/// An object that is open.
#[derive(Debug)]
pub(super) struct RemoteFile {
    store: Store,
    location: ObjectPath,
    bytes: u64,
    e_tag: Option<String>,
    /// The pieces that were fetched last, by their start.
    prepared: Mutex<BTreeMap<u64, Bytes>>,
}

impl RemoteFile {
    /// Finds an object.
    pub(super) fn open(path: &Path) -> Result<(RemoteFile, Stamp)> {
        let (store, location) = store_of(path)?;
        let refused = |cause: IoError| Error::io(path, "open", &cause);
        let found = {
            let (store, location) = (Arc::clone(&store), location.clone());
            wait(async move { store.head(&location).await }).map_err(refused)?
        };
        let stamp = Stamp {
            bytes: found.size,
            version: format!("{:?} {}", found.e_tag, found.last_modified),
        };
        let file = RemoteFile {
            store,
            location,
            bytes: found.size,
            e_tag: found.e_tag,
            prepared: Mutex::default(),
        };
        Ok((file, stamp))
    }

    /// Fetches the pieces of some ranges, all at one time. Those of the call before are let go.
    pub(super) fn prepare(&self, ranges: &[Range<u64>]) -> IoResult<()> {
        if ranges.iter().any(|range| range.end > self.bytes) {
            return Err(IoKind::UnexpectedEof.into());
        }
        let pieces = pieces_of(ranges);
        let requests: Vec<_> = pieces.iter().map(|piece| self.request(piece)).collect();
        let fetched = wait_all(requests)?;
        for (piece, bytes) in pieces.iter().zip(&fetched) {
            if bytes.len() as u64 != piece.end - piece.start {
                return Err(IoKind::UnexpectedEof.into());
            }
        }
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        *prepared = pieces
            .iter()
            .map(|piece| piece.start)
            .zip(fetched)
            .collect();
        Ok(())
    }

    /// Fills `bytes` from what was prepared, and asks the store for the rest.
    pub(super) fn read_exact_at(&self, bytes: &mut [u8], start: u64) -> IoResult<()> {
        let end = start + bytes.len() as u64;
        let (mut at, mut missing) = (start, Vec::new());
        let prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        while at < end {
            let before = prepared.range(..=at).next_back();
            let piece = before.filter(|(first, piece)| *first + piece.len() as u64 > at);
            let (here, known) = match piece {
                Some((first, piece)) => {
                    (end.min(first + piece.len() as u64), Some((*first, piece)))
                }
                None => {
                    let next = prepared.range(at..).next();
                    (next.map_or(end, |(first, _)| end.min(*first)), None)
                }
            };
            match known {
                Some((first, piece)) => {
                    let from = place(at - first)?;
                    let length = place(here - at)?;
                    let out = place(at - start)?;
                    bytes[out..out + length].copy_from_slice(&piece[from..from + length]);
                }
                None => missing.push(at..here),
            }
            at = here;
        }
        drop(prepared);
        if missing.is_empty() {
            return Ok(());
        }
        let requests = missing.iter().map(|range| self.request(range)).collect();
        for (range, fetched) in missing.iter().zip(wait_all(requests)?) {
            let out = place(range.start - start)?;
            let length = place(range.end - range.start)?;
            if fetched.len() != length {
                return Err(IoKind::UnexpectedEof.into());
            }
            bytes[out..out + length].copy_from_slice(&fetched);
        }
        Ok(())
    }

    fn request(
        &self,
        range: &Range<u64>,
    ) -> impl Future<Output = object_store::Result<Bytes>> + Send + 'static {
        let (store, location) = (Arc::clone(&self.store), self.location.clone());
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: self.e_tag.clone(),
            ..GetOptions::default()
        };
        async move { store.get_opts(&location, options).await?.bytes().await }
    }
}

fn place(bytes: u64) -> IoResult<usize> {
    usize::try_from(bytes).map_err(IoError::other)
}

/// The pieces in which ranges are fetched: in order, apart from each other.
fn pieces_of(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges
        .iter()
        .filter(|range| !range.is_empty())
        .cloned()
        .collect();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut spans: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match spans.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(GAP_BYTES_MAX) => {
                last.end = last.end.max(range.end);
            }
            _ => spans.push(range),
        }
    }
    let mut pieces = Vec::new();
    for span in spans {
        let mut start = span.start;
        while start < span.end {
            let end = span.end.min(start + PIECE_BYTES);
            pieces.push(start..end);
            start = end;
        }
    }
    pieces
}

/// The objects that a pattern names: one; all that end in `.parquet` below a name with a `/` at its
/// end; or those that wildcards match.
pub(super) fn expand(
    pattern: &Path,
    has_wildcard: impl Fn(&str) -> bool,
    path_matches: impl Fn(&str, &str) -> bool,
) -> Result<Vec<PathBuf>> {
    let text = pattern.to_string_lossy();
    let (root, rest) = split(&text);
    let folder = text.ends_with('/');
    if !folder && !has_wildcard(rest) {
        return Ok(vec![pattern.to_path_buf()]);
    }
    let fixed = rest
        .split_inclusive('/')
        .take_while(|part| !has_wildcard(part) && part.ends_with('/'));
    let fixed: String = fixed.collect();
    let (store, prefix) = store_of(Path::new(&format!("{root}{fixed}")))?;
    let listed = wait(async move {
        let prefix = Some(&prefix).filter(|prefix| !prefix.as_ref().is_empty());
        store.list(prefix).try_collect::<Vec<_>>().await
    });
    let listed = listed.map_err(|cause| Error::io(pattern, "list", &cause))?;
    let hidden = |name: &str| name.starts_with(['.', '_']);
    let wanted = |name: &str| match folder {
        true => {
            let below = name.strip_prefix(rest).unwrap_or(name);
            !below.split('/').any(hidden) && below.to_ascii_lowercase().ends_with(".parquet")
        }
        false => path_matches(rest, name),
    };
    let names = listed.iter().map(|object| object.location.as_ref());
    let mut found: Vec<PathBuf> = names
        .filter(|name| wanted(name))
        .map(|name| PathBuf::from(format!("{root}{name}")))
        .collect();
    found.sort();
    if found.is_empty() {
        let remedy = "name the files, or end a folder's name with `/`";
        return Err(Error::invalid(
            format!("pattern {text}"),
            "matches no object",
            remedy,
        ));
    }
    Ok(found)
}

/// A URL up to its path, and the path without the first `/`.
fn split(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url[host..].find('/').map_or(url.len(), |at| host + at + 1);
    url.split_at(path)
}

/// The store of a URL, and the object's name in it.
fn store_of(path: &Path) -> Result<(Store, ObjectPath)> {
    let text = path.to_string_lossy();
    let invalid = |cause: &dyn std::fmt::Display| {
        let remedy =
            "use s3://bucket/name, gs://bucket/name, az://container/name or http(s)://host/name";
        Error::invalid(format!("URL {text}"), cause.to_string(), remedy)
    };
    let url = Url::parse(&text).map_err(|cause| invalid(&cause))?;
    let (scheme, location) = ObjectStoreScheme::parse(&url).map_err(|cause| invalid(&cause))?;
    let host = url[..url::Position::BeforePath].to_string();
    // Azure and S3 by https have the bucket in the path.
    let key = match (url.scheme(), &scheme) {
        ("https", ObjectStoreScheme::AmazonS3 | ObjectStoreScheme::MicrosoftAzure) => {
            let bucket = url.path_segments().and_then(|mut parts| parts.next());
            format!("{host}/{}", bucket.unwrap_or(""))
        }
        _ => host.clone(),
    };
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = stores.get(&key) {
        return Ok((Arc::clone(store), location));
    }
    let retry = RetryConfig {
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_MAX,
        ..RetryConfig::default()
    };
    let store: object_store::Result<Store> = match scheme {
        ObjectStoreScheme::AmazonS3 => AmazonS3Builder::from_env()
            .with_url(text.as_ref())
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as Store),
        ObjectStoreScheme::GoogleCloudStorage => GoogleCloudStorageBuilder::from_env()
            .with_url(text.as_ref())
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as Store),
        ObjectStoreScheme::MicrosoftAzure => MicrosoftAzureBuilder::from_env()
            .with_url(text.as_ref())
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as Store),
        ObjectStoreScheme::Http => HttpBuilder::new()
            .with_url(host)
            .with_client_options(ClientOptions::new().with_allow_http(true))
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as Store),
        _ => return Err(invalid(&"no store has this scheme")),
    };
    let store = store.map_err(|cause| invalid(&cause))?;
    stores.insert(key, Arc::clone(&store));
    Ok((store, location))
}

/// Waits for a request.
fn wait<T: Send + 'static>(
    request: impl Future<Output = object_store::Result<T>> + Send + 'static,
) -> IoResult<T> {
    let mut answers = wait_all(vec![request])?;
    answers.pop().ok_or_else(|| IoError::other("no answer"))
}

/// Waits for requests that run side by side. Their answers are in order.
fn wait_all<T: Send + 'static>(
    requests: Vec<impl Future<Output = object_store::Result<T>> + Send + 'static>,
) -> IoResult<Vec<T>> {
    let runtime = RUNTIME
        .as_ref()
        .map_err(|cause| IoError::new(cause.kind(), cause.to_string()))?;
    let tasks: Vec<_> = requests
        .into_iter()
        .map(|request| {
            let requests = Arc::clone(&REQUESTS);
            runtime.spawn(async move {
                let _permit = requests.acquire_owned().await.map_err(IoError::other)?;
                request.await.map_err(as_io)
            })
        })
        .collect();
    runtime.block_on(async {
        let mut answers = Vec::with_capacity(tasks.len());
        for task in tasks {
            answers.push(task.await.map_err(IoError::other)??);
        }
        Ok(answers)
    })
}

fn as_io(cause: object_store::Error) -> IoError {
    let kind = match &cause {
        object_store::Error::NotFound { .. } => IoKind::NotFound,
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => IoKind::PermissionDenied,
        object_store::Error::Precondition { .. } => {
            return IoError::other("changed while it was read");
        }
        object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. } => {
            IoKind::Unsupported
        }
        _ => IoKind::Other,
    };
    IoError::new(kind, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_become_pieces() {
        let mib = |from: u64, to: u64| from << 20..to << 20;
        assert_eq!(pieces_of(&[]), []);
        assert_eq!(pieces_of(&[5..5]), []);
        let near = [mib(4, 5), mib(0, 1), mib(2, 3)];
        assert_eq!(pieces_of(&near), [mib(0, 5)]);
        let far = [mib(0, 1), mib(3, 4)];
        assert_eq!(pieces_of(&far), [mib(0, 1), mib(3, 4)]);
        assert_eq!(
            pieces_of(&[mib(0, 17)]),
            [mib(0, 8), mib(8, 16), mib(16, 17)]
        );
    }

    #[test]
    fn urls_are_split_behind_the_host() {
        assert_eq!(split("s3://bucket/a/b"), ("s3://bucket/", "a/b"));
        assert_eq!(split("http://host:80"), ("http://host:80", ""));
    }
}
