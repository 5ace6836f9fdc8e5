//! Progress on standard error: a bar on a terminal, elsewhere a plain line now and then.
//!
//! Limits: a terminal is redrawn at most ten times a second and a plain line written at most every ten seconds, so
//! [`Progress::update`] may be called as often as one likes.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use dataflows::time::{SECOND_MS, Time};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::summary::visible;
use super::{grouped, is_terminal};
use crate::config::duration::format_duration;
use crate::instant::format_instant;

/// Between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// Redraws of a bar a second.
const REDRAWS_PER_SECOND: u8 = 10;

/// Shows how far a replay is.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
    started: Instant,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Lines { last: Instant },
    Bar(ProgressBar),
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressNow {
    /// Records read so far.
    pub records_read: u64,
    /// Records there are, where known.
    pub records_total: Option<u64>,
    /// The largest event time read.
    pub event_time: Option<Time>,
    /// Facts that wait to be brought into order, and the bytes of them that were written into temporary files.
    pub sorting: [u64; 2],
    /// How far the frontier is behind it, in milliseconds of event time; none before it has moved.
    pub frontier_lag_ms: Option<u64>,
}

impl Progress {
    /// Starts the stopwatch; shows nothing at all unless `enabled`.
    pub fn start(enabled: bool) -> Progress {
        let started = Instant::now();
        let shown = match enabled {
            false => Shown::Nothing,
            true if is_terminal(&io::stderr()) => Shown::Bar(bar()),
            true => Shown::Lines { last: started },
        };
        Progress { shown, started }
    }

    /// Shows how far the replay is now.
    pub fn update(&mut self, now: &ProgressNow) {
        let text = line(now, self.started.elapsed());
        if let Shown::Bar(bar) = &self.shown
            && let Some(total) = now.records_total
            && bar.length().is_none()
        {
            bar.set_length(total);
            bar.set_style(style("{wide_bar} {percent}%\n{msg}"));
        }
        self.show(now.records_read, text);
    }

    /// Shows how many rows have been written.
    pub fn update_rows(&mut self, rows: u64) {
        self.show(rows, format!("writing results: {} rows", grouped(rows)));
    }

    fn show(&mut self, position: u64, text: String) {
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Lines { last } => {
                if last.elapsed() >= LINE_INTERVAL {
                    *last = Instant::now();
                    // Whoever closed standard error does not want to know.
                    let _ = writeln!(io::stderr(), "{text}");
                }
            }
            Shown::Bar(bar) => {
                bar.set_position(position);
                bar.set_message(text);
            }
        }
    }

    /// Writes a line to standard output, above the bar where there is one.
    pub fn say(&self, text: &str) {
        // Whoever closed standard output does not want to know.
        let write = || drop(writeln!(io::stdout(), "{}", visible(text)));
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(write),
            Shown::Nothing | Shown::Lines { .. } => write(),
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Shown::Bar(bar) = self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND);
    ProgressBar::with_draw_target(None, target).with_style(style("{spinner} {msg}"))
}

/// A template of ours; were it wrong, indicatif's own would do.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn line(now: &ProgressNow, elapsed: Duration) -> String {
    let mut line = format!("{} records", grouped(now.records_read));
    if let Some(total) = now.records_total {
        line = format!("{} of {} records", grouped(now.records_read), grouped(total));
    }
    line += &format!(", {}/s", grouped(per_second(now.records_read, elapsed)));
    if let Some(event_time) = now.event_time {
        let second = format_instant(event_time - event_time % SECOND_MS).replace(".000Z", "Z");
        line += &format!(", at {second}");
        if let ([facts, spilled_bytes], None) = (now.sorting, now.frontier_lag_ms)
            && facts > 0
        {
            line += &format!(", sorting {} facts", grouped(facts));
            if spilled_bytes > 0 {
                line += &format!(", {} MiB of them in temporary files", grouped(spilled_bytes >> 20));
            }
        }
        if let Some(lag_ms) = now.frontier_lag_ms {
            line += &format!(", frontier {} behind", rounded(lag_ms));
        }
    }
    line
}

/// Whole counts a second; none before a millisecond has passed.
pub fn per_second(count: u64, elapsed: Duration) -> u64 {
    let rate = u128::from(count) * 1_000 / elapsed.as_millis().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// A duration as precise as a glance: whole seconds from one second on, minutes from one hour on, days from two days on.
fn rounded(milliseconds: u64) -> String {
    let grain = match milliseconds {
        0..1_000 => 1,
        1_000..3_600_000 => 1_000,
        3_600_000..172_800_000 => 60_000,
        _ => 86_400_000,
    };
    format_duration(milliseconds - milliseconds % grain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_rate_position_and_lag() {
        let mut now = ProgressNow { records_read: 1_200_000, ..ProgressNow::default() };
        assert_eq!(line(&now, Duration::from_secs(2)), "1,200,000 records, 600,000/s");
        now.records_total = Some(2_000_000);
        now.event_time = Some(1_514_808_000_500);
        now.sorting = [1_500, 3 << 20];
        assert!(
            line(&now, Duration::ZERO).ends_with("12:00:00Z, sorting 1,500 facts, 3 MiB of them in temporary files")
        );
        now.frontier_lag_ms = Some(61_500);
        assert_eq!(
            line(&now, Duration::from_secs(2)),
            "1,200,000 of 2,000,000 records, 600,000/s, at 2018-01-01T12:00:00Z, frontier 61s behind"
        );
        now.frontier_lag_ms = Some(281 * 86_400_000 + 1);
        assert!(line(&now, Duration::ZERO).ends_with("frontier 281d behind"));
        assert!(!line(&now, Duration::ZERO).contains(char::is_control));
    }

    #[test]
    fn works_wherever_standard_error_goes() {
        for enabled in [false, true] {
            let mut progress = Progress::start(enabled);
            progress.update(&ProgressNow::default());
            progress.update(&ProgressNow { records_total: Some(3), ..ProgressNow::default() });
            progress.finish();
        }
    }
}
