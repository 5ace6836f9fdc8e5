//! One layer of the configuration: keys, values, and where each value was written.
//!
//! Invariant: a layer holds known keys only. The built-in default names every key, so it is the schema: its value also
//! says how text from the environment or a flag is read (a number, a truth value, a list, or text).

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};
use toml::de::{DeTable, DeValue};

use super::yaml;
use crate::error::{JobError, JobResult};

/// What the variables of this program start with; sections and keys follow, each after two underscores.
pub(super) const ENVIRONMENT_PREFIX: &str = "ORDERWATCH__";

/// What layers are called that come of a file in YAML; others of a file are in TOML.
pub(super) const YAML: &str = "YAML";

/// Where a value was written that nobody wrote.
pub(super) const BUILT_IN: &str = "built-in default";

/// What keys of the environment start with that set one setting of librdkafka, whose names have no underscores.
const CLIENT_SETTINGS: &str = "kafka.client.";

/// Below this likeness (0 to 1) a known key is no help to someone who misspelt one.
const LIKENESS_MIN: f64 = 0.6;
/// The same for a last word in another section, where a vague likeness would mislead.
const LAST_WORD_LIKENESS_MIN: f64 = 0.8;

/// Values by `section.key`, each with its origin: `FILE:LINE`, an environment variable, a flag.
pub(super) struct Layer {
    name: &'static str,
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    value: Value,
    origin: String,
}

/// The known keys with their defaults.
pub(super) struct Schema(pub(super) Layer);

impl Schema {
    /// The built-in default.
    pub(super) fn built_in(text: &str) -> JobResult<Schema> {
        let mut layer = Layer { name: BUILT_IN, entries: BTreeMap::new() };
        for (section, value) in tables(text).map_err(|error| JobError::job(error.message).at("config/default.toml"))? {
            for (key, value) in value.as_dict().into_iter().flatten() {
                let entry = Entry { value: value.clone(), origin: BUILT_IN.into() };
                layer.entries.insert(format!("{section}.{key}"), entry);
            }
        }
        Ok(Schema(layer))
    }

    /// The layer of a file: YAML where its name ends so, otherwise TOML.
    pub(super) fn file(&self, path: &Path, text: &str) -> JobResult<Layer> {
        let shown = path.display();
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let (read, language, quoted) = match is_yaml {
            true => (yaml::read(text), YAML, "text that begins with a special sign stands in quotes"),
            false => (read_toml(text), "TOML", "strings and durations stand in quotes"),
        };
        let sections = read.map_err(|SyntaxError { message, place }| {
            let place = place.map_or_else(String::new, |(line, column)| format!(", line {line}, column {column}"));
            JobError::configuration(format!("the configuration file is no {language}: {message}"))
                .at(format!("{shown}{place}"))
                .remedy(format!("mend the line; {quoted}"))
        })?;
        let mut layer = Layer { name: language, entries: BTreeMap::new() };
        let origin = |line| format!("{shown}:{line}");
        for Written { name: section, line, value } in sections {
            let Section::Keys(keys) = value else {
                return Err(self.unknown(&section, origin(line)));
            };
            if keys.is_empty() && !self.sections().any(|known| known == section) {
                return Err(self.unknown(&section, origin(line)));
            }
            for Written { name: key, line, value } in keys {
                self.insert(&mut layer, format!("{section}.{key}"), origin(line), |_| value)?;
            }
        }
        Ok(layer)
    }

    /// The layer of those of `variables` that start with the prefix.
    pub(super) fn environment(&self, variables: impl IntoIterator<Item = (String, String)>) -> JobResult<Layer> {
        let mut layer = Layer { name: "environment", entries: BTreeMap::new() };
        let mut client_settings = Dict::new();
        for (variable, text) in variables {
            if let Some(key) = variable.strip_prefix(ENVIRONMENT_PREFIX) {
                let key = key.to_ascii_lowercase().replace("__", ".");
                let origin = format!("environment variable {variable}");
                if let Some(setting) = key.strip_prefix(CLIENT_SETTINGS) {
                    client_settings.insert(setting.replace('_', "."), text.into());
                    layer
                        .entries
                        .insert("kafka.client".into(), Entry { value: client_settings.clone().into(), origin });
                    continue;
                }
                self.insert(&mut layer, key, origin, |default| read_as(default, &text))?;
            }
        }
        Ok(layer)
    }

    /// The layer of the flags given.
    pub(super) fn flags(&self, flags: &[super::Flag]) -> JobResult<Layer> {
        let mut layer = Layer { name: "flags", entries: BTreeMap::new() };
        for super::Flag { key, flag, text } in flags {
            self.insert(&mut layer, (*key).into(), format!("flag {flag}"), |default| read_as(default, text))?;
        }
        Ok(layer)
    }

    /// The default of a known key.
    pub(super) fn default_of(&self, key: &str) -> Option<&Value> {
        self.0.entries.get(key).map(|entry| &entry.value)
    }

    fn insert(
        &self,
        layer: &mut Layer,
        key: String,
        origin: String,
        value: impl FnOnce(&Value) -> Value,
    ) -> JobResult<()> {
        let Some(default) = self.default_of(&key) else {
            return Err(self.unknown(&key, origin));
        };
        layer.entries.insert(key, Entry { value: value(default), origin });
        Ok(())
    }

    fn sections(&self) -> impl Iterator<Item = &str> {
        self.0.entries.keys().filter_map(|key| Some(key.split_once('.')?.0))
    }

