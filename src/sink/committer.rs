//! A committer: a thread that commits to one sink, so that no worker ever waits for a server.
//!
//! The worker loop tells it what changed and how far time is; it opens transactions, tries again what failed, and leaves a
//! sink alone for a while that fails all the time (`committer/circuit.rs`). What memory has no room for waits in temporary
//! files (`committer/overflow.rs`). Invariant: nothing that was given is dropped, every transaction ends at a frontier that
//! was told, and whoever gives never waits for a sink. Limits: so much may wait and no more, so whoever gives, one thread
//! alone, has to look at [`Committer::is_full`] and read no more while it says so; marks wait in memory.

pub mod circuit;
mod counters;
mod overflow;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dataflows::time::Time;

use super::change::Change;
use super::commits::{Progress, Transactions};
use crate::clock::partitions::{Cut, Trail};
use crate::config::SinkConfig;
use crate::error::{JobError, JobResult};
use crate::instant::format_instant;
pub use counters::CommitterCounters;
use overflow::Overflow;
use queue::{Attempt, Message, Queue};

/// How often a sink that has nothing to do sees to itself.
const TEND_EVERY: Duration = Duration::from_secs(1);
/// So many changes are given at once: what memory has no room for is found out in time.
const CHANGES_AT_ONCE: usize = 4_096;
/// How much longer a drain waits for the thread itself to say what is left.
const GRACE: Duration = Duration::from_millis(200);

/// How a committer goes about it.
#[derive(Clone, Debug)]
pub struct CommitterSettings {
    /// Identity of the job.
    pub job: String,
    /// How it treats a sink that is slow or away.
    pub sink: SinkConfig,
}

/// A sink as whoever watches it sees it.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Its name.
    pub name: String,
    /// What is counted.
    pub counters: Arc<CommitterCounters>,
    /// Everything before this is in the sink.
    pub frontier: Arc<AtomicU64>,
}

/// The thread that commits to one sink, as the worker loop sees it.
pub struct Committer {
    name: String,
    memory_bytes: u64,
    spill_bytes: u64,
    messages: Sender<Message>,
    overflow: Arc<Mutex<Overflow>>,
    /// Disconnected once the thread has ended.
    ended: Mutex<Receiver<()>>,
    frontier: Arc<AtomicU64>,
    /// Everything before this is to be committed.
    asked: AtomicU64,
    counters: Arc<CommitterCounters>,
    failure: Arc<Mutex<Option<JobError>>>,
}

impl Committer {
    /// Starts the thread. `name` is the sink's, `progress` what it said of itself when it was fenced, `history` the trail
    /// that the job follows.
    pub fn start(
        name: &str,
        progress: Progress,
        history: &Trail,
        sink: Box<dyn Transactions<Change> + Send>,
        settings: CommitterSettings,
    ) -> JobResult<Committer> {
        let (messages, received) = channel();
        let (ends, ended) = channel::<()>();
        let frontier = Arc::new(AtomicU64::new(progress.frontier));
        let (counters, failure) = (Arc::<CommitterCounters>::default(), Arc::<Mutex<Option<JobError>>>::default());
        let overflow = Arc::new(Mutex::new(Overflow::new(name, &settings.sink, Arc::clone(&counters))));
        let queue = Queue::new(progress, history, &settings.sink, Arc::clone(&counters), Arc::clone(&frontier));
        let (name, failed, job) = (name.to_owned(), Arc::clone(&failure), settings.job);
        let (sink_name, set_aside) = (name.clone(), Arc::clone(&overflow));
        let thread = std::thread::Builder::new().name(format!("sink {name}")).spawn(move || {
            let _ends = ends;
            if let Err(error) = run(queue, &received, &set_aside, sink, &job, &sink_name) {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        });
        thread.map_err(|error| {
            JobError::job(format!("cannot start the thread of a sink: {error}"))
                .at(name.clone())
                .remedy("raise the limit of threads: ulimit -u")
        })?;
        let SinkConfig { memory_bytes, spill_bytes, .. } = settings.sink;
        let ended = Mutex::new(ended);
        let asked = AtomicU64::new(0);
        Ok(Committer { name, memory_bytes, spill_bytes, messages, overflow, ended, frontier, asked, counters, failure })
    }

    /// Gives changes, each with its time; those before the sink's frontier are there already.
    pub fn give(&self, changes: Vec<(Change, Time)>) {
        let mut changes = changes.into_iter();
        while changes.len() > 0 {
            self.pass(Message::Give(changes.by_ref().take(CHANGES_AT_ONCE).collect()));
        }
    }

    /// Gives marks, as they were put down. Those beyond a frontier wait for a later one, so they overtake what was set aside.
    pub fn mark(&self, trail: Trail) {
        self.tell(Message::Mark(trail));
    }

    /// Has everything before `frontier` committed, all of which has been given, and all marks that lead there.
    pub fn commit(&self, frontier: Time) {
        self.asked.store(frontier, Ordering::Relaxed);
        self.pass(Message::Commit(frontier));
    }

    /// Lets go of marks before `cut`, where the oldest checkpoint begins that may be restored.
    pub fn trim(&self, cut: Cut) {
        self.tell(Message::Trim(cut));
    }

    /// Everything before this is in the sink.
    pub fn frontier(&self) -> Time {
        self.frontier.load(Ordering::Acquire)
    }

    /// True where so much waits that no more should be read.
    pub fn is_full(&self) -> bool {
        let bytes = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        match self.spill_bytes {
            // What waits for a frontier that nobody has told yet becomes less by going on alone.
            0 => bytes(&self.counters.waiting_bytes) > self.memory_bytes && self.frontier() < bytes(&self.asked),
            most => bytes(&self.counters.spilled_bytes) > most || self.counters.is_stuck.load(Ordering::Relaxed),
        }
    }

    /// Why nothing is committed any more: the job has to stop. None where all is well, or may become so.
    pub fn failure(&self) -> Option<JobError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is counted.
    pub fn counters(&self) -> &Arc<CommitterCounters> {
        &self.counters
    }

    /// What there is to be watched.
    pub fn watched(&self) -> Watched {
        let (counters, frontier) = (Arc::clone(&self.counters), Arc::clone(&self.frontier));
        Watched { name: self.name.clone(), counters, frontier }
    }

    /// Commits what is to be committed, within that time, and ends. An error says what is left.
    pub fn drain(&self, within: Duration) -> JobResult<()> {
        self.tell(Message::Drain(Instant::now() + within));
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(within + GRACE);
        match (ended, self.failure()) {
            (_, Some(error)) => Err(error),
            (Err(RecvTimeoutError::Disconnected) | Ok(()), None) => Ok(()),
            // Its thread waits for an answer: whether it was done is known to the next incarnation.
            (Err(RecvTimeoutError::Timeout), None) => {
                Err(left_over(self.frontier(), "what was given since then").at(self.name.clone()))
            }
        }
    }

    /// Tells a message, or sets it aside: where memory has no room for it, or others have been set aside before it.
    fn pass(&self, message: Message) {
        let (bytes, waiting) = (message.bytes(), self.counters.waiting_bytes.load(Ordering::Relaxed));
        let mut overflow = lock(&self.overflow);
        let has_room = !overflow.is_in_use() && waiting + bytes <= self.memory_bytes;
        if self.spill_bytes > 0 && !has_room {
            if overflow.push(&message) {
                self.tell(Message::Spilled);
            }
        } else {
            self.counters.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.tell(message);
        }
    }

    fn tell(&self, message: Message) {
        // A thread that has ended has said why.
        let _ = self.messages.send(message);
    }
}

fn lock(overflow: &Mutex<Overflow>) -> MutexGuard<'_, Overflow> {
    overflow.lock().unwrap_or_else(PoisonError::into_inner)
}

