//! The tables in a SQLite file: made, and checked against what this version writes.
//!
//! Invariant: tables that are another one's, as `commits/owner.rs` has it, are not written to. Limits: a table may have
//! further columns, and indexes may have been dropped; what is checked is what a commit needs.

use std::collections::BTreeMap;
use std::path::Path;

use dataflows::views::COLLECTIONS;
use dataflows::views::collection::Collection;
use rusqlite::Connection;

use super::{APPLICATION_ID, refused};
use crate::error::{JobError, JobResult};
use crate::sink::commits::owner::Owner;
use crate::sink::sql::Dialect::Sqlite as Sql;

/// How far the job's transactions have come.
pub(super) const PROGRESS: &str = "orderwatch_progress";
const ANOTHER_FILE: &str = "name another file with --sqlite";
const PUT_BACK: &str = "put it back as it was; or move the file away, and have it written anew";

/// Columns with their types.
type Columns = BTreeMap<String, String>;

/// Within a transaction: refuses tables that are another one's. True where they are a job's already.
pub(super) fn spare(connection: &Connection, path: &Path, owner: Owner<'_>) -> JobResult<bool> {
    let failed = |error: rusqlite::Error| refused(path, Some(PROGRESS), &error);
    let jobs = || -> rusqlite::Result<Vec<String>> {
        if columns(connection, PROGRESS)?.is_empty() {
            return Ok(Vec::new());
        }
        let mut statement = connection.prepare(&format!("SELECT job FROM {PROGRESS}"))?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    let has_rows = |table: &str| -> rusqlite::Result<bool> {
        let row_of = format!("SELECT EXISTS (SELECT 1 FROM \"{table}\")");
        Ok(!columns(connection, table)?.is_empty() && connection.query_row(&row_of, [], |row| row.get(0))?)
    };
    let jobs = jobs().map_err(failed)?;
    let kept_out = owner.kept_out(&jobs, has_rows).map_err(failed)?;
    kept_out.map_or(Ok(!jobs.is_empty()), |what| refuse(path, what, ANOTHER_FILE))
}

/// Within a transaction: makes what `job` needs where there is nothing of ours, otherwise sees whether it may write.
pub(super) fn prepare(connection: &Connection, path: &Path, job: &str) -> JobResult<()> {
    let failed = |error: rusqlite::Error| refused(path, None, &error);
    let is_known = spare(connection, path, Owner::Job(job))?;
    let found: Vec<Columns> = COLLECTIONS
        .iter()
        .map(|collection| columns(connection, collection.name))
        .collect::<rusqlite::Result<_>>()
        .map_err(failed)?;
    if !is_known && found.iter().all(Columns::is_empty) {
        let tables: String = COLLECTIONS.iter().map(|made| Sql.table(made) + &Sql.indexes(made)).collect();
        let marked = format!("PRAGMA application_id = {APPLICATION_ID};\n{tables}");
        connection.execute_batch(&marked).map_err(failed)?;
    } else {
        for (collection, columns) in COLLECTIONS.iter().zip(&found) {
            check(path, collection, columns)?;
        }
    }
    let progress = format!(
        "CREATE TABLE IF NOT EXISTS {PROGRESS} (
  job TEXT PRIMARY KEY NOT NULL, -- Who may write.
  incarnation INTEGER NOT NULL, -- Which start of it.
  frontier INTEGER NOT NULL, -- Up to here tables are complete, in ms since 1970.
  trail BLOB NOT NULL, -- What leads there when the job is started again.
  complete_since INTEGER NOT NULL DEFAULT 0, -- From here on they are complete, in ms since 1970.
  committed_by INTEGER NOT NULL DEFAULT 0 -- Which start brought them up to there.
);\n"
    );
    connection.execute_batch(&(progress + &views())).map_err(failed)
}

/// Makes the views, as this version has them.
pub(super) fn views() -> String {
    let view = |(name, query): (&str, String)| format!("DROP VIEW IF EXISTS {name}; CREATE VIEW {name} AS {query};\n");
    Sql.views().into_iter().map(view).collect()
}

/// A table as it is there; nothing where it is not.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Columns> {
    let mut statement = connection.prepare(
        "SELECT known.name, known.type FROM sqlite_schema AS made, pragma_table_info(made.name) AS known
         WHERE made.type = 'table' AND made.name = ?1",
    )?;
    statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Refuses a table that is not as this version makes it.
fn check(path: &Path, collection: &Collection, columns: &Columns) -> JobResult<()> {
    if columns.is_empty() {
        return refuse(path, format!("the table {} has been dropped", collection.name), PUT_BACK);
    }
    Sql.altered(collection, columns).map_or(Ok(()), |what| refuse(path, what, PUT_BACK))
}

fn refuse<T>(path: &Path, what: String, remedy: &str) -> JobResult<T> {
    Err(JobError::configuration(what).at(path.display().to_string()).remedy(remedy))
}
