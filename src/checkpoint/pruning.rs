//! Pruning: which checkpoints of a job are kept, and that nothing stays of the others.
//!
//! Invariant: while a later incarnation is at work, or may come to be, nothing is removed: it may need what this one
//! does not. Limits: what is left of a checkpoint that was never completed stays until all that are kept are beyond it.

use std::iter::empty;

use dataflows::time::Time;

use super::claims::{self, Successors};
use super::{Checkpoints, Manifest, Store, StoreError, Unfit, parts};
use crate::clock::partitions::Cut;

/// So many checkpoints that may be restored are kept, should the newest be damaged.
pub(super) const KEPT: usize = 3;

impl Checkpoints {
    /// Removes checkpoints that are not needed any more: all but the newest few that are fit and no further than
    /// `slowest`, and as many that are further, for when it comes there: while a sink is away there would be ever more.
    /// With them go parts from before the oldest that is kept which never became a checkpoint. The cut of that one; none
    /// where none may be restored. Whoever was replaced removes nothing, which is an error: his successor may have a sink
    /// that he does not know.
    pub fn prune(
        &self,
        store: &mut impl Store,
        slowest: Time,
        successors: &mut Successors,
    ) -> Result<Option<Cut>, StoreError> {
        self.check_is_newest(store, successors)?;
        let names = store.list(&format!("{}/manifests/", self.job))?;
        let (mut kept, mut ahead, mut oldest, mut gone) = (0, 0, None, Vec::new());
        for name in names.iter().rev() {
            if kept == KEPT {
                gone.push(name);
                continue;
            }
            match self.fit(store, name, slowest) {
                Ok(manifest) => {
                    kept += 1;
                    oldest = Some((name, manifest.cut));
                }
                Err(Unfit::Ahead) if ahead == KEPT => gone.push(name),
                Err(Unfit::Ahead) => ahead += 1,
                Err(_) => {}
            }
        }
        let Some((oldest, cut)) = oldest else { return Ok(None) };
        self.raise_floor(store, oldest)?;
        // First the manifests: parts without one are no checkpoint, a manifest without parts is a damaged one.
        gone.iter().try_for_each(|name| store.delete(name))?;
        for part in store.list(&parts(&self.job))? {
            let Some((manifest, incarnation)) = self.manifest_of(&part) else { continue };
            // One checkpoint is written at a time, so none is being written now; what a process completes there that does
            // not know that it was replaced is below the floor.
            let is_left_over = manifest < *oldest && incarnation <= self.incarnation && !names.contains(&manifest);
            if is_left_over || gone.contains(&&manifest) {
                store.delete(&part)?;
            }
        }
        Ok(Some(cut))
    }

    /// An error where a later incarnation may be at work; a start that has had its time is ruled out.
    fn check_is_newest(&self, store: &mut impl Store, successors: &mut Successors) -> Result<(), StoreError> {
        let mut at_work = None;
        for later in claims::standing_after(store, &self.job, self.incarnation)? {
            let is_late = successors.is_late(later);
            // Of those behind one that is at work that one decides.
            if at_work.is_some() || !is_late || !self.rule_out(store, later)? {
                at_work = Some(later);
            }
        }
        let Some(later) = at_work else { return Ok(()) };
        Err(StoreError(format!(
            "job {} was started once more (incarnation {later}), which may need them: stop one of the two; a start \
             that was killed counts no more after ten minutes",
            self.job
        )))
    }

    /// Sees to it that nobody goes on under a later claim; false where somebody does. There is one departure of each.
    /// Where it is this one, at the end of time, a start that is merely slow finds it and fails.
    fn rule_out(&self, store: &mut impl Store, later: u64) -> Result<bool, StoreError> {
        let is_out = self.depart(store, later, Time::MAX)?;
        if is_out {
            claims::withdraw(store, &self.job, later)?;
            tracing::info!("incarnation {later} of job {} was killed before it began, and counts no more", self.job);
        }
        Ok(is_out)
    }

    /// Notes that all sinks begin with this checkpoint: nobody keeps marks from before, so none before it is restored.
    pub fn begin_at(&self, store: &mut impl Store, manifest: &Manifest) -> Result<(), StoreError> {
        self.raise_floor(store, &manifest.name())
    }

    /// Notes that marks before this manifest are to be forgotten. One that is older may still come: of a process that does
    /// not know that it was replaced.
    fn raise_floor(&self, store: &mut impl Store, manifest: &str) -> Result<(), StoreError> {
        let (floor, earlier) =
            (manifest.replace("/manifests/", "/floors/"), store.list(&format!("{}/floors/", self.job))?);
        if !earlier.contains(&floor) {
            store.put(&floor, empty())?;
        }
        earlier.iter().filter(|name| **name < floor).try_for_each(|name| store.delete(name))
    }

    /// The manifest that makes a part one of a checkpoint, or would, and whose it is.
    pub(super) fn manifest_of(&self, part: &str) -> Option<(String, u64)> {
        let (checkpoint, _) = part.strip_prefix(&parts(&self.job))?.split_once('/')?;
        let (_, incarnation) = checkpoint.split_once('-')?;
        Some((format!("{}/manifests/{checkpoint}.json", self.job), incarnation.parse().ok()?))
    }
}
