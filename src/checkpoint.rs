//! Checkpoints: the state of a job as of a frontier, and the histories of its incarnations.
//!
//! Parts are written first, one manifest makes them a checkpoint. Invariant: a checkpoint that is restored is whole, was
//! written by this job, and lies on the history that the newest incarnation went on with: what a process wrote that did
//! not know it had been replaced counts only up to where its successor left. Source: architecture.md, section 4;
//! decision 10.

mod claims;
pub mod listing;
mod pruning;

use std::fmt;
use std::iter::once;

use dataflows::time::Time;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::clock::partitions::Cut;
use crate::instant::format_instant;
pub use claims::Successors;

/// The version of what is written. Others are refused.
pub const FORMAT: u32 = 3;

/// Where checkpoints are kept: the third seam. Names are paths with `/`.
pub trait Store {
    /// Writes an object of these pieces, whole or not at all: not where one of them is an error. All but the last have the
    /// same size, of at least 5 MiB.
    fn put(&mut self, name: &str, pieces: impl Iterator<Item = Result<Vec<u8>, StoreError>>) -> Result<(), StoreError>;
    /// Writes an object where there is none of this name; false where there is.
    fn create(&mut self, name: &str, bytes: &[u8]) -> Result<bool, StoreError>;
    /// An object; none where there is none.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// The names that begin with `prefix`, sorted.
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;
    /// Removes an object, if it is there.
    fn delete(&mut self, name: &str) -> Result<(), StoreError>;
    /// Removes what was begun in folders of this one and never finished, `is_left` its name: what a process leaves that is
    /// killed while it writes. Of what no list shows, as pieces in a bucket, the store's own rules rid us.
    fn sweep(&mut self, folder: &str, is_left: impl Fn(&str) -> bool) -> Result<(), StoreError>;
}

/// A store that could not do what it was asked for; whether it did is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// A part of a checkpoint, as its manifest knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name in the store.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
    /// XXH3, 128 bits, in hexadecimal.
    pub checksum: String,
}

/// What makes parts a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// See [`FORMAT`].
    pub format: u32,
    /// The job.
    pub job: String,
    /// Which of its incarnations wrote it.
    pub incarnation: u64,
    /// The state is the one as of here.
    pub frontier: Time,
    /// From where each partition is to be read.
    #[serde(with = "pairs")]
    pub cut: Cut,
    /// The state, in parts.
    pub parts: Vec<Part>,
    /// Stands for the configuration that results depend on.
    pub fingerprint: u64,
    /// That of all the rest, for a digit of a cut that has become another one would be believed.
    pub checksum: String,
}

impl Manifest {
    /// Its name in the store.
    fn name(&self) -> String {
        format!("{}/manifests/{:020}-{:010}.json", self.job, self.frontier, self.incarnation)
    }

    fn checksum_of_rest(&self) -> String {
        checksum(&serde_json::to_vec(&Manifest { checksum: String::new(), ..self.clone() }).unwrap_or_default())
    }

    fn check(&self) -> Result<(), Unfit> {
        match () {
            () if self.format != FORMAT => Err(Unfit::Format(self.format)),
            () if self.checksum != self.checksum_of_rest() => {
                Err(Unfit::Damaged("the manifest is not what was written".to_owned()))
            }
            () => Ok(()),
        }
    }
}

/// JSON has no keys but texts: a cut is written as a list.
mod pairs {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::clock::partitions::{Cut, Mark, Partition};

    pub fn serialize<S: Serializer>(cut: &Cut, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(cut.iter())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cut, D::Error> {
        Ok(Vec::<(Partition, Mark)>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// Why a checkpoint cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The store could not be read.
    Unreadable(StoreError),
    /// It is not what was written.
    Damaged(String),
    /// Another version of this program wrote it.
    Format(u32),
    /// Another job wrote it.
    Foreign(String),
    /// The configuration that results depend on is another one.
    Configuration,
    /// It lies beyond the point where a later incarnation left its history.
    Abandoned {
        /// Where that was.
        left_at: Time,
    },
    /// A sink is not as far: it would lack what lies in between.
    Ahead,
    /// Sinks have forgotten the marks that lead on from it: records would get other times than they had.
    Forgotten,
}

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Unreadable(error) => write!(formatter, "it cannot be read: {error}"),
            Unfit::Damaged(what) => write!(formatter, "it is damaged: {what}"),
            Unfit::Format(format) => write!(formatter, "it has format {format}, this program reads {FORMAT}"),
            Unfit::Foreign(job) => write!(formatter, "it is of job {job}"),
            Unfit::Configuration => write!(formatter, "it was written with another configuration"),
            Unfit::Abandoned { left_at } => write!(formatter, "its history was left at {}", format_instant(*left_at)),
            Unfit::Ahead => write!(formatter, "a sink is new, or not as far"),
            Unfit::Forgotten => write!(formatter, "the marks that lead on from it were forgotten"),
        }
    }
}

