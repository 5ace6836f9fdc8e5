//! `orderwatch check`: what a replay or a live job would find, before it is started. A line for each thing looked at.
//!
//! Invariant: it changes nothing and reads no input to its end. Whether an output can be written its sink says itself,
//! what a record is worth the decoders say. Limits: a good beginning is no promise for the rest.

mod live;

use std::io::Write;
use std::path::Path;

use anstyle::AnsiColor;
use rustix::fs::statvfs;
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use crate::checkpoint::Store;
use crate::cli::{Check, OutputFormat, ReplayOptions};
use crate::clock::{Speed, wall_clock_ms};
use crate::config::{JobConfig, Kind, Origins, Outputs};
use crate::console::{Style, print, visible};
use crate::error::{JobError, JobResult};
use crate::kafka::KafkaSettings;
use crate::produce;
use crate::replay::apart::stand_apart;
use crate::serve;
use crate::sink::files::Files;
use crate::sink::postgres::Replacement;
use crate::sink::sqlite::Sqlite;
use crate::source::inputs::samples;
use crate::source::sample::Sample;
use crate::store::{Objects, directory_of};
use crate::validate::Limits;
use crate::validate::meaning::meaning;

/// Open files that a replay may need beside its inputs.
const OPEN_FILES: u64 = 64;
/// Files of a directory that is an input.
const FILES_OF_INPUT: u64 = 8;
/// Free space to keep beside what results take up, in bytes.
const SPARE_BYTES: u64 = 64 << 20;

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It will run, but perhaps not as wanted.
    Warning,
    /// It would fail.
    Failed,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub check: &'static str,
    /// Which one.
    pub target: String,
    /// How it was found.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do about it; none where all is well.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, target: impl Into<String>, detail: impl Into<String>) -> Finding {
        Finding { check, target: target.into(), state: State::Ok, detail: detail.into(), remedy: None }
    }

    fn or(self, state: State, remedy: impl Into<String>) -> Finding {
        Finding { state, remedy: Some(remedy.into()), ..self }
    }

    fn failed(check: &'static str, target: impl Into<String>, error: &JobError) -> Finding {
        let place = error.location().map_or_else(String::new, |location| format!(" ({location})"));
        // What a store or a server says may have several lines.
        let (what, below) = error.what().split_at(error.what().find('\n').unwrap_or(error.what().len()));
        let found = Finding::ok(check, target, format!("{what}{place}{below}"));
        found.or(State::Failed, error.remedy_text().unwrap_or("see docs/operations.md"))
    }

    /// What came of a look: `found`, where nothing stood in the way.
    fn of<T>(check: &'static str, target: String, looked: JobResult<T>, found: &str) -> Finding {
        match looked {
            Ok(_) => Finding::ok(check, target, found),
            Err(error) => Finding::failed(check, target, &error),
        }
    }
}

/// Checks and writes the findings to standard output; an error where one failed.
pub fn run(config: JobResult<JobConfig>, arguments: &Check, style: Style) -> JobResult<()> {
    let findings = findings(config, arguments);
    let failed = findings.iter().filter(|finding| finding.state == State::Failed).count();
    let text = match arguments.output {
        OutputFormat::Text => findings.iter().map(|finding| line(finding, style)).collect(),
        OutputFormat::Json => serde_json::json!({ "ok": failed == 0, "checks": findings }).to_string() + "\n",
    };
    print("findings", |out| out.write_all(text.as_bytes()))?;
    match failed {
        0 => Ok(()),
        _ => Err(JobError::job(format!("{failed} of {} checks failed", findings.len()))
            .remedy("do what stands below each that failed, then check again")),
    }
}

