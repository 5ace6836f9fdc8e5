//! `docs/collections.md` and the schemas in `docs/schemas/` are what the row types say. `ORDERWATCH_BLESS=1 cargo test --test sinks document` rewrites it.

use std::fs;
use std::path::Path;

use dataflows::views::COLLECTIONS;
use dataflows::views::collection::{Column, ColumnType};
use orderwatch::sink::kafka::avro;

const OPENING: &str = "\
# Collections

Made from the row types in `dataflows/src/views/` by `tests/sinks/document.rs`, which also checks it; edit those.

Every sink writes the same rows: `--out DIR` a file a collection (`--format csv`, `jsonl` or `parquet`), `--sqlite FILE` and
`--postgres URL` a table a collection, `run --to-kafka BROKERS` a topic a collection (JSON lines, or Avro by the
schemas in [schemas](schemas)). Rows of files are sorted by their key, bytewise on its text, in the order of its columns. The tenant `*` sums
all tenants.

## Types

| type | CSV | JSON lines | SQLite | PostgreSQL | Parquet | Avro |
|---|---|---|---|---|---|---|
| text | as it is | string | TEXT | text | BYTE_ARRAY, string | string |
| time | `2017-10-02T10:56:33.000Z`, always UTC | string, as in CSV | TEXT, as in CSV | timestamptz(3) | INT64, timestamp in UTC milliseconds | long, timestamp-millis |
| integer | decimal | number | INTEGER | bigint | INT64 | long |
| money | two to four decimals, exact | string, as in CSV | TEXT, as in CSV | numeric | DECIMAL(38, 4) | bytes, decimal(38, 4) |
| hundredths | a percentage with two decimals | string, as in CSV | TEXT, as in CSV | numeric | DECIMAL(38, 2) | bytes, decimal(38, 2) |
| seconds | at most three decimals, no trailing zeros | string, as in CSV | NUMERIC | numeric | DECIMAL(18, 3) | bytes, decimal(18, 3) |
| boolean | `true`, `false` | boolean | TEXT, as in CSV | boolean | BOOLEAN | boolean |

No value is an empty field in CSV, `null` in JSON, Parquet and Avro, `NULL` in databases; in a key column of SQLite it is `''`,
because a key takes no `NULL`. In PostgreSQL it is `NULL` there, too (a unique index says that there is one such row), and
tables have one more column, `updated_at`: when the server got the row as it is. A NUL in a text, which PostgreSQL cannot
hold, is `␀0` there (U+2400 and a zero), and a `␀` is `␀␀`, so that no two keys become one. A column is marked \"may be
empty\" where that occurs; all others are `NOT NULL` and required.

Nothing is rounded anywhere: amounts and rates are decimals, never binary fractions. In JSON they are strings because
most readers make binary fractions of JSON's numbers; in SQLite they are text because SQLite has no decimals. There, a
plain `SELECT` reads exactly as the CSV file does; `SUM` and `AVG` work, in binary fractions; to compare or sort by amount
write `CAST(gmv AS REAL)`. Booleans are words: `WHERE sla_breach = 'true'`.

## Views

For reports, in SQLite and PostgreSQL; in SQLite amounts and rates are `REAL` there, ready for arithmetic and sorting.

| view | says |
|---|---|
| `hourly_funnel_summary` | the funnel of each hour and tenant |
| `complete_funnel` | funnel, sales and payments of an hour and tenant in one row; payments count in the hour in which they were made, so there are hours with nothing else |
| `breach_summary` | breaches by SLA, status and resolution, with the average and the longest delay in seconds |
| `v_data_quality_dashboard` | `data_quality_metrics` under its customary name |
| `dead_letter_events` | `dead_letters` under its customary name |
";

fn type_of(column: &Column) -> &'static str {
    match column.column_type {
        ColumnType::Text => "text",
        ColumnType::Time => "time",
        ColumnType::Integer => "integer",
        ColumnType::Money => "money",
        ColumnType::Hundredths => "hundredths",
        ColumnType::Seconds => "seconds",
        ColumnType::Boolean => "boolean",
    }
}

fn document() -> String {
    let mut text = OPENING.to_owned();
    let escaped = |doc: &str| doc.trim().replace('*', "\\*").replace('|', "\\|");
    for collection in COLLECTIONS {
        text += &format!(
            "\n## {}\n\n{}\n\n| column | type | | means |\n|---|---|---|---|\n",
            collection.name,
            escaped(collection.doc)
        );
        for column in collection.columns {
            let marks = [(column.is_key, "key"), (column.is_optional, "may be empty"), (column.is_indexed, "index")];
            let marks: Vec<&str> = marks.iter().filter(|(marked, _)| *marked).map(|(_, mark)| *mark).collect();
            text += &format!(
                "| `{}` | {} | {} | {} |\n",
                column.name,
                type_of(column),
                marks.join(", "),
                escaped(column.doc)
            );
        }
    }
    text
}

#[test]
fn document_says_what_the_row_types_say() {
    is_up_to_date("docs/collections.md", &document());
    for collection in &COLLECTIONS {
        let schema: serde_json::Value = serde_json::from_str(&avro::schema(collection)).unwrap();
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        is_up_to_date(&format!("docs/schemas/{}.avsc", collection.name), &text);
    }
}

fn is_up_to_date(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("ORDERWATCH_BLESS").is_some() {
        fs::write(&path, wanted).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == wanted, "{name} is out of date: ORDERWATCH_BLESS=1 cargo test --test sinks document");
}
