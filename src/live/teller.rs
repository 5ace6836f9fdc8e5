//! The teller: breaches on the console as they happen, a line each.
//!
//! Invariant: a breach is told when it opens, and not again while it is open; breaches are told in order, and nobody waits
//! longer than [`Teller::tell`] says for an output that takes nothing (Ctrl-S, a pager). At least once: a job that comes back
//! may tell again what it had told before it was killed. Limits: ten thousand breaches wait for such an output, and more are
//! left out, which the log says with their number; those that wait are lost where the job is killed or ends meanwhile.

use std::io::{self, Write};
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use dataflows::time::Time;
use dataflows::views::collection::Row;
use dataflows::views::sla_breaches::SlaBreachRow;
use hashbrown::HashSet;
use serde_json::{Map, Value};

use super::rows::change;
use crate::cli::OutputFormat;
use crate::console::visible;
use crate::instant::format_instant;
use crate::sink::change::Change;
use crate::sink::text_row::TextRow;

/// So many breaches wait for standard output, a line each.
const LINES_MAX: usize = 10_000;
/// So many of them are written at once: few, for only then it shows that an output is slow and not stuck.
const LINES_AT_ONCE: usize = 64;
/// How long it has to take some of them, where there is no room and in the end.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it has to take all of them in the end.
const LAST_WITHIN: Duration = Duration::from_secs(5);

/// How a replay that takes its time tells a breach: as a live job does.
pub fn told(breach: &SlaBreachRow, at: &str, output: OutputFormat) -> String {
    line(named(&change(breach, true)), at, output)
}

/// The cells of a breach by the names of their columns.
fn named(change: &Change) -> Map<String, Value> {
    let names = SlaBreachRow::COLUMNS.iter().map(|column| column.name.to_owned());
    let cells = [&*change.key, change.row.as_deref().unwrap_or_default()].map(|text| TextRow::new(text).cells());
    let values = cells.into_iter().flatten().map(|cell| Value::String(cell.into_owned()));
    names.zip(values).collect()
}

fn line(row: Map<String, Value>, at: &str, output: OutputFormat) -> String {
    match output {
        // Names of items are the shop's: what they hold is not to command a terminal.
        OutputFormat::Text => {
            format!("{at} {}", visible(row.get("message").and_then(Value::as_str).unwrap_or_default()))
        }
        OutputFormat::Json => Value::Object(row).to_string(),
    }
}

/// Tells breaches to standard output.
pub struct Teller {
    output: OutputFormat,
    open: HashSet<Box<str>>,
    /// To the thread that writes; none once nothing more comes.
    lines: Option<SyncSender<String>>,
    /// True where the last one found no room.
    is_stuck: bool,
    /// Breaches left out that nobody has been told of.
    untold: Arc<AtomicU64>,
    /// How often something was written.
    written: Arc<AtomicU64>,
    /// Says that the thread has ended: by then nobody can send.
    ended: Receiver<()>,
}

impl Teller {
    /// Nothing told yet.
    pub fn new(output: OutputFormat) -> Teller {
        Teller::writing_to(output, io::stdout())
    }

    fn writing_to(output: OutputFormat, out: impl Write + Send + 'static) -> Teller {
        let (lines, received) = sync_channel(LINES_MAX);
        let (ends, ended) = channel::<()>();
        let (untold, written) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let counts = [&untold, &written].map(Arc::clone);
        let writes = move || {
            write(&received, &counts, out);
            drop(ends);
        };
        if let Err(error) = thread::Builder::new().name("teller".to_owned()).spawn(writes) {
            tracing::warn!("breaches are not told: their thread cannot be started: {error}");
        }
        Teller { output, open: HashSet::new(), lines: Some(lines), is_stuck: false, untold, written, ended }
    }

    /// Tells the breaches that are new among `changes`. An output that is slow is waited for; one that took nothing for a
    /// second is not, before it takes something again.
    pub fn tell(&mut self, changes: &[(Change, Time)]) {
        for (change, time) in changes.iter().filter(|(change, _)| change.collection.name == SlaBreachRow::NAME) {
            let row = named(change);
            let is_open = change.row.is_some() && row.get("resolved_at").is_some_and(|at| at == "");
            if !is_open {
                self.open.remove(&change.key);
            } else if self.open.insert(change.key.clone()) {
                self.hand_on(line(row, &format_instant(*time), self.output) + "\n");
            }
        }
    }

