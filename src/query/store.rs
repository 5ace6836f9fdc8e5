//! Results that were written: rows of one collection, as text, whichever sink wrote them.
//!
//! Invariant: a row reads alike from every store; no value is empty text. Files are read through, and no more rows kept
//! than are wanted; of a SQLite file indexes find them.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use dataflows::views::collection::Column;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use serde_json::{Map, Value};

use super::{Wanted, parquet};
use crate::error::{JobError, JobResult};
use crate::sink::Found;
use crate::sink::files::Format;
use crate::sink::sqlite::find;

/// A row as the text of its cells.
pub type Row = Vec<String>;
/// Rows as they are read.
pub type Rows = Box<dyn Iterator<Item = JobResult<Row>>>;

/// What is wrong with a file of another header or schema.
pub const OTHER_COLUMNS: &str = "its columns are not those that this program writes";

/// The wanted rows, newest first; of the same time in the order of their keys.
pub fn read(results: &Path, wanted: &Wanted) -> JobResult<Vec<Row>> {
    if results.is_dir() { newest(file_rows(results, wanted)?, wanted) } else { database_rows(results, wanted) }
}

fn database_rows(path: &Path, wanted: &Wanted) -> JobResult<Vec<Row>> {
    match find(path).map_err(|error| cannot_read(path, &error))? {
        Found::Ours => {}
        Found::Nothing => {
            return Err(JobError::job("there are no results").at(path.display().to_string()).remedy(WRITE_SOME));
        }
        Found::Foreign(what) => return Err(no_results(path, &format!("the file {what}"))),
    }
    let rows = || -> rusqlite::Result<Vec<Row>> {
        // Whoever opens it for reading alone leaves the log's files behind.
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "query_only", true)?;
        let mut statement = connection.prepare(&select(wanted))?;
        let columns = wanted.collection.columns.len();
        let values = params_from_iter(wanted.filters.iter().map(|(_, value)| value));
        statement.query_map(values, |row| (0..columns).map(|place| row.get(place)).collect())?.collect()
    };
    rows().map_err(|error| cannot_read(path, &error))
}

const WRITE_SOME: &str = "name the FILE of --sqlite FILE, or the DIR of replay --out DIR";

fn select(wanted: &Wanted) -> String {
    let columns = wanted.collection.columns;
    let text = |column: &Column| format!("COALESCE(CAST(\"{}\" AS TEXT), '')", column.name);
    let condition = |(place, (column, value)): (usize, &(&str, String))| match value.is_empty() {
        true => format!("COALESCE(\"{column}\", '') = ?{}", place + 1),
        false => format!("\"{column}\" = ?{}", place + 1),
    };
    let conditions: Vec<String> = wanted.filters.iter().enumerate().map(condition).collect();
    let keys = columns.iter().filter(|column| column.is_key).map(|column| format!(", \"{}\"", column.name));
    format!(
        "SELECT {} FROM \"{}\" {}{} ORDER BY \"{}\" DESC{} LIMIT {}",
        columns.iter().map(text).collect::<Vec<_>>().join(", "),
        wanted.collection.name,
        if conditions.is_empty() { "" } else { "WHERE " },
        conditions.join(" AND "),
        wanted.newest_by,
        keys.collect::<String>(),
        wanted.limit
    )
}

/// The rows that pass the filters, those with the largest value first; rows come in the order of their keys.
fn newest(rows: impl Iterator<Item = JobResult<Row>>, wanted: &Wanted) -> JobResult<Vec<Row>> {
    let place = |name: &str| wanted.collection.columns.iter().position(|column| column.name == name).unwrap_or(0);
    let filters: Vec<(usize, &str)> =
        wanted.filters.iter().map(|(name, value)| (place(name), value.as_str())).collect();
    let newest_by = place(wanted.newest_by);
    let mut kept: Vec<Row> = Vec::new();
    let settle = |kept: &mut Vec<Row>| {
        kept.sort_by(|left, right| right[newest_by].cmp(&left[newest_by]));
        kept.truncate(wanted.limit);
    };
    for row in rows {
        let row = row?;
        if filters.iter().all(|(place, value)| row[*place] == *value) {
            kept.push(row);
            if kept.len() >= 2 * wanted.limit + 1_024 {
                settle(&mut kept);
            }
        }
    }
    settle(&mut kept);
    Ok(kept)
}

/// Every row of the collection's file in a directory; of files in several formats the one written last counts.
fn file_rows(directory: &Path, wanted: &Wanted) -> JobResult<Rows> {
    let (name, columns) = (wanted.collection.name, wanted.collection.columns);
    let path = |format: Format| directory.join(format!("{name}.{}", format.extension()));
    let written = |format: &Format| path(*format).metadata().and_then(|metadata| metadata.modified()).ok();
    let found = [Format::Parquet, Format::Jsonl, Format::Csv].into_iter().filter(|format| written(format).is_some());
    let Some(format) = found.max_by_key(written) else {
        // Of a directory that lets this user not in nobody knows what it holds.
        path(Format::Csv).try_exists().map_err(|error| cannot_read(directory, &error))?;
        return Err(no_results(directory, &format!("the directory has no {name}.csv")));
    };
    let path = path(format);
    // Whoever opened a pipe would wait.
    if !path.is_file() {
        return Err(no_results(&path, "the file is no regular file"));
    }
    let file = File::open(&path).map_err(|error| cannot_read(&path, &error))?;
    match format {
        Format::Csv => csv_rows(path, file, columns),
        Format::Jsonl => Ok(Box::new(json_rows(path, BufReader::new(file), columns))),
        Format::Parquet => parquet::rows(path, file, columns),
    }
}

fn csv_rows(path: PathBuf, file: File, columns: &'static [Column]) -> JobResult<Rows> {
    let mut reader = csv::Reader::from_reader(file);
    let header = reader.headers().map_err(|error| cannot_read(&path, &error))?;
    if header.iter().ne(columns.iter().map(|column| column.name)) {
        return Err(cannot_read(&path, &OTHER_COLUMNS));
    }
    Ok(Box::new(reader.into_records().map(move |record| match record {
        Ok(record) => Ok(record.iter().map(str::to_owned).collect()),
        Err(error) => Err(cannot_read(&path, &error)),
    })))
}

fn json_rows(path: PathBuf, file: BufReader<File>, columns: &'static [Column]) -> impl Iterator<Item = JobResult<Row>> {
    file.lines().map(move |line| {
        let line = line.map_err(|error| cannot_read(&path, &error))?;
        let object: Map<String, Value> = serde_json::from_str(&line).map_err(|error| cannot_read(&path, &error))?;
        let text = |column: &Column| match object.get(column.name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        Ok(columns.iter().map(text).collect())
    })
}

fn no_results(path: &Path, what: &str) -> JobError {
    let error = JobError::job(format!("these are no results of orderwatch: {what}"));
    error.at(path.display().to_string()).remedy(WRITE_SOME)
}

/// A file of results that cannot be read.
pub fn cannot_read(path: &Path, error: &dyn std::fmt::Display) -> JobError {
    JobError::job(format!("cannot read the results: {error}"))
        .at(path.display().to_string())
        .remedy("check that it may be read and is whole; otherwise replay again")
}
