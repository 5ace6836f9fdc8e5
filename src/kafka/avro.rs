//! Values in Avro: bare, or in Confluent's wire format, after a zero and the id under which a registry keeps their schema.
//!
//! Invariant: what is written reads back as the same, or is not written at all.

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

use super::KafkaSettings;
use crate::error::{JobError, JobResult};
use crate::registry::Registry;

/// Writes the values of a topic.
pub struct Writer {
    head: Vec<u8>,
    schema: Schema,
}

impl Writer {
    /// Registers the schema where there is a registry; one that is away is waited for as long as `goes_on` says so.
    pub fn of(settings: &KafkaSettings, topic: &str, schema: &str, goes_on: impl Fn() -> bool) -> JobResult<Writer> {
        let mut head = Vec::new();
        if let Some(address) = &settings.registry {
            let id = Registry::new(address).ask(|registry| registry.register(topic, schema), goes_on)?;
            head.push(0);
            head.extend(id.to_be_bytes());
        }
        let wrong = |error| JobError::job(format!("the schema of the values of {topic} is none: {error}"));
        Ok(Writer { head, schema: Schema::parse_str(schema).map_err(wrong)? })
    }

    /// A value; none where it does not fit the schema.
    pub fn write(&self, value: &Value) -> Option<Vec<u8>> {
        let mut written = self.head.clone();
        let writer = GenericDatumWriter::builder(&self.schema).build().ok()?;
        writer.write_value_ref(&mut written, value).ok()?;
        Some(written)
    }

    /// A topic record that is given as JSON; members without a field in the schema are left out, as no format asks for
    /// them. None where it is no object, or a field is neither text nor number.
    pub fn write_json(&self, json: &[u8]) -> Option<Vec<u8>> {
        let mut members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(json).ok()?;
        let Schema::Record(record) = &self.schema else { return None };
        let fields = record.fields.iter().map(|field| {
            let member = members.remove(&field.name).unwrap_or_default();
            Some((field.name.clone(), scalar(member)?))
        });
        self.write(&Value::Record(fields.collect::<Option<_>>()?))
    }
}

/// A member as one of null, string, long and double: numbers that would not read back as they stand are text.
fn scalar(member: serde_json::Value) -> Option<Value> {
    let (branch, value) = match member {
        serde_json::Value::Null => (0, Value::Null),
        serde_json::Value::String(text) => (1, Value::String(text)),
        serde_json::Value::Number(number) => {
            let text = number.to_string();
            match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(whole), _) => (2, Value::Long(whole)),
                (_, Ok(double)) if format!("{double:?}") == text => (3, Value::Double(double)),
                _ => (1, Value::String(text)),
            }
        }
        _ => return None,
    };
    Some(Value::Union(branch, Box::new(value)))
}
