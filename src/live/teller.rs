//! The teller: breaches on the console as they happen, a line each.
//!
//! Invariant: a breach is told when it opens, and not again while it is open and due when it was; those that are published
//! together are told in the order of time, and nobody waits longer than [`Teller::tell`] says for an output that takes nothing
//! (Ctrl-S, a pager). At least once: a job that comes back may tell again what it had told before it was killed, and so may one
//! where a breach changes that has been open for a year. Limits: ten thousand breaches wait for such an output, and more are
//! left out, which the log says with their number; those that wait are lost where the job is killed or ends meanwhile.

use std::io::{self, Write};
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use dataflows::time::{DAY_MS, Time};
use dataflows::views::collection::Row;
use dataflows::views::sla_breaches::SlaBreachRow;
use hashbrown::HashMap;
use serde_json::{Map, Value};

use super::rows::change;
use crate::cli::OutputFormat;
use crate::console::visible;
use crate::instant::format_instant;
use crate::sink::change::Change;
use crate::sink::text_row::TextRow;
use crate::validate::timestamp;

/// So many breaches wait for standard output, a line each.
const LINES_MAX: usize = 10_000;
/// So many of them are made one text,
const LINES_AT_ONCE: usize = 64;
/// and so much of that is written at once: little, for only then it shows that an output is slow and not stuck.
const PIECE_BYTES: usize = 1 << 10;
/// An output that takes nothing for so long is stuck; in the end it has as long to take all.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });
/// Breaches that were due so long ago are forgotten, for nothing here says that an order has retired.
const REMEMBERED_MS: u64 = 365 * DAY_MS;
/// None is while so few are open.
const OPEN_AT_LEAST: usize = 10_000;

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
    /// When those that are open were due: a later order of the same id has other times.
    open: HashMap<Box<str>, Time>,
    /// So many may be open before old ones are looked for.
    open_max: usize,
    /// To the thread that writes; none once nothing more comes.
    lines: Option<SyncSender<String>>,
    /// What the output had taken when it was found to be stuck; none once there was room again.
    stuck_at: Option<u64>,
    /// Breaches left out that nobody has been told of.
    untold: Arc<AtomicU64>,
    /// Bytes that the output has taken.
    taken: Arc<AtomicU64>,
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
        let (untold, taken) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let counts = [&untold, &taken].map(Arc::clone);
        let writes = move || {
            write(&received, &counts, out);
            drop(ends);
        };
        if let Err(error) = thread::Builder::new().name("teller".to_owned()).spawn(writes) {
            tracing::warn!("breaches are not told: their thread cannot be started: {error}");
        }
        let (open, lines) = (HashMap::new(), Some(lines));
        Teller { output, open, open_max: OPEN_AT_LEAST, lines, stuck_at: None, untold, taken, ended }
    }

    /// Tells the breaches that are new among `changes`. An output that is slow is waited for; one that took nothing for five
    /// seconds is not, before it takes something again.
    pub fn tell(&mut self, changes: &[(Change, Time)]) {
        let breaches = changes.iter().filter(|(change, _)| change.collection.name == SlaBreachRow::NAME);
        // They come as workers and orders gave them.
        let mut breaches: Vec<_> = breaches.collect();
        breaches.sort_by_key(|(_, time)| *time);
        for (change, time) in breaches {
            let row = named(change);
            let text = |column: &str| row.get(column).and_then(Value::as_str).unwrap_or_default();
            if change.row.is_none() || !text("resolved_at").is_empty() {
                self.open.remove(&change.key);
                continue;
            }
            let deadline_at = timestamp::parse(text("deadline_at").as_bytes()).unwrap_or_default();
            if self.open.insert(change.key.clone(), deadline_at) != Some(deadline_at) {
                self.hand_on(line(row, &format_instant(*time), self.output) + "\n");
                self.forget(*time);
            }
        }
    }

    /// Forgets old breaches, once there are twice as many as there were when that was done last.
    fn forget(&mut self, now: Time) {
        if self.open.len() > self.open_max {
            self.open.retain(|_, deadline_at| deadline_at.saturating_add(REMEMBERED_MS) > now);
            self.open_max = OPEN_AT_LEAST.max(2 * self.open.len());
        }
    }

    fn hand_on(&mut self, mut line: String) {
        let Some(lines) = &self.lines else { return };
        let (mut taken, mut since) = (self.taken.load(Ordering::Relaxed), Instant::now());
        while let Err(refused) = lines.try_send(line) {
            let before = std::mem::replace(&mut taken, self.taken.load(Ordering::Relaxed));
            if before != taken {
                since = Instant::now();
            }
            let is_stuck = self.stuck_at == Some(taken) || since.elapsed() >= PATIENCE;
            match refused {
                TrySendError::Full(again) if !is_stuck => line = again,
                _ => {
                    self.stuck_at = Some(taken);
                    self.untold.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.stuck_at = None;
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.lines = None;
        if self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let more = self.untold.load(Ordering::Relaxed);
            tracing::warn!("standard output is stuck or slow: the last breaches are not told, nor {more} before them");
        }
    }
}

/// Writes lines as they come, those that wait together, until no more can come.
fn write(lines: &Receiver<String>, [untold, taken]: &[Arc<AtomicU64>; 2], mut out: impl Write) {
    while let Ok(first) = lines.recv() {
        let text: String = iter::once(first).chain(lines.try_iter().take(LINES_AT_ONCE)).collect();
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match out.write(rest.get(..PIECE_BYTES).unwrap_or(rest)) {
                Ok(bytes) if bytes > 0 => {
                    taken.fetch_add(bytes as u64, Ordering::Relaxed);
                    rest = rest.get(bytes..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Whoever closed standard output does not want to know.
                _ => break,
            }
        }
        let _ = out.flush();
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

    /// Takes little at first, and each time after a while.
    struct Slow {
        takes_little: usize,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut bytes = bytes;
            if self.takes_little > 0 {
                self.takes_little -= 1;
                thread::sleep(PATIENCE / 16);
                bytes = &bytes[..bytes.len().min(100)];
            }
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A teller whose output is slow so often, and what it has written.
    fn slow(takes_little: usize) -> (Teller, Arc<Mutex<Vec<u8>>>) {
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let out = Slow { takes_little, written: Arc::clone(&written) };
        (Teller::writing_to(OutputFormat::Text, out), written)
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

    fn breach(number: usize, deadline_at: Time) -> SlaBreachRow {
        SlaBreachRow {
            order_id: Text::new(&number.to_string()),
            tenant: Text::new("shop"),
            sla: Sla::Delivery,
            status: Status::Order,
            started_at: At(0),
            deadline_at: At(deadline_at),
            resolved_at: None,
            resolution: None,
            overdue_seconds: None,
            message: format!("breach {number}"),
        }
    }

    fn breaches(from: usize, to: usize) -> Vec<(Change, Time)> {
        (from..to).map(|number| (change(&breach(number, 1), true), 2)).collect()
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
        assert!(asked.elapsed() >= PATIENCE && asked.elapsed() < 20 * PATIENCE);
        assert_eq!(teller.untold.load(Ordering::Relaxed), 7);
        drop(lets_go);
        drop(teller);
        assert_eq!(numbers(&written), (0..=LINES_MAX).collect::<Vec<_>>(), "in order, and all that waited");
    }

    #[test]
    fn an_output_that_is_slow_gets_everything() {
        // What is made one text takes it longer than one that is stuck is waited for.
        let (mut teller, written) = slow(50);
        let asked = Instant::now();
        teller.tell(&breaches(0, LINES_MAX + 3 * LINES_AT_ONCE));
        assert!(asked.elapsed() > PATIENCE, "it was waited for");
        assert_eq!(teller.untold.load(Ordering::Relaxed), 0);
        drop(teller);
        assert_eq!(numbers(&written), (0..LINES_MAX + 3 * LINES_AT_ONCE).collect::<Vec<_>>());
    }

    #[test]
    fn a_breach_is_told_once_and_so_is_that_of_a_later_order_of_its_id() {
        let (mut teller, written) = slow(0);
        let open = |number, deadline_at, time| (change(&breach(number, deadline_at), true), time);
        teller.tell(&[open(7, 1, 2), open(7, 1, 3)]);
        teller.tell(&[open(7, 1, 4)]);
        teller.tell(&[open(7, 5, 6)]);
        // They are published together, and in no order.
        let resolved = SlaBreachRow { resolved_at: Some(At(8)), ..breach(8, 6) };
        teller.tell(&[open(9, 9, 10), (change(&resolved, true), 8), open(8, 6, 7)]);
        assert_eq!(teller.open.len(), 2, "one has ended");
        drop(teller);
        assert_eq!(numbers(&written), [7, 7, 8, 9]);
    }

    #[test]
    fn of_breaches_that_are_open_for_ever_old_ones_are_forgotten() {
        let (mut teller, _) = slow(0);
        teller.tell(&breaches(0, OPEN_AT_LEAST + 1));
        assert_eq!(teller.open.len(), OPEN_AT_LEAST + 1, "none is old");
        let later = 1 + REMEMBERED_MS;
        let new = OPEN_AT_LEAST + 1..2 * OPEN_AT_LEAST + 3;
        teller.tell(&new.map(|number| (change(&breach(number, later), true), later)).collect::<Vec<_>>());
        assert_eq!(teller.open.len(), OPEN_AT_LEAST + 2);
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
