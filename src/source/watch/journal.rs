//! The journal of a watched directory: which files were picked up, in which order, and how many lines each has.
//!
//! The files one after another are the log: the offset of a record is the number of lines before it. So a job that comes
//! back reads what it read, and its positions mean what they meant. Invariant: an entry is in the store before a record of
//! its files is handed on, and never changes; of two incarnations that would write the same one, the slower one adopts
//! what the other wrote. Limits: all names are held in memory, and the store keeps them as long as the job's checkpoints.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::checkpoint::{Store, StoreError};
use crate::error::{JobError, JobResult};
use crate::store::Objects;

/// A file that was picked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PickedUp {
    /// Its name in the directory.
    pub name: String,
    /// How many lines it has.
    pub lines: u64,
    /// How long it was then; what is appended later is not part of it.
    pub bytes: u64,
    /// XXH3 of what it says.
    pub checksum: u64,
}

/// The files of a log in order, each with the offset of its first line.
#[derive(Debug, Default)]
pub struct Files {
    files: Vec<(u64, PickedUp)>,
    end: u64,
}

impl Files {
    /// The offset after the last line of all.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &PickedUp> {
        self.files.iter().map(|(_, file)| file)
    }

    /// The files that have lines at `offset` or after it.
    pub fn from(&self, offset: u64) -> &[(u64, PickedUp)] {
        self.files.get(self.files.partition_point(|(first, file)| first + file.lines <= offset)..).unwrap_or_default()
    }

    /// The name of the file in which an offset is, and its line there, from 1.
    pub fn place(&self, offset: u64) -> Option<(&str, u64)> {
        let (first, file) = self.from(offset).first()?;
        Some((&file.name, offset.checked_sub(*first)? + 1))
    }

    fn extend(&mut self, entry: Vec<PickedUp>) {
        for file in entry {
            let first = self.end;
            self.end += file.lines;
            self.files.push((first, file));
        }
    }
}

/// The files, for whoever asks where an offset is.
pub type SharedFiles = Arc<Mutex<Files>>;

/// See the head of this file.
#[derive(Debug)]
pub struct Journal {
    store: Option<Objects>,
    prefix: String,
    entries: u64,
    files: SharedFiles,
}

impl Journal {
    /// The journal of a job and a directory, as far as it was written; in memory alone where there is no store.
    pub fn open(store: Option<&str>, job: &str, directory: &str) -> JobResult<Journal> {
        let prefix = format!("{job}/watched/{:016x}/", xxh3_64(directory.as_bytes()));
        let mut journal = Journal { store: None, prefix, entries: 0, files: SharedFiles::default() };
        if let Some(url) = store {
            let objects = Objects::open(url)?;
            journal.read(&objects).map_err(|error| {
                let what = format!("cannot read which files of {directory} were picked up: {error}");
                JobError::job(what).at(url.to_owned()).remedy("see that the store of checkpoints can be read")
            })?;
            journal.store = Some(objects);
        }
        Ok(journal)
    }

    /// The files that were picked up.
    pub fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for others.
    pub fn shared_files(&self) -> SharedFiles {
        Arc::clone(&self.files)
    }

    fn read(&mut self, store: &Objects) -> Result<(), StoreError> {
        while let Some(entry) = self.entry(store)? {
            self.keep(entry);
        }
        Ok(())
    }

    fn name(&self) -> String {
        format!("{}{:010}.json", self.prefix, self.entries)
    }

    /// The entry that comes next, where somebody wrote it.
    fn entry(&self, store: &Objects) -> Result<Option<Vec<PickedUp>>, StoreError> {
        let parse = |bytes: Vec<u8>| {
            serde_json::from_slice(&bytes).map_err(|error| StoreError(format!("{} is damaged: {error}", self.name())))
        };
        store.get(&self.name())?.map(parse).transpose()
    }

    fn keep(&mut self, entry: Vec<PickedUp>) {
        self.entries += 1;
        self.files().extend(entry);
    }

    /// Adds files that were picked up together, or what another incarnation added in their place; says which.
    pub fn add(&mut self, entry: Vec<PickedUp>) -> Result<Vec<PickedUp>, StoreError> {
        let name = self.name();
        let mut added = entry;
        if let Some(mut store) = self.store.take() {
            let json = serde_json::to_vec(&added).map_err(|error| StoreError(error.to_string()));
            let written = json.and_then(|json| match store.create(&name, &json)? {
                true => Ok(None),
                false => self.entry(&store),
            });
            self.store = Some(store);
            added = written?.unwrap_or(added);
        }
        self.keep(added.clone());
        Ok(added)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, lines: u64) -> PickedUp {
        PickedUp { name: name.to_owned(), lines, bytes: 9, checksum: 0 }
    }

    #[test]
    fn an_offset_is_the_same_line_for_every_incarnation() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().display().to_string();
        let open = || Journal::open(Some(&store), "job", "in/").unwrap();
        let (mut first, mut second) = (open(), open());
        first.add(vec![file("b", 3), file("empty", 0), file("a", 2)]).unwrap();
        // One that does not know it adopts it, and reads its own files later.
        second.add(vec![file("a", 2)]).unwrap();
        second.add(vec![file("c", 1)]).unwrap();
        for journal in [&second, &open()] {
            let files = journal.files();
            assert_eq!((files.end(), files.place(0), files.place(2)), (6, Some(("b", 1)), Some(("b", 3))));
            assert_eq!((files.place(3), files.place(5), files.place(6)), (Some(("a", 1)), Some(("c", 1)), None));
            assert_eq!(files.from(4).len(), 2);
        }
        assert_eq!(Journal::open(Some(&store), "job", "elsewhere/").unwrap().files().end(), 0);
        let mut unkept = Journal::open(None, "job", "in/").unwrap();
        unkept.add(vec![file("a", 2)]).unwrap();
        assert_eq!(unkept.files().end(), 2);
    }
}
