//! The error that ends a job: what went wrong, where, and what to do about it.
//!
//! Invariant: an error knows whose fault it is, and that alone decides the exit code. Records that cannot be read are no
//! errors of this kind: they become dead letters and the job goes on.

use std::fmt;
use std::io;
use std::path::Path;

/// What to do where too many files are open.
pub const MORE_OPEN_FILES: &str = "let it have more open files (ulimit -n); files of an earlier run are as they were";

/// True where this process may not have more open files. In the text of an error, for of temporary files nothing else is
/// left of its number, 24 (EMFILE).
pub fn is_of_open_files(error: &io::Error) -> bool {
    error.to_string().contains("(os error 24)")
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The job failed: a file that cannot be read, a full disk, a lost process.
    Job,
    /// The command or the configuration is wrong, or does not fit what is there; the same command will fail again.
    Configuration,
}

/// An error that ends the job. Made by [`JobError::job`] or [`JobError::configuration`], completed by
/// [`JobError::at`] and [`JobError::remedy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobError {
    fault: Fault,
    what: String,
    location: Option<String>,
    read: Option<String>,
    remedy: Option<String>,
}

/// What the functions of a job return.
pub type JobResult<T> = Result<T, JobError>;

impl JobError {
    /// The job failed; `what` is one sentence without a full stop.
    pub fn job(what: impl Into<String>) -> JobError {
        JobError { fault: Fault::Job, what: what.into(), location: None, read: None, remedy: None }
    }

    /// The command or the configuration is wrong, or does not fit what is there.
    pub fn configuration(what: impl Into<String>) -> JobError {
        JobError { fault: Fault::Configuration, ..JobError::job(what) }
    }

    /// A failed operation on a file or directory: `doing` completes "cannot …".
    pub fn io(doing: &str, path: &Path, error: &io::Error) -> JobError {
        JobError::job(format!("cannot {doing}: {error}")).at(path.display().to_string())
    }

    /// A failed operation on the temporary file in which `what` is brought into order: `doing` completes "cannot …".
    pub fn sorting(doing: &str, what: &str, error: &io::Error) -> JobError {
        let remedy = match is_of_open_files(error) {
            true => MORE_OPEN_FILES,
            false => "free some space there, set TMPDIR, or give more memory with --sort-memory",
        };
        JobError::job(format!("cannot {doing} the temporary file of {what} being sorted: {error}"))
            .at(std::env::temp_dir().display().to_string())
            .remedy(remedy)
    }

    /// Says where: a file and line, a flag, an environment variable.
    pub fn at(self, location: impl Into<String>) -> JobError {
        JobError { location: Some(location.into()), ..self }
    }

    /// Says how many records had been read.
    pub fn after(self, records: u64) -> JobError {
        JobError { read: Some(format!("{records} records before that")), ..self }
    }

    /// Says what to do about it.
    pub fn remedy(self, remedy: impl Into<String>) -> JobError {
        JobError { remedy: Some(remedy.into()), ..self }
    }

    /// What went wrong.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Where, if anywhere.
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// What to do about it, where that is known.
    pub fn remedy_text(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// Tells the log of what the job survives.
    pub fn warn(&self) {
        let [place, remedy] = [self.location(), self.remedy_text()].map(Option::unwrap_or_default);
        tracing::warn!("{} ({place}): {remedy}", self.what());
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// The code with which the program ends: 1 where the job failed, 2 where usage or configuration is wrong.
    pub fn exit_code(&self) -> u8 {
        match self.fault {
            Fault::Job => 1,
            Fault::Configuration => 2,
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)?;
        for (label, text) in [("where", &self.location), ("read", &self.read), ("do", &self.remedy)] {
            if let Some(text) = text {
                write!(formatter, "\n  {label}: {text}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for JobError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_where_and_what_to_do() {
        let error = JobError::job("no orders in the directory").at("data/sample").remedy("give another directory");
        assert_eq!(error.to_string(), "no orders in the directory\n  where: data/sample\n  do: give another directory");
        assert_eq!(error.exit_code(), 1);
        assert!(error.after(7).to_string().contains("\n  read: 7 records before that\n  do: "));
        assert_eq!(JobError::configuration("tick is 0").to_string(), "tick is 0");
        assert_eq!(JobError::configuration("tick is 0").exit_code(), 2);
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(
            JobError::io("write orders", Path::new("out/orders.csv"), &denied).to_string(),
            "cannot write orders: permission denied\n  where: out/orders.csv"
        );
    }
}