/// A checkpoint that was read and found whole.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its parts, in the order of the manifest.
    pub parts: Vec<Vec<u8>>,
}

/// The checkpoints of a job, as one incarnation of it sees them.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    job: String,
    fingerprint: u64,
    incarnation: u64,
}

impl Checkpoints {
    /// Takes the next incarnation of a job. Of several that try at once each gets another one.
    pub fn begin(store: &mut impl Store, job: &str, fingerprint: u64) -> Result<Checkpoints, StoreError> {
        Ok(Checkpoints::joined(job, fingerprint, claims::take(store, job)?))
    }

    /// The checkpoints as another process of this incarnation sees them.
    pub fn joined(job: &str, fingerprint: u64, incarnation: u64) -> Checkpoints {
        Checkpoints { job: job.to_owned(), fingerprint, incarnation }
    }

    /// The number of this incarnation.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// This incarnation could not start, and writes nothing: whom it would have replaced goes on as before.
    pub fn withdraw(&self, store: &mut impl Store) -> Result<(), StoreError> {
        // Its answer may have been lost, and it may be under way: one that comes after this is too late. At the end of time it
        // leaves nobody behind.
        store.put(&departure(&self.job, self.incarnation), once(Ok(Time::MAX.to_string().into_bytes())))?;
        claims::withdraw(store, &self.job, self.incarnation)
    }

    /// Notes that this incarnation went on from the history of the earlier ones at `time`. Only then may it write; an
    /// error where whoever it would have replaced has ruled it out meanwhile. Parts that earlier ones did not finish go: a
    /// job that is killed in each checkpoint would fill a disk.
    pub fn leave_at(&self, store: &mut impl Store, time: Time) -> Result<(), StoreError> {
        if !self.depart(store, self.incarnation, time)? {
            return Err(self.was_ruled_out());
        }
        let is_earlier = |name: &str| self.manifest_of(name).is_some_and(|(_, of)| of < self.incarnation);
        if let Err(StoreError(why)) = store.sweep(&parts(&self.job), is_earlier) {
            tracing::warn!("parts of checkpoints that were never finished cannot be removed: {why}");
        }
        Ok(())
    }

    /// The same error where that is so already: what this start looks for may have been removed.
    pub fn check_counts(&self, store: &impl Store) -> Result<(), StoreError> {
        match store.get(&departure(&self.job, self.incarnation))? {
            Some(_) => Err(self.was_ruled_out()),
            None => Ok(()),
        }
    }

    fn was_ruled_out(&self) -> StoreError {
        StoreError(format!(
            "this start (incarnation {}) took so long that job {}, which still runs, took it for killed: stop that one \
             and start this one again",
            self.incarnation, self.job
        ))
    }

    /// Notes where an incarnation leaves the history of the earlier ones, once and for all; false where it was decided
    /// otherwise.
    fn depart(&self, store: &mut impl Store, incarnation: u64, time: Time) -> Result<bool, StoreError> {
        let (name, text) = (departure(&self.job, incarnation), time.to_string());
        // What is there may be of this very request, whose answer was lost.
        Ok(store.create(&name, text.as_bytes())? || store.get(&name)?.as_deref() == Some(text.as_bytes()))
    }

    /// Writes a part of the state as of `frontier`: no part of a checkpoint before there is a manifest. Its name says which
    /// `attempt` at it this is: whoever tries again leaves alone what he wrote before, which may be complete without his
    /// knowing.
    pub fn put_part(
        &self,
        store: &mut impl Store,
        frontier: Time,
        number: usize,
        attempt: u64,
        pieces: impl Iterator<Item = Result<Vec<u8>, StoreError>>,
    ) -> Result<Part, StoreError> {
        let name = format!("{}/parts/{frontier:020}-{:010}/{number:05}-{attempt}", self.job, self.incarnation);
        let (mut bytes, mut hash) = (0, Xxh3::new());
        let counted = pieces.inspect(|piece| {
            if let Ok(piece) = piece {
                bytes += piece.len() as u64;
                hash.update(piece);
            }
        });
        store.put(&name, counted)?;
        Ok(Part { name, bytes, checksum: format!("{:032x}", hash.digest128()) })
    }

    /// What makes parts a checkpoint.
    pub fn manifest(&self, frontier: Time, cut: &Cut, parts: Vec<Part>) -> Manifest {
        let mut manifest = Manifest {
            format: FORMAT,
            job: self.job.clone(),
            incarnation: self.incarnation,
            frontier,
            cut: cut.clone(),
            parts,
            fingerprint: self.fingerprint,
            checksum: String::new(),
        };
        manifest.checksum = manifest.checksum_of_rest();
        manifest
    }

