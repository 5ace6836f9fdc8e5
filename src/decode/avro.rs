//! Avro: the fields of a record, in its binary form, as the cells that every decoder reads (inputs.md, section 4).
//!
//! Invariant: a value is its schema's to the last byte, or malformed; no bytes and no schema can make reading it take more
//! than so many values (`STEPS_MAX`), levels (`DEPTH_MAX`) or the memory of the record itself. That is why it is read here: the
//! library that reads the schemas takes a value that was cut off for one with nulls at its end, follows a schema that holds
//! itself as deep as the stack is, and makes room for as many values as are announced. Limits: of what is nested, of bytes
//! and of dates no format makes anything, so they are cells of another type; a decimal has 128 bits.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use apache_avro::schema::{InnerDecimalSchema, Names, ResolvedSchema, UuidSchema};
use apache_avro::{Schema, Uuid};

use super::json::Facts;
use super::topic;
use crate::validate::{Broken, Cell, Limits, MAX_RECORD_BYTES, Reason};

/// The schema of what this program sends: every member that some format asks for.
pub const TOPIC_RECORD: &str = include_str!("../../docs/schemas/topic_record.avsc");
/// How deep records, arrays and maps may nest, as in JSON.
const DEPTH_MAX: usize = 128;
/// More values than a record has bytes: some, such as null, take none.
const STEPS_MAX: usize = 4 * MAX_RECORD_BYTES;

/// The schema by which records were written.
#[derive(Clone)]
pub struct WriterSchema(Arc<(Schema, Names)>);

impl WriterSchema {
    /// Reads a schema that may name types of others.
    pub fn parse(schema: &str, others: &[String]) -> Result<WriterSchema, apache_avro::Error> {
        let (mut schema, others) = Schema::parse_str_with_list(schema, others)?;
        if !others.is_empty() {
            schema.denormalize(&others)?;
        }
        let resolved = ResolvedSchema::new(&schema)?;
        let names = resolved.get_names().iter().map(|(name, named)| (name.clone(), (*named).clone())).collect();
        Ok(WriterSchema(Arc::new((schema, names))))
    }

    /// The facts of a datum, or every rule it breaks.
    pub(super) fn record(&self, datum: &[u8], limits: &Limits) -> Result<Facts, Broken> {
        let fields = self.fields(datum).ok_or_else(|| Broken::only(Reason::Malformed))?;
        // Of one schema for all, what is null is not there: it says nothing of what a record is.
        let there = fields.iter().filter(|(_, value)| !matches!(value, Value::Absent));
        topic::members(there.map(|(name, value)| (*name, value.cell())), limits)
    }

    /// The fields of the record that `datum` is; none where it is no such record.
    fn fields<'a>(&'a self, datum: &'a [u8]) -> Option<Vec<(&'a str, Value<'a>)>> {
        let (mut schema, names) = (&self.0.0, &self.0.1);
        let mut reader = Datum { rest: datum, names, steps: STEPS_MAX };
        let record = loop {
            schema = match reader.resolved(schema)? {
                Schema::Union(_) => reader.branch(schema)?,
                Schema::Record(record) => break record,
                _ => return None,
            }
        };
        let fields: Option<Vec<_>> =
            record.fields.iter().map(|field| Some((&*field.name, reader.value(&field.schema, 1)?))).collect();
        fields.filter(|_| reader.rest.is_empty())
    }
}

impl fmt::Debug for WriterSchema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.0.0.name())
    }
}

/// The same where it is the very same one.
impl PartialEq for WriterSchema {
    fn eq(&self, other: &WriterSchema) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for WriterSchema {}

/// The value of a field.
enum Value<'a> {
    Absent,
    Text(Cow<'a, str>),
    /// As JSON would write it.
    Number(String),
    Other,
}

impl Value<'_> {
    fn cell(&self) -> Cell<'_> {
        match self {
            Value::Absent => Cell::Absent,
            Value::Text(text) => Cell::of_text(text),
            Value::Number(text) => Cell::Number(text),
            Value::Other => Cell::Other,
        }
    }
}

/// A value that is being read: every step gives none where it is not as its schema says.
struct Datum<'a> {
    rest: &'a [u8],
    names: &'a Names,
    steps: usize,
}

