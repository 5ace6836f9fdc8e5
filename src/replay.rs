//! `orderwatch replay`: history through the very same dataflow as live.
//!
//! Opens the inputs, runs the workers, and writes what the collections hold at the last frontier. Process 0 alone writes
//! and prints; the others of a cluster only work.

pub mod apart;
mod milestones;
mod served;

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dataflows::orders::Detail;
use dataflows::orders::outlook::Law;
use dataflows::orders::sla::RuleBook;
use dataflows::time::{Time, Window};

use crate::cli::{OutputFormat, ReplayOptions};
use crate::clock::{Lateness, ReplayClock, Speed};
use crate::cluster;
use crate::config::{Cluster, JobConfig, Outputs};
use crate::console::{
    Progress, ProgressNow, RecordLaw, Style, Summary, peak_memory_bytes, print, print_summary, summary_json,
};
use crate::error::JobResult;
use crate::gathered::Due;
use crate::instant::format_instant;
use crate::interrupt;
use crate::live::teller::told;
use crate::results::Results;
use crate::sink::Sink;
use crate::sink::console::Console;
use crate::sink::files::Files;
use crate::sink::postgres::Replacement;
use crate::sink::sqlite::Sqlite;
use crate::source::inputs::Inputs;
use crate::source::intake::Selection;
use crate::worker::{self, Job};
use milestones::Milestones;
use served::Served;

/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Collections that are written at a time, even by a replay of one worker: while one waits for the disk, another is made.
const WRITERS_MIN: usize = 2;
/// The part of the memory for sorting in which rows wait to be written: facts may still need theirs.
const ROWS_SHARE: u64 = 4;

/// Runs a replay; its totals go to standard output.
pub fn run(config: &JobConfig, options: &ReplayOptions, output: OutputFormat, style: Style) -> JobResult<()> {
    let started = Instant::now();
    let is_writer = config.cluster.process == 0;
    // What cannot be written is refused before anything is read.
    let stores = if is_writer { stores(config, options)? } else { Vec::new() };
    let milestones = Milestones::of(config, options);
    let job = Arc::new(prepare(config, options)?);
    let passed = job.clock.as_ref().map_or(0, |clock| clock.passed());
    let served = Served::start(config.outputs.served_at.as_deref())?;
    let shows_progress = is_writer && !options.no_console;
    let interval = Duration::from_millis(config.checkpoint_interval_ms);
    let surveys = milestones.as_ref().filter(|_| is_writer);
    let surveyor = surveys.map(|milestones| milestones.survey(passed, interval)).transpose()?;
    if let Some(milestones) = milestones.as_ref().filter(|_| passed > 0 && shows_progress) {
        // Whoever closed standard error does not want to know.
        let _ = writeln!(
            io::stderr(),
            "an earlier replay came to {}: up to there time passes at once ({})",
            format_instant(passed),
            milestones.name
        );
    }
    let failure = || {
        let error = job.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        error.map(|error| error.after(job.records_read.load(Ordering::Relaxed)))
    };
    let (shared, surveyor) = (Arc::clone(&job), Arc::new(Mutex::new(surveyor)));
    let surveying = Arc::clone(&surveyor);
    served.begin(config.cluster.workers);
    let serving = served.clone();
    let gathered = cluster::execute(
        &config.cluster,
        fingerprint(config, options, passed),
        move |worker| {
            interrupt::drains();
            let mut display = ProgressDisplay::start(shows_progress && worker.index() == 0, &shared, output);
            let clock = shared.clock.as_ref().filter(|_| worker.index() == 0);
            let note = |told: Option<Time>| {
                if let Some(clock) = clock
                    && let Some(surveyor) = surveying.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
                {
                    // Where nothing comes any more the graph is beyond the clock.
                    surveyor.note(clock.now().filter(|now| *now < Time::MAX).min(told).unwrap_or(0));
                }
            };
            let mut served = serving.worker(worker.index(), worker.index().is_multiple_of(shared.local_workers.max(1)));
            let mut gathered = worker::run(worker, &shared, |reached, due| {
                served.turn(shared.records_read.load(Ordering::Relaxed), reached);
                // Once it is asked to stop others may be at their ends with much unread: what is due then nobody knows.
                let told = (!interrupt::is_requested()).then_some(due);
                display.update(reached, told.unwrap_or_default());
                note(reached.filter(|_| told.is_some()));
            });
            // Whatever is due later than that is beyond the end of the results. One that was cut short, or failed, has none.
            let end = Some(shared.selection.until).filter(|until| *until < Time::MAX).or(gathered.largest_accepted);
            let end = end.filter(|_| !interrupt::is_requested() && !shared.has_failed());
            let due = gathered.take_due(end.map_or(0, |end| end.saturating_add(1)));
            display.show(&due, end);
            display.finish();
            note(end.map(|end| end.saturating_add(1)));
            gathered
        },
        failure,
    );
    served.finish();
    let is_cut_short = !interrupt::has_read_all();
    if let Some(surveyor) = surveyor.lock().unwrap_or_else(PoisonError::into_inner).take() {
        surveyor.finish();
    }
    let gathered = gathered?;
    if !is_writer {
        say_if_interrupted(&job, None);
        return Ok(());
    }
    let results = Results::new(gathered, &job.law, job.detail, job.rows_memory_bytes);
    let console = (!options.no_console).then(Console::default);
    let mut sinks: Vec<&dyn Sink> = Vec::new();
    sinks.extend(console.as_ref().map(|console| console as &dyn Sink));
    sinks.extend(stores.iter().map(|store| store.as_ref()));
    let mut progress = Progress::start(shows_progress);
    results.write_to(&sinks, config.cluster.workers.max(WRITERS_MIN), |rows| progress.update_rows(rows))?;
    progress.finish();
    interrupt::whole(|| stores.iter().try_for_each(|store| store.commit()))?;
    if let Some(milestones) = milestones.filter(|_| !is_cut_short) {
        milestones.forget();
    }
    say_if_interrupted(&job, results.as_of());
    let Some(console) = console else { return Ok(()) };
    let summary = summary(config, &results, console, started.elapsed());
    let printed = print("totals", |out| match output {
        OutputFormat::Text => print_summary(out, &summary, style),
        OutputFormat::Json => writeln!(out, "{}", summary_json(&summary)),
    });
    printed.map_err(|error| {
        error.remedy("send them elsewhere, or leave them out with --no-console; what sinks were given is complete")
    })
}

