//! SQLite: a table a collection and the views of outputs.md in one file, the embedded default store, replaced by a replay
//! ([`Sqlite`]) or kept up to date by a job ([`live`]).
//!
//! Everything of a commit appears in one step. A new file of a replay is written beside and renamed into place, without a
//! journal, since nobody sees it before; the content of a file of ours is replaced in one transaction, which readers in
//! other programs do not notice before it is done (write-ahead log). Invariant: what is not ours, a device or a link as
//! well as a file, and what a job keeps up to date, is neither written to nor replaced.
//! Limits: rows with the same key, as of dead letters whose records CR alone divides, become one.

pub mod live;
mod schema;

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dataflows::views::collection::{Collection, Column, ColumnType};
use rusqlite::types::Null;
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags};
use tempfile::NamedTempFile;

use super::commits::owner::Owner;
use super::sql::ADDED_RULE;
use super::sql::Dialect::Sqlite as Sql;
use super::text_row::TextRow;
use super::{Found, Sink, Writer, would_overwrite};
use crate::error::{JobError, JobResult};
use crate::interrupt::{self, Death};

/// What every SQLite file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Marks a SQLite file as ours: `ordw`, at this place of its header.
const APPLICATION_ID: u32 = u32::from_be_bytes(*b"ordw");
const APPLICATION_ID_OFFSET: usize = 68;
/// How long another program may hold the lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages of tables and memory to sort indexes in; a larger one gains nothing where rows come in the order of keys.
const CACHE_KIB: i64 = 32 << 10;
/// Threads that help to sort an index.
const SORT_THREADS: i64 = 2;
/// Of a new file: larger pages are split less often.
const PAGE_BYTES: i64 = 16 << 10;

/// Rows are inserted in pieces of about this size: other threads wait meanwhile.
const PIECE_BYTES: usize = 64 << 10;

/// A SQLite file.
pub struct Sqlite {
    path: PathBuf,
    /// What is renamed into place; none where a file of ours is there.
    new: Mutex<Option<NamedTempFile>>,
    /// Open from the first collection on, within a transaction; rows of several collections come in turns.
    connection: Mutex<Option<Connection>>,
}

/// A table of which rows are written.
struct Unfinished<'s> {
    sqlite: &'s Sqlite,
    collection: Collection,
    insert: String,
    /// Rows that wait to be inserted, one after another.
    piece: String,
}

impl Sqlite {
    /// Tries whether there is, or can be, a file of ours that can be written to.
    pub fn create(path: &Path) -> JobResult<Sqlite> {
        let mut sqlite = Sqlite { path: path.to_path_buf(), new: Mutex::default(), connection: Mutex::default() };
        if is_there(path)? {
            sqlite.begin_transaction().map(drop)?;
        } else {
            // A link stays, what it leads to is replaced.
            if path.is_symlink() {
                sqlite.path = path.canonicalize().map_err(|error| cannot_write(path, &error))?;
            }
            let new = interrupt::temporary(&sqlite.path, Death::Old).map_err(|error| cannot_write(path, &error))?;
            sqlite.new = Mutex::new(Some(new));
        }
        Ok(sqlite)
    }

    /// Tries the same, and leaves nothing behind.
    pub fn probe(path: &Path) -> JobResult<()> {
        Sqlite::create(path).map(drop)
    }

    /// Opens the file and begins the transaction, unless the file is a job's.
    fn begin_transaction(&self) -> JobResult<Connection> {
        let new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        let path = new.as_ref().map_or(self.path.as_path(), |new| new.path());
        let begun = || -> rusqlite::Result<Connection> {
            let connection = open(path, OpenFlags::empty())?;
            connection.pragma_update(None, "threads", SORT_THREADS)?;
            match *new {
                // What fails is thrown away whole, so there is nothing to roll back to.
                Some(_) => {
                    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
                    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
                    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
                }
                // A commit survives the program's end; a power failure may lose the last one, never half of it.
                None => connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")?,
            }
            connection.execute_batch("BEGIN IMMEDIATE")?;
            Ok(connection)
        };
        let connection = begun().map_err(|error| refused(&self.path, None, &error))?;
        schema::spare(&connection, &self.path, Owner::Replay)?;
        Ok(connection)
    }

    /// Works in the transaction that has begun. Where that fails nobody else goes on in it: SQLite may have rolled it back,
    /// and whatever came now would change what was there before.
    fn with(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> JobResult<()> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.as_ref().map_or(Ok(()), work).map_err(|error| {
            *connection = None;
            refused(&self.path, None, &error)
        })
    }

