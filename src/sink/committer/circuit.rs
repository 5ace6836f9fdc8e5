//! When a sink that failed is tried again: soon at first, then ever later, and once it has failed often enough only now and
//! then, by a probe.
//!
//! Invariant: there is always a next try. A plain state machine: it waits for nothing itself.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::config::SinkConfig;

/// The first wait; each further one is twice as long, and a random part of itself more.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// No wait is longer, but for that of an open circuit.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Whether a sink is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It is, after each failure a little later.
    Closed,
    /// It has failed too often: it is left alone for a while.
    Open,
    /// It is tried once, to see.
    HalfOpen,
}

/// The circuit breaker before a sink.
#[derive(Debug)]
pub struct Circuit {
    failures_in_a_row: u64,
    failures_max: u64,
    probe_after: Duration,
    waits: ExponentialBackoff,
    state: State,
}

impl Circuit {
    /// The one that a job puts before its sinks.
    pub fn of(sink: &SinkConfig) -> Circuit {
        Circuit::new(sink.circuit_failures, Duration::from_millis(sink.circuit_probe_after_ms))
    }

    /// One that so many failures in a row open, and that is probed so long after each failure from then on.
    fn new(failures_max: u64, probe_after: Duration) -> Circuit {
        Circuit { failures_in_a_row: 0, failures_max, probe_after, waits: waits(), state: State::Closed }
    }

    /// Whether the sink is tried.
    pub fn state(&self) -> State {
        self.state
    }

    /// It is tried now.
    pub fn attempt(&mut self) {
        if self.state == State::Open {
            self.state = State::HalfOpen;
        }
    }

    /// It did what it was asked for.
    pub fn succeed(&mut self) {
        *self = Circuit::new(self.failures_max, self.probe_after);
    }

    /// It did not; how long to wait before it is tried again.
    pub fn fail(&mut self) -> Duration {
        self.failures_in_a_row += 1;
        if self.failures_in_a_row >= self.failures_max {
            self.state = State::Open;
            return self.probe_after;
        }
        self.waits.next().unwrap_or(WAIT_MAX)
    }
}

fn waits() -> ExponentialBackoff {
    let waits = ExponentialBuilder::new().with_min_delay(FIRST_WAIT).with_max_delay(WAIT_MAX).with_factor(2.0);
    waits.with_jitter().without_max_times().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_is_tried_soon_then_ever_later_then_by_probes_and_never_given_up() {
        let probe_after = Duration::from_secs(30);
        let mut circuit = Circuit::new(5, probe_after);
        let waits: Vec<Duration> = (0..4).map(|_| circuit.fail()).collect();
        for (place, wait) in waits.iter().enumerate() {
            let least = FIRST_WAIT * (1 << place);
            assert!(*wait >= least && *wait <= least * 2, "{waits:?}");
            assert_eq!(circuit.state(), State::Closed);
        }
        for _ in 0..1_000 {
            assert_eq!(circuit.fail(), probe_after);
            assert_eq!(circuit.state(), State::Open);
            circuit.attempt();
            assert_eq!(circuit.state(), State::HalfOpen);
        }
        circuit.succeed();
        assert_eq!(circuit.state(), State::Closed);
        assert!(circuit.fail() <= FIRST_WAIT * 2);
        // Where no number of failures opens it, it still goes on for ever.
        let mut circuit = Circuit::new(u64::MAX, probe_after);
        assert!((0..10_000).map(|_| circuit.fail()).all(|wait| wait <= WAIT_MAX * 2));
    }
}