/// The sinks that keep every row; first those whose commit may fail: for want of a server, for want of space.
fn stores(config: &JobConfig, options: &ReplayOptions) -> JobResult<Vec<Box<dyn Sink>>> {
    apart::stand_apart(options, None, &config.outputs)?;
    let mut stores: Vec<Box<dyn Sink>> = Vec::new();
    if let Some(url) = &config.outputs.postgres {
        stores.push(Box::new(Replacement::create(url)?));
    }
    if let Some(file) = &config.outputs.sqlite {
        stores.push(Box::new(Sqlite::create(file)?));
    }
    if let Some(directory) = &options.out {
        stores.push(Box::new(Files::create(directory, options.format, options.changes)?));
    }
    Ok(stores)
}

/// True where some sink wants every row, not only their number.
fn wants_rows(config: &JobConfig, options: &ReplayOptions) -> bool {
    options.out.is_some() || config.outputs.sqlite.is_some() || config.outputs.postgres.is_some()
}

/// Opens the inputs and brings together what the workers share.
pub fn prepare(config: &JobConfig, options: &ReplayOptions) -> JobResult<Job> {
    let limits = config.limits();
    let local_workers = config.cluster.workers;
    let (inputs, first_orders) = Inputs::open(options, config, &limits)?;
    let law = Law { settings: config.settings.clone(), rules: RuleBook::new(&config.rules), sources: inputs.sources() };
    let selection = Selection {
        from: options.reading.from.unwrap_or(0),
        until: options.reading.until.unwrap_or(Time::MAX),
        orders: first_orders.map(Arc::new),
    };
    Ok(Job {
        inputs,
        selection,
        limits,
        lateness: Lateness { late_arrival_ms: config.late_arrival_ms, horizon_ms: config.settings.horizon_ms },
        law,
        plan: config.plan,
        detail: match wants_rows(config, options) {
            true if options.changes => Detail::Changes,
            true => Detail::Final,
            false => Detail::Counts,
        },
        clock: match options.speed {
            Speed::Max => None,
            Speed::Times(speed) => {
                let passed = Milestones::of(config, options).map_or(Ok(None), |milestones| milestones.found())?;
                Some(Arc::new(ReplayClock::new(speed, passed.unwrap_or(0))))
            }
        },
        local_workers,
        records_read: AtomicU64::new(0),
        event_time_read: AtomicU64::new(0),
        error: Mutex::default(),
        failed: AtomicBool::new(false),
        rows_memory_bytes: (config.sort_memory_bytes / ROWS_SHARE) as usize,
        spilled_bytes: Arc::default(),
    })
}

