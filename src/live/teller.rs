//! The teller: breaches on the console as they happen, a line each.
//!
//! Invariant: a breach is told when it opens, and not again while it is open and due when it was; those that are published
//! together are told in the order of time, and nobody waits longer than [`Teller::tell`] says for an output that takes nothing
//! (Ctrl-S, a pager). At least once: a job that comes back may tell again what it had told before it was killed, and so may one
//! where a breach changes that has been open for a year. Limits: a hundred thousand breaches wait for such an output, and more
//! are left out, which the log says with their number; those that wait are lost where the job is killed or ends meanwhile.

use std::io::{self, Write};
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

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

/// So many breaches wait for standard output, a line each: some 20 MB.
const LINES_MAX: usize = if cfg!(test) { 10_000 } else { 100_000 };
/// So many of them are written at once.
const LINES_AT_ONCE: usize = 64;
/// So long an output that is full is waited for, once, until half of what waits for it has gone; in the end as long, too.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });
/// That is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(1);
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
    lines: Option<Sender<String>>,
    /// Lines that wait, those that are being written included.
    waiting: Arc<AtomicUsize>,
    /// True once the output was waited for in vain.
    is_behind: bool,
    /// Breaches left out that nobody has been told of.
    untold: Arc<AtomicU64>,
    /// Says that the thread has ended: by then nobody can send.
    ended: Receiver<()>,
}

impl Teller {
    /// Nothing told yet.
    pub fn new(output: OutputFormat) -> Teller {
        Teller::writing_to(output, io::stdout())
    }

    fn writing_to(output: OutputFormat, out: impl Write + Send + 'static) -> Teller {
        let (lines, received) = channel();
        let (ends, ended) = channel::<()>();
        let (untold, waiting) = (Arc::<AtomicU64>::default(), Arc::<AtomicUsize>::default());
        let (left_out, written) = (Arc::clone(&untold), Arc::clone(&waiting));
        let writes = move || {
            write(&received, &left_out, &written, out);
            drop(ends);
        };
        if let Err(error) = thread::Builder::new().name("teller".to_owned()).spawn(writes) {
            tracing::warn!("breaches are not told: their thread cannot be started: {error}");
        }
        let (open, lines) = (HashMap::new(), Some(lines));
        Teller { output, open, open_max: OPEN_AT_LEAST, lines, waiting, is_behind: false, untold, ended }
    }

    /// Tells the breaches that are new among `changes`. It waits for an output that is full, but no longer than five seconds,
    /// and not again before that has taken half of what waits: sinks and checkpoints come after this.
    pub fn tell(&mut self, changes: &[(Change, Time)]) {
        let breaches = changes.iter().filter(|(change, _)| change.collection.name == SlaBreachRow::NAME);
        // They come as workers and orders gave them.
        let mut breaches: Vec<_> = breaches.collect();
        breaches.sort_by_key(|(_, time)| *time);
        let mut patience = PATIENCE;
        for (change, time) in breaches {
            let row = named(change);
            let text = |column: &str| row.get(column).and_then(Value::as_str).unwrap_or_default();
            if change.row.is_none() || !text("resolved_at").is_empty() {
                self.open.remove(&change.key);
                continue;
            }
            let deadline_at = timestamp::parse(text("deadline_at").as_bytes()).unwrap_or_default();
            if self.open.insert(change.key.clone(), deadline_at) != Some(deadline_at) {
                self.hand_on(line(row, &format_instant(*time), self.output) + "\n", &mut patience);
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

    fn hand_on(&mut self, line: String, patience: &mut Duration) {
        let Some(lines) = &self.lines else { return };
        self.is_behind &= self.waiting.load(Ordering::Relaxed) > LINES_MAX / 2;
        while self.waiting.load(Ordering::Relaxed) >= LINES_MAX {
            self.is_behind |= patience.is_zero();
            if self.is_behind {
                self.untold.fetch_add(1, Ordering::Relaxed);
                return;
            }
            thread::sleep(LOOK_EVERY);
            *patience = patience.saturating_sub(LOOK_EVERY);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if lines.send(line).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.lines = None;
        if self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let (waiting, more) = (self.waiting.load(Ordering::Relaxed), self.untold.load(Ordering::Relaxed));
            tracing::warn!(
                "standard output is stuck or slow: the last {waiting} breaches are not told, nor {more} before them"
            );
        }
    }
}

/// Writes lines as they come, those that wait together, until no more can come.
fn write(lines: &Receiver<String>, untold: &AtomicU64, waiting: &AtomicUsize, mut out: impl Write) {
    while let Ok(first) = lines.recv() {
        let taken: Vec<String> = iter::once(first).chain(lines.try_iter().take(LINES_AT_ONCE)).collect();
        // Whoever closed standard output does not want to know.
        let _ = out.write_all(taken.concat().as_bytes()).and_then(|()| out.flush());
        waiting.fetch_sub(taken.len(), Ordering::Relaxed);
        let left_out = untold.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            tracing::warn!("{left_out} breaches were not told: standard output took too little for too long");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

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

    /// Takes its time at first.
    struct Slow {
        takes_its_time: usize,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.takes_its_time > 0 {
                self.takes_its_time -= 1;
                thread::sleep(PATIENCE / 20);
            }
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A teller whose output is slow so often, and what it has written.
    fn slow(takes_its_time: usize) -> (Teller, Arc<Mutex<Vec<u8>>>) {
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let out = Slow { takes_its_time, written: Arc::clone(&written) };
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
        teller.tell(&breaches(LINES_MAX, LINES_MAX + 9));
        assert!(asked.elapsed() >= PATIENCE && asked.elapsed() < 20 * PATIENCE);
        assert_eq!(teller.untold.load(Ordering::Relaxed), 9);
        drop(lets_go);
        drop(teller);
        assert_eq!(numbers(&written), (0..LINES_MAX).collect::<Vec<_>>(), "in order, and all that waited");
    }

    #[test]
    fn an_output_that_is_slow_for_a_while_gets_everything() {
        let (mut teller, written) = slow(5);
        teller.tell(&breaches(0, LINES_MAX + 6 * LINES_AT_ONCE));
        assert_eq!(teller.untold.load(Ordering::Relaxed), 0);
        drop(teller);
        assert_eq!(numbers(&written), (0..LINES_MAX + 6 * LINES_AT_ONCE).collect::<Vec<_>>());
    }

    #[test]
    fn one_that_is_slow_for_ever_is_waited_for_once() {
        let (mut teller, _written) = slow(usize::MAX);
        let asked = Instant::now();
        teller.tell(&breaches(0, 2 * LINES_MAX));
        let took = asked.elapsed();
        assert!(took >= PATIENCE && teller.is_behind, "{took:?}");
        // It has taken a little meanwhile, which is no reason to wait again.
        teller.tell(&breaches(2 * LINES_MAX, 3 * LINES_MAX));
        assert!(asked.elapsed() - took < PATIENCE && teller.untold.load(Ordering::Relaxed) > 0);
        let asked = Instant::now();
        drop(teller);
        assert!(asked.elapsed() < 3 * PATIENCE);
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
