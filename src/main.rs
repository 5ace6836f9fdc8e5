//! The program: parse the command line, load the configuration, start the log, run the command, say how it ended.

use std::io::{self, Write};
use std::process::ExitCode;

use std::path::Path;

use dataflows::model::Rules;
use orderwatch::cli::{Cli, Command, General, Generate, GenerateOlist, LogFormat, Replay};
use orderwatch::config;
use orderwatch::console::Style;
use orderwatch::error::{JobError, JobResult};
use orderwatch::generate::{OlistOptions, generate_olist};
use orderwatch::{interrupt, query, replay, rules};
use tracing::level_filters::LevelFilter;

fn main() -> ExitCode {
    let cli = Cli::from_command_line();
    let style = Style::of(&io::stderr(), cli.general.color);
    start_log(&cli.general, style);
    if let Err(error) = interrupt::watch() {
        tracing::warn!("signals cannot be watched, Ctrl-C may leave unfinished files: {error}");
    }
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let paint = anstyle::AnsiColor::Red.on_default().bold();
            let label = if style.color { format!("{paint}error:{paint:#}") } else { "error:".into() };
            // Whoever closed standard error still gets the exit code.
            let _ = writeln!(io::stderr(), "{label} {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: &Cli) -> JobResult<()> {
    match &cli.command {
        Command::Replay(arguments) => run_replay(&cli.general, arguments),
        Command::Query(arguments) => query::run(arguments, Style::of(&io::stdout(), cli.general.color)),
        Command::Generate(Generate::Olist(arguments)) => generate(arguments),
    }
}

fn run_replay(general: &General, Replay { options, output, job }: &Replay) -> JobResult<()> {
    options.check()?;
    let flags = job.layer();
    let config = config::load(general.config.as_deref(), config::environment(), &flags, read_rules)?;
    tracing::info!(job = config.name, workers = config.cluster.workers, "configuration loaded");
    replay::run(&config, options, *output, Style::of(&io::stdout(), general.color))
}

fn generate(arguments: &GenerateOlist) -> JobResult<()> {
    let options = OlistOptions { count: arguments.count, seed: arguments.seed };
    let statistics = generate_olist(&options, &arguments.to).map_err(|error| {
        let error = JobError::job(error.to_string());
        error.remedy("name a directory that you may write to, with enough space, with --to")
    })?;
    // Whoever reads us may have read enough.
    let _ = writeln!(io::stdout(), "{statistics}");
    Ok(())
}

fn read_rules(path: &Path) -> JobResult<Rules> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let error = JobError::configuration(format!("cannot read the SLA rules: {error}"));
        error.at(path.display().to_string()).remedy("name a TOML file with --sla-rules, or leave it out")
    })?;
    rules::parse(&text).map_err(|error| {
        let location = format!("{}, line {}", path.display(), error.line);
        JobError::configuration(error.message).at(location).remedy("mend the rule; docs: orderwatch replay --help")
    })
}

/// The log on standard error: warnings and errors, more or less by -v and -q.
fn start_log(general: &General, style: Style) {
    let level = match (general.quiet, general.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).with_ansi(style.color);
    match general.log_format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
}
