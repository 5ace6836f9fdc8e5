//! Outputs that need the same place: a replay with them would fail when all has been read and the results are put there. And
//! logs in the place of an input, which they would make longer, or of results.
//!
//! Invariant: refused before anything is read, as `orderwatch check` says; whatever of the places exists nothing is made, and
//! links are followed. Limits: what becomes of the places later their sinks see.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dataflows::views::COLLECTIONS;

use crate::cli::ReplayOptions;
use crate::config::Outputs;
use crate::error::{JobError, JobResult};
use crate::sink::files::Files;
use crate::source::inputs::named;
use crate::store::directory_of;

/// Refuses a SQLite file where another output is to have its directory or a file, or in a directory that is `watched`.
pub fn stand_apart(options: &ReplayOptions, watched: Option<&Path>, outputs: &Outputs) -> JobResult<()> {
    let Some(path) = &outputs.sqlite else { return Ok(()) };
    if becomes_input(&resolved(path), watched) {
        return Err(refused("an input would be written into by --sqlite", "--sqlite", path));
    }
    match needing(&resolved(path), options, outputs) {
        Some(flag) => Err(refused(&format!("{flag} needs the same place as --sqlite"), "--sqlite", path)),
        None => Ok(()),
    }
}

/// Refuses a log file that is an input, be it a table of a directory, that would become one in a directory that is `watched`,
/// or that is where an output is to be.
pub fn log_stands_apart(
    log: &Path,
    options: &ReplayOptions,
    watched: Option<&Path>,
    outputs: &Outputs,
) -> JobResult<()> {
    let place = resolved(log);
    let is_read =
        becomes_input(&place, watched) || is_input(log, options.inputs.iter().map(PathBuf::as_path).chain(watched));
    let is_sqlite = outputs.sqlite.as_deref().is_some_and(|sqlite| resolved(sqlite) == place);
    let what = match needing(&place, options, outputs).or(is_sqlite.then_some("--sqlite")) {
        _ if is_read => "an input would be written into by --log-file".to_owned(),
        Some(flag) => format!("{flag} needs the same place as --log-file"),
        None => return Ok(()),
    };
    Err(refused(&what, "--log-file", log))
}

/// True for a file that would stand in a directory that is watched.
fn becomes_input(place: &Path, watched: Option<&Path>) -> bool {
    watched.is_some_and(|directory| place.parent() == Some(&*resolved(directory)))
}

/// True where there is a file that is read, whatever names it has.
fn is_input<'p>(file: &Path, mut inputs: impl Iterator<Item = &'p Path>) -> bool {
    let number = |found: Metadata| found.is_file().then(|| (found.dev(), found.ino()));
    let number_at = |path: &Path| named::metadata(path).ok().and_then(number);
    let Some(wanted) = file.metadata().ok().and_then(number) else { return false };
    inputs.any(|input| {
        let mut within = input.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
        number_at(input) == Some(wanted) || within.any(|table| number_at(&table) == Some(wanted))
    })
}

/// The flag of an output that is to have its directory or a file where `file` is.
fn needing(file: &Path, options: &ReplayOptions, outputs: &Outputs) -> Option<&'static str> {
    let has_result_there = |out: &Path| {
        let name = |name: &str| format!("{name}.{}", options.format.extension());
        COLLECTIONS.iter().any(|collection| resolved(out).join(name(collection.name)).starts_with(file))
    };
    let has_checkpoints_there = |store: &Path| resolved(store).starts_with(file);
    if options.out.as_deref().is_some_and(has_result_there) {
        return Some("--out");
    }
    outputs.store.as_deref().and_then(directory_of).is_some_and(has_checkpoints_there).then_some("--checkpoint")
}

fn refused(what: &str, flag: &str, path: &Path) -> JobError {
    let error = JobError::configuration(what).at(path.display().to_string());
    error.remedy(format!("name another file with {flag}"))
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
