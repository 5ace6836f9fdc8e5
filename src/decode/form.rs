//! The form of a record: how its value is written, and the way from there to its facts (inputs.md, section 4).
//!
//! Invariant: a form alone says how a value is read; one that is too large, or in no form that can be read, is refused for
//! that alone. Limits: which form a record has its source tells, for bytes do not.

use super::avro::WriterSchema;
use super::json::Facts;
use super::row::RowColumns;
use super::topic;
use crate::validate::{Broken, Limits, MAX_RECORD_BYTES, Reason};

/// How the value of a record is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As a JSON object.
    #[default]
    Json,
    /// In Avro by this schema, from a byte on: before it stands which schema that is.
    Avro(WriterSchema, usize),
    /// In Avro by a schema that nobody has.
    Unknown,
    /// As a row of CSV below these columns.
    Row(RowColumns),
    /// In none that could be read, as its source saw, for this reason.
    Refused(Reason),
}

impl Form {
    /// The facts of a record's value, or every rule it breaks.
    pub fn record(&self, bytes: &[u8], limits: &Limits) -> Result<Facts, Broken> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(Broken::only(Reason::TooLarge));
        }
        let cut_off = || Broken::only(Reason::Malformed);
        match self {
            Form::Json => topic::record(bytes, limits),
            Form::Avro(schema, start) => schema.record(bytes.get(*start..).ok_or_else(cut_off)?, limits),
            Form::Unknown => Err(Broken::only(Reason::UnknownSchemaVersion)),
            Form::Row(columns) => columns.record(bytes, limits),
            Form::Refused(reason) => Err(Broken::only(*reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::avro::TOPIC_RECORD;

    #[test]
    fn what_is_too_large_is_that_alone_in_any_form() {
        let avro = Form::Avro(WriterSchema::parse(TOPIC_RECORD, &[]).unwrap(), 1);
        let row = Form::Row(RowColumns::new(vec!["order_id".to_owned()]));
        let forms = [Form::Json, avro, Form::Unknown, row, Form::Refused(Reason::NotUtf8)];
        let said = ["malformed", "malformed", "unknown_schema_version", "malformed", "not_utf8"];
        for (form, said) in forms.iter().zip(said) {
            let reasons = |length| form.record(&vec![0; length], &Limits::at(0)).unwrap_err().joined();
            assert_eq!((reasons(0).as_str(), reasons(MAX_RECORD_BYTES + 1).as_str()), (said, "too_large"), "{form:?}");
        }
    }
}
