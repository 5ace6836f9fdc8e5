//! How the values of records are written: each record is handed over with its form, so that decoding needs nobody.
//!
//! A value that begins with a zero byte names its schema by the id that follows, where there is a registry to ask. Invariant:
//! a record whose schema is not known yet waits, with all that come after it in its partition, until the registry has said
//! what it is; nothing is decided while it is away. Whoever registers an unknown id later changes what reading again says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};

use crate::decode::avro::{TOPIC_RECORD, WriterSchema};
use crate::decode::form::Form;
use crate::error::{JobError, JobResult};
use crate::kafka::{Format, KafkaSettings};
use crate::registry::{Registry, RegistryAddress};
use crate::validate::MAX_RECORD_BYTES;

/// What stands before a value in Confluent's wire format: a zero, and the id of its schema.
const HEAD_BYTES: usize = 5;
/// More schemas than any shop has; beyond that they are asked for again.
const KNOWN_MAX: usize = 1 << 10;

/// The forms of one reader's records.
pub struct Forms {
    plain: Form,
    asking: Option<Asking>,
}

/// Asks a registry, by a thread of its own that ends with it.
struct Asking {
    known: BTreeMap<u32, Form>,
    asked: BTreeSet<u32>,
    ids: Sender<u32>,
    answers: Receiver<(u32, JobResult<Form>)>,
    _alive: Arc<()>,
}

impl Forms {
    /// Waits for nothing: a registry is asked for what is met.
    pub fn start(settings: &KafkaSettings) -> JobResult<Forms> {
        let asking = settings.registry.as_ref().map(Asking::start).transpose()?;
        let plain = match (settings.format, &asking) {
            // The first byte of a bare value may be zero, too.
            (Format::Avro, None) => Form::Avro(own_schema()?, 0),
            _ => Form::Json,
        };
        Ok(Forms { plain, asking })
    }

    /// The form of a value; none as long as it is not known. An error means that the registry will never say.
    pub fn of(&mut self, value: Option<&[u8]>) -> JobResult<Option<Form>> {
        match (&mut self.asking, value) {
            (Some(asking), Some(value @ [0, ..])) if value.len() <= MAX_RECORD_BYTES => {
                match value[1..].first_chunk() {
                    Some(id) => asking.form(u32::from_be_bytes(*id)),
                    None => Ok(Some(Form::Json)),
                }
            }
            _ => Ok(Some(self.plain.clone())),
        }
    }
}

impl Asking {
    fn start(address: &RegistryAddress) -> JobResult<Asking> {
        let (ids, asked) = channel();
        let (answer, answers) = channel();
        let alive = Arc::new(());
        let (registry, is_wanted) = (Registry::new(address), Arc::downgrade(&alive));
        let named = std::thread::Builder::new().name("schemas".into());
        let spawned = named.spawn(move || {
            for id in asked {
                // Whoever does not listen any more is gone.
                let _ = answer.send((id, ask(&registry, id, &is_wanted)));
            }
        });
        spawned.map_err(|error| JobError::job(format!("cannot start a thread: {error}")))?;
        Ok(Asking { known: BTreeMap::new(), asked: BTreeSet::new(), ids, answers, _alive: alive })
    }

    fn form(&mut self, id: u32) -> JobResult<Option<Form>> {
        for (id, answer) in self.answers.try_iter() {
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            self.known.insert(id, answer?);
            self.asked.remove(&id);
        }
        let known = self.known.get(&id).cloned();
        if known.is_none() && self.asked.insert(id) {
            // The thread ends after this.
            let _ = self.ids.send(id);
        }
        Ok(known)
    }
}

fn ask(registry: &Registry, id: u32, is_wanted: &Weak<()>) -> JobResult<Form> {
    let found = registry.ask(|registry| registry.schema(id), || is_wanted.strong_count() > 0)?;
    let parsed = found.map(|found| WriterSchema::parse(&found.schema, &found.others)).transpose();
    let schema = parsed.unwrap_or_else(|error| {
        tracing::warn!("schema {id} of the registry is none that can be read: {error}");
        None
    });
    Ok(schema.map_or(Form::Unknown, |schema| Form::Avro(schema, HEAD_BYTES)))
}

/// The schema of what this program sends.
fn own_schema() -> JobResult<WriterSchema> {
    let wrong = |error| JobError::job(format!("docs/schemas/topic_record.avsc does not fit this program: {error}"));
    WriterSchema::parse(TOPIC_RECORD, &[]).map_err(wrong)
}
