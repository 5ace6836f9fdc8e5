//! `orderwatch run`: the live job, from its start to its end (decision 10).
//!
//! Process 0 takes the next incarnation, fences the sinks and finds where to go on; then all workers of all processes run.
//! Invariant: nobody writes before the start has succeeded.

pub mod archive;
pub mod counters;
pub mod discovery;
pub mod head;
pub mod job;
pub mod metrics;
pub mod publisher;
pub mod publishing;
pub mod reading;
pub mod rows;
pub mod sources;
pub mod teller;

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use dataflows::orders::Rows;
use dataflows::settings::Settings;
use xxhash_rust::xxh3::xxh3_64;

use crate::checkpoint::{StoreError, Unfit, listing};
use crate::cli::{LiveStart, ReplayOptions, RunOptions};
use crate::cluster;
use crate::config::{Cluster, JobConfig, Outputs, Plan};
use crate::error::{JobError, JobResult};
use crate::incarnation::{self, Start, StartError};
use crate::instant::format_instant;
use crate::interrupt;
use crate::kafka::KafkaSettings;
use crate::replay::apart::stand_apart;
use crate::serve;
use crate::sink::change::Change;
use crate::sink::commits::{Progress, Transactions};
use crate::sink::committer::{Committer, CommitterSettings};
use crate::sink::kafka::{ChangelogSettings, Kafka, is_changelog};
use crate::sink::postgres::{Postgres, PostgresSettings};
use crate::sink::sqlite::live::LiveSqlite;
use crate::store::Objects;
use crate::worker::live;
use job::{Lead, LiveJob, Shared};
use publisher::Publisher;
use publishing::Told;
use reading::Beginning;
use sources::Sources;
use teller::Teller;

/// Runs a live job until it is stopped.
pub fn run(config: &JobConfig, options: &RunOptions) -> JobResult<()> {
    // From here on to stop is to drain, even if there is nothing yet.
    interrupt::drains();
    check(config, options.watch.as_deref())?;
    if options.start == LiveStart::Checkpoint {
        // Before anything is kept of this start.
        check_ran(config)?;
    }
    let sources = Sources::of(config, options)?;
    let opened = sources.clone();
    let mut job = LiveJob::new(config, sources.topics(), options.clock, Box::new(move || opened.open()));
    job.files = sources.files();
    job.partitions = Arc::new(Mutex::new(sources.partitions().collect()));
    if let Some(address) = &config.outputs.served_at {
        serve::start(address, Arc::clone(&job.counters))?;
    }
    job.store = config.outputs.store.clone();
    if config.cluster.process == 0 {
        let lead;
        (job.found, lead) = prepare(config, options, &job)?;
        job.lead = Mutex::new(Some(lead));
    }
    if let Some(broker) = sources.broker() {
        job.discovered = Arc::default();
        let (broker, start, kept) = (broker.clone(), options.start, job.store.clone().zip(Some(job.name.clone())));
        let (known, discovered) = (Arc::clone(&job.partitions), Arc::clone(&job.discovered));
        let discover = move |is_first| discovery::start(broker, start, kept.filter(|_| is_first), known, discovered);
        job.discover = Mutex::new(Some(Box::new(discover)));
    }
    let job = Arc::new(job);
    execute(&config.cluster, &job)?;
    // Whoever closed standard error does not want to know.
    let _ = writeln!(io::stderr(), "stopped: {} records read by this process", job.records_read());
    Ok(())
}

/// Refuses a configuration with which no live job can run, or one that would read what it writes.
pub fn check(config: &JobConfig, watched: Option<&Path>) -> JobResult<()> {
    let Outputs { postgres, sqlite, kafka, store, .. } = &config.outputs;
    if config.plan == Plan::Relational {
        let what = "--plan relational forgets nothing, so it cannot write checkpoints";
        return Err(JobError::configuration(what).at("flag --plan").remedy("leave it out: results are equal"));
    }
    if store.is_none() && (postgres.is_some() || sqlite.is_some() || kafka.is_some()) {
        let what = "without checkpoints a sink cannot be kept up to date exactly once";
        let error = JobError::configuration(what).at("flag --checkpoint");
        return Err(error.remedy("name a directory for checkpoints, or leave the sinks out"));
    }
    let topics: &[String] = if config.kafka.brokers.is_empty() { &[] } else { &config.kafka.topics };
    if let Some(topic) = topics.iter().find(|topic| kafka.is_some() && is_changelog(topic, &config.name)) {
        // Whether brokers of other addresses are others cannot be told.
        let what = format!("topic {topic} would be read, and written into by --to-kafka");
        let error = JobError::configuration(what).at(format!("--topics, and --job {}", config.name));
        return Err(error.remedy("give the job another name with --job: changelogs are called JOB.COLLECTION"));
    }
    stand_apart(&ReplayOptions::default(), watched, &config.outputs)
}

