//! The console of a replay: progress on standard error while it runs, tables of totals on standard output at its end.
//!
//! Invariant: no control character is written where there is no terminal, unless colour is asked for by
//! `--color always`; text of records never reaches a terminal with its control characters.

mod progress;
mod summary;

use std::env;
use std::fs;
use std::io::{self, IsTerminal, StdoutLock, Write};

use indicatif::HumanCount;

use crate::cli::ColorChoice;
use crate::error::{JobError, JobResult};

pub use progress::{Progress, ProgressNow, per_second};
pub use summary::{RecordLaw, Summary, SummaryTable, Totals, print_summary, print_table, summary_json, visible};

/// What an output stream can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// It is a terminal: boxes may be drawn.
    pub terminal: bool,
    /// Colour and weight may be used.
    pub color: bool,
}

impl Style {
    /// Neither boxes nor colour.
    pub const PLAIN: Style = Style { terminal: false, color: false };

    /// What to use on `stream`.
    pub fn of(stream: &impl IsTerminal, choice: ColorChoice) -> Style {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        Style::choose(is_terminal(stream), is_set("NO_COLOR"), choice)
    }

    fn choose(terminal: bool, no_color: bool, choice: ColorChoice) -> Style {
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !no_color,
        };
        Style { terminal, color }
    }
}

/// A terminal that understands control characters.
fn is_terminal(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("TERM").is_none_or(|name| name != "dumb")
}

/// Writes to standard output; `what` completes "cannot write the …". Whoever reads us may have read enough.
pub fn print(what: &str, write: impl FnOnce(&mut StdoutLock<'_>) -> io::Result<()>) -> JobResult<()> {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let error = JobError::job(format!("cannot write the {what}: {error}")).at("standard output");
            Err(error.remedy("send it elsewhere"))
        }
        _ => Ok(()),
    }
}

/// The most memory this process ever held, in bytes, where the system tells (Linux).
pub fn peak_memory_bytes() -> Option<u64> {
    memory_in(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// The memory that this process holds, in bytes, likewise.
pub fn resident_memory_bytes() -> Option<u64> {
    memory_in(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

fn memory_in(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

/// A count with its thousands apart: `1,234,567`.
fn grouped(count: u64) -> String {
    HumanCount(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_follows_the_flag_then_the_terminal_and_no_color() {
        for (terminal, no_color, choice, color) in [
            (true, false, ColorChoice::Auto, true),
            (true, true, ColorChoice::Auto, false),
            (false, false, ColorChoice::Auto, false),
            (false, true, ColorChoice::Always, true),
            (true, false, ColorChoice::Never, false),
        ] {
            assert_eq!(Style::choose(terminal, no_color, choice), Style { terminal, color }, "{choice:?}");
        }
    }

    #[test]
    fn reads_memory_and_its_peak() {
        let status = "VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(memory_in(status, "VmHWM:"), Some(2 << 20));
        assert_eq!(memory_in(status, "VmRSS:"), Some(1 << 10));
        assert_eq!(memory_in("VmRSS:\t 1 kB\n", "VmHWM:"), None);
    }

    #[test]
    fn groups_thousands() {
        let counts = [0, 999, 1_000, 1_234_567];
        assert_eq!(counts.map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
