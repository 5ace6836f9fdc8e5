//! Rows on their way into tables: the text format of COPY, the staging table of a commit, and what brings it into a table.
//!
//! Invariant: a value is the text that every sink gets, and two that differ stay two. Limits: PostgreSQL's text holds no
//! NUL; `␀0` stands for one, and for `␀` itself, which nobody writes, `␀␀`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use dataflows::time::Time;
use dataflows::views::collection::Collection;
use postgres::Client;

use crate::sink::change::{Change, netted};
use crate::sink::sql::Dialect::Postgres as Sql;
use crate::sink::sql::UPDATED_AT;
use crate::sink::text_row::TextRow;

/// U+2400, the sign for NUL, under which NULs are told.
const SIGN_OF_NUL: char = '␀';
/// Says of a staged row that it goes.
const IS_DELETED: &str = "is_deleted";

/// Appends a row as COPY reads it, but for what ends it: the cells of `row`, and no value where they end before columns do.
pub(super) fn write_cells(collection: &Collection, row: TextRow<'_>, text: &mut String) {
    let mut cells = row.cells();
    for (place, column) in collection.columns.iter().enumerate() {
        if place > 0 {
            text.push('\t');
        }
        match cells.next() {
            Some(cell) if !(cell.is_empty() && Sql.is_nullable(column)) => write_text(&cell, text),
            _ => text.push_str("\\N"),
        }
    }
}

fn write_text(cell: &str, text: &mut String) {
    let mut rest = cell;
    while let Some(place) = rest.find(['\\', '\t', '\n', '\r', '\0', SIGN_OF_NUL]) {
        let (plain, special) = rest.split_at(place);
        text.push_str(plain);
        let mut special = special.chars();
        text.push_str(match special.next() {
            Some('\\') => "\\\\",
            Some('\t') => "\\t",
            Some('\n') => "\\n",
            Some('\r') => "\\r",
            Some('\0') => "␀0",
            _ => "␀␀",
        });
        rest = special.as_str();
    }
    text.push_str(rest);
}

/// Puts rows into a table: `text` as it was written, each row ended by a line feed.
pub(super) fn copy(client: &mut Client, copy: &str, text: &str) -> Result<(), postgres::Error> {
    let mut writer = client.copy_in(copy)?;
    match writer.write_all(text.as_bytes()).and_then(|()| writer.flush()).map_err(io::Error::downcast) {
        Err(Ok(error)) => Err(error),
        // Whatever else there was, the end of the copy says it.
        _ => writer.finish().map(drop),
    }
}

/// COPY into the table of a collection.
pub(super) fn copy_into(collection: &Collection) -> String {
    format!("COPY \"{}\" ({}) FROM STDIN", collection.name, columns(collection))
}

/// What is to become of the rows of one collection, as SQL.
pub(super) struct Staging {
    /// Makes the table for it, once a session; whatever is in it is gone with the transaction.
    pub(super) create: String,
    /// Fills it.
    pub(super) copy: String,
    /// Brings it into the collection's table.
    pub(super) merge: String,
}

impl Staging {
    pub(super) fn of(collection: &Collection) -> Staging {
        let (table, columns) = (collection.name, columns(collection));
        let staging = format!("orderwatch_staging_{table}");
        let others = collection.columns.iter().filter(|column| !column.is_key);
        let set: String =
            others.map(|column| format!("\"{name}\" = excluded.\"{name}\", ", name = column.name)).collect();
        let (key, staged) = (Sql.key(collection, "t"), Sql.key(collection, "s"));
        let same: Vec<String> = key.iter().zip(&staged).map(|(key, staged)| format!("{key} = {staged}")).collect();
        Staging {
            create: format!(
                "CREATE TEMPORARY TABLE IF NOT EXISTS {staging} ON COMMIT DELETE ROWS AS
                 SELECT {columns}, false AS {IS_DELETED} FROM \"{table}\" WITH NO DATA"
            ),
            copy: format!("COPY {staging} ({columns}, {IS_DELETED}) FROM STDIN"),
            merge: format!(
                "INSERT INTO \"{table}\" ({columns}) SELECT {columns} FROM {staging} WHERE NOT {IS_DELETED}
                 ON CONFLICT ({}) DO UPDATE SET {set}{UPDATED_AT} = now();
                 DELETE FROM \"{table}\" AS t USING {staging} AS s WHERE s.{IS_DELETED} AND {}",
                Sql.key(collection, "").join(", "),
                same.join(" AND ")
            ),
        }
    }
}

fn columns(collection: &Collection) -> String {
    let names: Vec<String> = collection.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    names.join(", ")
}

/// What changes come to, as COPY into staging tables reads it.
pub(super) fn staged(updates: &[(Change, Time)]) -> Vec<(Collection, String)> {
    let text = |collection: &Collection, keys: BTreeMap<&str, Option<&str>>| {
        let mut text = String::new();
        for (key, row) in keys {
            let cells = [key, row.unwrap_or_default()].concat();
            write_cells(collection, TextRow::new(&cells), &mut text);
            text.push_str(if row.is_some() { "\tf\n" } else { "\tt\n" });
        }
        text
    };
    netted(updates).into_values().map(|(collection, keys)| (collection, text(&collection, keys))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::views::COLLECTIONS;

    #[test]
    fn the_last_change_of_a_key_stands_and_nothing_breaks_a_line() {
        let collection = COLLECTIONS.iter().find(|collection| collection.name == "real_time_funnel").unwrap();
        let change =
            |key: &str, row: Option<&str>| (Change { collection, key: key.into(), row: row.map(Into::into) }, 0);
        let staged = staged(&[
            change("day\0a\tb\\\0x\ny\r\0", Some("1\0")),
            change("total\0\0\u{1}\u{1}␀\0", Some("1\0")),
            change("total\0\0\u{1}\u{1}␀\0", Some("2\0")),
            change("day\0gone\0x\0", Some("1\0")),
            change("day\0gone\0x\0", None),
        ]);
        let nulls = "\t\\N".repeat(collection.columns.len() - 3);
        let rest = &nulls[3..];
        let (_, text) = &staged[0];
        let lines = [
            format!("day\ta\\tb\\\\\tx\\ny\\r\t1{rest}\tf\n"),
            format!("day\tgone\tx{nulls}\tt\n"),
            format!("total\t\\N\t␀0␀␀\t2{rest}\tf\n"),
        ];
        assert_eq!(*text, lines.concat());
    }
}
