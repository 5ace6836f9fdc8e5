//! What clap cannot say of the options of a replay: which of them contradict each other, which are configuration.

use super::run::NONE;
use super::{JobFlags, ReplayOptions};
use crate::config::Flag;
use crate::error::{JobError, JobResult};
use crate::instant::format_instant;
use crate::sink::postgres::address::Address;

/// The flag --checkpoint-interval, where it was given.
pub(super) fn checkpoint_interval(text: &Option<String>) -> Option<Flag> {
    Some(Flag { key: "checkpoint.interval", flag: "--checkpoint-interval", text: text.clone()? })
}

impl ReplayOptions {
    /// The last layer of the configuration: the flags that were given, `job` among them.
    pub fn layer(&self, job: &JobFlags) -> Vec<Flag> {
        let mut flags = job.layer();
        flags.extend(checkpoint_interval(&self.checkpoint_interval));
        flags
    }

    /// Where checkpoints are kept, if they are.
    pub fn store(&self) -> Option<&str> {
        self.checkpoint.as_deref().filter(|store| *store != NONE)
    }

    /// True where some sink wants every row, not only their number.
    pub fn wants_rows(&self) -> bool {
        self.out.is_some() || self.sqlite.is_some() || self.postgres.is_some()
    }

    /// Refuses what clap cannot: options that contradict each other.
    pub fn check(&self) -> JobResult<()> {
        if let (Some(from), Some(until)) = (self.reading.from, self.reading.until)
            && from > until
        {
            let what = format!("--from {} is after --until {}", format_instant(from), format_instant(until));
            return Err(JobError::configuration(what).at("flag --from").remedy("exchange the two, or leave one out"));
        }
        if self.changes && self.out.is_none() {
            let what = "--changes has nowhere to write to";
            let remedy = "add --out DIR: changes are written into DIR/changes";
            return Err(JobError::configuration(what).at("flag --changes").remedy(remedy));
        }
        if let Some(url) = &self.postgres {
            Address::of(url).map_err(|error| error.at("flag --postgres"))?;
        }
        Ok(())
    }
}