    fn finish(&self, is_new: bool) -> rusqlite::Result<()> {
        let Some(connection) = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        connection.execute_batch(&schema::views())?;
        connection.execute_batch("COMMIT")?;
        if is_new {
            // The next job replaces its content while others read.
            connection.execute_batch("PRAGMA journal_mode = WAL")?;
        }
        connection.close().map_err(|(_, error)| error)
    }
}

impl Sink for Sqlite {
    fn begin(&self, collection: Collection) -> JobResult<Box<dyn Writer + '_>> {
        {
            let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            if connection.is_none() {
                *connection = Some(self.begin_transaction()?);
            }
        }
        let table = format!("DROP TABLE IF EXISTS \"{}\"; {}", collection.name, Sql.table(&collection));
        self.with(|connection| connection.execute_batch(&table))?;
        Ok(Box::new(Unfinished {
            sqlite: self,
            collection,
            insert: insert_into("INSERT OR REPLACE", &collection),
            piece: String::new(),
        }))
    }

    fn commit(&self) -> JobResult<()> {
        interrupt::whole(|| {
            let new = self.new.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.finish(new.is_some()).map_err(|error| refused(&self.path, None, &error))?;
            let Some(new) = new else { return Ok(()) };
            // A job may have come there since.
            if is_there(&self.path)? {
                self.begin_transaction().map(drop)?;
            } else {
                remove_logs(&self.path);
            }
            let moved = new.as_file().sync_all().and_then(|()| new.persist(&self.path).map(drop).map_err(|e| e.error));
            moved.map_err(|error| cannot_write(&self.path, &error))
        })
    }
}

impl Unfinished<'_> {
    /// Inserts the rows that wait.
    fn insert(&mut self) -> JobResult<()> {
        let inserted = self.sqlite.with(|connection| {
            let mut insert = connection.prepare_cached(&self.insert)?;
            let mut cells = TextRow::new(&self.piece).cells().peekable();
            while cells.peek().is_some() {
                execute(&mut insert, &self.collection, &mut cells)?;
            }
            Ok(())
        });
        self.piece.clear();
        inserted
    }
}

impl Writer for Unfinished<'_> {
    fn write(&mut self, row: TextRow<'_>) -> JobResult<()> {
        self.piece.push_str(row.text());
        if self.piece.len() >= PIECE_BYTES { self.insert() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> JobResult<()> {
        self.insert()?;
        // Of a table that is complete an index is sorted once.
        self.sqlite.with(|connection| connection.execute_batch(&Sql.indexes(&self.collection)))
    }
}

/// Looks at what stands at `path`, and at the header of a regular file: whoever opened a pipe would wait. Not for whoever
/// has a connection to it: a file that is closed gives up the locks that its process holds on it.
pub fn find(path: &Path) -> io::Result<Found> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(if path.is_symlink() { Found::Foreign("is a link to nothing") } else { Found::Nothing });
        }
        Err(error) => return Err(error),
        Ok(there) if there.is_dir() => return Ok(Found::Foreign("is a directory")),
        Ok(there) if !there.is_file() => return Ok(Found::Foreign("is no regular file")),
        Ok(_) => {}
    }
    let mut header = Vec::new();
    let id = APPLICATION_ID_OFFSET..APPLICATION_ID_OFFSET + size_of::<u32>();
    File::open(path)?.take(id.end as u64).read_to_end(&mut header)?;
    Ok(match () {
        () if header.is_empty() => Found::Nothing,
        () if !header.starts_with(MAGIC) => Found::Foreign("is no SQLite file"),
        () if header.get(id) == Some(&APPLICATION_ID.to_be_bytes()) => Found::Ours,
        () => Found::Foreign("was not written by orderwatch"),
    })
}

/// True where a file of ours is there, false where nothing is; what is not ours is refused.
fn is_there(path: &Path) -> JobResult<bool> {
    match find(path).map_err(|error| cannot_write(path, &error))? {
        Found::Ours => Ok(true),
        Found::Nothing => Ok(false),
        Found::Foreign(what) => Err(would_overwrite("--sqlite", what, path)),
    }
}