impl<'a> Datum<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A whole number: seven bits a byte, the lowest first, the sign in the lowest bit of all.
    fn long(&mut self) -> Option<i64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.long()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn resolved(&mut self, schema: &'a Schema) -> Option<&'a Schema> {
        self.steps = self.steps.checked_sub(1)?;
        match schema {
            Schema::Ref { name } => self.names.get(name),
            schema => Some(schema),
        }
    }

    fn branch(&mut self, union: &'a Schema) -> Option<&'a Schema> {
        let Schema::Union(union) = union else { return Some(union) };
        union.variants().get(usize::try_from(self.long()?).ok()?)
    }

    /// A value: one that is nested in another, at a depth over 1, is only passed.
    fn value(&mut self, schema: &'a Schema, depth: usize) -> Option<Value<'a>> {
        if depth > DEPTH_MAX {
            return None;
        }
        let number = |text: &dyn fmt::Display| if depth > 1 { Value::Other } else { Value::Number(text.to_string()) };
        Some(match self.resolved(schema)? {
            Schema::Null => Value::Absent,
            union @ Schema::Union(_) => {
                let branch = self.branch(union)?;
                return self.value(branch, depth);
            }
            Schema::Boolean => {
                let [byte] = self.array()?;
                (byte < 2).then_some(Value::Other)?
            }
            Schema::Int => number(&i32::try_from(self.long()?).ok()?),
            Schema::Long | Schema::TimestampMillis | Schema::LocalTimestampMillis => number(&self.long()?),
            Schema::TimestampMicros | Schema::LocalTimestampMicros => number(&self.long()?.div_euclid(1_000)),
            Schema::TimestampNanos | Schema::LocalTimestampNanos => number(&self.long()?.div_euclid(1_000_000)),
            // With a point or an exponent: a fraction is no whole number, whatever its value.
            Schema::Float => number(&format_args!("{:?}", f32::from_le_bytes(self.array()?))),
            Schema::Double => number(&format_args!("{:?}", f64::from_le_bytes(self.array()?))),
            Schema::String => Value::Text(self.text()?.into()),
            Schema::Enum(symbols) => {
                let symbol = symbols.symbols.get(usize::try_from(self.long()?).ok()?)?;
                Value::Text(symbol.as_str().into())
            }
            Schema::Uuid(UuidSchema::String) => Value::Text(self.text()?.into()),
            Schema::Uuid(UuidSchema::Bytes) => Value::Text(Uuid::from_slice(self.bytes()?).ok()?.to_string().into()),
            Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                Value::Text(Uuid::from_slice(self.take(fixed.size)?).ok()?.to_string().into())
            }
            Schema::Decimal(decimal) => {
                let bytes = match &decimal.inner {
                    InnerDecimalSchema::Bytes => self.bytes()?,
                    InnerDecimalSchema::Fixed(fixed) => self.take(fixed.size)?,
                };
                match (whole(bytes), decimal.scale) {
                    (Some(unscaled), 0) => number(&unscaled),
                    (Some(unscaled), scale) => number(&format_args!("{unscaled}e-{scale}")),
                    (None, _) => Value::Other,
                }
            }
            Schema::Bytes | Schema::BigDecimal => self.bytes().map(|_| Value::Other)?,
            Schema::Fixed(fixed) | Schema::Duration(fixed) => self.take(fixed.size).map(|_| Value::Other)?,
            Schema::Date | Schema::TimeMillis | Schema::TimeMicros => self.long().map(|_| Value::Other)?,
            Schema::Array(array) => self.blocks(|datum| datum.value(&array.items, depth + 1).map(drop))?,
            Schema::Map(map) => self.blocks(|datum| {
                datum.text()?;
                datum.value(&map.types, depth + 1).map(drop)
            })?,
            Schema::Record(record) => {
                for field in &record.fields {
                    self.value(&field.schema, depth + 1)?;
                }
                Value::Other
            }
            // A name of a name.
            Schema::Ref { .. } => return None,
        })
    }

    /// Passes the elements of an array or a map, which stand in blocks.
    fn blocks(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<Value<'a>> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Some(Value::Other);
            }
            if count < 0 {
                // Its length in bytes.
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                let before = self.rest.len();
                element(self)?;
                // Where one takes no byte none does, however many there are.
                if self.rest.len() == before {
                    break;
                }
            }
        }
    }
}

/// A whole number of up to 16 bytes, the highest first.
fn whole(bytes: &[u8]) -> Option<i128> {
    let fill = if bytes.first().is_some_and(|first| *first >= 0x80) { 0xff } else { 0 };
    let mut wide = [fill; 16];
    wide[16_usize.checked_sub(bytes.len())?..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(wide))
}

#[cfg(test)]
#[path = "avro/tests.rs"]
mod tests;
