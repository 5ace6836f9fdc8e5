//! What databases are made of, as SQL: tables from the columns of a collection, indexes, the views of outputs.md. One home
//! for all dialects.
//!
//! Tables are exact: a plain `SELECT` reads as the CSV file does. In SQLite whole numbers are INTEGER and durations
//! NUMERIC, so they sort and add up; times and booleans are text; so are amounts and rates, because its only fractions are
//! binary: views, for arithmetic, have them as REAL. PostgreSQL has a type for each. Invariant: no text of a record is too
//! long for a key. PostgreSQL's indexes hold less than 3 kB an entry, so what has no bound stands in them as its SHA-256.

use std::collections::BTreeMap;

use dataflows::views::collection::{Collection, Column, ColumnType, Row};
use dataflows::views::funnel::FunnelRow;
use dataflows::views::gmv::GmvRow;

/// What to do where rows are kept out of a table by what its maker did not put there.
pub const ADDED_RULE: &str = "what keeps rows out was added to the table, and orderwatch does not know it: drop that \
                              constraint, index or trigger, or have it let them in; a job then goes on by itself";

/// When PostgreSQL got a row as it is: the server's own column, outside every comparison.
pub const UPDATED_AT: &str = "updated_at";

/// Columns of keys whose text has no bound, because a record says it as it likes. Ids do, and words of the law are few.
const UNBOUNDED: [&str; 1] = ["category"];

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite's.
    Sqlite,
    /// PostgreSQL's.
    Postgres,
}