/// Removes the logs of a file that is gone, as one that was removed after a kill leaves them: SQLite would take them for
/// those of whatever comes to its place.
fn remove_logs(path: &Path) {
    for ending in ["-wal", "-journal"] {
        let mut log = path.as_os_str().to_owned();
        log.push(ending);
        // Mostly there is none.
        let _ = fs::remove_file(log);
    }
}

/// Opens a file to write to it, for one thread at a time: its owner sees to that.
fn open(path: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}

/// SQLite did not do what it was asked for, with this table where it was about one.
fn refused(path: &Path, table: Option<&str>, error: &rusqlite::Error) -> JobError {
    let remedy = match (error.sqlite_error_code(), table) {
        (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _) => {
            "another program writes to it, or holds a lock on it: end that, or name another file with --sqlite"
        }
        // A limit of file sizes is no full disk to SQLite, but an error of it.
        (Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure), _) => {
            "free some space, there or in TMPDIR, see to `ulimit -f`, or name another file with --sqlite; \
             an earlier file is as it was"
        }
        (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), _) => {
            "the file is damaged: move it away, or name another one with --sqlite"
        }
        (Some(ErrorCode::ConstraintViolation), Some(_)) => ADDED_RULE,
        (None | Some(ErrorCode::Unknown), Some(_)) => {
            "the table was dropped or altered: put it back as it was, or move the file away and start anew"
        }
        _ => "name a file that you may write to, in a directory that you may write to, with --sqlite",
    };
    let why = match error {
        // Otherwise with all of the SQL.
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        _ => error.to_string(),
    };
    let table = table.map_or_else(String::new, |table| format!(", table {table}"));
    JobError::job(format!("cannot write the SQLite file: {why}"))
        .at(format!("{}{table}", path.display()))
        .remedy(remedy)
}

fn cannot_write(path: &Path, error: &io::Error) -> JobError {
    let remedy = "name a file that you may write to, in a directory with enough space, with --sqlite";
    JobError::io("write the SQLite file", path, error).remedy(remedy)
}

/// Inserts a row, by this verb.
fn insert_into(verb: &str, collection: &Collection) -> String {
    let names: Vec<String> = collection.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    let places = vec!["?"; names.len()].join(", ");
    format!("{verb} INTO \"{}\" ({}) VALUES ({places})", collection.name, names.join(", "))
}

/// Executes a statement with these cells, those of the first columns.
fn execute<'t>(
    statement: &mut CachedStatement<'_>,
    collection: &Collection,
    cells: impl Iterator<Item = Cow<'t, str>>,
) -> rusqlite::Result<()> {
    for (place, (column, text)) in collection.columns.iter().zip(cells).enumerate() {
        bind(statement, place + 1, column, &text)?;
    }
    statement.raw_execute().map(drop)
}

/// A value as SQL: whole numbers and seconds are numbers, the rest is text as in the CSV file.
fn bind(statement: &mut CachedStatement<'_>, place: usize, column: &Column, text: &str) -> rusqlite::Result<()> {
    // A key takes no NULL: NULLs are not equal to each other.
    if text.is_empty() && Sql.is_nullable(column) {
        return statement.raw_bind_parameter(place, Null);
    }
    match column.column_type {
        ColumnType::Integer if let Ok(number) = text.parse::<i64>() => statement.raw_bind_parameter(place, number),
        // That of seconds becomes a number by its column's affinity.
        _ => statement.raw_bind_parameter(place, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::text_row::write_text;
    use dataflows::views::COLLECTIONS;

    #[test]
    fn no_text_of_a_record_is_too_long_or_too_strange_for_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.sqlite");
        let sqlite = Sqlite::create(&path).unwrap();
        let collection = COLLECTIONS.iter().find(|collection| collection.name == "category_metrics").unwrap();
        let long = "ü".repeat(100_000);
        // As bytes order them.
        let categories = ["x", "x\0", "x\0\0", "x\0a", "x\u{fffd}", &long];
        let mut writer = sqlite.begin(*collection).unwrap();
        for category in categories {
            let mut row = String::new();
            ["total", "", "acme", category, "1", "1.50"].iter().for_each(|cell| write_text(cell, &mut row));
            writer.write(TextRow::new(&row)).unwrap();
        }
        writer.finish().unwrap();
        sqlite.commit().unwrap();
        let connection = Connection::open(&path).unwrap();
        let mut statement = connection.prepare("SELECT category FROM category_metrics ORDER BY category").unwrap();
        let found = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(found.collect::<Result<Vec<_>, _>>().unwrap(), categories);
    }
}
