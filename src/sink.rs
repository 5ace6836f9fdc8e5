//! Sinks: results out. The second seam: [`Sink`], one implementation a kind.
//!
//! A sink knows collections by name, columns and cells; it lists no columns by hand.

pub mod cell;
pub mod commits;
pub mod console;
pub mod files;
pub mod sqlite;

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dataflows::views::collection::{Cell, Column};
use tempfile::NamedTempFile;

use crate::error::JobResult;
use crate::interrupt;

/// Where results go.
pub trait Sink {
    /// Writes a collection as of the job's frontier; rows come in the order of their keys.
    fn write(
        &mut self,
        name: &'static str,
        columns: &'static [Column],
        rows: &mut dyn Iterator<Item = Vec<Cell>>,
    ) -> JobResult<()>;

    /// True where rows must come in the order of their keys.
    fn needs_order(&self) -> bool;

    /// Makes everything written visible at once; without it nothing is.
    fn commit(&mut self) -> JobResult<()>;
}

/// A file to be renamed into place within `directory`, which an interruption removes. Readable by all, as files made by
/// hand are; the process's mask still applies.
fn temporary(directory: &Path, name: &str) -> io::Result<NamedTempFile> {
    let prefix = format!(".{name}.");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).permissions(Permissions::from_mode(0o666));
    interrupt::unfinished_temporary(|| builder.tempfile_in(directory))
}
