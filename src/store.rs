//! Stores of checkpoints: a directory, or an S3-compatible object store.
//!
//! One library does both (object_store), so both are the same code. Invariant: what was put is on disk, or with the store,
//! before the answer is, and `create` has one winner; an S3-compatible store has to heed `If-None-Match`. Limits: calls
//! block, up to a minute for each piece where a store does not answer; they are made by threads that have nothing else to do.

use std::io::ErrorKind;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dataflows::operators::pieces::PIECE_BYTES;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig};
use tokio::runtime::{Builder, Runtime};

use crate::checkpoint::{Store, StoreError};
use crate::config::environment;
use crate::error::{JobError, JobResult};

/// What addresses of buckets start with.
const BUCKET_SCHEME: &str = "s3://";
/// How long a request may take, and how long a failed one is tried again; the next checkpoint is another try.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
const TRIED_FOR: Duration = Duration::from_secs(10);

/// The directory that an address names; none where it is another URL.
pub fn directory_of(url: &str) -> Option<&FilePath> {
    let path = url.strip_prefix("file://").unwrap_or(url);
    (!path.contains("://")).then(|| FilePath::new(path))
}

/// A store of objects, used by one thread at a time.
#[derive(Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// Where objects lie, if in a directory.
    directory: Option<PathBuf>,
    runtime: Runtime,
}

impl Objects {
    /// Opens a directory, made where there is none, or a place in a bucket, `s3://BUCKET/PREFIX`, with endpoint and
    /// credentials of the environment.
    pub fn open(url: &str) -> JobResult<Objects> {
        Objects::open_as(url, environment()?)
    }

    /// The same with this environment: variables AWS_*.
    pub fn open_as(url: &str, environment: impl IntoIterator<Item = (String, String)>) -> JobResult<Objects> {
        let opened = match url.strip_prefix(BUCKET_SCHEME) {
            Some(place) => bucket(place, environment).map_err(|error| error.to_string()),
            None => match directory_of(url) {
                Some(path) => directory(path),
                None => {
                    let what = format!("--checkpoint {url} is neither a directory nor s3://BUCKET/PREFIX");
                    return Err(JobError::configuration(what).at("flag --checkpoint").remedy("name one of them"));
                }
            },
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string());
        let directory = directory_of(url).map(FilePath::to_owned);
        let opened = opened.and_then(|store| Ok(Objects { store, directory, runtime: runtime? }));
        opened.map_err(|why| {
            JobError::job(format!("cannot use the store of checkpoints: {why}")).at(url.to_owned()).remedy(
                "name a directory that can be written to with --checkpoint, or s3://BUCKET/PREFIX and AWS_* in the \
                 environment; or `none` to go without",
            )
        })
    }

    fn put_as(&mut self, name: &str, bytes: Vec<u8>, mode: PutMode) -> object_store::Result<()> {
        let options = PutOptions { mode, ..PutOptions::default() };
        self.runtime.block_on(self.store.put_opts(&Path::from(name), bytes.into(), options)).map(drop)
    }
}

fn directory(path: &FilePath) -> Result<Arc<dyn ObjectStore>, String> {
    std::fs::create_dir_all(path).map_err(|error| error.to_string())?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|error| error.to_string())?;
    Ok(Arc::new(store.with_fsync(true).with_automatic_cleanup(true)))
}

