//! Tables of a SQLite file that a job keeps up to date.
//!
//! A commit is one transaction: the job's row of `orderwatch_progress` moves under the condition that it stands where this
//! incarnation left it, then rows are replaced and deleted by key. Readers see the state as of one commit and hold nobody
//! up (write-ahead log, which grows for as long as one of them stays in its transaction). Invariant: what was told to be
//! done survives a power failure, for checkpoints from which it could be made again are removed then; and nothing is written
//! through a connection on which the progress has not been read first. Limits: a process that stands still within its
//! transaction holds up whoever else writes, until it goes on or ends; a file that is written over in its place is not
//! noticed, one that is moved or replaced is. Source: outputs.md; decision 10.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dataflows::time::Time;
use dataflows::views::COLLECTIONS;
use dataflows::views::collection::Collection;
use rusqlite::{Connection, ErrorCode, FileControl, MAIN_DB, OpenFlags, Row, TransactionBehavior};

use super::schema::{self, PROGRESS};
use super::{Sqlite, execute, insert_into, is_there, open, refused};
use crate::clock::partitions::Trail;
use crate::clock::trail;
use crate::error::JobResult;
use crate::instant::format_instant;
use crate::sink::change::{Change, netted};
use crate::sink::commits::owner::Owner;
use crate::sink::commits::{Outcome, Progress, Transactions};
use crate::sink::sql::Dialect::Sqlite as Sql;
use crate::sink::text_row::TextRow;

/// So long others that write are waited for.
const WRITERS_TIMEOUT: Duration = Duration::from_secs(30);
/// What is left of a write-ahead log that a long transaction, or a reader in one, made longer.
const LOG_KEPT_BYTES: i64 = 64 << 20;

/// Tables that a job keeps up to date.
pub struct LiveSqlite {
    path: PathBuf,
    job: String,
    /// None where it was lost, and the progress has not been read since.
    connection: Option<Connection>,
}

