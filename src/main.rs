//! The program: parse the command line, load the configuration, start the log, run the command, say how it ended.

use std::io::{self, Write};
use std::process::ExitCode;

use orderwatch::cli::{Cli, Command, General, Generate, LogFormat, Replay};
use orderwatch::config;
use orderwatch::console::Style;
use orderwatch::error::JobResult;
use tracing::level_filters::LevelFilter;

fn main() -> ExitCode {
    let cli = Cli::from_command_line();
    let style = Style::of(&io::stderr(), cli.general.color);
    start_log(&cli.general, style);
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
        Command::Generate(Generate::Olist(arguments)) => placeholder::generate_olist(arguments),
    }
}

fn run_replay(general: &General, Replay { options, job }: &Replay) -> JobResult<()> {
    options.check()?;
    let flags = job.layer();
    let config = config::load(general.config.as_deref(), config::environment(), &flags, placeholder::read_rules)?;
    tracing::info!(job = config.name, workers = config.cluster.workers, "configuration loaded");
    placeholder::replay(&config, options, Style::of(&io::stdout(), general.color))
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

/// Only on this branch: stands for `orderwatch::replay`, `orderwatch::generate` and `orderwatch::rules`.
mod placeholder {
    use std::path::Path;

    use dataflows::model::Rules;
    use orderwatch::cli::{GenerateOlist, ReplayOptions};
    use orderwatch::config::JobConfig;
    use orderwatch::console::Style;
    use orderwatch::error::{JobError, JobResult};

    pub fn replay(_config: &JobConfig, _options: &ReplayOptions, _style: Style) -> JobResult<()> {
        Err(JobError::job("replay is not in this tree"))
    }

    pub fn generate_olist(_arguments: &GenerateOlist) -> JobResult<()> {
        Err(JobError::job("generate is not in this tree"))
    }

    pub fn read_rules(_path: &Path) -> JobResult<Rules> {
        Ok(Rules::default())
    }
}
