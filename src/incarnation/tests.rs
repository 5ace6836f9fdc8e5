//! Sinks that were left out and are named again, and what is enough to have a job go on.

use std::iter::once;

use super::*;
use crate::checkpoint::Successors;
use crate::clock::partitions::Cut;
use crate::sink::commits::tests::Kept;
use crate::sink::commits::{Commits, Outcome};
use crate::store::Objects;

/// A job in a directory of its own.
struct Job {
    store: Objects,
    folder: tempfile::TempDir,
}

impl Job {
    fn new() -> Job {
        let folder = tempfile::tempdir().unwrap();
        Job { store: Objects::open(&folder.path().display().to_string()).unwrap(), folder }
    }

    fn start(&mut self, sinks: &mut [Kept]) -> Result<Start, StartError> {
        start(&mut self.store, "shop", 7, sinks)
    }

    fn write(&mut self, checkpoints: &Checkpoints, frontier: Time) {
        let part = checkpoints.put_part(&mut self.store, frontier, 0, 1, once(Ok(b"state".to_vec()))).unwrap();
        checkpoints.complete(&mut self.store, frontier, &Cut::new(), vec![part]).unwrap();
    }
}

/// A store of which an object cannot be read for now.
struct Unreadable<'s> {
    store: &'s mut Objects,
    prefix: &'static str,
}

impl Store for Unreadable<'_> {
    fn put(&mut self, name: &str, pieces: impl Iterator<Item = Result<Vec<u8>, StoreError>>) -> Result<(), StoreError> {
        self.store.put(name, pieces)
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        self.store.create(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if name.starts_with(self.prefix) { Err(StoreError("away".to_owned())) } else { self.store.get(name) }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.store.list(prefix)
    }

    fn delete(&mut self, name: &str) -> Result<(), StoreError> {
        self.store.delete(name)
    }

    fn sweep(&mut self, folder: &str, is_left: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        self.store.sweep(folder, is_left)
    }
}

/// Brings a sink up to `frontier`, by whoever may commit.
fn commit(sink: &mut Kept, frontier: Time) {
    let mut commits = Commits::<()>::new(sink.0.clone(), &Trail::new());
    assert_eq!(commits.commit(frontier, sink), Outcome::Done);
}

#[test]
fn a_sink_whose_reading_was_given_up_while_it_was_left_out_is_refused_until_it_is_empty() {
    let (mut job, mut sinks) = (Job::new(), [Kept::default(), Kept::default()]);
    let killed = job.start(&mut sinks).unwrap().checkpoints;
    job.write(&killed, 80);
    commit(&mut sinks[0], 100);
    commit(&mut sinks[1], 90);
    assert_eq!(job.start(&mut sinks[1..]).unwrap().followed_until, 90);
    commit(&mut sinks[1], 120);
    let refused = StartError::GivenUp(vec![0]);
    assert_eq!(job.start(&mut sinks).unwrap_err(), refused);
    // To start in vain makes nothing of what it holds one's own.
    assert_eq!(job.start(&mut sinks).unwrap_err(), refused);
    assert_eq!(job.start(&mut sinks[..1]).unwrap_err(), refused);
    sinks[0] = Kept::default();
    let started = job.start(&mut sinks).unwrap();
    assert_eq!(started.restored.unwrap().manifest.frontier, 80);
    assert_eq!((started.followed_until, started.sinks[0].begins()), (120, 80));
}

#[test]
fn a_sink_that_the_others_followed_to_its_end_is_taken_up_again() {
    let (mut job, mut sinks) = (Job::new(), [Kept::default(), Kept::default()]);
    let killed = job.start(&mut sinks).unwrap().checkpoints;
    job.write(&killed, 80);
    commit(&mut sinks[0], 100);
    commit(&mut sinks[1], 110);
    job.start(&mut sinks[1..]).unwrap();
    commit(&mut sinks[1], 120);
    let started = job.start(&mut sinks).unwrap();
    assert_eq!((started.followed_until, started.sinks[0].begins()), (120, 100));
}

#[test]
fn a_sink_that_is_behind_is_named_and_to_empty_it_is_enough() {
    let (mut job, mut sinks) = (Job::new(), [Kept::default(), Kept::default()]);
    let both = job.start(&mut sinks).unwrap().checkpoints;
    job.write(&both, 80);
    sinks.iter_mut().for_each(|sink| commit(sink, 100));
    let one = job.start(&mut sinks[1..]).unwrap().checkpoints;
    (2..5).for_each(|hundreds| job.write(&one, hundreds * 100));
    commit(&mut sinks[1], 400);
    one.prune(&mut job.store, 400, &mut Successors::default()).unwrap();
    let behind = StartError::Behind(vec![0]);
    assert_eq!(job.start(&mut sinks).unwrap_err(), behind);
    assert_eq!(job.start(&mut sinks[..1]).unwrap_err(), behind);
    // With another configuration that is no help.
    let other = start(&mut job.store, "shop", 8, &mut sinks);
    assert!(matches!(other, Err(StartError::NothingFits(_))), "{other:?}");
    sinks[0] = Kept::default();
    let started = job.start(&mut sinks).unwrap();
    assert_eq!((started.followed_until, started.sinks[0].begins()), (400, 400));
}

#[test]
fn a_sink_from_before_all_others_began_is_not_followed() {
    let (mut job, mut sinks) = (Job::new(), [Kept::default(), Kept::default()]);
    let killed = job.start(&mut sinks[..1]).unwrap().checkpoints;
    job.write(&killed, 80);
    job.write(&killed, 110);
    commit(&mut sinks[0], 100);
    // The marks from 80 to 110 are with the first alone, as far as it is.
    assert_eq!(job.start(&mut sinks[1..]).unwrap().sinks[0].begins(), 110);
    commit(&mut sinks[1], 120);
    assert_eq!(job.start(&mut sinks).unwrap_err(), StartError::Behind(vec![0]));
}

#[test]
fn no_sink_is_behind_a_checkpoint_while_another_cannot_be_read() {
    let (mut job, mut sinks) = (Job::new(), [Kept::default(), Kept::default()]);
    let both = job.start(&mut sinks).unwrap().checkpoints;
    job.write(&both, 80);
    commit(&mut sinks[0], 100);
    commit(&mut sinks[1], 200);
    job.write(&both, 150);
    let mut store = Unreadable { store: &mut job.store, prefix: "shop/manifests/00000000000000000080" };
    let refused = start(&mut store, "shop", 7, &mut sinks).unwrap_err();
    assert_eq!(refused, StartError::Store(StoreError("away".to_owned())), "the next start may read it");
    assert_eq!(job.start(&mut sinks).unwrap().restored.unwrap().manifest.frontier, 80);
}

#[test]
fn what_an_earlier_incarnation_did_not_finish_goes_with_the_next_start() {
    let mut job = Job::new();
    let part = |name: &str| job.folder.path().join("shop/parts").join(name);
    let of_first = part("00000000000000000080-0000000001/00001-3#1");
    let (whole, of_later) =
        (part("00000000000000000080-0000000001/00000-3"), part("00000000000000000090-0000000003/00000-1#1"));
    for path in [&of_first, &whole, &of_later] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"part").unwrap();
    }
    job.start(&mut []).unwrap();
    assert!(of_first.exists(), "of its own, which another process may be writing");
    job.start(&mut []).unwrap();
    assert_eq!([&of_first, &whole, &of_later].map(|path| path.exists()), [false, true, true]);
}
