//! Time as a job reads it: watermarks of partitions, lateness, the clock of a paced replay, and the wall clock, which
//! nothing else reads.
//!
//! Invariant: neither a watermark nor a replay clock ever moves backwards. Replays read the wall clock once, to refuse
//! records from the future; their watermarks move by data alone (semantics.md, section 1).

pub mod partitions;
pub mod trail;

use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use dataflows::time::Time;

/// The wall clock: UTC milliseconds since 1970.
pub fn wall_clock_ms() -> Time {
    // A clock before 1970 makes every record one from the future, which is what the user should see.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Time)
}

/// The watermark of a partition with backlog: the largest event time seen, less what may be out of order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watermark {
    largest: Time,
    out_of_orderness_ms: u64,
}

impl Watermark {
    /// Nothing seen yet.
    pub fn new(out_of_orderness_ms: u64) -> Watermark {
        Watermark { largest: 0, out_of_orderness_ms }
    }

    /// No fact below this is still on time.
    pub fn time(&self) -> Time {
        self.largest.saturating_sub(self.out_of_orderness_ms)
    }

    /// A record with this event time was read; its own facts have their logical times already.
    pub fn observe(&mut self, at: Time) {
        self.largest = self.largest.max(at);
    }
}

/// What is late.
#[derive(Clone, Copy, Debug)]
pub struct Lateness {
    /// A fact more than this behind its watermark is counted late, in milliseconds.
    pub late_arrival_ms: u64,
    /// A fact more than this behind its watermark is refused, in milliseconds.
    pub horizon_ms: u64,
}

impl Lateness {
    /// True where a fact at `at` counts as late behind `watermark`.
    pub fn is_late(&self, at: Time, watermark: Time) -> bool {
        at.saturating_add(self.late_arrival_ms) < watermark
    }

    /// True where a fact at `at` is refused for its lateness behind `watermark`.
    pub fn is_too_late(&self, at: Time, watermark: Time) -> bool {
        at.saturating_add(self.horizon_ms) < watermark
    }
}

/// How often a replay clock moves, in milliseconds of the wall clock.
const STEP_WALL_MS: u128 = 10;

/// How fast a replay lets time pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speed {
    /// As fast as it can.
    #[default]
    Max,
    /// So many times faster than it happened.
    Times(NonZeroU64),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Speed, String> {
        match text {
            "max" => Ok(Speed::Max),
            _ => text.parse().map(Speed::Times).map_err(|_| {
                format!("`{text}` is no speed: write max, or how many times faster than it happened, as in 100")
            }),
        }
    }
}

/// The clock of a paced replay: it shows event time, which passes at a speed of its own. The workers of a process share
/// it. It moves in steps of a hundredth of a second: whoever follows it has nothing to do in between.
#[derive(Debug)]
pub struct ReplayClock {
    speed: NonZeroU64,
    passed: Time,
    shown: Mutex<Shown>,
}

#[derive(Clone, Copy, Debug)]
enum Shown {
    Nothing,
    /// What is passed over comes first.
    Passing,
    Running {
        since: Instant,
        from: Time,
    },
    Standing(Time),
}

impl ReplayClock {
    /// A clock that is still to be started. Up to `passed`, to which an earlier replay came, it passes over everything.
    pub fn new(speed: NonZeroU64, passed: Time) -> ReplayClock {
        ReplayClock { speed, passed, shown: Mutex::new(Shown::Nothing) }
    }

    /// What happened before this is passed over.
    pub fn passed(&self) -> Time {
        self.passed
    }

    /// True where no time is waited for: while it passes over what happened before, and once that was stopped.
    pub fn holds_nothing_back(&self) -> bool {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match *shown {
            Shown::Nothing | Shown::Passing => self.passed > 0,
            Shown::Running { .. } => false,
            Shown::Standing(time) => time == Time::MAX,
        }
    }

    /// How many times faster than it happened time passes.
    pub fn speed(&self) -> u64 {
        self.speed.get()
    }