/// Looks at everything that a replay or a live job with these arguments needs.
fn findings(config: JobResult<JobConfig>, arguments: &Check) -> Vec<Finding> {
    let options = &arguments.options;
    let mut findings = Vec::new();
    let config = match options.check().and(config) {
        Ok(config) => {
            let rules = format!("{} rules, those by default included", config.rules.iter().count());
            findings.push(Finding::ok("configuration", &*config.name, "every value is as it may be"));
            findings.push(Finding::ok("SLA rules", "all", rules));
            Some(config)
        }
        Err(error) => {
            findings.push(Finding::failed("configuration", "all layers", &error));
            None
        }
    };
    let outputs = config.as_ref().map(|config| config.outputs.clone()).unwrap_or_default();
    let origins = config.as_ref().map(|config| config.origins.clone()).unwrap_or_default();
    let kind = config.as_ref().map(|config| config.kind).or(arguments.kind()).unwrap_or(Kind::Bounded);
    match (kind, &config) {
        (Kind::Bounded, config) => of_replay(config.as_ref(), &outputs, options, &mut findings),
        (Kind::Live, Some(config)) => live::look(config, arguments, &mut findings),
        (Kind::Live, None) => {}
    }
    findings.push(temporary_files());
    // What another layer names is for `run`: a replay without a speed leaves it alone.
    let keeps = kind == Kind::Live || options.speed != Speed::Max || arguments.outputs.checkpoint.is_some();
    findings.extend(outputs.store.iter().filter(|_| keeps).map(|store| of_store(store, &origins)));
    findings.extend(outputs.served_at.iter().map(|address| {
        let bound = serve::bind(address).map_err(|error| origins.place(error));
        Finding::of("output", format!("--serve {address}"), bound, "nobody else answers there")
    }));
    let workers = config.as_ref().map_or(1, |config| config.cluster.workers as u64);
    findings.push(open_files(options.inputs.len() as u64, workers));
    findings
}

/// What a replay reads, where there is room, and where it writes. Without a configuration inputs are looked at all the same,
/// with the limits by default.
fn of_replay(config: Option<&JobConfig>, outputs: &Outputs, options: &ReplayOptions, findings: &mut Vec<Finding>) {
    let limits = config.map_or_else(|| Limits::at(wall_clock_ms()), JobConfig::limits);
    if let (Some(config), Some(brokers)) = (config, &options.produce) {
        let connected = produce::connect(config, brokers);
        findings.push(Finding::of("output", format!("--produce {brokers}"), connected, "the topics are there"));
    }
    let kafka = config.map(|config| config.kafka.clone()).unwrap_or_default();
    options.inputs.iter().for_each(|input| findings.extend(of_input(input, options, &limits, &kafka)));
    let input_bytes = options.inputs.iter().map(|input| bytes_of(input)).sum();
    let files = options.out.iter().map(|path| ("--out", path, Files::probe(path, options.format, options.changes)));
    let of_sqlite = |path: &Path| stand_apart(options, None, outputs).and_then(|()| Sqlite::probe(path));
    let sqlite = outputs.sqlite.iter().map(|path| ("--sqlite", path, of_sqlite(path)));
    for (name, path, probed) in files.chain(sqlite) {
        findings.push(of_output(format!("{name} {}", path.display()), probed));
        findings.extend(free_space(path, input_bytes));
    }
    let postgres = outputs.postgres.iter();
    findings.extend(postgres.map(|url| of_output(format!("--postgres {url:?}"), Replacement::probe(url))));
}

/// What has to be sorted and is too much for memory goes there.
fn temporary_files() -> Finding {
    let directory = std::env::temp_dir();
    let probed = tempfile::tempfile().map(drop).map_err(|error| {
        JobError::io("write a temporary file", &directory, &error).remedy("set TMPDIR to a directory with enough space")
    });
    let found = of_output(format!("temporary files in {}", directory.display()), probed);
    // Few inputs need any.
    if found.state == State::Failed { Finding { state: State::Warning, ..found } } else { found }
}

/// A bucket is asked, not written to; a directory that is still to be made is not made.
fn of_store(store: &str, origins: &Origins) -> Finding {
    let target = format!("--checkpoint {store}");
    if let Some(directory) = directory_of(store) {
        let there = Files::existing(directory);
        let probed = tempfile::tempfile_in(&there).map(drop).map_err(|error| {
            JobError::io("use the store of checkpoints", &there, &error)
                .remedy("name a directory that you may write to with --checkpoint, or s3://BUCKET/PREFIX")
        });
        return of_output(target, probed);
    }
    let found = Objects::open(store).and_then(|objects| {
        objects.get("nothing").map_err(|error| JobError::job(error.to_string()).at(store.to_owned()))
    });
    let found = found.map_err(|error| origins.place(error));
    Finding::of("output", target, found, "answers; whether it can be written is seen at the start")
}

fn of_output(target: String, probed: JobResult<()>) -> Finding {
    Finding::of("output", target, probed, "can be written")
}

