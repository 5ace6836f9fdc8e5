//! Inputs as they are named, before any is opened: each is read once, under the first of its names; what can be read once only
//! is neither named twice nor read by several processes, nor by a replay that is to go on later.
//!
//! Limits: a copy is another input, and so is a directory whose files are links to those of another one.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::ReplayOptions;
use crate::error::{JobError, JobResult};

/// The inputs without those that are there before under whatever name, which is warned of. Refuses one that cannot be there
/// twice, and one that this many processes, or the same command where it `goes_on` later, would not read alike.
pub fn distinct(options: &ReplayOptions, processes: usize, goes_on: bool) -> JobResult<Vec<PathBuf>> {
    let mut seen: Vec<(&PathBuf, Option<(u64, u64)>)> = Vec::new();
    for input in &options.inputs {
        // Topics are no files, and what is not there is told when it is opened.
        let found = metadata(input).ok();
        let file = found.as_ref().map(|found| (found.dev(), found.ino()));
        let is_kept = found.as_ref().is_none_or(|found| found.is_file() || found.is_dir());
        let is_read_once = is_standard_input(input) || !is_kept;
        let same = seen.iter().find(|(path, known)| *path == input || file.is_some() && *known == file);
        let error = if let Some((first, _)) = same {
            let (first, again) = (first.display(), input.display());
            if found.is_some() && !is_read_once {
                tracing::warn!("an input is named twice: {first} and {again}; it is read once");
                continue;
            }
            JobError::configuration(format!("an input is named twice: {first} and {again}"))
                .remedy(format!("name `{first}` once"))
        } else if is_read_once && processes > 1 {
            JobError::configuration("processes of a cluster cannot share an input that can be read once only")
                .remedy("put it into a file that all of them can read, or leave -n and -p out")
        } else if is_read_once && goes_on {
            JobError::configuration("of an input that can be read once only nobody knows whether it is the same again")
                .remedy("put it into a file, or leave --checkpoint out")
        } else {
            seen.push((input, file));
            continue;
        };
        return Err(error.at(input.display().to_string()));
    }
    Ok(seen.into_iter().map(|(input, _)| input.clone()).collect())
}

/// True where an input is standard input, whatever file may have that name.
pub fn is_standard_input(input: &Path) -> bool {
    input.as_os_str() == "-"
}

/// What is known of the file that an input is.
pub fn metadata(input: &Path) -> io::Result<Metadata> {
    match is_standard_input(input) {
        true => File::from(io::stdin().as_fd().try_clone_to_owned()?).metadata(),
        false => fs::metadata(input),
    }
}
