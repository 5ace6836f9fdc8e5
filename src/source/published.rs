//! What topics get (inputs.md, section 4): records made of the inputs of a replay, each with the time at which it is told.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use dataflows::model::Body;
use dataflows::time::Time;

use super::inputs::{Kind, kind_of};
use super::jsonl::JsonLines;
use super::olist::stamps::Stamps;
use super::olist::{products, published};
use crate::cli::InputKind;
use crate::decode::{ProductCategories, decode_line, topic};
use crate::error::{JobError, JobResult};
use crate::validate::Limits;

/// Which of a shop's topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKind {
    /// Orders and their events, sales.
    Orders,
    /// Items.
    Items,
    /// Payments.
    Payments,
}

impl TopicKind {
    /// Every kind, in the order in which the topics are configured.
    pub const ALL: [TopicKind; 3] = [TopicKind::Orders, TopicKind::Items, TopicKind::Payments];

    /// The topic of this kind: where there are fewer, the last takes the rest.
    pub fn of(self, topics: &[String]) -> Option<&String> {
        topics.get(self as usize).or(topics.last())
    }
}

/// A record that a topic gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication<'p> {
    /// When it is told.
    pub at: Time,
    /// Which topic gets it.
    pub topic: TopicKind,
    /// The order's id; empty where it has none.
    pub key: Cow<'p, [u8]>,
    /// The record.
    pub value: Cow<'p, [u8]>,
}

/// What rows of directories that are told together take from one another: categories from products, times from orders.
pub struct Joined {
    categories: ProductCategories,
    stamps: Stamps,
}

/// The same of all directories among these inputs.
pub fn joined(inputs: &[PathBuf], given: Option<InputKind>, limits: &Limits, threads: usize) -> JobResult<Joined> {
    let mut directories = Vec::new();
    for input in inputs {
        if kind_of(input, given)? == Kind::Olist {
            directories.push(input.as_path());
        }
    }
    let stamps = Stamps::of_directories(&directories, limits, threads)?;
    Ok(Joined { categories: products::of_directories(directories)?, stamps })
}

/// Tells everything of an input, in no order; how many records were left out because no topic could hold them. Rows of a
/// directory get what is `joined` of all inputs.
pub fn of_input(
    input: &Path,
    given: Option<InputKind>,
    joined: &Joined,
    limits: &Limits,
    mut give: impl FnMut(&Publication<'_>) -> JobResult<()>,
) -> JobResult<u64> {
    match kind_of(input, given)? {
        Kind::Olist => published::of_directory(input, &joined.categories, &joined.stamps, limits, give),
        Kind::JsonLines => of_lines(input, limits, &mut give),
        Kind::Topics => {
            let error = JobError::configuration("topics are sent nowhere").at(input.display().to_string());
            Err(error.remedy("name an Olist directory or a file of JSON lines with --produce"))
        }
    }
}

/// Lines as they stand, broken ones where they stand.
fn of_lines(input: &Path, limits: &Limits, give: &mut dyn FnMut(&Publication<'_>) -> JobResult<()>) -> JobResult<u64> {
    let (stream, mut last_at, mut left_out) = (JsonLines::open(input, 0)?, 0, 0);
    while let Some(block) = stream.next_block()? {
        if block.is_too_large {
            left_out += 1;
            continue;
        }
        for (_, line) in JsonLines::lines(&block) {
            let (at, kind) = match decode_line(line, limits) {
                Ok(facts) => {
                    let kind = facts.iter().next().map_or(TopicKind::Orders, |fact| match fact.body {
                        Body::Lifecycle { .. } => TopicKind::Orders,
                        Body::Item { .. } => TopicKind::Items,
                        Body::Payment { .. } => TopicKind::Payments,
                    });
                    (facts.at(), kind)
                }
                Err(broken) => (broken.at.unwrap_or(last_at), TopicKind::Orders),
            };
            last_at = at;
            let key = topic::order_id(line).map_or(Vec::new(), |order_id| order_id.to_string().into_bytes());
            give(&Publication { at, topic: kind, key: key.into(), value: line.into() })?;
        }
    }
    Ok(left_out)
}
