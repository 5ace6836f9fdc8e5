//! What a committer counts, for whoever watches it. Written by its thread, read by anybody.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::circuit::State;
use crate::delays::Delays;

/// Numbers of one sink since the job started.
#[derive(Debug, Default)]
pub struct CommitterCounters {
    /// Transactions that were done.
    pub commits: AtomicU64,
    /// Changes that they held, before those of one key were brought together.
    pub rows: AtomicU64,
    /// Attempts that failed, or of which nobody knows.
    pub failures: AtomicU64,
    /// Attempts after one of these.
    pub retries: AtomicU64,
    /// How long the last transaction took, in microseconds.
    pub last_commit_us: AtomicU64,
    /// Changes that wait in memory to be committed, in bytes.
    pub waiting_bytes: AtomicU64,
    /// What waits in temporary files, in bytes.
    pub spilled_bytes: AtomicU64,
    /// Something cannot be written there.
    pub(super) is_stuck: AtomicBool,
    /// From when a change holds to when the sink has it.
    pub delays: Delays,
    circuit: AtomicU8,
}

impl CommitterCounters {
    /// Whether the sink is tried.
    pub fn circuit(&self) -> State {
        match self.circuit.load(Ordering::Relaxed) {
            state if state == State::Open as u8 => State::Open,
            state if state == State::HalfOpen as u8 => State::HalfOpen,
            _ => State::Closed,
        }
    }

    pub(crate) fn set_circuit(&self, state: State) {
        self.circuit.store(state as u8, Ordering::Relaxed);
    }
}
