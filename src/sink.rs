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

use std::path::Path;

use dataflows::views::collection::{Collection, Column, ColumnType};

use crate::error::{JobError, JobResult};
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

/// Takes the rows of one collection, from one thread after the other.
pub trait Writer: Send {
    /// Takes the next row, in the order of the key.
    fn write(&mut self, row: TextRow<'_>) -> JobResult<()>;

    /// There are no more; without it the collection is not complete.
    fn finish(self: Box<Self>) -> JobResult<()>;
}

/// What there is where a file is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing that could be lost.
    Nothing,
    /// A file of ours.
    Ours,
    /// Something else; what it is completes "the file …".
    Foreign(&'static str),
}

/// Why nothing is written to `path`, where something else stands.
fn would_overwrite(flag: &str, what: &str, path: &Path) -> JobError {
    JobError::configuration(format!("{flag} would overwrite what is not its own: the file {what}"))
        .at(path.display().to_string())
        .remedy(format!("name another file or directory with {flag}, or move this one away"))
}
