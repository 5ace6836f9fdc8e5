//! The first records of a file, decoded and thrown away: what `orderwatch check` knows of an input.

use std::path::Path;

use super::jsonl::JsonLines;
use crate::decode::decode_line;
use crate::error::JobResult;
use crate::validate::{Broken, Limits, Reason};

/// So many records are looked at.
pub const RECORDS_MAX: usize = 1_000;

/// What the first records of a file are worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The file's name within its input.
    pub name: String,
    /// Records looked at.
    pub read: usize,
    /// Of these, those that can be used.
    pub decoded: usize,
    /// The place of the first one that cannot, as in `line 7`, and every reason.
    pub first_refused: Option<(String, Vec<Reason>)>,
}

impl Sample {
    /// Nothing looked at yet.
    pub fn of(name: impl Into<String>) -> Sample {
        Sample { name: name.into(), ..Sample::default() }
    }

    /// True where enough has been seen.
    pub fn is_full(&self) -> bool {
        self.read >= RECORDS_MAX
    }

    /// Counts the record on a line.
    pub fn add<R>(&mut self, line: u64, decoded: Result<R, Broken>) {
        self.add_at(|| format!("line {line}"), decoded);
    }

    /// Counts the record at a place.
    pub fn add_at<R>(&mut self, place: impl FnOnce() -> String, decoded: Result<R, Broken>) {
        self.read += 1;
        match decoded {
            Ok(_) => self.decoded += 1,
            Err(broken) => {
                self.first_refused.get_or_insert_with(|| (place(), broken.reasons));
            }
        }
    }
}

/// The first records of a file of JSON lines.
pub fn of_lines(path: &Path, limits: &Limits) -> JobResult<Sample> {
    let mut sample = Sample::of(path.file_name().unwrap_or(path.as_os_str()).to_string_lossy());
    let stream = JsonLines::open(path, 0)?;
    while !sample.is_full() {
        let Some(block) = stream.next_block()? else { break };
        if block.is_too_large {
            sample.add::<()>(block.first_line, Err(Broken::only(Reason::TooLarge)));
            continue;
        }
        for (line, bytes) in JsonLines::lines(&block) {
            if sample.is_full() {
                break;
            }
            sample.add(line, decode_line(bytes, limits));
        }
    }
    Ok(sample)
}