    fn hand_on(&mut self, mut line: String) {
        let (Some(lines), until) = (&self.lines, Instant::now() + PATIENCE) else { return };
        while let Err(refused) = lines.try_send(line) {
            match refused {
                TrySendError::Full(again) if !self.is_stuck && Instant::now() < until => line = again,
                _ => {
                    self.is_stuck = true;
                    self.untold.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.is_stuck = false;
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.lines = None;
        let (until, mut written) = (Instant::now() + LAST_WITHIN, self.written.load(Ordering::Relaxed));
        while self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let before = std::mem::replace(&mut written, self.written.load(Ordering::Relaxed));
            if before == written || Instant::now() > until {
                let more = self.untold.load(Ordering::Relaxed);
                tracing::warn!("standard output is stuck: the last breaches are not told, nor {more} before them");
                return;
            }
        }
    }
}

/// Writes lines as they come, those that wait together, until no more can come.
fn write(lines: &Receiver<String>, [untold, written]: &[Arc<AtomicU64>; 2], mut out: impl Write) {
    while let Ok(first) = lines.recv() {
        let text: String = iter::once(first).chain(lines.try_iter().take(LINES_AT_ONCE)).collect();
        // Whoever closed standard output does not want to know.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.fetch_add(1, Ordering::Relaxed);
        let left_out = untold.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            tracing::warn!("{left_out} breaches were not told: standard output took nothing for too long");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::Sender;

    use dataflows::model::{Sla, Status, Text};
    use dataflows::views::collection::At;

    use super::*;

    /// Takes nothing until it is let.
    struct Stuck {
        reached: Sender<()>,
        let_go: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.reached.send(());
            let _ = self.let_go.recv();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A teller that is stuck with the first breach; what lets it go, and what it has written.
    fn stuck() -> (Teller, Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let ((reached, is_reached), (lets_go, let_go)) = (channel(), channel());
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let out = Stuck { reached, let_go, written: Arc::clone(&written) };
        let mut teller = Teller::writing_to(OutputFormat::Text, out);
        teller.tell(&breaches(0, 1));
        is_reached.recv().unwrap();
        (teller, lets_go, written)
    }

    fn breaches(from: usize, to: usize) -> Vec<(Change, Time)> {
        let breach = |number: usize| SlaBreachRow {
            order_id: Text::new(&number.to_string()),
            tenant: Text::new("shop"),
            sla: Sla::Delivery,
            status: Status::Order,
            started_at: At(0),
            deadline_at: At(1),
            resolved_at: None,
            resolution: None,
            overdue_seconds: None,
            message: format!("breach {number}"),
        };
        (from..to).map(|number| (change(&breach(number), true), 2)).collect()
    }

    fn numbers(written: &Mutex<Vec<u8>>) -> Vec<usize> {
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect()
    }

    #[test]
    fn an_output_that_takes_nothing_holds_up_nobody_and_what_is_left_out_is_counted() {
        let (mut teller, lets_go, written) = stuck();
        let asked = Instant::now();
        teller.tell(&breaches(1, LINES_MAX + 8));
        // Told once, whether it was left out or not.
        teller.tell(&breaches(LINES_MAX, LINES_MAX + 8));
        assert!(asked.elapsed() < 20 * PATIENCE);
        assert_eq!(teller.untold.load(Ordering::Relaxed), 7);
        drop(lets_go);
        drop(teller);
        assert_eq!(numbers(&written), (0..=LINES_MAX).collect::<Vec<_>>(), "in order, and all that waited");
    }

    #[test]
    fn an_output_that_is_slow_gets_everything() {
        let (mut teller, lets_go, written) = stuck();
        let slow = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            drop(lets_go);
        });
        teller.tell(&breaches(1, 3 * LINES_MAX));
        slow.join().unwrap();
        assert_eq!(teller.untold.load(Ordering::Relaxed), 0);
        drop(teller);
        assert_eq!(numbers(&written), (0..3 * LINES_MAX).collect::<Vec<_>>());
    }

    #[test]
    fn an_output_that_takes_nothing_keeps_no_job_from_ending() {
        let (mut teller, _keeps, written) = stuck();
        teller.tell(&breaches(1, 3));
        let asked = Instant::now();
        drop(teller);
        assert!(asked.elapsed() >= PATIENCE && asked.elapsed() < 20 * PATIENCE);
        assert!(written.lock().unwrap().is_empty());
    }
}
