//! What the graph needs to know beside facts and rules. Values come from `config/default.toml` and its layers; here
//! they are resolved: milliseconds, no strings.

use serde::{Deserialize, Serialize};

use crate::time::Window;

/// How the lifecycle fold treats events out of turn (semantics.md, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transitions {
    /// Out-of-turn events are applied and reported.
    Lenient,
    /// Out-of-turn events are ignored and reported.
    Strict,
}

/// Resolved settings of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Lenient or strict lifecycle.
    pub transitions: Transitions,
    /// How much longer alerts wait than counts, in milliseconds of logical time.
    pub grace_ms: u64,
    /// Grid on which aggregates change, in milliseconds; at least 1.
    pub tick_ms: u64,
    /// From placement to drop-off, in milliseconds.
    pub abandon_after_ms: u64,
    /// False where an order without payment is no drop-off.
    pub expect_payments: bool,
    /// How long a finished order lives after its last fact, in milliseconds.
    pub retention_ms: u64,
    /// How long an unfinished order lives after its last fact, in milliseconds.
    pub max_age_ms: u64,
    /// How long a tombstone stays, and how far behind the watermark a fact may be, in milliseconds.
    pub horizon_ms: u64,
    /// Windows kept, finest first, without repetition, at least one.
    pub windows: Vec<Window>,
}

impl Settings {
    /// How long an order lives after its last fact, in milliseconds.
    pub fn life_ms(&self, is_finished: bool) -> u64 {
        if is_finished { self.retention_ms } else { self.max_age_ms }
    }

    /// How long a window stays open after its end, in milliseconds.
    pub fn stays_ms(&self) -> u64 {
        self.horizon_ms.saturating_add(self.max_age_ms)
    }
}
