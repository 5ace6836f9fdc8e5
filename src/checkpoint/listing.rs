//! `orderwatch checkpoint`: what is in a store, for people.
//!
//! Invariant: nothing is written but by `reset`. Limits: to say that a checkpoint is whole all of it is read.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::{Manifest, Store, StoreError, forget, read_parts};
use crate::cli::{Checkpoint, OutputFormat, StoredCheckpoints};
use crate::console::{Style, SummaryTable, print, print_table};
use crate::error::{JobError, JobResult};
use crate::instant::format_instant;
use crate::store::{Objects, is_bucket};

/// A checkpoint as it is listed.
struct Listed {
    name: String,
    /// What it says of itself; or why nobody can tell.
    manifest: Result<Manifest, String>,
    state: String,
}

/// Runs the command.
pub fn run(what: &Checkpoint, style: Style) -> JobResult<()> {
    match what {
        Checkpoint::List(stored) => list(stored, style),
        Checkpoint::Inspect { stored, name } => inspect(stored, name.as_deref()),
        Checkpoint::Reset { stored, yes } => reset(stored, *yes),
    }
}

fn open(stored: &StoredCheckpoints) -> JobResult<Objects> {
    // To look must not make a directory.
    if !is_bucket(&stored.checkpoint)
        && !Path::new(stored.checkpoint.strip_prefix("file://").unwrap_or(&stored.checkpoint)).is_dir()
    {
        return Err(JobError::configuration("there is no store of checkpoints")
            .at(stored.checkpoint.clone())
            .remedy("name the one that `orderwatch run` was given with --checkpoint"));
    }
    Objects::open(&stored.checkpoint)
}

fn failed(stored: &StoredCheckpoints, error: &StoreError) -> JobError {
    JobError::job(format!("the store of checkpoints failed: {error}")).at(stored.checkpoint.clone())
}

/// Every checkpoint, the newest first.
fn all(stored: &StoredCheckpoints, store: &Objects) -> Result<Vec<Listed>, StoreError> {
    let prefix = format!("{}/manifests/", stored.job);
    let names = store.list(&prefix)?.into_iter().rev();
    names
        .map(|path| {
            let bytes = store.get(&path)?.unwrap_or_default();
            let manifest: Result<Manifest, String> = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
            let state = match &manifest {
                Ok(manifest) => {
                    read_parts(store, manifest.clone()).map_or_else(|unfit| unfit.to_string(), |_| "whole".into())
                }
                Err(error) => format!("it is damaged: the manifest: {error}"),
            };
            let name = path.strip_prefix(&prefix).unwrap_or(&path).trim_end_matches(".json").to_owned();
            Ok(Listed { name, manifest, state })
        })
        .collect()
}

fn list(stored: &StoredCheckpoints, style: Style) -> JobResult<()> {
    let listed = all(stored, &open(stored)?).map_err(|error| failed(stored, &error))?;
    let cells = |listed: &Listed| {
        let said = listed.manifest.as_ref().ok();
        let as_of = said.map_or_else(String::new, |manifest| format_instant(manifest.frontier));
        let bytes: u64 = said.map_or(0, |manifest| manifest.parts.iter().map(|part| part.bytes).sum());
        let incarnation = said.map_or(0, |manifest| manifest.incarnation);
        [as_of, incarnation.to_string(), bytes.to_string(), listed.state.clone(), listed.name.clone()]
    };
    let header = ["as_of", "incarnation", "bytes", "state", "name"];
    match stored.output {
        OutputFormat::Json => {
            let object = |listed| -> serde_json::Map<_, _> {
                header.iter().zip(cells(listed)).map(|(name, cell)| ((*name).to_owned(), json!(cell))).collect()
            };
            say(&json!(listed.iter().map(object).collect::<Vec<_>>()).to_string())
        }
        OutputFormat::Text => {
            let table = SummaryTable {
                title: format!("checkpoints of {}", stored.job),
                header: header.map(str::to_owned).to_vec(),
                rows: listed.iter().map(|listed| cells(listed).to_vec()).collect(),
            };
            let mut text = Vec::new();
            // Into memory it cannot fail.
            let _ = print_table(&mut text, &table, style);
            say(String::from_utf8_lossy(&text).trim_end())
        }
    }
}

fn inspect(stored: &StoredCheckpoints, name: Option<&str>) -> JobResult<()> {
    let listed = all(stored, &open(stored)?).map_err(|error| failed(stored, &error))?;
    let found = listed.into_iter().find(|listed| name.is_none_or(|name| listed.name == name));
    let missing = || {
        let what = name.map_or_else(|| "no checkpoint".to_owned(), |name| format!("no checkpoint {name}"));
        JobError::configuration(format!("job {} has {what}", stored.job))
            .at(stored.checkpoint.clone())
            .remedy("see `orderwatch checkpoint list`; --job names another job")
    };
    let Listed { manifest, state, .. } = found.ok_or_else(missing)?;
    let manifest = manifest.map_err(|error| JobError::job(format!("the checkpoint cannot be read: {error}")))?;
    let said = serde_json::to_value(&manifest)
        .map_err(|error| JobError::job(format!("the checkpoint cannot be shown: {error}")))?;
    say(&format!("{:#}", json!({"state": state, "as_of": format_instant(manifest.frontier), "manifest": said})))
}

fn reset(stored: &StoredCheckpoints, yes: bool) -> JobResult<()> {
    let mut store = open(stored)?;
    if !yes {
        let names = store.list(&format!("{}/manifests/", stored.job)).map_err(|error| failed(stored, &error))?;
        let count = names.len();
        return Err(JobError::configuration(format!(
            "{count} checkpoints of job {} would be removed for good",
            stored.job
        ))
        .at(stored.checkpoint.clone())
        .remedy("add --yes, once the job is stopped; and empty its sinks, or they refuse it when it begins anew"));
    }
    let count = forget(&mut store, &stored.job).map_err(|error| failed(stored, &error))?;
    say(&format!("{count} checkpoints of job {} removed", stored.job))
}

fn say(text: &str) -> JobResult<()> {
    print("answer", |out| writeln!(out, "{text}"))
}
