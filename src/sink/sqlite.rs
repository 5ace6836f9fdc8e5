//! SQLite: a table a collection and the views of outputs.md in one file, the embedded default store.
//!
//! Everything of a commit appears in one step. A new file is written beside and renamed into place, without a journal,
//! since nobody sees it before; the content of a file of ours is replaced in one transaction, which readers in other
//! programs do not notice before it is done (write-ahead log). Invariant: a file that is not ours is never written to.
//! Limits: rows with the same key, as an input named twice makes of its dead letters, become one.

pub mod schema;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dataflows::views::collection::{Cell, Column};
use rusqlite::types::Null;
use rusqlite::{Connection, ErrorCode, OpenFlags, Statement};
use tempfile::NamedTempFile;

use super::{Sink, cell, temporary};
use crate::error::{JobError, JobResult};
use crate::interrupt;

/// What every SQLite file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Marks a SQLite file as ours: `ordw`, at this place of its header.
const APPLICATION_ID: u32 = u32::from_be_bytes(*b"ordw");
const APPLICATION_ID_OFFSET: usize = 68;
/// How long another program may hold the lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages of tables and memory to sort indexes in; a larger one gains nothing where rows come in the order of keys.
const CACHE_KIB: i64 = 32 << 10;

/// A SQLite file.
pub struct Sqlite {
    path: PathBuf,
    /// What is renamed into place; none where a file of ours is there.
    new: Option<NamedTempFile>,
    /// Open from the first collection on, within a transaction.
    connection: Option<Connection>,
}

impl Sqlite {
    /// Tries whether there is, or can be, a file of ours that can be written to.
    pub fn create(path: &Path) -> JobResult<Sqlite> {
        let mut sqlite = Sqlite { path: path.to_path_buf(), new: None, connection: None };
        match find(path).map_err(|error| cannot_write(path, &error))? {
            Found::Ours => sqlite.begin().map(drop).map_err(|error| sqlite.refused(&error))?,
            Found::Nothing => {
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                sqlite.new = Some(temporary(directory, &name).map_err(|error| cannot_write(path, &error))?);
            }
            Found::Foreign(what) => {
                return Err(JobError::job(format!("--sqlite would overwrite what is not its own: the file {what}"))
                    .at(path.display().to_string())
                    .remedy("name another file, or move this one away"));
            }
        }
        Ok(sqlite)
    }

    /// Tries the same, and leaves nothing behind.
    pub fn probe(path: &Path) -> JobResult<()> {
        Sqlite::create(path).map(drop)
    }

    /// Opens the file and begins the transaction.
    fn begin(&self) -> rusqlite::Result<Connection> {
        let path = self.new.as_ref().map_or(self.path.as_path(), |new| new.path());
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        match self.new {
            // What fails is thrown away whole, so there is nothing to roll back to.
            Some(_) => {
                connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
                connection.pragma_update(None, "application_id", APPLICATION_ID)?;
            }
            // A commit survives the program's end; a power failure may lose the last one, never half of it.
            None => connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")?,
        }
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(connection)
    }

    fn write_table(
        &mut self,
        name: &str,
        columns: &[Column],
        rows: &mut dyn Iterator<Item = Vec<Cell>>,
    ) -> rusqlite::Result<()> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.begin()?,
        };
        let connection = self.connection.insert(connection);
        connection.execute_batch(&schema::table(name, columns))?;
        let mut insert = connection.prepare(&schema::insert(name, columns))?;
        let mut text = String::new();
        for row in rows {
            for (place, (column, cell)) in columns.iter().zip(&row).enumerate() {
                bind(&mut insert, place + 1, column, cell, &mut text)?;
            }
            insert.raw_execute()?;
        }
        // Of a table that is complete an index is sorted once.
        connection.execute_batch(&schema::indexes(name, columns))
    }

    fn finish(&mut self) -> rusqlite::Result<()> {
        let Some(connection) = self.connection.take() else { return Ok(()) };
        connection.execute_batch(&schema::views())?;
        connection.execute_batch("COMMIT")?;
        if self.new.is_some() {
            // The next job replaces its content while others read.
            connection.execute_batch("PRAGMA journal_mode = WAL")?;
        }
        connection.close().map_err(|(_, error)| error)
    }

    fn refused(&self, error: &rusqlite::Error) -> JobError {
        let remedy = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "another program writes to it, or holds a lock on it: end that, or name another file with --sqlite"
            }
            Some(ErrorCode::DiskFull) => {
                "free some space, there or in TMPDIR, or name another file with --sqlite; an earlier file is as it was"
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                "the file is damaged: move it away, or name another one with --sqlite"
            }
            _ => "name a file that you may write to, in a directory that you may write to, with --sqlite",
        };
        JobError::job(format!("cannot write the SQLite file: {error}"))
            .at(self.path.display().to_string())
            .remedy(remedy)
    }
}

impl Sink for Sqlite {
    fn write(
        &mut self,
        name: &'static str,
        columns: &'static [Column],
        rows: &mut dyn Iterator<Item = Vec<Cell>>,
    ) -> JobResult<()> {
        self.write_table(name, columns, rows).map_err(|error| self.refused(&error))
    }

    fn needs_order(&self) -> bool {
        true
    }

    fn commit(&mut self) -> JobResult<()> {
        interrupt::whole(|| {
            self.finish().map_err(|error| self.refused(&error))?;
            let Some(new) = self.new.take() else { return Ok(()) };
            let moved = new.as_file().sync_all().and_then(|()| new.persist(&self.path).map(drop).map_err(|e| e.error));
            moved.map_err(|error| cannot_write(&self.path, &error))
        })
    }
}

/// What there is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or an empty file.
    Nothing,
    /// A SQLite file of ours.
    Ours,
    /// Something else; what it is completes "the file …".
    Foreign(&'static str),
}

/// Looks at the header of the file at `path`.
pub fn find(path: &Path) -> io::Result<Found> {
    let mut header = Vec::new();
    let id = APPLICATION_ID_OFFSET..APPLICATION_ID_OFFSET + size_of::<u32>();
    Ok(match File::open(path).and_then(|file| file.take(id.end as u64).read_to_end(&mut header)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Found::Foreign("is a directory"),
        Err(error) => return Err(error),
        Ok(0) => Found::Nothing,
        Ok(_) if !header.starts_with(MAGIC) => Found::Foreign("is no SQLite file"),
        Ok(_) if header.get(id) == Some(&APPLICATION_ID.to_be_bytes()) => Found::Ours,
        Ok(_) => Found::Foreign("was not written by orderwatch"),
    })
}

fn cannot_write(path: &Path, error: &io::Error) -> JobError {
    let remedy = "name a file that you may write to, in a directory with enough space, with --sqlite";
    JobError::io("write the SQLite file", path, error).remedy(remedy)
}

/// A value as SQL: whole numbers and seconds are numbers, the rest is text as in the CSV file.
fn bind(
    insert: &mut Statement<'_>,
    place: usize,
    column: &Column,
    cell: &Cell,
    text: &mut String,
) -> rusqlite::Result<()> {
    match cell {
        // A key takes no NULL: NULLs are not equal to each other.
        Cell::Null if !column.is_key => return insert.raw_bind_parameter(place, Null),
        Cell::Integer(number) => return insert.raw_bind_parameter(place, number),
        _ => {}
    }
    text.clear();
    cell::write_text(cell, text);
    // That of seconds becomes a number by its column's affinity.
    insert.raw_bind_parameter(place, text.as_str())
}
