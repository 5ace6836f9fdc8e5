//! What the SQLite file is made of, as SQL: tables from the columns of a collection, indexes, the views of outputs.md.
//!
//! Tables are exact: a plain `SELECT` reads as the CSV file does. Whole numbers are INTEGER and durations NUMERIC, so
//! they sort and add up; times and booleans are text; so are amounts and rates, because SQLite's only fractions are
//! binary. Views are for arithmetic: there, amounts and rates are REAL.

use dataflows::views::collection::{Column, ColumnType, Row};
use dataflows::views::funnel::FunnelRow;
use dataflows::views::gmv::GmvRow;

/// Drops and makes the table of a collection. Rows live in the index of their key: they come in its order, and it is
/// not kept twice.
pub fn table(name: &str, columns: &[Column]) -> String {
    let mut sql = format!("DROP TABLE IF EXISTS \"{name}\";\nCREATE TABLE \"{name}\" (\n");
    for Column { name, is_key, is_optional, column_type, doc, .. } in columns {
        let sql_type = match column_type {
            ColumnType::Integer => "INTEGER",
            ColumnType::Seconds => "NUMERIC",
            ColumnType::Text | ColumnType::Time | ColumnType::Money | ColumnType::Hundredths | ColumnType::Boolean => {
                "TEXT"
            }
        };
        let presence = match (is_key, is_optional) {
            (true, true) => " NOT NULL DEFAULT ''",
            (_, false) => " NOT NULL",
            (false, true) => "",
        };
        sql += &format!("  \"{name}\" {sql_type}{presence}, --{doc}\n");
    }
    let key: Vec<String> = columns.iter().filter(|column| column.is_key).map(|column| quoted(column.name)).collect();
    sql + &format!("  PRIMARY KEY ({})\n) WITHOUT ROWID;\n", key.join(", "))
}

/// Makes the indexes of a collection.
pub fn indexes(name: &str, columns: &[Column]) -> String {
    let indexed = columns.iter().filter(|column| column.is_indexed);
    indexed
        .map(|Column { name: by, .. }| format!("CREATE INDEX \"{name}_by_{by}\" ON \"{name}\" (\"{by}\");\n"))
        .collect()
}

/// Puts a row in; one with the same key gives way.
pub fn insert(name: &str, columns: &[Column]) -> String {
    let places = vec!["?"; columns.len()].join(", ");
    format!("INSERT OR REPLACE INTO \"{name}\" VALUES ({places})")
}

/// Drops and makes the views.
pub fn views() -> String {
    let funnel = measures("funnel", FunnelRow::COLUMNS);
    let views = [
        (
            "hourly_funnel_summary",
            format!(
                "SELECT window_start AS hour, tenant, {funnel} FROM real_time_funnel AS funnel WHERE \"window\" = 'hour'"
            ),
        ),
        ("complete_funnel", complete_funnel(&funnel, &measures("gmv", GmvRow::COLUMNS))),
        (
            "breach_summary",
            "SELECT sla, status, resolution, COUNT(*) AS orders, ROUND(AVG(overdue_seconds), 3) AS average_overdue_seconds,
  MAX(overdue_seconds) AS max_overdue_seconds FROM sla_breaches GROUP BY sla, status, resolution"
                .to_owned(),
        ),
        ("v_data_quality_dashboard", "SELECT * FROM data_quality_metrics".to_owned()),
        ("dead_letter_events", "SELECT * FROM dead_letters".to_owned()),
    ];
    views.iter().map(|(name, query)| format!("DROP VIEW IF EXISTS {name};\nCREATE VIEW {name} AS {query};\n")).collect()
}

/// Funnel, sales and payments of an hour in one row. Payments belong to the hour of their own time, so there are hours
/// with nothing else.
fn complete_funnel(funnel: &str, gmv: &str) -> String {
    let of_hours = |table: &str| format!("SELECT window_start AS hour, tenant FROM {table} WHERE \"window\" = 'hour'");
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
      ROUND(SUM(CAST(total_value AS REAL)), 4) AS payment_value, SUM(installments) AS installments
    FROM payment_metrics WHERE \"window\" = 'hour' GROUP BY window_start, tenant)
  SELECT hours.hour, hours.tenant, {funnel}, {gmv}, paid.payment_count, paid.payment_value, paid.installments
  FROM hours {} {}
  LEFT JOIN paid ON paid.window_start = hours.hour AND paid.tenant = hours.tenant",
        join("real_time_funnel", "funnel"),
        join("gmv_metrics", "gmv"),
    )
}

/// The columns of a table that are no part of its key, ready for arithmetic.
fn measures(table: &str, columns: &[Column]) -> String {
    let measure = |column: &Column| {
        let name = quoted(column.name);
        match column.column_type {
            ColumnType::Money | ColumnType::Hundredths => format!("CAST({table}.{name} AS REAL) AS {name}"),
            _ => format!("{table}.{name}"),
        }
    };
    columns.iter().filter(|column| !column.is_key).map(measure).collect::<Vec<_>>().join(", ")
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