fn bucket(
    place: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    // TLS wants one provider for the whole program; that there is one already is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let mut builder = AmazonS3Builder::new()
        .with_client_options(ClientOptions::new().with_timeout(REQUEST_WITHIN))
        .with_retry(RetryConfig { retry_timeout: TRIED_FOR, ..RetryConfig::default() });
    for (name, value) in environment.into_iter().filter(|(name, _)| name.starts_with("AWS_")) {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    let builder = builder.with_bucket_name(bucket).with_conditional_put(S3ConditionalPut::ETagMatch);
    Ok(Arc::new(PrefixStore::new(builder.build()?, prefix)))
}

fn failed(error: &object_store::Error) -> StoreError {
    StoreError(error.to_string())
}

impl Store for Objects {
    fn put(
        &mut self,
        name: &str,
        mut pieces: impl Iterator<Item = Result<Vec<u8>, StoreError>>,
    ) -> Result<(), StoreError> {
        let first = pieces.next().unwrap_or(Ok(Vec::new()))?;
        let Some(second) = pieces.next() else {
            return self.put_as(name, first, PutMode::Overwrite).map_err(|error| failed(&error));
        };
        self.runtime.block_on(async {
            let begun = self.store.put_multipart(&Path::from(name)).await;
            let mut upload = begun.map_err(|error| failed(&error))?;
            let written = async {
                for piece in [Ok(first), second].into_iter().chain(pieces) {
                    upload.put_part(piece?.into()).await.map_err(|error| failed(&error))?;
                }
                upload.complete().await.map(drop).map_err(|error| failed(&error))
            };
            let written = written.await;
            if written.is_err() {
                // Where that fails, too, the store's own rules have to see to what is left.
                _ = upload.abort().await;
            }
            written
        })
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        match self.put_as(name, bytes.to_vec(), PutMode::Create) {
            Ok(()) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let (path, piece_bytes) = (Path::from(name), PIECE_BYTES as u64);
        let read = async {
            let whole = self.store.get(&path).await?;
            let bytes = whole.meta.size;
            if bytes <= piece_bytes {
                return whole.bytes().await.map(Vec::from);
            }
            // A request has its time, whatever is asked for.
            drop(whole);
            let mut read = Vec::with_capacity(bytes as usize);
            for from in (0..bytes).step_by(PIECE_BYTES) {
                read.extend(self.store.get_range(&path, from..bytes.min(from + piece_bytes)).await?);
            }
            Ok(read)
        };
        match self.runtime.block_on(read) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let place = Path::from(prefix);
        let listed = self.runtime.block_on(async {
            use futures_util::TryStreamExt;
            self.store.list(Some(&place)).map_ok(|object| object.location.to_string()).try_collect::<Vec<_>>().await
        });
        let mut names = listed.map_err(|error| failed(&error))?;
        names.sort();
        Ok(names)
    }

    fn delete(&mut self, name: &str) -> Result<(), StoreError> {
        match self.runtime.block_on(self.store.delete(&Path::from(name))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    fn sweep(&mut self, folder: &str, is_left: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let mut failed = Ok(());
        // As the library does, which takes no name for a way out of the directory.
        for place in entries(&directory.join(Path::from(folder).as_ref())) {
            for entry in entries(&place) {
                // What is to be NAME is written as NAME#1 first, or NAME#2.
                let name = entry.strip_prefix(directory).ok().and_then(|name| name.to_str()?.rsplit_once('#'));
                let is_begun = |number: &str| number.bytes().all(|byte| byte.is_ascii_digit());
                if name.is_some_and(|(name, number)| is_begun(number) && is_left(name))
                    && let Err(error) = std::fs::remove_file(entry)
                    && error.kind() != ErrorKind::NotFound
                {
                    failed = Err(StoreError(error.to_string()));
                }
            }
            // As long as anything is in it it stays.
            _ = std::fs::remove_dir(place);
        }
        failed
    }
}

/// What is in a folder; nothing where it cannot be read, as where there is none.
fn entries(folder: &FilePath) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_a_store() {
        let directory = tempfile::tempdir().unwrap();
        let url = directory.path().join("new").display().to_string();
        let mut store = Objects::open(&url).unwrap();
        assert_eq!(store.get("job/a/1"), Ok(None));
        assert_eq!(store.create("job/a/1", b""), Ok(true));
        assert_eq!(store.create("job/a/1", b"other"), Ok(false));
        let pieces = |pieces: &[&[u8]]| pieces.iter().map(|piece| Ok(piece.to_vec())).collect::<Vec<_>>().into_iter();
        store.put("job/a/2", pieces(&[b"two"])).unwrap();
        store.put("job/b/3", pieces(&[b"th", b"re", b"e"])).unwrap();
        store.put("job/a/2", pieces(&[b"zw", b"ei"])).unwrap();
        let broken = StoreError("no more of it".to_owned());
        for first in [1, 2, 3] {
            let pieces = pieces(&[b"d", b"r", b"ei"]).take(first).chain([Err(broken.clone())]);
            assert_eq!(store.put("job/a/2", pieces), Err(broken.clone()));
        }
        assert_eq!(store.list("job/a/"), Ok(vec!["job/a/1".to_owned(), "job/a/2".to_owned()]));
        assert_eq!(Objects::open(&url).unwrap().get("job/a/2"), Ok(Some(b"zwei".to_vec())));
        assert_eq!(store.get("job/b/3"), Ok(Some(b"three".to_vec())));
        store.delete("job/a/2").unwrap();
        store.delete("job/a/2").unwrap();
        assert_eq!(store.list("job/a/"), Ok(vec!["job/a/1".to_owned()]));
    }

    #[test]
    fn what_was_never_finished_is_swept_out_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Objects::open(&directory.path().display().to_string()).unwrap();
        let place = |name: &str| directory.path().join("job/parts").join(name);
        for name in ["1/00001-1", "1/00001-2#1", "2/00001-1#1", "2/00002-1#12", "3/00001-1#1"] {
            std::fs::create_dir_all(place(name).parent().unwrap()).unwrap();
            std::fs::write(place(name), b"part").unwrap();
        }
        store.sweep("job/parts/", |name| !name.starts_with("job/parts/3/")).unwrap();
        let left = ["1/00001-1", "1/00001-2#1", "2", "3/00001-1#1"].map(|name| place(name).exists());
        assert_eq!(left, [true, false, false, true]);
        assert_eq!(store.list("job/").unwrap(), ["job/parts/1/00001-1"]);
        store.sweep("other/parts/", |_| true).unwrap();
        // No name leads out of the store.
        std::fs::create_dir_all(directory.path().join("out/parts/empty")).unwrap();
        std::fs::write(place("1/no-number#x"), b"").unwrap();
        let mut within = Objects::open(&directory.path().join("job").display().to_string()).unwrap();
        for name in ["../out/parts/", &format!("{}/out/parts/", directory.path().display())] {
            within.sweep(name, |_| true).unwrap();
        }
        store.sweep("job/parts/", |_| true).unwrap();
        assert!(directory.path().join("out/parts/empty").exists() && place("1/no-number#x").exists());
    }

    #[test]
    fn large_objects_come_back_as_they_went() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Objects::open(&directory.path().display().to_string()).unwrap();
        for bytes in [0, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES] {
            let written: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
            store.put("large", written.chunks(PIECE_BYTES).map(|piece| Ok(piece.to_vec()))).unwrap();
            assert!(store.get("large").unwrap() == Some(written), "{bytes} bytes");
        }
    }

    #[test]
    fn other_stores_are_refused_by_name() {
        assert!(Objects::open("ftp://there").unwrap_err().to_string().contains("ftp://there"));
    }
}