/// What was done, where it was cut short.
fn say_if_interrupted(job: &Job, as_of: Option<Time>) {
    if interrupt::is_requested() {
        let read = job.records_read.load(Ordering::Relaxed);
        let as_of = as_of.map_or_else(String::new, |as_of| format!(", results as of {}", format_instant(as_of)));
        // Whoever closed standard error does not want to know.
        let _ = writeln!(io::stderr(), "interrupted: {read} records read{as_of}");
    }
}

/// Progress of a process, shown by its first worker.
struct ProgressDisplay {
    progress: Option<Progress>,
    job: Arc<Job>,
    output: OutputFormat,
    shown: Instant,
}

impl ProgressDisplay {
    fn start(enabled: bool, job: &Arc<Job>, output: OutputFormat) -> ProgressDisplay {
        let progress = enabled.then(|| Progress::start(true));
        ProgressDisplay { progress, job: Arc::clone(job), output, shown: Instant::now() }
    }

    fn update(&mut self, reached: Option<Time>, due: &[Due]) {
        self.show(due, reached);
        if let Some(progress) = &mut self.progress
            && self.shown.elapsed() >= PROGRESS_EVERY
        {
            self.shown = Instant::now();
            let read = self.job.event_time_read.load(Ordering::Relaxed);
            let sorting = &self.job.inputs.sorting;
            progress.update(&ProgressNow {
                records_read: self.job.records_read.load(Ordering::Relaxed),
                records_total: None,
                event_time: Some(read).filter(|read| *read > 0),
                // Before the frontier has moved at all there is no telling how far it is behind.
                sorting: [&sorting.facts, &sorting.spilled_bytes].map(|count| count.load(Ordering::Relaxed)),
                frontier_lag_ms: reached.filter(|reached| *reached > 0).map(|reached| read.saturating_sub(reached)),
            });
        }
    }

    /// Shows the breaches that have come due, a line each, with how far time is.
    fn show(&self, due: &[Due], reached: Option<Time>) {
        if let Some(progress) = &self.progress {
            let at = reached.map_or_else(String::new, format_instant);
            let passed = self.job.clock.as_ref().map_or(0, |clock| clock.passed());
            // An earlier replay has told of those before.
            let due = due.iter().filter(|(time, _)| *time >= passed);
            due.for_each(|(_, breach)| progress.say(&told(breach, &at, self.output)));
        }
    }

    fn finish(self) {
        if let Some(progress) = self.progress {
            progress.finish();
        }
    }
}

fn summary(config: &JobConfig, results: &Results, console: Console, elapsed: Duration) -> Summary {
    let law = results.record_law();
    let (read, facts) = results.read_and_given();
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    let (collections, totals) = console.into_totals();
    Summary {
        totals,
        keeps_total: config.settings.windows.contains(&Window::Total),
        law: RecordLaw {
            read: count(read),
            decoded: count(law.decoded),
            refused_records: count(law.refused_records),
            facts: count(facts),
            accepted: count(law.accepted),
            duplicates: count(law.duplicates),
            refused_facts: count(law.refused_facts),
        },
        as_of: results.as_of(),
        elapsed,
        peak_memory_bytes: peak_memory_bytes(),
        collections,
    }
}

/// Stands for the command: equal for all processes of a cluster. One whose clock begins elsewhere would hold up the others.
fn fingerprint(config: &JobConfig, options: &ReplayOptions, passed: Time) -> u64 {
    let (what, wants_rows) = (what_it_computes(config, options), wants_rows(config, options));
    let command = format!(
        "{} {wants_rows} {} {:?} {passed} {:?} {what}",
        env!("CARGO_PKG_VERSION"),
        options.changes,
        options.speed,
        options.inputs
    );
    xxhash_rust::xxh3::xxh3_64(command.as_bytes())
}

/// All that breaches depend on, but not where the inputs are, how fast time passes, who computes and where it is written.
fn what_it_computes(config: &JobConfig, options: &ReplayOptions) -> String {
    let (cluster, outputs) = (Cluster::default(), Outputs::default());
    let config = JobConfig { cluster, outputs, checkpoint_interval_ms: 0, ..config.clone() };
    let ReplayOptions { reading, limit, .. } = options;
    format!("{config:?} {reading:?} {limit:?}")
}