/// A step that failed: with the table it was about.
type Step<T> = Result<T, (Option<&'static str>, rusqlite::Error)>;

impl LiveSqlite {
    /// Makes the file where there is none, and the tables in it.
    pub fn open(path: &Path, job: &str) -> JobResult<LiveSqlite> {
        connect(path, job, OpenFlags::SQLITE_OPEN_CREATE)?;
        Ok(LiveSqlite { path: path.to_path_buf(), job: job.to_owned(), connection: None })
    }

    /// Tries the same, and leaves nothing behind.
    pub fn probe(path: &Path, job: &str) -> JobResult<()> {
        if !is_there(path)? {
            return Sqlite::probe(path);
        }
        let failed = |error: rusqlite::Error| refused(path, None, &error);
        let mut connection = open(path, OpenFlags::empty()).map_err(failed)?;
        // What is made comes to nothing with it.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        schema::prepare(&transaction, path, job)
    }

    fn fenced(&mut self, incarnation: u64) -> JobResult<Progress> {
        let connection = match self.connection.take().filter(is_in_place) {
            Some(connection) => connection,
            // One that was there is not made anew: whoever moved it may put it back.
            None => connect(&self.path, &self.job, OpenFlags::empty())?,
        };
        fence(self.connection.insert(connection), &self.path, &self.job, incarnation)
    }
}

impl Transactions<Change> for LiveSqlite {
    fn fence(&mut self, incarnation: u64) -> Option<Progress> {
        self.fenced(incarnation)
            .inspect_err(|error| {
                self.connection = None;
                error.warn();
            })
            .ok()
    }

    fn commit(&mut self, from: Time, to: &Progress, updates: &[(Change, Time)]) -> Outcome {
        // Whoever has no connection has to read the progress first.
        let Some(connection) = self.connection.as_mut().filter(|connection| is_in_place(connection)) else {
            return Outcome::Unknown;
        };
        match commit(connection, &self.job, from, to, updates) {
            Ok(outcome) => outcome,
            Err((table, error)) => {
                refused(&self.path, table, &error).warn();
                if is_refusal(&error) && connection.is_autocommit() {
                    return Outcome::Failed;
                }
                self.connection = None;
                Outcome::Unknown
            }
        }
    }
}

/// Opens the file, makes the tables where there are none, and sees whether the job may write to them.
fn connect(path: &Path, job: &str, more: OpenFlags) -> JobResult<Connection> {
    let failed = |error: rusqlite::Error| refused(path, None, &error);
    is_there(path)?;
    let mut connection = open(path, more).map_err(failed)?;
    let set = || -> rusqlite::Result<()> {
        connection.busy_timeout(WRITERS_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(2 * COLLECTIONS.len() + 1);
        connection.pragma_update(None, "journal_size_limit", LOG_KEPT_BYTES)?;
        // From what a power failure took back no checkpoint would lead on.
        connection.execute_batch("PRAGMA synchronous = FULL")
    };
    set().map_err(failed)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    schema::prepare(&transaction, path, job)?;
    transaction.commit().map_err(failed)?;
    // Not before: a new file would have a header then, without the mark by which it is known to be ours.
    connection.execute_batch("PRAGMA journal_mode = WAL").map_err(failed)?;
    Ok(connection)
}

fn fence(connection: &mut Connection, path: &Path, job: &str, incarnation: u64) -> JobResult<Progress> {
    let failed = |error: rusqlite::Error| refused(path, Some(PROGRESS), &error);
    let sql = format!(
        "INSERT INTO {PROGRESS} AS known (job, incarnation, frontier, trail) VALUES (?1, ?2, 0, ?3)
         ON CONFLICT (job) DO UPDATE SET incarnation = max(known.incarnation, excluded.incarnation)
         RETURNING incarnation, frontier, trail, complete_since, committed_by"
    );
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    // Another job, or a replay, may have come since the tables were made or looked at.
    schema::spare(&transaction, path, Owner::Job(job))?;
    let values = (job, incarnation.cast_signed(), trail::packed(&Trail::new()));
    let found = transaction.query_row(&sql, values, progress).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(found)
}

fn progress(row: &Row<'_>) -> rusqlite::Result<Progress> {
    let marks: Vec<u8> = row.get(2)?;
    Ok(Progress {
        incarnation: row.get::<_, i64>(0)?.cast_unsigned(),
        frontier: row.get::<_, i64>(1)?.cast_unsigned(),
        trail: trail::unpacked(&marks),
        complete_since: row.get::<_, i64>(3)?.cast_unsigned(),
        committed_by: row.get::<_, i64>(4)?.cast_unsigned(),
    })
}

fn commit(
    connection: &mut Connection,
    job: &str,
    from: Time,
    to: &Progress,
    updates: &[(Change, Time)],
) -> Step<Outcome> {
    let changes = netted(updates);
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|error| (None, error))?;
    if !advance(&transaction, job, from, to).map_err(|error| (Some(PROGRESS), error))? {
        let left_at = format_instant(from);
        tracing::warn!(
            "{PROGRESS} no longer says of job {job} what incarnation {} left there at {left_at}: another one has taken \
             over, or the file was put back to an earlier state",
            to.incarnation
        );
        return Ok(Outcome::Fenced);
    }
    for (table, (collection, keys)) in changes {
        put(&transaction, &collection, keys).map_err(|error| (Some(table), error))?;
    }
    transaction.commit().map_err(|error| (None, error))?;
    Ok(Outcome::Done)
}

/// Moves the progress; false where it is not ours to move.
fn advance(connection: &Connection, job: &str, from: Time, to: &Progress) -> rusqlite::Result<bool> {
    let mut update = connection.prepare_cached(&format!(
        "UPDATE {PROGRESS} SET frontier = ?4, trail = ?5, complete_since = ?6, committed_by = ?7
         WHERE job = ?1 AND incarnation = ?2 AND frontier = ?3"
    ))?;
    let [incarnation, from, frontier, complete_since, committed_by] =
        [to.incarnation, from, to.frontier, to.complete_since, to.committed_by].map(u64::cast_signed);
    let moved =
        update.execute((job, incarnation, from, frontier, trail::packed(&to.trail), complete_since, committed_by))?;
    Ok(moved == 1)
}

/// Replaces and deletes rows of a collection.
fn put(connection: &Connection, collection: &Collection, keys: BTreeMap<&str, Option<&str>>) -> rusqlite::Result<()> {
    let conditions: Vec<String> = Sql.key(collection, "").iter().map(|column| format!("{column} = ?")).collect();
    let delete = format!("DELETE FROM \"{}\" WHERE {}", collection.name, conditions.join(" AND "));
    let mut delete = connection.prepare_cached(&delete)?;
    // Columns that somebody added keep what they hold.
    let set = collection
        .columns
        .iter()
        .filter(|column| !column.is_key)
        .map(|column| format!("\"{0}\" = excluded.\"{0}\"", column.name));
    let done = match set.collect::<Vec<_>>().join(", ") {
        nothing if nothing.is_empty() => "NOTHING".to_owned(),
        set => format!("UPDATE SET {set}"),
    };
    let key = Sql.key(collection, "").join(", ");
    let mut replace =
        connection.prepare_cached(&format!("{} ON CONFLICT ({key}) DO {done}", insert_into("INSERT", collection)))?;
    for (key, row) in keys {
        let statement = if row.is_some() { &mut replace } else { &mut delete };
        let [key, row] = [key, row.unwrap_or_default()].map(|cells| TextRow::new(cells).cells());
        execute(statement, collection, key.chain(row))?;
    }
    Ok(())
}

/// True where the file is the one at its path.
fn is_in_place(connection: &Connection) -> bool {
    let mut has_moved = 0;
    connection.file_control(Some(MAIN_DB), FileControl::HasMoved(&mut has_moved)).is_ok() && has_moved == 0
}

/// True where SQLite did not do something, and can be asked for the next thing.
fn is_refusal(error: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DatabaseCorrupt, NotADatabase, SystemIoFailure};
    !matches!(error.sqlite_error_code(), Some(SystemIoFailure | CannotOpen | DatabaseCorrupt | NotADatabase))
}