    fn unknown(&self, key: &str, origin: String) -> JobError {
        let error = JobError::configuration(format!("unknown configuration key `{key}`"));
        let named = |known: &str| match known.split_once('.') {
            _ if origin.starts_with("environment") => {
                format!("{ENVIRONMENT_PREFIX}{}", known.replace('.', "__").to_ascii_uppercase())
            }
            Some((section, name)) => format!("`{name}` in section [{section}]"),
            None => format!("the section [{known}]"),
        };
        let remedy = match self.nearest(key) {
            Some(known) if known == key && self.default_of(key).is_some() => {
                let (section, name) = key.split_once('.').unwrap_or(("", key));
                format!("write it as section `{section}` with the key `{name}`")
            }
            Some(section) if section == key => {
                let of_section = self.0.entries.keys().find(|known| known.split('.').next() == Some(section));
                let example = named(of_section.map_or(section, String::as_str));
                format!("`{section}` is a section: set one of its keys, as in {example}")
            }
            Some(nearest) => format!("did you mean {}?", named(nearest)),
            None => "remove it; config/default.toml names every key".into(),
        };
        error.at(origin).remedy(remedy)
    }

    /// The known key (or, for a bare word, section) most like `wrong`; the last word alone may match as well, because a
    /// key in the wrong section is a common slip.
    fn nearest(&self, wrong: &str) -> Option<&str> {
        let last = |key: &str| key.rsplit('.').next().map(str::to_owned).unwrap_or_default();
        let likeness = |known: &str| {
            let whole = strsim::normalized_damerau_levenshtein(known, wrong);
            match strsim::normalized_damerau_levenshtein(&last(known), &last(wrong)) {
                // Just below a whole match, so that the right section wins where both have the word.
                word if word >= LAST_WORD_LIKENESS_MIN => whole.max(word * 0.95),
                _ => whole,
            }
        };
        let sections = self.sections().filter(|_| !wrong.contains('.'));
        let known = self.0.entries.keys().map(String::as_str).chain(sections);
        let ranked = known.map(|known| (likeness(known), known)).filter(|(likeness, _)| *likeness >= LIKENESS_MIN);
        ranked.max_by(|left, right| left.0.total_cmp(&right.0)).map(|(_, known)| known)
    }
}

impl Layer {
    /// The text of a key, where it says one.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.entries.get(key)?.value.as_str()
    }

    /// Its keys, as `section.key`.
    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }
}

impl Provider for &Layer {
    fn metadata(&self) -> Metadata {
        let origins: BTreeMap<String, String> =
            self.entries.iter().map(|(key, entry)| (key.clone(), entry.origin.clone())).collect();
        let name = self.name;
        Metadata::named(name).interpolater(move |_: &Profile, keys: &[&str]| {
            // An element of a list is where its list is.
            let key = keys.iter().take(2).copied().collect::<Vec<_>>().join(".");
            origins.get(&key).cloned().unwrap_or_else(|| name.into())
        })
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut sections = Dict::new();
        for (path, entry) in &self.entries {
            if let Some((section, key)) = path.split_once('.')
                && let Value::Dict(_, keys) = sections.entry(section.into()).or_insert_with(|| Dict::new().into())
            {
                keys.insert(key.into(), entry.value.clone());
            }
        }
        Ok(Profile::Default.collect(sections))
    }
}

/// Text from outside a file, read as what the default is; left as text where it is no such thing, for the types to refuse.
fn read_as(default: &Value, text: &str) -> Value {
    let trimmed = text.trim();
    match default {
        Value::Num(..) => trimmed.parse::<u64>().map_or_else(|_| text.into(), Value::from),
        Value::Bool(..) => trimmed.parse::<bool>().map_or_else(|_| text.into(), Value::from),
        Value::Array(..) => {
            trimmed.split(',').map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>().into()
        }
        _ => trimmed.into(),
    }
}

/// What is wrong with the text of a file. Nothing of the text is part of it, for that may be a secret.
pub(super) struct SyntaxError {
    pub(super) message: String,
    /// Line and column, each from 1.
    pub(super) place: Option<(u64, u64)>,
}

fn tables(text: &str) -> Result<Dict, SyntaxError> {
    toml::from_str(text).map_err(|error| SyntaxError {
        message: error.message().to_owned(),
        place: error.span().map(|span| place_of(text, span.start)),
    })
}

/// The line and column, each from 1, of a place in a text.
fn place_of(text: &str, offset: usize) -> (u64, u64) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (1 + before.matches('\n').count() as u64, 1 + before[line_start..].chars().count() as u64)
}

/// A name in a file, the line it stands on, and its value.
pub(super) struct Written<V> {
    pub(super) name: String,
    pub(super) line: u64,
    pub(super) value: V,
}

/// What stands under the name of a section.
pub(super) enum Section {
    /// Keys.
    Keys(Vec<Written<Value>>),
    /// Something else, which no section is.
    Other,
}

fn read_toml(text: &str) -> Result<Vec<Written<Section>>, SyntaxError> {
    let sections = tables(text)?;
    let written = sections.into_iter().map(|(section, value)| {
        let line = |key: Option<&String>| line_of(text, &section, key).unwrap_or(1);
        let key = |(name, value)| Written { line: line(Some(&name)), name, value };
        let value = match value {
            Value::Dict(_, keys) => Section::Keys(keys.into_iter().map(key).collect()),
            _ => Section::Other,
        };
        Written { line: line(None), name: section, value }
    });
    Ok(written.collect())
}

/// The line, from 1, on which a section or a key of it is written.
fn line_of(text: &str, section: &str, key: Option<&String>) -> Option<u64> {
    let document = DeTable::parse(text).ok()?;
    let (name, value) = document.get_ref().get_key_value(section)?;
    let written = match (key, value.get_ref()) {
        (Some(key), DeValue::Table(keys)) => keys.get_key_value(key.as_str())?.0,
        _ => name,
    };
    Some(place_of(text, written.span().start).0)
}
