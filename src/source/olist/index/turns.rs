//! Turns: what the threads of a scan do next, none of them far ahead of another.
//!
//! Turns are given out in order. Invariant: one that is given lies less than `ahead` beyond the first one that is not
//! done, so a thread that the system leaves standing makes the others wait, and what they have done does not pile up.
//! Whoever has the first one never waits, so all come to an end.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Turns being given out.
pub struct Turns {
    count: usize,
    ahead: usize,
    state: Mutex<State>,
    moved: Condvar,
}

/// A turn: it is done when it is dropped, so also where its thread panics.
pub struct Turn<'t> {
    /// Which one, from 0.
    pub number: usize,
    turns: &'t Turns,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.done(self.number);
    }
}

#[derive(Default)]
struct State {
    next: usize,
    first_open: usize,
    /// Those beyond the first open one.
    done: BTreeSet<usize>,
    is_stopped: bool,
}

impl Turns {
    /// So many turns; `ahead` is at least 1.
    pub fn new(count: usize, ahead: usize) -> Turns {
        Turns { count, ahead: ahead.max(1), state: Mutex::default(), moved: Condvar::new() }
    }

    /// The next turn, once it is not too far ahead; none where all have been given out, or no more are to be.
    pub fn take(&self) -> Option<Turn<'_>> {
        let mut state = self.lock();
        loop {
            if state.is_stopped || state.next >= self.count {
                return None;
            }
            if state.next < state.first_open + self.ahead {
                state.next += 1;
                return Some(Turn { number: state.next - 1, turns: self });
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, turn: usize) {
        let mut state = self.lock();
        state.done.insert(turn);
        loop {
            let first = state.first_open;
            if !state.done.remove(&first) {
                break;
            }
            state.first_open += 1;
        }
        self.moved.notify_all();
    }

    /// Gives out no more.
    pub fn stop(&self) {
        self.lock().is_stopped = true;
        self.moved.notify_all();
    }

    /// True once it was told to give out no more.
    pub fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn nobody_gets_far_ahead_of_one_who_stands_still() {
        let turns = Turns::new(1_000, 8);
        let first = turns.take();
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..20)
                .map(|_| {
                    scope.spawn(|| std::iter::from_fn(|| turns.take().map(|turn| turn.number)).collect::<Vec<_>>())
                })
                .collect();
            let started = Instant::now();
            while turns.lock().next < 8 && started.elapsed() < Duration::from_secs(60) {
                std::thread::yield_now();
            }
            // Whoever did not wait would have got further by then.
            std::thread::sleep(Duration::from_millis(30));
            assert_eq!(turns.lock().next, 8, "the others wait");
            drop(first);
            let mut taken: Vec<usize> = others.into_iter().flat_map(|other| other.join().unwrap()).collect();
            taken.sort_unstable();
            assert_eq!(taken, (1..1_000).collect::<Vec<_>>());
        });
    }

    #[test]
    fn whoever_waits_is_let_go_when_all_stop() {
        let turns = Turns::new(10, 1);
        let _first = turns.take();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| turns.take().map(|turn| turn.number));
            turns.stop();
            assert_eq!(waiting.join().unwrap(), None);
        });
        assert!(turns.is_stopped());
    }
}
