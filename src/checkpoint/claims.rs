//! Claims: which incarnations of a job there are, and which of them may still be at work.
//!
//! A start takes the next number by conditional creation, and no number is ever free again: one that fails notes beside its
//! claim that nobody goes on under it. Invariant: whoever is replaced finds a later claim that stands. Limits: one that was
//! killed while it started stands, too, for nobody can tell that it is not at work.

use super::{Store, StoreError, number_in};

/// What is put behind the name of a claim that is withdrawn.
const WITHDRAWN: &str = "-withdrawn";

/// Takes the next number. Of several that try at once each gets another one.
pub(super) fn take(store: &mut impl Store, job: &str) -> Result<u64, StoreError> {
    let names = store.list(&prefix(job))?;
    for incarnation in newest(&names, job, |_| true) + 1.. {
        if store.create(&claim(job, incarnation), b"")? {
            return Ok(incarnation);
        }
    }
    Err(StoreError("there is no number left for an incarnation".to_owned()))
}

/// Notes that nobody goes on under this number, nor ever wrote a checkpoint.
pub(super) fn withdraw(store: &mut impl Store, job: &str, incarnation: u64) -> Result<(), StoreError> {
    store.put(&withdrawn(&claim(job, incarnation)), b"")
}

/// The newest one that stands; 0 where none does.
pub(super) fn newest_standing(store: &impl Store, job: &str) -> Result<u64, StoreError> {
    let names = store.list(&prefix(job))?;
    Ok(newest(&names, job, |name| names.binary_search(&withdrawn(name)).is_err()))
}

fn newest(names: &[String], job: &str, counts: impl Fn(&str) -> bool) -> u64 {
    let claims = names.iter().filter(|name| counts(name));
    claims.filter_map(|name| number_in(name, &prefix(job))).max().unwrap_or(0)
}

fn prefix(job: &str) -> String {
    format!("{job}/incarnations/")
}

fn claim(job: &str, incarnation: u64) -> String {
    format!("{}{incarnation:010}", prefix(job))
}

fn withdrawn(claim: &str) -> String {
    format!("{claim}{WITHDRAWN}")
}