fn left_over(frontier: Time, what: &str) -> JobError {
    let at = if frontier == 0 { "anything".to_owned() } else { format_instant(frontier) };
    JobError::job(format!("the sink did not get {what}: it is complete before {at}"))
        .remedy("start the job again once the sink is back: it goes on from there")
}

/// The thread: takes what it is told, and commits; until it is fenced off, or nobody is there to tell it anything.
fn run(
    mut queue: Queue,
    messages: &Receiver<Message>,
    overflow: &Mutex<Overflow>,
    mut sink: Box<dyn Transactions<Change> + Send>,
    job: &str,
    name: &str,
) -> JobResult<()> {
    // A drain does not wait for what may come right later: it is tried at once.
    let take = |queue: &mut Queue, message, next_try: &mut Instant, until: &mut Option<Instant>| {
        if let Some(asked) = queue.take(message) {
            (*next_try, *until) = (Instant::now(), Some(asked));
        }
    };
    let (mut next_try, mut until, mut tended) = (Instant::now(), None::<Instant>, Instant::now());
    loop {
        // Asked before messages are taken: all that come from here on until nothing is left there are set aside, too.
        let (has_more, set_aside) = {
            let mut overflow = lock(overflow);
            overflow.write();
            (overflow.is_in_use(), overflow.changes())
        };
        let is_behind = queue.is_behind() || has_more;
        if until.is_some_and(|until| !is_behind || Instant::now() >= until) {
            let what = format!("{} changes", queue.waiting() + set_aside);
            return if is_behind { Err(left_over(queue.frontier(), &what).at(name)) } else { Ok(()) };
        }
        let wake = match (queue.is_behind(), has_more) {
            // Meanwhile there may be space for what could not be written.
            (true, true) => until.unwrap_or(next_try).min(next_try).min(Instant::now() + TEND_EVERY),
            (true, false) => until.map_or(next_try, |until| until.min(next_try)),
            (false, true) => Instant::now(),
            (false, false) => tended + TEND_EVERY,
        };
        match messages.recv_timeout(wake.saturating_duration_since(Instant::now())) {
            Ok(message) => {
                take(&mut queue, message, &mut next_try, &mut until);
                // All that is there is one transaction. What was set aside follows in others.
                while let Ok(message) = messages.try_recv() {
                    take(&mut queue, message, &mut next_try, &mut until);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if has_more && !queue.is_behind() {
            queue.refill(overflow)?;
            // What was set aside meanwhile may be a commit whose marks were told.
            while let Ok(message) = messages.try_recv() {
                take(&mut queue, message, &mut next_try, &mut until);
            }
        }
        if !queue.is_behind() && until.is_none() && tended.elapsed() >= TEND_EVERY {
            sink.tend();
            tended = Instant::now();
        }
        if !queue.is_behind() || Instant::now() < next_try {
            continue;
        }
        match queue.attempt(&mut sink) {
            Attempt::Done => {}
            Attempt::Again(wait) => next_try = Instant::now() + wait,
            Attempt::Fenced => {
                return Err(JobError::job(format!("another incarnation of job {job} has taken over this sink"))
                    .at(name)
                    .remedy(
                        "let that one go on; to run two jobs give each its own --job and its own tables. If there is no \
                         other, the sink was put back to an earlier state: start the job again, it goes on from there",
                    ));
            }
        }
    }
}
