//! `orderwatch generate orders` and `orderwatch generate sales`: a shop's orders as they live, line by line.
//!
//! ```text
//!  Schedule ─► Lives ─► moments, in the order of time ─► Queue: faults, disorder ─► lines ─► Targets
//! ```
//!
//! Invariant: with a count the bytes depend on the options alone. What is kept in memory is a moment of each order that
//! lives and of each line that waits, whatever the count. Limits: with a rate the times are those of the wall clock.

mod broken;
mod catalogue;
pub mod endless;
mod faults;
mod life;
mod record;
mod tally;
mod targets;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use dataflows::time::Time;

use crate::cli::GenerateStream;
use crate::clock::wall_clock_ms;
use crate::console::{Progress, ProgressNow};
use crate::error::JobResult;
use crate::interrupt;
use crate::kafka::KafkaSettings;
use broken::Breaker;
use faults::{Queue, Waiting, Writing};
use life::{Lives, Schedule};
use record::push_line;
pub use tally::StreamStatistics;
use targets::Targets;
pub use targets::{is_standard_output, named_once};

/// What random numbers are drawn for.
mod draws {
    pub(super) const PLACEMENT: u64 = 20;
    pub(super) const LIFE: u64 = 21;
    pub(super) const BASKET: u64 = 22;
    pub(super) const ADDRESS: u64 = 23;
    pub(super) const ORDER_NUMBER: u64 = 24;
    pub(super) const FAULT: u64 = 25;
}

/// What the lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// Order events.
    Orders,
    /// Sales.
    Sales,
}

/// Lines are gathered to this many bytes before they are written.
const BUFFER_BYTES: usize = 1 << 20;
/// Lines between two looks at the clock.
const PROGRESS_EVERY: u64 = 1 << 13;
/// Runs shorter than this show no progress.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);
/// The longest that an interruption waits for a stream that waits for its time.
const NAP: Duration = Duration::from_millis(50);

/// Writes a stream to its targets, to its end or until it is interrupted; either way the targets hold whole lines. `kafka`
/// says what addresses of topics leave out.
pub fn generate_stream(
    kind: StreamKind,
    options: &GenerateStream,
    kafka: &KafkaSettings,
) -> JobResult<StreamStatistics> {
    // Both before targets are opened: to connect takes time, and events would be that much older than they say.
    let (start, started) = (options.rate.map(|_| wall_clock_ms()), Instant::now());
    let schedule = Schedule::of(kind, options, start.unwrap_or_default());
    let mut lives = Lives::new(schedule);
    let mut queue = Queue::new(options);
    let mut writer = Writer {
        kind,
        seed: options.seed,
        schedule,
        breaker: Breaker::new(kind),
        targets: Targets::open(kind, &options.to, start.is_some(), kafka)?,
        buffer: Vec::with_capacity(BUFFER_BYTES + 4_096),
        line: Vec::new(),
        statistics: StreamStatistics::default(),
        start,
        started,
        progress: None,
        shows_progress: !options.no_console,
    };
    while !writer.has_ended() {
        let next = lives.next_time();
        while let Some(line) = queue.pop_before(next, writer.statistics.newest) {
            // What is only delayed when nothing more happens is written at once.
            writer.wait_until(if next.is_some() { line.due } else { line.moment.at })?;
            writer.write(&line)?;
        }
        match lives.next() {
            Some(moment) => queue.take_in(moment),
            None => break,
        }
    }
    // Interrupted: what has happened by now is told.
    while let Some(line) = queue.pop_before(None, writer.statistics.newest) {
        writer.write(&line)?;
    }
    writer.finish()
}

/// Makes lines and writes them.
struct Writer {
    kind: StreamKind,
    seed: u64,
    schedule: Schedule,
    breaker: Breaker,
    targets: Targets,
    buffer: Vec<u8>,
    line: Vec<u8>,
    statistics: StreamStatistics,
    /// The wall clock when it was started; none where the stream does not follow it.
    start: Option<Time>,
    started: Instant,
    progress: Option<Progress>,
    shows_progress: bool,
}

impl Writer {
    fn has_ended(&self) -> bool {
        interrupt::is_requested() || self.targets.is_empty()
    }

    /// Writes a line, unless it tells of what has not come yet.
    fn write(&mut self, line: &Waiting) -> JobResult<()> {
        if !self.has_come(line.moment.at) {
            return Ok(());
        }
        let life = self.schedule.life(line.moment.order);
        self.line.clear();
        push_line(self.kind, self.seed, line.moment, &life, &mut self.line);
        match line.writing {
            Writing::Broken => _ = self.breaker.push_broken(&self.line, &mut self.buffer),
            Writing::Plain | Writing::Late(_) | Writing::Copy => self.buffer.extend_from_slice(&self.line),
        }
        self.buffer.push(b'\n');
        let (_, step) = life.steps()[usize::from(line.moment.step)];
        self.statistics.add(self.kind, line, step);
        if self.statistics.lines.is_multiple_of(PROGRESS_EVERY) {
            self.show_progress();
        }
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Where the stream follows the clock, writes out what there is and waits for `time` or for an interruption.
    fn wait_until(&mut self, time: Time) -> JobResult<()> {
        if !self.has_come(time) {
            self.flush()?;
        }
        while !self.has_come(time) && !self.has_ended() {
            let left = Duration::from_millis(time - self.start.unwrap_or(time)).saturating_sub(self.started.elapsed());
            std::thread::sleep(left.min(NAP));
            self.show_progress();
        }
        Ok(())
    }

    fn has_come(&self, time: Time) -> bool {
        self.start.is_none_or(|start| Duration::from_millis(time - start) <= self.started.elapsed())
    }

    fn show_progress(&mut self) {
        if self.shows_progress && self.started.elapsed() >= PROGRESS_AFTER {
            let progress = self.progress.get_or_insert_with(|| Progress::start(true));
            let event_time = Some(self.statistics.newest).filter(|newest| *newest > 0);
            progress.update(&ProgressNow { records_read: self.statistics.lines, event_time, ..ProgressNow::default() });
        }
    }

    fn flush(&mut self) -> JobResult<()> {
        self.targets.write(&self.buffer)?;
        self.statistics.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> JobResult<StreamStatistics> {
        self.flush()?;
        if let Some(progress) = self.progress {
            progress.finish();
        }
        self.targets.finish()?;
        Ok(StreamStatistics { elapsed: self.started.elapsed(), ..self.statistics })
    }
}
