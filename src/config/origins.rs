//! Where values were written whose users know no more of them than a flag: an address, a store, a plan.
//!
//! Invariant: an error that names such a flag, though a file or a variable said the value, names key and place instead.
//! Limits: it is placed by whoever shows it, for those who use the value do not know the configuration.

use std::collections::BTreeMap;
use std::fmt;

use super::Merged;
use super::layer::BUILT_IN;
use crate::error::JobError;

/// Flags as errors name them, and their keys.
const NAMED: [(&str, &str); 3] =
    [("flag --checkpoint", "checkpoint.store"), ("flag --plan", "job.plan"), ("flag --serve", "serve.address")];

/// Keys and places by flags, where a file or a variable says the value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<&'static str, String>);

impl fmt::Debug for Origins {
    // Without the places: whoever says a value, it is the same configuration.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

impl Origins {
    pub(super) fn of(merged: &Merged) -> Origins {
        let elsewhere = |(flag, key): (&'static str, &str)| {
            let origin = merged.origin(key);
            (origin != flag && origin != BUILT_IN).then(|| (flag, format!("{key}, {origin}")))
        };
        Origins(NAMED.into_iter().filter_map(elsewhere).collect())
    }

    /// The error, with the place where the value was written whose flag it names.
    pub fn place(&self, error: JobError) -> JobError {
        match error.location().and_then(|flag| self.0.get(flag)) {
            Some(origin) => error.at(origin.clone()),
            None => error,
        }
    }
}
