//! Whose results the tables of a database hold: those of one job, which keeps them up to date, or of the last replay.
//!
//! Invariant: nobody writes to tables that a job keeps up to date but that job, and no job takes up what a replay wrote.
//! It holds for whoever asks in the transaction in which he writes first, so that nobody comes in between.

use dataflows::views::COLLECTIONS;
use dataflows::views::collection::Collection;

/// Whose results tables hold.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'o> {
    /// A job keeps them up to date.
    Job(&'o str),
    /// A replay replaces them.
    Replay,
}

impl Owner<'_> {
    /// Why this one may not write to tables, if it may not: beside them stands the progress of `jobs`, and `has_rows` says
    /// which are filled.
    pub fn kept_out<E>(
        self,
        jobs: &[String],
        mut has_rows: impl FnMut(&str) -> Result<bool, E>,
    ) -> Result<Option<String>, E> {
        let is_other = |job: &&String| !matches!(self, Owner::Job(own) if own == job.as_str());
        if let Some(other) = jobs.iter().find(is_other) {
            return Ok(Some(format!("the job {other} keeps these tables up to date, nobody else may")));
        }
        if let (Owner::Job(_), []) = (self, jobs) {
            for Collection { name: table, .. } in &COLLECTIONS {
                if has_rows(table)? {
                    return Ok(Some(format!("the table {table} holds what a replay wrote")));
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_of_one_job_or_of_replays() {
        let kept_out = |owner: Owner<'_>, jobs: &[&str], filled: Option<&'static str>| {
            let jobs: Vec<String> = jobs.iter().map(|job| (*job).to_owned()).collect();
            owner.kept_out(&jobs, |table| Ok::<_, ()>(filled == Some(table))).unwrap().unwrap_or_default()
        };
        let (shop, filled) = (Owner::Job("shop"), Some("orders"));
        assert_eq!(kept_out(shop, &[], None), "");
        assert_eq!(kept_out(shop, &["shop"], filled), "", "they are its own rows");
        assert_eq!(kept_out(Owner::Replay, &[], filled), "");
        assert_eq!(kept_out(shop, &[], filled), "the table orders holds what a replay wrote");
        for owner in [Owner::Job("other"), Owner::Replay] {
            assert!(kept_out(owner, &["shop"], filled).starts_with("the job shop keeps these tables up to date"));
        }
    }
}
