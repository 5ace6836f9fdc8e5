//! Outputs that need the same place: a replay with them would fail when all has been read and the results are put there.
//!
//! Invariant: refused before anything is read, as `orderwatch check` says; whatever of the places exists nothing is made, and
//! links are followed. Limits: what becomes of the places later their sinks see.

use std::path::{Path, PathBuf};

use dataflows::views::COLLECTIONS;

use crate::cli::ReplayOptions;
use crate::error::{JobError, JobResult};
use crate::sink::files::Files;
use crate::store::directory_of;

/// Refuses a SQLite file where another output is to have its directory or a file.
pub fn stand_apart(options: &ReplayOptions) -> JobResult<()> {
    let Some(path) = &options.sqlite else { return Ok(()) };
    let file = resolved(path);
    let has_result_there = |out: &Path| {
        let name = |name: &str| format!("{name}.{}", options.format.extension());
        COLLECTIONS.iter().any(|collection| resolved(out).join(name(collection.name)).starts_with(&file))
    };
    let flag = if options.out.as_deref().is_some_and(has_result_there) {
        "--out"
    } else if options.store().and_then(directory_of).is_some_and(|store| resolved(store).starts_with(&file)) {
        "--checkpoint"
    } else {
        return Ok(());
    };
    let error = JobError::configuration(format!("{flag} needs the same place as --sqlite"));
    Err(error.at(path.display().to_string()).remedy("name another file with --sqlite"))
}

/// Where a path leads, whatever of it exists.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let there = Files::existing(&path);
    match there.canonicalize() {
        Ok(found) => found.join(path.strip_prefix(&there).unwrap_or(&path)),
        Err(_) => path,
    }
}