/// Refuses a job that has no checkpoint to go on from.
fn check_ran(config: &JobConfig) -> JobResult<()> {
    let store = config.outputs.store.as_deref();
    // The first start keeps one of nothing.
    match store.map_or(Ok(None), |store| listing::newest(store, &config.name))?.filter(|as_of| *as_of > 0) {
        Some(_) => Ok(()),
        None => Err(JobError::configuration(format!("job {} has no checkpoint to go on from", config.name))
            .at(format!("--checkpoint {}", store.unwrap_or("none")))
            .remedy("to begin anew leave --start out, or name earliest, latest or a TIME with it")),
    }
}

/// Fences the sinks and finds where to go on.
fn prepare(config: &JobConfig, options: &RunOptions, job: &LiveJob) -> JobResult<(Option<Shared>, Lead)> {
    let mut sinks: Vec<LiveSink> = Vec::new();
    let mut names = Vec::new();
    if let Some(url) = &config.outputs.postgres {
        let settings = PostgresSettings { url: url.clone(), job: config.name.clone() };
        sinks.push(Box::new(Postgres::connect(&settings)?));
        names.push("postgres");
    }
    if let Some(path) = &config.outputs.sqlite {
        sinks.push(Box::new(LiveSqlite::open(path, &config.name)?));
        names.push("sqlite");
    }
    if let Some(brokers) = &config.outputs.kafka {
        let kafka = KafkaSettings { brokers: brokers.clone(), ..config.kafka.clone() };
        sinks.push(Box::new(Kafka::connect(&ChangelogSettings { kafka, job: config.name.clone() })?));
        names.push("kafka");
    }
    let mut teller = (!options.no_console).then(|| Teller::new(options.output));
    let told: Told = Box::new(move |changes| {
        if let Some(teller) = &mut teller {
            teller.tell(changes);
        }
    });
    let rows = match options.no_console {
        _ if !names.is_empty() => Rows::All,
        true => Rows::None,
        false => Rows::OpenBreaches,
    };
    let Some(store) = &job.store else {
        let nothing = Shared { rows, ..Shared::default() };
        return Ok((Some(nothing), Lead { committers: Vec::new(), told }));
    };
    let mut found = start(store, &config.name, job.fingerprint, &names, &mut sinks, &config.settings)?;
    found.shared.rows = rows;
    for (name, since) in names.iter().zip(&found.sinks).map(|(name, progress)| (name, progress.complete_since)) {
        if since > 0 {
            let since = format_instant(since);
            tracing::warn!(
                "the sink {name} begins at {since}, with all that stood then, and gets what has come since; orders that \
                 had retired and windows that had closed are missing"
            );
        }
    }
    let history = &found.shared.beginning.trail;
    let settings = CommitterSettings { job: config.name.clone(), sink: config.sink.clone() };
    let mut committers = Vec::new();
    for ((name, sink), progress) in names.into_iter().zip(sinks).zip(found.sinks) {
        committers.push(Committer::start(name, progress, history, sink, settings.clone())?);
    }
    Ok((Some(found.shared), Lead { committers, told }))
}

/// A sink that is kept up to date.
pub type LiveSink = Box<dyn Transactions<Change> + Send>;

/// Where a job goes on.
pub struct Found {
    /// What all processes have to know.
    pub shared: Shared,
    /// How far each sink is.
    pub sinks: Vec<Progress>,
}

/// Starts the next incarnation of a job: fences its sinks, which have these names, and finds the checkpoint to go on from.
/// A job that never ran gets its first one, of nothing.
pub fn start(
    store: &str,
    name: &str,
    fingerprint: u64,
    names: &[&str],
    sinks: &mut [LiveSink],
    settings: &Settings,
) -> JobResult<Found> {
    let mut objects = Objects::open(store)?;
    let failed = |error: StartError| refused(store, name, names, &error);
    let Start { checkpoints, restored, passed_over, trail, followed_until, sinks } =
        incarnation::start(&mut objects, name, fingerprint, sinks).map_err(failed)?;
    for (checkpoint, unfit) in &passed_over {
        tracing::warn!("checkpoint {checkpoint} is passed over: {unfit}");
    }
    let manifest = match restored {
        Some(restored) => restored.manifest,
        None => {
            let (publisher, mut nothing) =
                (Publisher::new(settings, Rows::None, Box::new(|_| Default::default())), Vec::new());
            publisher.snapshot(&mut |piece| nothing.push(piece.bytes.map_err(StoreError)));
            let write = || {
                let part = checkpoints.put_part(&mut objects, 0, 0, 0, nothing.into_iter())?;
                checkpoints.complete(&mut objects, 0, &Default::default(), vec![part.clone()])?;
                Ok(part)
            };
            let part = write().map_err(|error: StoreError| failed(StartError::Store(error)))?;
            checkpoints.manifest(0, &Default::default(), vec![part])
        }
    };
    let beginning = Beginning { cut: manifest.cut.clone(), trail, frontier: manifest.frontier, followed_until };
    let has_new_sink = sinks.iter().any(|progress| progress.frontier < progress.complete_since);
    let (incarnation, sinks_at) = (checkpoints.incarnation(), sinks.iter().map(|progress| progress.frontier).collect());
    let shared = Shared { beginning, manifest: Some(manifest), incarnation, has_new_sink, sinks_at, rows: Rows::All };
    Ok(Found { shared, sinks })
}

