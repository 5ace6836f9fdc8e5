//! A configuration file in YAML: the same sections and keys as in TOML, each with its line.
//!
//! Limits: one document; the library stops alias bombs and refuses a key that stands twice.

use std::collections::HashMap;

use figment::value::Value;
use serde::Deserialize;
use serde_saphyr::{Error, MessageFormatter, Spanned, UserMessageFormatter};

use super::layer::{Section, SyntaxError, Written};

type Keys<V> = HashMap<Spanned<String>, V>;

/// The sections of a file.
pub(super) fn read(text: &str) -> Result<Vec<Written<Section>>, SyntaxError> {
    let sections: Option<Keys<Value>> = parse(text)?;
    let is_other = |value: &Value| !matches!(value, Value::Dict(..) | Value::Empty(..));
    if let Some((name, _)) = sections.into_iter().flatten().find(|(_, value)| is_other(value)) {
        return Ok(vec![written(name, Section::Other)]);
    }
    let sections: Option<Keys<Option<Keys<Value>>>> = parse(text)?;
    let written = sections.into_iter().flatten().map(|(name, keys)| {
        let keys = keys.into_iter().flatten().map(|(name, value)| written(name, value));
        written(name, Section::Keys(in_order(keys)))
    });
    Ok(in_order(written))
}

fn parse<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, SyntaxError> {
    serde_saphyr::from_str(text).map_err(|error: Error| {
        let location = error.location().filter(|location| location.line() > 0);
        SyntaxError { message: message(&error), place: location.map(|at| (at.line(), at.column())) }
    })
}

/// What is wrong, for those who wrote the file; without what stands there, which the library repeats of some mistakes.
fn message(error: &Error) -> String {
    match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => message(error),
        Error::MultipleDocuments { .. } => "a second document begins, but only one is read".into(),
        Error::DuplicateMappingKey { .. } => "duplicate mapping key".into(),
        Error::NonFiniteFloat { .. } => "no finite number".into(),
        Error::UnsupportedTag { .. } => "unsupported tag".into(),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("expected {expected}")
        }
        error => UserMessageFormatter.format_message(error).into_owned(),
    }
}

fn written<V>(name: Spanned<String>, value: V) -> Written<V> {
    Written { line: name.referenced.line(), name: name.value, value }
}

/// As they stand in the file, so that the first error is the one shown.
fn in_order<V>(written: impl Iterator<Item = Written<V>>) -> Vec<Written<V>> {
    let mut written: Vec<Written<V>> = written.collect();
    written.sort_by_key(|written| written.line);
    written
}
