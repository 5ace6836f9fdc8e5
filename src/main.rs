//! The program: parse the command line, load the configuration, start the log, run the command, say how it ended.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use dataflows::model::Rules;
use orderwatch::checkpoint::listing;
use orderwatch::cli::{Cli, Command, Explain, General, Replay, ReplayOptions, Topics};
use orderwatch::config::{self, Flag, JobConfig};
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
    let cli = Cli::from_command_line();
    let replay = replay_of(&cli.command);
    let may_be_log = |path: &Path| replay.as_ref().map_or(Ok(()), |replay| apart::log_stands_apart(path, replay));
    let (log, started) = log::start(&cli.general, Style::of(&io::stderr(), cli.general.color), may_be_log);
    if let Err(error) = interrupt::watch() {
        tracing::warn!("signals cannot be watched, Ctrl-C may leave unfinished files: {error}");
    }
    match started.and_then(|()| run(&cli)) {
        Ok(()) if matches!(cli.command, Command::Run(_)) && interrupt::is_terminated() => ExitCode::SUCCESS,
        Ok(()) if interrupt::is_requested() => ExitCode::from(interrupt::EXIT_CODE),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
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
        _ => None,
    }
}

fn run(cli: &Cli) -> JobResult<()> {
    match &cli.command {
        Command::Replay(arguments) => run_replay(&cli.general, arguments),
        Command::Run(arguments) => {
            let file = cli.general.config.as_deref();
            let config =
                config::load(config::Kind::Live, file, config::environment()?, &arguments.layer(), read_rules)?;
            tracing::info!(job = config.name, workers = config.cluster.workers, "configuration loaded");
            live::run(&config, &arguments.options)
        }
        Command::Checkpoint(what) => listing::run(what, Style::of(&io::stdout(), cli.general.color)),
        Command::Explain(arguments) => run_explain(&cli.general, arguments),
        Command::Check(arguments) => {
            let config = load(&cli.general, &arguments.options.layer(&arguments.job)).and_then(|config| {
                named::check(&arguments.options, config.cluster.processes)?;
                Ok(config)
            });
            check::run(config, &arguments.options, arguments.output, Style::of(&io::stdout(), cli.general.color))
        }
        Command::Completions { shell } => {
            // Written at once, so that a reader that has gone is no panic.
            let mut completions = Vec::new();
            clap_complete::generate(*shell, &mut Cli::definition(), "orderwatch", &mut completions);
            print("completions", |out| out.write_all(&completions))
        }
        Command::Query(arguments) => query::run(arguments, Style::of(&io::stdout(), cli.general.color)),
        Command::Generate(what) => {
            // Only topics need the configuration, which may be that of another job.
            let kafka = if what.needs_kafka() { load(&cli.general, &[])?.kafka } else { Default::default() };
            generate::run(what, &kafka)
        }
        Command::Topics(what) => {
            let flags = match what {
                Topics::List(arguments) => arguments.kafka.layer(),
                Topics::Create(arguments) => arguments.kafka.layer(),
            };
            let config = config::load(
                config::Kind::Bounded,
                cli.general.config.as_deref(),
                config::environment()?,
                &flags,
                read_rules,
            )?;
            topics::run(what, &config.kafka, Style::of(&io::stdout(), cli.general.color))
        }
    }
}

fn run_replay(general: &General, Replay { options, output, job }: &Replay) -> JobResult<()> {
    options.check()?;
    let config = load(general, &options.layer(job))?;
    named::check(options, config.cluster.processes)?;
    tracing::info!(job = config.name, workers = config.cluster.workers, "configuration loaded");
    if let Some(brokers) = &options.produce {
        return produce::run(&config, options, brokers, *output);
    }
    replay::run(&config, options, *output, Style::of(&io::stdout(), general.color))
}

fn run_explain(general: &General, arguments: &Explain) -> JobResult<()> {
    let options = arguments.replay();
    options.check()?;
    named::check(&options, 1)?;
    let config = load(general, &arguments.job.layer())?;
    let question = Question { order_id: &arguments.order_id, tenant: arguments.tenant.as_deref() };
    explain::run(&config, &options, question, arguments.output, Style::of(&io::stdout(), general.color))
}

fn load(general: &General, flags: &[Flag]) -> JobResult<JobConfig> {
    config::load(config::Kind::Bounded, general.config.as_deref(), config::environment()?, flags, read_rules)
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