/// The beginning of every file of an input.
fn of_input(input: &Path, options: &ReplayOptions, limits: &Limits, kafka: &KafkaSettings) -> Vec<Finding> {
    let target = input.display().to_string();
    match samples(input, options.reading.kind, limits, kafka) {
        Err(error) => vec![Finding::failed("input", target, &error)],
        Ok(samples) if samples.is_empty() => {
            let found = Finding::ok("input", target, "can be read once only, so it was not looked at");
            vec![found.or(State::Warning, "to have it checked, put it into a file")]
        }
        Ok(samples) => samples.iter().map(|sample| of_sample(&target, sample)).collect(),
    }
}

fn of_sample(input: &str, sample: &Sample) -> Finding {
    let Sample { name, read, decoded, first_refused } = sample;
    let found = |detail: String| Finding::ok("input", format!("{input}: {name}"), detail);
    let Some((place, reasons)) = first_refused else {
        return match read {
            0 => found("it holds no record".into()).or(State::Warning, "check that this is the right file"),
            _ => found(format!("the first {read} records can be used")),
        };
    };
    let reasons: Vec<String> =
        reasons.iter().map(ToString::to_string).map(|reason| format!("{reason}: {}", meaning(&reason))).collect();
    let first = format!("of the first {read} records {decoded} can be used; {place}: {}", reasons.join("; "));
    match decoded {
        0 => found(first).or(State::Failed, "mend the file, or say with --as what it is; see docs/validation.md"),
        _ => found(first).or(State::Warning, "such records become dead letters; see docs/validation.md"),
    }
}

/// Whether there is room for results of about the size of the inputs.
fn free_space(path: &Path, input_bytes: u64) -> Option<Finding> {
    let (there, needed) = (Files::existing(path), input_bytes.saturating_add(SPARE_BYTES));
    let space = statvfs(&there).ok()?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let (free_mib, needed_mib) = (free >> 20, needed >> 20);
    let found = Finding::ok("free space", there.display().to_string(), format!("{free_mib} MiB free"));
    Some(match free < needed {
        true => found.or(State::Warning, format!("free some, up to {needed_mib} MiB, or name another directory")),
        false => found,
    })
}

/// Each worker may need a temporary file for what it sorts of an input.
fn open_files(inputs: u64, workers: u64) -> Finding {
    let needed = OPEN_FILES * workers + (FILES_OF_INPUT + workers) * inputs;
    let limit = getrlimit(Resource::Nofile).current;
    let shown = limit.map_or_else(|| "no limit".into(), |limit| limit.to_string());
    let found = Finding::ok("open files", "limit", shown);
    match limit {
        Some(limit) if limit < needed => found.or(State::Warning, format!("raise it: ulimit -n {needed}")),
        _ => found,
    }
}

/// What an input takes up: a file, or the files of a directory.
fn bytes_of(input: &Path) -> u64 {
    let length = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
    match std::fs::read_dir(input) {
        Ok(entries) => entries.flatten().map(|entry| length(&entry.path())).sum(),
        Err(_) => length(input),
    }
}

/// A finding as a line, with what to do below it.
fn line(finding: &Finding, style: Style) -> String {
    let Finding { check, target, state, detail, remedy } = finding;
    let (word, color) = match state {
        State::Ok => ("ok", AnsiColor::Green),
        State::Warning => ("warning", AnsiColor::Yellow),
        State::Failed => ("failed", AnsiColor::Red),
    };
    let paint = if style.color { color.on_default().bold() } else { anstyle::Style::new() };
    let remedy = remedy.as_ref().map_or_else(String::new, |remedy| format!("{:9}do: {}\n", "", indented(remedy)));
    format!("{paint}{word:7}{paint:#}  {check}, {}: {}\n{remedy}", visible(target), indented(detail))
}

/// The text, its lines below the first so far in that none of them passes for a finding or a remedy.
fn indented(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n             ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_what_a_store_says_passes_for_a_finding() {
        let error = JobError::job("no answer: <?xml?>\nok       output\u{1b}: fine").at("s3://b").remedy("see AWS_*");
        let found = line(&Finding::failed("output", "x", &error), Style::PLAIN);
        let says = "failed   output, x: no answer: <?xml?> (s3://b)\n             ok       output\\x1B: fine\n";
        assert_eq!(found, format!("{says}         do: see AWS_*\n"));
    }
}
