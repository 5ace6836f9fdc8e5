//! `orderwatch checkpoint`: what is in a store, for people.
//!
//! Invariant: nothing is written but by `reset`. Limits: to say that a checkpoint is whole all of it is read.

use std::io::Write;

use dataflows::time::Time;
use serde_json::json;

use super::{Manifest, Store, StoreError, forget, read_parts};
use crate::cli::{Checkpoint, OutputFormat};
use crate::config::JobConfig;
use crate::console::{Style, SummaryTable, print, print_table};
use crate::error::{JobError, JobResult};
use crate::instant::format_instant;
use crate::store::{Objects, directory_of};

/// A checkpoint as it is listed.
struct Listed {
    name: String,
    /// What it says of itself; or why nobody can tell.
    manifest: Result<Manifest, String>,
    state: String,
}

/// The checkpoints of a job, and where they are.
struct Kept<'k> {
    url: &'k str,
    job: &'k str,
    store: Objects,
}

/// Runs the command.
pub fn run(what: &Checkpoint, config: &JobConfig, style: Style) -> JobResult<()> {
    let stored = what.stored();
    let job = stored.job.as_deref().unwrap_or(&config.name);
    let url = config.outputs.store.as_deref();
    let Some(kept) = url.map_or(Ok(None), |url| Kept::at(url, job))? else {
        return Err(JobError::configuration("there is no store of checkpoints")
            .at(url.unwrap_or("none"))
            .remedy("name the one that `orderwatch run` was given with --checkpoint"));
    };
    match what {
        Checkpoint::List(_) => kept.list(stored.output, style),
        Checkpoint::Inspect { name, .. } => kept.inspect(name.as_deref()),
        Checkpoint::Reset { yes, .. } => kept.reset(*yes),
    }
}

/// As of when the newest checkpoint of a job is, whole or not; none where there is none, or no store yet.
pub fn newest(store: &str, job: &str) -> JobResult<Option<Time>> {
    let Some(kept) = Kept::at(store, job)? else { return Ok(None) };
    let frontier = |name: &String| name.rsplit('/').next()?.split('-').next()?.parse::<Time>().ok();
    Ok(kept.names().map_err(|error| kept.failed(&error))?.first().and_then(frontier))
}

impl<'k> Kept<'k> {
    /// None where a directory is still to be made: to look must not make it.
    fn at(url: &'k str, job: &'k str) -> JobResult<Option<Kept<'k>>> {
        if directory_of(url).is_some_and(|directory| !directory.is_dir()) {
            return Ok(None);
        }
        Ok(Some(Kept { url, job, store: Objects::open(url)? }))
    }

    fn failed(&self, error: &StoreError) -> JobError {
        JobError::job(format!("the store of checkpoints failed: {error}")).at(self.url)
    }

    fn prefix(&self) -> String {
        format!("{}/manifests/", self.job)
    }

    /// The manifests, the newest first.
    fn names(&self) -> Result<Vec<String>, StoreError> {
        let mut names = self.store.list(&self.prefix())?;
        names.reverse();
        Ok(names)
    }

    /// Every checkpoint, the newest first.
    fn all(&self) -> Result<Vec<Listed>, StoreError> {
        let prefix = self.prefix();
        let listed = |path: String| -> Result<Listed, StoreError> {
            let bytes = self.store.get(&path)?.unwrap_or_default();
            let manifest: Result<Manifest, String> = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
            let state = match &manifest {
                Ok(manifest) => {
                    read_parts(&self.store, manifest.clone()).map_or_else(|unfit| unfit.to_string(), |_| "whole".into())
                }
                Err(error) => format!("it is damaged: the manifest: {error}"),
            };
            let name = path.strip_prefix(&prefix).unwrap_or(&path).trim_end_matches(".json").to_owned();
            Ok(Listed { name, manifest, state })
        };
        self.names()?.into_iter().map(listed).collect()
    }

    fn list(&self, output: OutputFormat, style: Style) -> JobResult<()> {
        let listed = self.all().map_err(|error| self.failed(&error))?;
        let cells = |listed: &Listed| {
            let said = listed.manifest.as_ref().ok();
            let as_of = said.map_or_else(String::new, |manifest| format_instant(manifest.frontier));
            let bytes: u64 = said.map_or(0, |manifest| manifest.parts.iter().map(|part| part.bytes).sum());
            let incarnation = said.map_or(0, |manifest| manifest.incarnation);
            [as_of, incarnation.to_string(), bytes.to_string(), listed.state.clone(), listed.name.clone()]
        };
        let header = ["as_of", "incarnation", "bytes", "state", "name"];
        match output {
            OutputFormat::Json => {
                let object = |listed| -> serde_json::Map<_, _> {
                    header.iter().zip(cells(listed)).map(|(name, cell)| ((*name).to_owned(), json!(cell))).collect()
                };
                say(&json!(listed.iter().map(object).collect::<Vec<_>>()).to_string())
            }
            OutputFormat::Text => {
                let table = SummaryTable {
                    title: format!("checkpoints of {}", self.job),
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

    fn inspect(&self, name: Option<&str>) -> JobResult<()> {
        let listed = self.all().map_err(|error| self.failed(&error))?;
        let found = listed.into_iter().find(|listed| name.is_none_or(|name| listed.name == name));
        let missing = || {
            let what = name.map_or_else(|| "no checkpoint".to_owned(), |name| format!("no checkpoint {name}"));
            JobError::configuration(format!("job {} has {what}", self.job))
                .at(self.url)
                .remedy("see `orderwatch checkpoint list`; --job names another job")
        };
        let Listed { manifest, state, .. } = found.ok_or_else(missing)?;
        let manifest = manifest.map_err(|error| JobError::job(format!("the checkpoint cannot be read: {error}")))?;
        let said = serde_json::to_value(&manifest)
            .map_err(|error| JobError::job(format!("the checkpoint cannot be shown: {error}")))?;
        say(&format!("{:#}", json!({"state": state, "as_of": format_instant(manifest.frontier), "manifest": said})))
    }

    fn reset(mut self, yes: bool) -> JobResult<()> {
        if !yes {
            let count = self.names().map_err(|error| self.failed(&error))?.len();
            let what = format!("{count} checkpoints of job {} would be removed for good", self.job);
            return Err(JobError::configuration(what).at(self.url).remedy(
                "add --yes, once the job is stopped; and empty its sinks, or they refuse it when it begins anew",
            ));
        }
        let count = forget(&mut self.store, self.job).map_err(|error| self.failed(&error))?;
        say(&format!("{count} checkpoints of job {} removed", self.job))
    }
}

fn say(text: &str) -> JobResult<()> {
    print("answer", |out| writeln!(out, "{text}"))
}
