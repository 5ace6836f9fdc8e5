//! stub
use super::change::Change;
use super::commits::{Commits, Outcome, Progress, Transactions};
use crate::clock::partitions::{Cut, Trail};
use crate::error::{JobError, JobResult};
use dataflows::time::Time;
use std::sync::Mutex;
use std::time::Duration;
#[allow(missing_docs)]
pub struct Committer(Mutex<(Commits<Change>, Box<dyn Transactions<Change> + Send>, Option<JobError>)>);
#[allow(missing_docs)]
#[derive(Default)]
pub struct CommitterSettings;
#[allow(missing_docs, clippy::unwrap_used)]
impl Committer {
    pub fn start(
        _: &str,
        progress: Progress,
        history: &Trail,
        sink: Box<dyn Transactions<Change> + Send>,
        _: CommitterSettings,
    ) -> JobResult<Committer> {
        Ok(Committer(Mutex::new((Commits::new(progress, history), sink, None))))
    }
    pub fn give(&self, changes: Vec<(Change, Time)>) {
        let mut c = self.0.lock().unwrap();
        for (change, time) in changes {
            c.0.give(change, time);
        }
    }
    pub fn mark(&self, trail: Trail) {
        self.0.lock().unwrap().0.mark(&trail)
    }
    pub fn commit(&self, time: Time) {
        let mut c = self.0.lock().unwrap();
        let c = &mut *c;
        if c.0.commit(time, &mut c.1) == Outcome::Fenced {
            c.2 = Some(JobError::job("fenced"))
        }
    }
    pub fn trim(&self, cut: Cut) {
        self.0.lock().unwrap().0.trim(&cut)
    }
    pub fn frontier(&self) -> Time {
        self.0.lock().unwrap().0.progress().frontier
    }
    pub fn is_full(&self) -> bool {
        false
    }
    pub fn failure(&self) -> Option<JobError> {
        self.0.lock().unwrap().2.clone()
    }
    pub fn drain(self, _: Duration) -> JobResult<()> {
        Ok(())
    }
}
