//! All sinks of a run hold the same rows: read back by the libraries that wrote them and by independent tools, and
//! compared to the CSV files row for row. What cannot be written is refused, and an earlier result stays as it was.
//!
//! Independent tools are Python's own `csv`, `sqlite3` and `json`, and DuckDB or pyarrow for Parquet
//! (`scripts/services tools` fetches DuckDB); what is missing is said by name.

// A test that cannot set up its case must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "sinks/agree.rs"]
mod agree;
#[path = "sinks/directory.rs"]
mod directory;
#[path = "sinks/document.rs"]
mod document;
#[path = "support/golden_sets.rs"]
mod golden_sets;
#[path = "goldens/inputs.rs"]
#[allow(dead_code)] // shared with goldens.rs
mod inputs;
#[path = "bad_input/outcome.rs"]
#[allow(dead_code)] // shared with bad_input.rs
mod outcome;
#[path = "sinks/query.rs"]
mod query;
#[path = "sinks/read.rs"]
mod read;
#[path = "sinks/refused.rs"]
mod refused;
#[path = "support/run.rs"]
#[allow(dead_code)] // shared with bad_input.rs
mod run;
