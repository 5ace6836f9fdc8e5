//! Sources: bytes and positions in, facts with logical times out.
//!
//! The first seam: [`Source`], one implementation a kind of input. A source never blocks for long: it reads a stretch
//! when polled and promises a time before which nothing more comes from it.

pub mod blocks;
pub mod bytes;
pub mod generated;
pub mod inputs;
pub mod intake;
pub mod joined;
pub mod jsonl;
pub mod kafka;
pub mod log;
pub mod moment;
pub mod olist;
pub mod published;
pub mod sample;
pub mod sort;
pub mod supply;
pub mod watch;

use std::fmt::Display;
use std::io;

use dataflows::time::Time;

use crate::error::{JobError, JobResult};
use intake::Intake;

/// A worker's share of an input.
pub trait Source {
    /// Reads a stretch into `intake`.
    fn poll(&mut self, intake: &mut Intake) -> JobResult<Polled>;

    /// Nothing with a logical time before this comes any more; `Time::MAX` at the end.
    fn promise(&self) -> Time;

    /// Nothing new is to be read, what was read is to come still. Streams cut into blocks end by themselves
    /// ([`blocks::Blocks`]).
    fn stop(&mut self) {}
}

/// What a poll came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Something was read.
    Read,
    /// There is nothing more.
    Done,
}

/// Which blocks of a stream this process decodes: they are dealt out in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Who takes part.
    pub of: u64,
    /// Who this is among them.
    pub index: u64,
}

impl Share {
    /// True where block `number` is dealt to this one.
    pub fn takes(&self, number: u64) -> bool {
        number % self.of == self.index
    }
}

/// Does the same on this many threads, of which the caller's is one.
fn on_threads<T: Send>(threads: usize, work: impl Fn() -> T + Sync) -> JobResult<Vec<T>> {
    std::thread::scope(|scope| {
        let started = (1..threads).map(|_| std::thread::Builder::new().spawn_scoped(scope, &work));
        let others = started.collect::<io::Result<Vec<_>>>().map_err(no_thread)?;
        let mut results = vec![work()];
        for other in others {
            results.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        Ok(results)
    })
}

/// The system gives no more threads.
pub fn no_thread(error: impl Display) -> JobError {
    JobError::job(format!("cannot start the workers: {error}"))
        .at("threads of this user")
        .remedy("give a smaller -w, or let this user have more: ulimit -u")
}
