//! Sinks: results out. The second seam: [`Sink`], one implementation a kind.
//!
//! A sink knows collections by name and columns, and rows as text; it lists no columns by hand.

pub mod cell;
pub mod change;
pub mod commits;
pub mod committer;
pub mod console;
pub mod files;
pub mod kafka;
pub mod postgres;
pub mod sql;
pub mod sqlite;
pub mod text_row;

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dataflows::views::collection::{Collection, Column, ColumnType};
use tempfile::NamedTempFile;

use crate::error::JobResult;
use crate::interrupt;
use text_row::TextRow;

/// Where results go. Several collections may be written at a time, by several threads and by one.
pub trait Sink: Sync {
    /// Begins to write a collection as of the job's frontier.
    fn begin(&self, collection: Collection) -> JobResult<Box<dyn Writer + '_>>;

    /// Begins to write the updates of a collection up to the job's frontier, each a row with [`CHANGE_COLUMNS`] in front,
    /// in the order of time, key and diff; none where the sink only wants what stands in the end.
    fn begin_changes(&self, _: Collection) -> JobResult<Option<Box<dyn Writer + '_>>> {
        Ok(None)
    }

    /// Makes everything written visible at once; without it nothing is.
    fn commit(&self) -> JobResult<()>;
}

/// What stands in front of a row that was inserted or deleted.
pub const CHANGE_COLUMNS: [Column; 2] = [
    change_column("time", ColumnType::Time, " Logical time of the change."),
    change_column("diff", ColumnType::Integer, " 1: the row is there from then on; -1: no longer."),
];

const fn change_column(name: &'static str, column_type: ColumnType, doc: &'static str) -> Column {
    Column { name, is_key: true, is_optional: false, is_indexed: false, column_type, doc }
}

/// Takes the rows of one collection.
pub trait Writer {
    /// Takes the next row, in the order of the key.
    fn write(&mut self, row: TextRow<'_>) -> JobResult<()>;

    /// There are no more; without it the collection is not complete.
    fn finish(self: Box<Self>) -> JobResult<()>;
}

/// A file to be renamed into place within `directory`, which an interruption removes. Readable by all, as files made by
/// hand are; the process's mask still applies.
fn temporary(directory: &Path, name: &str) -> io::Result<NamedTempFile> {
    let prefix = format!(".{name}.");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).permissions(Permissions::from_mode(0o666));
    interrupt::unfinished_temporary(|| builder.tempfile_in(directory))
}
