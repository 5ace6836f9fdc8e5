//! Decoding: from bytes to facts (inputs.md). What a format means is here; where its bytes come from is not.
//!
//! Every decoder returns what the record says or [`Broken`](crate::validate::Broken) with every rule it breaks; none
//! does I/O, looks at a clock or stops a job.

pub mod avro;
pub mod categories;
pub mod cells;
pub mod form;
pub mod json;
pub mod olist;
pub mod row;
mod scan;
pub mod topic;

pub use categories::{ProductCategories, Translation};
pub use json::{Facts, decode_line};
