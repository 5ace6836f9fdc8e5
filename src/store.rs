//! Stores of checkpoints: a directory, or an S3-compatible object store.
//!
//! One library does both (object_store), so both are the same code. Invariant: what was put is on disk before the answer
//! is, and `create` has one winner. Limits: calls block; they are made by threads that have nothing else to do.

use std::path::Path as FilePath;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::runtime::{Builder, Runtime};

use crate::checkpoint::{Store, StoreError};
use crate::error::{JobError, JobResult};

/// A store of objects, used by one thread at a time.
#[derive(Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    runtime: Runtime,
    url: String,
}

impl Objects {
    /// Opens a directory, made where there is none.
    pub fn open(url: &str) -> JobResult<Objects> {
        let cannot = |why: String| {
            JobError::job(format!("cannot use the store of checkpoints: {why}"))
                .at(url.to_owned())
                .remedy("name a directory that can be written to with --checkpoint, or `none` to go without")
        };
        let path = url.strip_prefix("file://").unwrap_or(url);
        if path.contains("://") {
            let what = format!("--checkpoint {url} is no directory: other stores are not built in yet");
            return Err(JobError::configuration(what).at("flag --checkpoint").remedy("name a directory"));
        }
        std::fs::create_dir_all(FilePath::new(path)).map_err(|error| cannot(error.to_string()))?;
        let store = LocalFileSystem::new_with_prefix(path).map_err(|error| cannot(error.to_string()))?;
        let runtime = Builder::new_current_thread().build().map_err(|error| cannot(error.to_string()))?;
        Ok(Objects { store: Arc::new(store.with_fsync(true)), runtime, url: url.to_owned() })
    }

    /// The same store for another thread.
    pub fn again(&self) -> JobResult<Objects> {
        Objects::open(&self.url)
    }

    fn put_as(&mut self, name: &str, bytes: &[u8], mode: PutMode) -> object_store::Result<()> {
        let options = PutOptions { mode, ..PutOptions::default() };
        self.runtime.block_on(self.store.put_opts(&Path::from(name), bytes.to_vec().into(), options)).map(drop)
    }
}

fn failed(error: &object_store::Error) -> StoreError {
    StoreError(error.to_string())
}

impl Store for Objects {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.put_as(name, bytes, PutMode::Overwrite).map_err(|error| failed(&error))
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        match self.put_as(name, bytes, PutMode::Create) {
            Ok(()) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let read = async { self.store.get(&Path::from(name)).await?.bytes().await };
        match self.runtime.block_on(read) {
            Ok(bytes) => Ok(Some(bytes.into())),
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_a_store() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Objects::open(&directory.path().join("new").display().to_string()).unwrap();
        assert_eq!(store.get("job/a/1"), Ok(None));
        assert_eq!(store.create("job/a/1", b""), Ok(true));
        assert_eq!(store.create("job/a/1", b"other"), Ok(false));
        store.put("job/a/2", b"two").unwrap();
        store.put("job/b/3", b"three").unwrap();
        store.put("job/a/2", b"zwei").unwrap();
        assert_eq!(store.list("job/a/"), Ok(vec!["job/a/1".to_owned(), "job/a/2".to_owned()]));
        assert_eq!(store.again().unwrap().get("job/a/2"), Ok(Some(b"zwei".to_vec())));
        store.delete("job/a/2").unwrap();
        store.delete("job/a/2").unwrap();
        assert_eq!(store.list("job/a/"), Ok(vec!["job/a/1".to_owned()]));
    }

    #[test]
    fn other_stores_are_refused_by_name() {
        assert!(Objects::open("ftp://there").unwrap_err().to_string().contains("ftp://there"));
    }
}