    /// Makes parts a checkpoint; false where there is one of this incarnation and frontier already, with its own parts.
    pub fn complete(
        &self,
        store: &mut impl Store,
        frontier: Time,
        cut: &Cut,
        parts: Vec<Part>,
    ) -> Result<bool, StoreError> {
        let manifest = self.manifest(frontier, cut, parts);
        let json = serde_json::to_vec_pretty(&manifest).map_err(|error| StoreError(error.to_string()))?;
        store.create(&manifest.name(), &json)
    }

    /// The newest checkpoint that is fit and no further than `slowest`, and why newer ones are not.
    #[allow(clippy::type_complexity)] // a result and what was passed over on the way to it
    pub fn newest(
        &self,
        store: &impl Store,
        slowest: Time,
    ) -> Result<(Option<Restored>, Vec<(String, Unfit)>), StoreError> {
        let mut passed_over = Vec::new();
        for name in store.list(&format!("{}/manifests/", self.job))?.into_iter().rev() {
            let restored = self.fit(store, &name, slowest).and_then(|manifest| read_parts(store, manifest));
            match restored {
                Ok(restored) => return Ok((Some(restored), passed_over)),
                Err(unfit) => passed_over.push((name, unfit)),
            }
        }
        Ok((None, passed_over))
    }

    fn fit(&self, store: &impl Store, name: &str, slowest: Time) -> Result<Manifest, Unfit> {
        let bytes = store.get(name).map_err(Unfit::Unreadable)?;
        let bytes = bytes.ok_or_else(|| Unfit::Damaged("the manifest is gone".to_owned()))?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| Unfit::Damaged(format!("the manifest: {error}")))?;
        manifest.check()?;
        if manifest.job != self.job {
            return Err(Unfit::Foreign(manifest.job));
        }
        if manifest.fingerprint != self.fingerprint {
            return Err(Unfit::Configuration);
        }
        let left_at = self.left_at(store, manifest.incarnation).map_err(Unfit::Unreadable)?;
        if let Some(left_at) = left_at.filter(|left_at| *left_at < manifest.frontier) {
            return Err(Unfit::Abandoned { left_at });
        }
        match () {
            () if manifest.frontier > slowest => Err(Unfit::Ahead),
            () if self.floor(store).map_err(Unfit::Unreadable)?.is_some_and(|floor| name < floor.as_str()) => {
                Err(Unfit::Forgotten)
            }
            () => Ok(manifest),
        }
    }

    /// The manifest before which none may be restored.
    fn floor(&self, store: &impl Store) -> Result<Option<String>, StoreError> {
        let newest = store.list(&format!("{}/floors/", self.job))?.pop();
        Ok(newest.map(|name| name.replace("/floors/", "/manifests/")))
    }

    /// The earliest time at which an incarnation after `incarnation` left its history; none where none has.
    pub fn left_at(&self, store: &impl Store, incarnation: u64) -> Result<Option<Time>, StoreError> {
        let prefix = format!("{}/departures/", self.job);
        let mut earliest: Option<Time> = None;
        for name in store.list(&prefix)? {
            if number_in(&name, &prefix).is_some_and(|later| later > incarnation) {
                let bytes = store.get(&name)?.unwrap_or_default();
                // What cannot be read counts as the beginning of time: rather an old checkpoint than a wrong one.
                let time = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
                earliest = Some(earliest.map_or(time, |earliest| earliest.min(time)));
            }
        }
        Ok(earliest)
    }
}

/// Removes every checkpoint of a job; how many. Incarnations stay: a process that does not know that it was replaced must
/// not get its number again.
pub fn forget(store: &mut impl Store, job: &str) -> Result<usize, StoreError> {
    let names = store.list(&format!("{job}/"))?;
    store.sweep(&parts(job), |_| true)?;
    let gone = names.iter().filter(|name| !name.contains("/incarnations/"));
    gone.map(|name| store.delete(name).map(|()| usize::from(name.contains("/manifests/")))).sum()
}

/// Reads the parts of a manifest.
pub fn read_parts(store: &impl Store, manifest: Manifest) -> Result<Restored, Unfit> {
    manifest.check()?;
    let read = |part: &Part| {
        let bytes = store.get(&part.name).map_err(Unfit::Unreadable)?;
        let bytes = bytes.ok_or_else(|| Unfit::Damaged(format!("{} is gone", part.name)))?;
        let is_whole = bytes.len() as u64 == part.bytes && checksum(&bytes) == part.checksum;
        if is_whole { Ok(bytes) } else { Err(Unfit::Damaged(format!("{} is not what was written", part.name))) }
    };
    let parts = manifest.parts.iter().map(read).collect::<Result<Vec<_>, Unfit>>()?;
    Ok(Restored { manifest, parts })
}

fn parts(job: &str) -> String {
    format!("{job}/parts/")
}

fn departure(job: &str, incarnation: u64) -> String {
    format!("{job}/departures/{incarnation:010}")
}

fn number_in(name: &str, prefix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.parse().ok()
}

fn checksum(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

#[cfg(test)]
mod tests;
