//! JSON lines of order events and sales: a file, plain or compressed, or standard input.
//!
//! The workers of a process share one stream and take blocks of it in turn; a cluster deals the blocks out, so every
//! process reads the stream and decodes its share. Facts come in any order, so nothing is promised before the end. In
//! arrival order one worker reads the file alone.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dataflows::model::Position;
use dataflows::orders::parcel::order_key;
use dataflows::time::Time;
use memchr::memchr_iter;

use super::blocks::{Block, Blocks, Framing};
use super::bytes;
use super::intake::{Decoded, Intake};
use super::{Polled, Share, Source};
use crate::clock::Watermark;
use crate::decode::decode_line;
use crate::error::{JobError, JobResult};
use crate::validate::{Broken, Reason};

/// A stream of lines that workers share.
pub struct JsonLines {
    name: String,
    file: u32,
    blocks: Mutex<Blocks>,
}

impl JsonLines {
    /// Opens a file, or standard input where the path is `-`.
    pub fn open(path: &Path, file: u32) -> JobResult<JsonLines> {
        let blocks = Mutex::new(Blocks::new(bytes::open(path)?, Framing::Lines));
        Ok(JsonLines { name: path.display().to_string(), file, blocks })
    }

    fn next_block(&self) -> JobResult<Option<Block>> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.next_block().map_err(|error| unreadable(&self.name, &blocks, &error))
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
        lines.filter(|(_, line)| !line.trim_ascii().is_empty())
    }
}

/// A file that was opened and cannot be read to its end.
pub fn unreadable(name: &str, blocks: &Blocks, error: &io::Error) -> JobError {
    JobError::job(format!("cannot read the input: {error}"))
        .at(format!("{name}, after line {}", blocks.line().saturating_sub(1)))
        .remedy(bytes::DAMAGED)
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

    fn take_block(&mut self, block: &Block, intake: &mut Intake) {
        let position = |line| Position::new(self.stream.file, line);
        if block.is_too_large {
            intake.refuse(position(block.first_line), &Broken::only(Reason::TooLarge), &block.bytes);
            return;
        }
        for (number, line) in JsonLines::lines(block) {
            match decode_line(line, &intake.limits) {
                Ok(facts) => {
                    let watermark = self.watermark.as_ref().map_or(0, Watermark::time);
                    let key = order_key(facts.order());
                    let record = Decoded { key, position: position(number), record_at: facts.at(), watermark };
                    intake.count_decoded(record);
                    facts.iter().for_each(|fact| intake.fact(fact, record));
                    if let Some(watermark) = &mut self.watermark {
                        watermark.observe(facts.at());
                    }
                }
                Err(broken) => intake.refuse(position(number), &broken, line),
            }
        }
    }
}

impl Source for JsonLinesReader {
    fn poll(&mut self, intake: &mut Intake) -> JobResult<Polled> {
        while let Some(block) = self.stream.next_block()? {
            if self.share.takes(block.number) {
                self.take_block(&block, intake);
                return Ok(Polled::Read);
            }
        }
        self.done = true;
        Ok(Polled::Done)
    }

    fn promise(&self) -> Time {
        match (&self.watermark, self.done) {
            (_, true) => Time::MAX,
            (Some(watermark), false) => watermark.time(),
            (None, false) => 0,
        }
    }
}