fn refused(store: &str, name: &str, names: &[&str], error: &StartError) -> JobError {
    let what = format!("job {name} cannot start: {error}");
    let is_of_another =
        |(_, unfit): &(String, Unfit)| matches!(unfit, Unfit::Format(_) | Unfit::Foreign(_) | Unfit::Configuration);
    let failure = match error {
        // Until a sink is emptied or left out, or the configuration is the one it was, every start finds the same.
        StartError::GivenUp(_) | StartError::Behind(_) => JobError::configuration(what),
        StartError::NothingFits(passed_over) if passed_over.iter().any(is_of_another) => JobError::configuration(what),
        _ => JobError::job(what),
    };
    let failure = failure.at(store.to_owned());
    match error {
        StartError::Store(_) => failure.remedy("see that --checkpoint names a place that can be read and written"),
        StartError::Unreachable(_) => failure
            .remedy("see that the server of the sink runs, or that its file can be written, then start the job again"),
        StartError::Replaced(_) => {
            failure.remedy("another process runs this job: stop it, or give this one a --job of its own")
        }
        StartError::GivenUp(sinks) | StartError::Behind(sinks) => {
            let these: Vec<&str> = sinks.iter().filter_map(|number| names.get(*number).copied()).collect();
            let these = these.join(" and ");
            failure.at(format!("sink {these}")).remedy(format!(
                "empty {these} and nothing else (PostgreSQL: drop the schema; SQLite: move the file away; Kafka: \
                 delete the topics {name}.*): it is added anew, and begins with what stands; or leave {these} out"
            ))
        }
        StartError::NothingFits(passed_over) => {
            let reasons: Vec<String> = passed_over.iter().map(|(name, unfit)| format!("{name}: {unfit}")).collect();
            let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
            failure.remedy(format!(
                "start it with the configuration it had, or begin anew: `orderwatch checkpoint reset`, and empty the sinks{why}"
            ))
        }
    }
}

/// Runs the workers of this process until the job is stopped.
pub fn execute(cluster: &Cluster, job: &Arc<LiveJob>) -> JobResult<()> {
    job.counters.note(|numbers| numbers.workers_wanted = cluster.workers);
    let (shared, failed) = (Arc::clone(job), Arc::clone(job));
    // Processes of two jobs that have the same configuration are not of one cluster.
    let fingerprint = job.fingerprint ^ xxh3_64(job.name.as_bytes());
    cluster::execute(cluster, fingerprint, move |worker| live::run(worker, &shared), move || failed.failure()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_by_another_configuration_is_no_failure_of_the_job() {
        let code = |error: StartError| refused("kept", "shop", &["sqlite"], &error).exit_code();
        let nothing_fits = |unfit: Vec<Unfit>| {
            code(StartError::NothingFits(unfit.into_iter().map(|unfit| ("newest".to_owned(), unfit)).collect()))
        };
        let (damaged, away) = (|| Unfit::Damaged("cut off".to_owned()), || StoreError("away".to_owned()));
        assert_eq!([StartError::GivenUp(vec![0]), StartError::Behind(vec![0])].map(code), [2, 2]);
        for of_another in [Unfit::Configuration, Unfit::Format(1), Unfit::Foreign("other".to_owned())] {
            assert_eq!(nothing_fits(vec![damaged(), of_another]), 2);
        }
        for lost in [damaged(), Unfit::Unreadable(away()), Unfit::Abandoned { left_at: 7 }, Unfit::Forgotten] {
            assert_eq!(nothing_fits(vec![lost]), 1);
        }
        assert_eq!(nothing_fits(Vec::new()), 1, "a store that lost everything");
        let others = [StartError::Store(away()), StartError::Unreachable(0), StartError::Replaced(0)];
        assert_eq!(others.map(code), [1, 1, 1]);
    }
}