    /// The graph has `reached` this time: it starts from there or, where one is given, `from`, once only. Where there is
    /// something to be passed over it starts once that is done.
    pub fn start(&self, from: Option<Time>, reached: Time) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = match *shown {
            Shown::Nothing | Shown::Passing if reached < self.passed => Shown::Passing,
            Shown::Nothing | Shown::Passing => {
                let from = from.unwrap_or(reached).max(self.passed);
                Shown::Running { since: Instant::now(), from }
            }
            running => running,
        }
    }

    /// The event time it shows; none before it was started.
    pub fn now(&self) -> Option<Time> {
        self.read(&self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It stands still from now on. One that was never started, or passes over something, shows the end of time: nothing is
    /// held back any more.
    pub fn stop(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let is_passing = matches!(*shown, Shown::Passing);
        *shown = Shown::Standing(self.read(&shown).filter(|_| !is_passing).unwrap_or(Time::MAX));
    }

    fn read(&self, shown: &Shown) -> Option<Time> {
        match *shown {
            Shown::Nothing => None,
            Shown::Passing => Some(self.passed),
            Shown::Running { since, from } => {
                let wall_ms = since.elapsed().as_millis() / STEP_WALL_MS * STEP_WALL_MS;
                let passed_ms = wall_ms * u128::from(self.speed.get());
                Some(from.saturating_add(Time::try_from(passed_ms).unwrap_or(Time::MAX)))
            }
            Shown::Standing(time) => Some(time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_clock_starts_once_runs_at_its_speed_and_stands_when_stopped() {
        let times = |text: &str| text.parse::<Speed>();
        assert_eq!(times("max"), Ok(Speed::Max));
        assert_eq!(times("100"), Ok(Speed::Times(NonZeroU64::new(100).unwrap())));
        assert!(["0", "-1", "1.5", "fast", ""].iter().all(|text| times(text).is_err()));
        let clock = ReplayClock::new(NonZeroU64::new(1_000_000).unwrap(), 0);
        assert_eq!(clock.now(), None);
        let before = Instant::now();
        clock.start(Some(5), 7);
        clock.start(None, 1 << 40);
        std::thread::sleep(std::time::Duration::from_millis(15));
        let shown = clock.now().unwrap();
        assert!(shown >= 10_000_005 && shown <= 5 + before.elapsed().as_micros() as u64 * 1_000, "{shown}");
        clock.stop();
        let stands = clock.now();
        std::thread::sleep(std::time::Duration::from_millis(12));
        assert_eq!(clock.now(), stands);
        let resumed = ReplayClock::new(NonZeroU64::MIN, 1 << 40);
        assert!(resumed.holds_nothing_back());
        resumed.start(None, 5);
        assert_eq!((resumed.now(), resumed.holds_nothing_back()), (Some(1 << 40), true));
        resumed.start(None, 1 << 40);
        assert!(resumed.now() >= Some(1 << 40) && !resumed.holds_nothing_back());
        let stopped = ReplayClock::new(NonZeroU64::MIN, 1 << 40);
        stopped.start(None, 5);
        stopped.stop();
        assert_eq!((stopped.now(), stopped.holds_nothing_back()), (Some(Time::MAX), true));
        let never_started = ReplayClock::new(NonZeroU64::MIN, 0);
        never_started.stop();
        assert_eq!(never_started.now(), Some(Time::MAX));
    }

    #[test]
    fn a_watermark_stays_behind_the_largest_time_and_never_moves_back() {
        let mut watermark = Watermark::new(10);
        watermark.observe(100);
        watermark.observe(50);
        assert_eq!(watermark.time(), 90);
        let lateness = Lateness { late_arrival_ms: 5, horizon_ms: 20 };
        assert!(!lateness.is_late(85, 90) && lateness.is_late(84, 90));
        assert!(!lateness.is_too_late(70, 90) && lateness.is_too_late(69, 90));
    }
}
