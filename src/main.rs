//! The program: parse the command line, load the configuration, start the log, run the command, say how it ended.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use dataflows::model::Rules;
use orderwatch::checkpoint::listing;
use orderwatch::cli::{Cli, Command, Explain, Replay, ReplayFlags, ReplayOptions, Topics};
use orderwatch::clock::Speed;
use orderwatch::config::{self, JobConfig, Kind, Origins, Outputs};
use orderwatch::console::{Style, print, visible};
use orderwatch::error::{JobError, JobResult};
use orderwatch::explain::{self, Question};
use orderwatch::replay::apart;
use orderwatch::source::inputs::named;
use orderwatch::{check, generate, interrupt, live, log, produce, query, replay, rules, topics};

/// Rows are made at one thread and dropped at another, which is where the system's allocator is slow (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = configure(&cli);
    let outputs = config.as_ref().map_or_else(|_| Outputs::default(), |config| config.outputs.clone());
    let origins = config.as_ref().map_or_else(|_| Origins::default(), |config| config.origins.clone());
    let replay = replay_of(&cli.command);
    let may_be_log = |path: &Path| match &replay {
        Some(replay) => apart::log_stands_apart(path, replay, watched_by(&cli.command), &outputs),
        None => Ok(()),
    };
    let (log, started) = log::start(&cli.general, Style::of(&io::stderr(), cli.general.color), may_be_log);
    if let Err(error) = interrupt::watch() {
        tracing::warn!("signals cannot be watched, Ctrl-C may leave unfinished files: {error}");
    }
    match started.and_then(|()| run(&cli, config)) {
        Ok(()) if matches!(cli.command, Command::Run(_)) && interrupt::is_terminated() => ExitCode::SUCCESS,
        Ok(()) if interrupt::is_requested() => ExitCode::from(interrupt::EXIT_CODE),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = origins.place(error);
            // Text of inputs may be part of it: of control characters its own line ends alone reach a terminal.
            log.failed(&error.to_string().split('\n').map(visible).collect::<Vec<_>>().join("\n"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// What a command reads and writes as a replay does.
fn replay_of(command: &Command) -> Option<ReplayOptions> {
    match command {
        Command::Replay(arguments) => Some(arguments.options.clone()),
        Command::Check(arguments) => Some(arguments.options.clone()),
        Command::Explain(arguments) => Some(arguments.replay()),
        Command::Run(_) => Some(ReplayOptions::default()),
        _ => None,
    }
}

/// The directory that a live job watches.
fn watched_by(command: &Command) -> Option<&Path> {
    match command {
        Command::Run(arguments) => arguments.options.watch.as_deref(),
        Command::Check(arguments) => arguments.watch.as_deref(),
        _ => None,
    }
}

/// The configuration of a command. It is read once, be it from a pipe, and before the log is started, which must not be
/// written to where an output goes; completions alone are had without.
fn configure(cli: &Cli) -> JobResult<JobConfig> {
    let (kind, flags) = match &cli.command {
        Command::Replay(arguments) => (Some(Kind::Bounded), arguments.layer()),
        Command::Run(arguments) => (Some(Kind::Live), arguments.layer()),
        Command::Checkpoint(what) => (Some(Kind::Live), what.stored().layer()),
        Command::Explain(arguments) => (Some(Kind::Bounded), arguments.job.layer()),
        Command::Check(arguments) => (arguments.kind(), arguments.layer()),
        Command::Topics(Topics::List(arguments)) => (Some(Kind::Bounded), arguments.kafka.layer()),
        Command::Topics(Topics::Create(arguments)) => (Some(Kind::Bounded), arguments.kafka.layer()),
        Command::Query(_) | Command::Generate(_) | Command::Completions { .. } => (Some(Kind::Bounded), Vec::new()),
    };
    let mut config = config::load(kind, cli.general.config.as_deref(), config::environment()?, &flags, read_rules)?;
    let sends = replay_of(&cli.command).is_some_and(|replay| replay.produce.is_some());
    if sends || matches!(cli.command, Command::Explain(_)) {
        // Others of the same configuration write there.
        config.outputs = Outputs::default();
    }
    Ok(config)
}

fn run(cli: &Cli, config: JobResult<JobConfig>) -> JobResult<()> {
    let style = Style::of(&io::stdout(), cli.general.color);
    match &cli.command {
        Command::Replay(arguments) => run_replay(config, arguments, style),
        Command::Run(arguments) => {
            let config = config?;
            tracing::info!(job = config.name, workers = config.cluster.workers, "configuration loaded");
            live::run(&config, &arguments.options)
        }
        Command::Checkpoint(what) => listing::run(what, &config?, style),
        Command::Explain(arguments) => run_explain(config, arguments, style),
        Command::Check(arguments) => {
            let config = config.and_then(|config| {
                let fits = match config.kind {
                    Kind::Bounded => checked(&arguments.options, &arguments.outputs, &config).map(drop),
                    Kind::Live => live::check(&config, arguments.watch.as_deref()),
                };
                fits.map_err(|error| config.origins.place(error))?;
                Ok(config)
            });
            check::run(config, arguments, style)
        }
        Command::Completions { shell } => {
            // Written at once, so that a reader that has gone is no panic.
            let mut completions = Vec::new();
            clap_complete::generate(*shell, &mut Cli::definition(), "orderwatch", &mut completions);
            print("completions", |out| out.write_all(&completions))
        }
        // It needs none, but one that cannot be used is not what was meant.
        Command::Query(arguments) => config.and_then(|_| query::run(arguments, style)),
        Command::Generate(what) => generate::run(what, &config?.kafka),
        Command::Topics(what) => topics::run(what, &config?.kafka, style),
    }
}

/// The options of a replay, each input once. Refuses what it cannot do with this configuration.
fn checked(options: &ReplayOptions, flags: &ReplayFlags, config: &JobConfig) -> JobResult<ReplayOptions> {
    flags.check(&config.outputs)?;
    let goes_on = config.outputs.store.is_some() && options.speed != Speed::Max;
    let inputs = named::distinct(options, config.cluster.processes, goes_on)?;
    Ok(ReplayOptions { inputs, ..options.clone() })
}

fn run_replay(config: JobResult<JobConfig>, arguments: &Replay, style: Style) -> JobResult<()> {
    let Replay { options, outputs, output, .. } = arguments;
    options.check()?;
    let config = config?;
    let options = &checked(options, outputs, &config)?;
    tracing::info!(job = config.name, workers = config.cluster.workers, "configuration loaded");
    if let Some(brokers) = &options.produce {
        return produce::run(&config, options, brokers, *output);
    }
    // One that another layer names is for `run`.
    let is_said = outputs.checkpoint.is_some() || outputs.checkpoint_interval.is_some();
    if options.speed == Speed::Max && is_said && config.outputs.store.is_some() {
        tracing::warn!("--checkpoint keeps nothing of a replay without a --speed, which is quicker to begin anew");
    }
    replay::run(&config, options, *output, style)
}

fn run_explain(config: JobResult<JobConfig>, arguments: &Explain, style: Style) -> JobResult<()> {
    let mut options = arguments.replay();
    options.check()?;
    options.inputs = named::distinct(&options, 1, false)?;
    let question = Question { order_id: &arguments.order_id, tenant: arguments.tenant.as_deref() };
    explain::run(&config?, &options, question, arguments.output, style)
}

fn read_rules(path: &Path) -> JobResult<Rules> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let error = JobError::configuration(format!("cannot read the SLA rules: {error}"));
        error.at(path.display().to_string()).remedy("name a TOML file with --sla-rules, or leave it out")
    })?;
    rules::parse(&text).map_err(|error| {
        let location = format!("{}, line {}", path.display(), error.line);
        let error = JobError::configuration(error.message).at(location);
        error.remedy("mend the rule; README.md shows in \"SLA rules\" how one is written")
    })
}