impl Dialect {
    /// The type of a column.
    pub fn type_of(self, column_type: ColumnType) -> &'static str {
        match (self, column_type) {
            (Dialect::Sqlite, ColumnType::Integer) => "INTEGER",
            (Dialect::Sqlite, ColumnType::Seconds) => "NUMERIC",
            (Dialect::Sqlite, _) => "TEXT",
            (Dialect::Postgres, ColumnType::Text) => "text",
            // As the catalog names it.
            (Dialect::Postgres, ColumnType::Time) => "timestamp(3) with time zone",
            (Dialect::Postgres, ColumnType::Integer) => "bigint",
            // Without a scale: a value keeps the places it was written with.
            (Dialect::Postgres, ColumnType::Money | ColumnType::Hundredths | ColumnType::Seconds) => "numeric",
            (Dialect::Postgres, ColumnType::Boolean) => "boolean",
        }
    }

    /// What is other than this version makes it in the table of a collection; `found` are its columns with their types.
    pub fn altered(self, collection: &Collection, found: &BTreeMap<String, String>) -> Option<String> {
        let Collection { name: table, columns, .. } = collection;
        columns.iter().find_map(|Column { name, column_type, .. }| {
            let wanted = self.type_of(*column_type);
            let is = found.get(*name).map_or("missing", String::as_str);
            (is != wanted).then(|| format!("the table {table} has been altered: {name} is {is}, not {wanted}"))
        })
    }

    /// True where no value is NULL in this column. Of a key an empty text is one, wherever text can stand.
    pub fn is_nullable(self, column: &Column) -> bool {
        let is_text = self.type_of(column.column_type).eq_ignore_ascii_case("text");
        column.is_optional && !(column.is_key && is_text)
    }

    /// Makes the table of a collection, without the indexes that can wait until it is filled.
    pub fn table(self, collection: &Collection) -> String {
        let name = collection.name;
        let mut sql = format!("CREATE TABLE \"{name}\" (\n");
        for column in collection.columns {
            let presence = match (self.is_nullable(column), column.is_key && column.is_optional) {
                (true, _) => "",
                (false, true) => " NOT NULL DEFAULT ''",
                (false, false) => " NOT NULL",
            };
            let sql_type = self.type_of(column.column_type);
            sql += &format!("  \"{}\" {sql_type}{presence}, --{}\n", column.name, column.doc);
        }
        if self == Dialect::Postgres {
            sql += &format!("  \"{UPDATED_AT}\" timestamp with time zone NOT NULL DEFAULT now(),\n");
        }
        let key = self.key(collection, "").join(", ");
        let is_made = |column: &Column| self.is_nullable(column) || self.is_hashed(column);
        if collection.columns.iter().any(|column| column.is_key && is_made(column)) {
            // No primary key can be empty or made, and without one the server's replication wants to know rows by the whole.
            let sql = sql.trim_end().trim_end_matches(',');
            return format!(
                "{sql}\n);\nALTER TABLE \"{name}\" REPLICA IDENTITY FULL;\n\
                 CREATE UNIQUE INDEX \"{name}_key\" ON \"{name}\" ({key});\n"
            );
        }
        // In SQLite rows live in the index of their key: they come in its order, and it is not kept twice.
        let kind = if self == Dialect::Sqlite { " WITHOUT ROWID" } else { "" };
        sql + &format!("  PRIMARY KEY ({key})\n){kind};\n")
    }

    /// True where a key holds what the column's text hashes to.
    fn is_hashed(self, column: &Column) -> bool {
        self == Dialect::Postgres && UNBOUNDED.contains(&column.name)
    }

    /// What makes up the key: columns of `table`, or of none that is named, in which no value is one like any other.
    pub fn key(self, collection: &Collection, table: &str) -> Vec<String> {
        let dot = if table.is_empty() { "" } else { "." };
        let part = |column: &Column| {
            let name = format!("{table}{dot}\"{}\"", column.name);
            match () {
                // No two texts have one hash, be they made for that. `convert_to` is not immutable, as an index wants it.
                () if self.is_hashed(column) => {
                    format!(r"sha256(decode(replace({name}, E'\\', E'\\\\'), 'escape'))")
                }
                // Before all times; only times of a key can be empty.
                () if self.is_nullable(column) => format!("COALESCE({name}, '-infinity')"),
                () => name,
            }
        };
        collection.columns.iter().filter(|column| column.is_key).map(part).collect()
    }

    /// Makes the indexes of a collection.
    pub fn indexes(self, collection: &Collection) -> String {
        let Collection { name, columns, .. } = collection;
        let indexed = columns.iter().filter(|column| column.is_indexed);
        indexed
            .map(|Column { name: by, .. }| format!("CREATE INDEX \"{name}_by_{by}\" ON \"{name}\" (\"{by}\");\n"))
            .collect()
    }

    /// The views by name, each with its query.
    pub fn views(self) -> [(&'static str, String); 5] {
        let funnel = self.measures("funnel", FunnelRow::COLUMNS);
        [
            (
                "hourly_funnel_summary",
                format!(
                    "SELECT window_start AS hour, tenant, {funnel} FROM real_time_funnel AS funnel WHERE \"window\" = 'hour'"
                ),
            ),
            ("complete_funnel", self.complete_funnel(&funnel)),
            (
                "breach_summary",
                "SELECT sla, status, resolution, COUNT(*) AS orders, ROUND(AVG(overdue_seconds), 3) AS average_overdue_seconds,
  MAX(overdue_seconds) AS max_overdue_seconds FROM sla_breaches GROUP BY sla, status, resolution"
                    .to_owned(),
            ),
            ("v_data_quality_dashboard", "SELECT * FROM data_quality_metrics".to_owned()),
            ("dead_letter_events", "SELECT * FROM dead_letters".to_owned()),
        ]
    }

    /// Funnel, sales and payments of an hour in one row. Payments belong to the hour of their own time, so there are hours
    /// with nothing else.
    fn complete_funnel(self, funnel: &str) -> String {
        let gmv = self.measures("gmv", GmvRow::COLUMNS);
        let paid = self.number(ColumnType::Money, "total_value");
        let of_hours =
            |table: &str| format!("SELECT window_start AS hour, tenant FROM {table} WHERE \"window\" = 'hour'");
        let hours = ["real_time_funnel", "gmv_metrics", "payment_metrics"].map(of_hours).join("\n    UNION ");
        let join = |table: &str, name: &str| {
            format!(
                "LEFT JOIN {table} AS {name} ON {name}.\"window\" = 'hour' AND {name}.window_start = hours.hour \
                 AND {name}.tenant = hours.tenant"
            )
        };
        format!(
            "WITH hours AS ({hours}),
  paid AS (
    SELECT window_start, tenant, SUM(payment_count) AS payment_count,
      ROUND(SUM({paid}), 4) AS payment_value, SUM(installments) AS installments
    FROM payment_metrics WHERE \"window\" = 'hour' GROUP BY window_start, tenant)
  SELECT hours.hour, hours.tenant, {funnel}, {gmv}, paid.payment_count, paid.payment_value, paid.installments
  FROM hours {} {}
  LEFT JOIN paid ON paid.window_start = hours.hour AND paid.tenant = hours.tenant",
            join("real_time_funnel", "funnel"),
            join("gmv_metrics", "gmv"),
        )
    }

    /// The columns of a table that are no part of its key, ready for arithmetic.
    fn measures(self, table: &str, columns: &[Column]) -> String {
        let measure = |column: &Column| {
            let name = format!("\"{}\"", column.name);
            format!("{} AS {name}", self.number(column.column_type, &format!("{table}.{name}")))
        };
        columns.iter().filter(|column| !column.is_key).map(measure).collect::<Vec<_>>().join(", ")
    }

    /// A column as what can be calculated with.
    fn number(self, column_type: ColumnType, column: &str) -> String {
        match (self, column_type) {
            (Dialect::Sqlite, ColumnType::Money | ColumnType::Hundredths) => format!("CAST({column} AS REAL)"),
            _ => column.to_owned(),
        }
    }
}
