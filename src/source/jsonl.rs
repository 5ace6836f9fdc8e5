//! JSON lines of order events and sales: a file, plain or compressed, or standard input.
//!
//! The workers of a process share one stream and take blocks of it in turn; a cluster deals the blocks out, so every
//! process decodes its share. A plain file in the order of time, or nearly, has an index (`jsonl/index.rs`), and time moves
//! while it is read. Of any other nothing is promised before the end. In arrival order one worker reads the file alone.

mod index;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dataflows::model::Position;
use dataflows::orders::parcel::order_key;
use dataflows::time::Time;
use memchr::memchr_iter;

use super::blocks::{Block, Blocks, Framing, is_blank};
use super::bytes;
use super::intake::{Decoded, Intake};
use super::{Polled, Share, Source};
use crate::clock::Watermark;
use crate::decode::decode_line;
use crate::error::{JobError, JobResult};
use crate::validate::{Broken, Limits, Reason};
use index::LineIndex;

/// A stream of lines that workers share.
pub struct JsonLines {
    name: String,
    file: u32,
    form: Form,
}

/// How lines are read.
enum Form {
    Stream(Mutex<Blocks>),
    /// The index, and the block that comes next.
    Indexed(LineIndex, AtomicU64),
}

impl JsonLines {
    /// Opens a file, or standard input where the path is `-`.
    pub fn open(path: &Path, file: u32) -> JobResult<JsonLines> {
        let form = Form::Stream(Mutex::new(Blocks::new(bytes::open(path)?, Framing::Lines)));
        Ok(JsonLines { name: path.display().to_string(), file, form })
    }

    /// Opens a file to be read in the order of time; one where that is possible is looked over, with this many threads,
    /// for whether the facts of no more than `waiting_bytes` of it have to wait at once.
    pub fn open_in_order(
        path: &Path,
        file: u32,
        limits: &Limits,
        threads: usize,
        waiting_bytes: u64,
    ) -> JobResult<JsonLines> {
        let name = path.display().to_string();
        match LineIndex::find(path, limits, threads, waiting_bytes)? {
            Some(index) => Ok(JsonLines { name, file, form: Form::Indexed(index, AtomicU64::new(0)) }),
            None => JsonLines::open(path, file),
        }
    }

    /// True where time moves while it is read.
    pub fn is_in_order(&self) -> bool {
        matches!(self.form, Form::Indexed(..))
    }

    /// The next block of a stream; none at its end, and none of a file with an index.
    pub fn next_block(&self) -> JobResult<Option<Block>> {
        let Form::Stream(blocks) = &self.form else { return Ok(None) };
        let mut blocks = blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.next_block().map_err(|error| unreadable(&self.name, blocks.line(), &error))
    }

    /// Every whole line of a block that is not blank: its number and its bytes without line end.
    pub fn lines(block: &Block) -> impl Iterator<Item = (u64, &[u8])> {
        let ends = memchr_iter(b'\n', &block.bytes).chain(std::iter::once(block.bytes.len()));
        let mut start = 0;
        let lines = ends.enumerate().map(move |(number, end)| {
            let line = block.bytes.get(start..end).unwrap_or_default();
            start = end + 1;
            (block.first_line + number as u64, line.strip_suffix(b"\r").unwrap_or(line))
        });
        lines.filter(|(_, line)| !is_blank(line))
    }
}

/// A file that was opened and cannot be read beyond the line before this one.
pub fn unreadable(name: &str, line: u64, error: &io::Error) -> JobError {
    JobError::job(format!("cannot read the input: {error}"))
        .at(format!("{name}, after line {}", line.saturating_sub(1)))
        .remedy(bytes::remedy_of(error, bytes::DAMAGED))
}

/// A worker's reader of a shared stream.
pub struct JsonLinesReader {
    stream: Arc<JsonLines>,
    share: Share,
    watermark: Option<Watermark>,
    done: bool,
}

impl JsonLinesReader {
    /// Reads `share` of the stream; with a watermark in arrival order.
    pub fn new(stream: Arc<JsonLines>, share: Share, watermark: Option<Watermark>) -> JsonLinesReader {
        JsonLinesReader { stream, share, watermark, done: false }
    }

    /// Reads the next block that falls to this process, where no fact may be earlier than was promised.
    fn poll_indexed(&mut self, index: &LineIndex, next: &AtomicU64, intake: &mut Intake) -> JobResult<Polled> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if self.done || number >= index.blocks() {
                self.done = true;
                return Ok(Polled::Done);
            }
            if !self.share.takes(number) {
                continue;
            }
            let (block, whole) = index.read(number);
            let line = block.first_line + memchr_iter(b'\n', &block.bytes).count() as u64;
            let earliest = self.take_block(&block, intake);
            whole.map_err(|error| unreadable(&self.stream.name, line, &error))?;
            if earliest < index.earliest_from(number) {
                let error = io::Error::other("it was written to while it was read");
                return Err(unreadable(&self.stream.name, block.first_line, &error));
            }
            return Ok(Polled::Read);
        }
    }

    /// Takes in a block's records; the earliest time of them.
    fn take_block(&mut self, block: &Block, intake: &mut Intake) -> Time {
        tracing::trace!(block = block.number, bytes = block.bytes.len(), "{}", self.stream.name);
        let mut earliest = Time::MAX;
        let position = |line| Position::new(self.stream.file, line);
        if block.is_too_large {
            intake.refuse(position(block.first_line), &Broken::only(Reason::TooLarge), &block.bytes);
            return earliest;
        }
        for (number, line) in JsonLines::lines(block) {
            match decode_line(line, &intake.limits) {
                Ok(facts) => {
                    let watermark = self.watermark.as_ref().map_or(0, Watermark::time);
                    let key = order_key(facts.order());
                    let record = Decoded { key, position: position(number), record_at: facts.at(), watermark };
                    earliest = earliest.min(facts.at());
                    intake.count_decoded(record);
                    facts.iter().for_each(|fact| intake.fact(fact, record));
                    if let Some(watermark) = &mut self.watermark {
                        watermark.observe(facts.at());
                    }
                }
                Err(broken) => intake.refuse(position(number), &broken, line),
            }
        }
        earliest
    }
}

impl Source for JsonLinesReader {
    fn poll(&mut self, intake: &mut Intake) -> JobResult<Polled> {
        let stream = Arc::clone(&self.stream);
        if let Form::Indexed(index, next) = &stream.form {
            return self.poll_indexed(index, next, intake);
        }
        while let Some(block) = stream.next_block()? {
            if self.share.takes(block.number) {
                self.take_block(&block, intake);
                return Ok(Polled::Read);
            }
        }
        self.done = true;
        Ok(Polled::Done)
    }

    fn promise(&self) -> Time {
        match (&self.stream.form, &self.watermark) {
            _ if self.done => Time::MAX,
            (Form::Indexed(index, next), _) => index.earliest_from(next.load(Ordering::Relaxed)),
            (Form::Stream(_), Some(watermark)) => watermark.time(),
            (Form::Stream(_), None) => 0,
        }
    }

    fn stop(&mut self) {
        // A stream ends by itself.
        self.done |= self.stream.is_in_order();
    }
}
