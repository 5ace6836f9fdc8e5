//! The inputs of a replay, as named on the command line: what kind each is, its files and their numbers.
//!
//! Every file has a number, by which positions and sources are known; every process of a cluster opens the same inputs
//! in the same order, so the numbers agree.

pub mod named;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use dataflows::model::fact::DEFAULT_TENANT;
use dataflows::model::{OrderId, Position, Symbol, Text};
use dataflows::orders::parcel::{OrderKey, order_key};
use hashbrown::HashSet;

use super::blocks::{Blocks, Framing};
use super::bytes::{self, ENDINGS};
use super::jsonl::{self, JsonLines, JsonLinesReader};
use super::kafka::history::{Topics, TopicsReader};
use super::kafka::{self, KafkaSettings};
use super::olist::{self, Olist, OlistReader, products};
use super::sample::{self, Sample};
use super::sort::{Sorted, Sorting};
use super::{Share, Source};
use crate::cli::{InputKind, ReplayOptions};
use crate::clock::Watermark;
use crate::config::JobConfig;
use crate::decode::decode_line;
use crate::error::{JobError, JobResult};
use crate::interrupt;
use crate::validate::Limits;
use named::is_standard_input;

/// A file of a source, or a partition of a topic, as dead letters name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The input as given on the command line, or the topic.
    pub source: String,
    /// What stands before the line or offset of a record: `FILE:`, `PARTITION/`.
    pub place: String,
}

/// An input, opened: shared by the workers of a process.
enum Input {
    Olist(Arc<Olist>),
    JsonLines(Arc<JsonLines>),
    Topics(Arc<Topics>),
}

impl Input {
    /// True where time moves while it is read; otherwise it is sorted.
    fn is_in_order(&self) -> bool {
        match self {
            Input::Olist(olist) => olist.is_joined(),
            Input::JsonLines(lines) => lines.is_in_order(),
            Input::Topics(_) => false,
        }
    }
}

/// One part in so many of `--sort-memory` may be lines whose facts wait in a file that is nearly in order: beyond it the
/// file is sorted.
const WAITING_SHARE: u64 = 16;

/// All inputs, opened.
pub struct Inputs {
    inputs: Vec<Input>,
    /// The files by their numbers.
    pub files: Vec<SourceFile>,
    /// What waits to be sorted.
    pub sorting: Arc<Sorting>,
    arrival_order: bool,
    out_of_orderness_ms: u64,
    sort_memory_bytes: u64,
}

/// What is meant by a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An Olist directory.
    Olist,
    /// JSON lines.
    JsonLines,
    /// Topics of Kafka.
    Topics,
}

impl Inputs {
    /// Opens every input that `options` names; with the orders that `--limit` lets through.
    pub fn open(
        options: &ReplayOptions,
        config: &JobConfig,
        limits: &Limits,
    ) -> JobResult<(Inputs, Option<HashSet<OrderKey>>)> {
        let threads = config.cluster.workers;
        let mut files = Vec::new();
        let mut numbered = Vec::new();
        for path in &options.inputs {
            let kind = kind_of(path, options.reading.kind)?;
            let first_file = files.len() as u32;
            let source = path.display().to_string();
            let bytes = path.metadata().ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len());
            tracing::info!(bytes, "input {source}: {kind:?}");
            let in_file = |name: String| SourceFile { source: source.clone(), place: name + ":" };
            let mut topics = None;
            match kind {
                Kind::Olist => files.extend(Olist::file_names(path).map(in_file)),
                Kind::JsonLines => {
                    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                    files.push(in_file(name.into_owned()));
                }
                Kind::Topics => {
                    if options.limit.is_some() {
                        let error = JobError::configuration("--limit does not count orders in topics").at(source);
                        return Err(error.remedy("leave --limit out, or choose by time with --from and --until"));
                    }
                    let settings = config.kafka.at_address(path).unwrap_or_default();
                    let opened = Topics::open(settings, options.reading.start, first_file)?;
                    files.extend(opened.partitions().map(|partition| SourceFile {
                        source: partition.topic.clone(),
                        place: format!("{}/", partition.number),
                    }));
                    topics = Some(opened);
                }
            }
            numbered.push((path, kind, first_file, topics));
        }
        let directories = numbered.iter().filter(|(_, kind, ..)| *kind == Kind::Olist);
        let directories: Vec<_> = directories.map(|(path, _, first_file, _)| (path.as_path(), *first_file)).collect();
        let categories = Arc::new(products::of_directories(directories.iter().map(|(path, _)| *path))?);
        let arrival_order = options.reading.arrival_order;
        let mut opened = Olist::open_all(&directories, &categories, limits, arrival_order, threads)?.into_iter();
        let mut spooled = Vec::new();
        let mut first_orders = options.limit.map(|limit| FirstOrders { limit, keys: HashSet::new() });
        let mut inputs = Vec::new();
        for (path, kind, first_file, topics) in numbered {
            let mut path = path.clone();
            if let Some(topics) = topics {
                inputs.push(Input::Topics(Arc::new(topics)));
                continue;
            }
            if options.limit.is_some() && kind == Kind::JsonLines && (is_standard_input(&path) || !path.is_file()) {
                let file = spool(&path)?;
                path = file.path().to_path_buf();
                spooled.push(file);
            }
            if let Some(first_orders) = &mut first_orders {
                first_orders.read(&path, kind, limits)?;
            }
            let input = match kind {
                Kind::Olist => {
                    let Some(olist) = opened.next() else { continue };
                    Input::Olist(Arc::new(olist))
                }
                _ if arrival_order => Input::JsonLines(Arc::new(JsonLines::open(&path, first_file)?)),
                _ => {
                    let waiting_bytes = config.sort_memory_bytes / WAITING_SHARE;
                    let lines = JsonLines::open_in_order(&path, first_file, limits, threads, waiting_bytes)?;
                    Input::JsonLines(Arc::new(lines))
                }
            };
            tracing::debug!(is_in_order = input.is_in_order(), "input {} is open", path.display());
            inputs.push(input);
        }
        let inputs = Inputs {
            inputs,
            files,
            sorting: Arc::default(),
            arrival_order,
            out_of_orderness_ms: config.out_of_orderness_ms,
            sort_memory_bytes: config.sort_memory_bytes,
        };
        Ok((inputs, first_orders.map(|first_orders| first_orders.keys)))
    }

    /// The source of every file, by its number.
    pub fn sources(&self) -> Vec<Symbol> {
        self.files.iter().map(|file| Symbol::new(&Text::new(&file.source))).collect()
    }

    /// `FILE:LINE` or `PARTITION/OFFSET` of a position, and its source.
    pub fn place(&self, position: Position) -> (Text, Text) {
        match self.files.get(position.file() as usize) {
            Some(file) => (Text::new(&file.source), Text::new(&format!("{}{}", file.place, position.line()))),
            None => (Text::default(), Text::new(&position.line().to_string())),
        }
    }

    /// The readers of worker `worker` of all `workers`, of which `local` share a process.
    pub fn readers(&self, worker: usize, workers: usize, local: usize) -> Vec<Box<dyn Source>> {
        let (process, processes) = (worker / local, workers / local);
        let by_worker = Share { of: workers as u64, index: worker as u64 };
        let by_process = Share { of: processes as u64, index: process as u64 };
        let watermark = Watermark::new(self.out_of_orderness_ms);
        let sorters = local * self.inputs.iter().filter(|input| !input.is_in_order()).count();
        let memory_bytes = self.sort_memory_bytes as usize / sorters.max(1);
        let sorted = |source: Box<dyn Source>| Box::new(Sorted::new(source, memory_bytes, Arc::clone(&self.sorting)));
        let mut readers: Vec<Box<dyn Source>> = Vec::new();
        let mut partition = 0;
        // In arrival order partition p belongs to worker p mod workers.
        let mut is_mine = || {
            partition += 1;
            (partition - 1) % workers == worker
        };
        for input in &self.inputs {
            match (input, self.arrival_order) {
                (Input::Olist(olist), false) if olist.is_joined() => {
                    let is_alone = self.inputs.len() == 1;
                    readers.push(Box::new(OlistReader::new(Arc::clone(olist), by_worker, is_alone)));
                }
                (Input::Olist(olist), false) => {
                    readers.push(sorted(Box::new(OlistReader::new(Arc::clone(olist), by_process, false))));
                }
                (Input::Olist(olist), true) => {
                    for reader in OlistReader::in_arrival_order(olist, watermark) {
                        if is_mine() {
                            readers.push(Box::new(reader));
                        }
                    }
                }
                (Input::JsonLines(stream), false) => {
                    let reader = Box::new(JsonLinesReader::new(Arc::clone(stream), by_process, None));
                    readers.push(if stream.is_in_order() { reader } else { sorted(reader) });
                }
                (Input::Topics(topics), is_unordered) => {
                    let watermark = is_unordered.then_some(watermark);
                    let reader = Box::new(TopicsReader::new(Arc::clone(topics), worker, workers, watermark));
                    readers.push(if is_unordered { reader } else { sorted(reader) });
                }
                (Input::JsonLines(stream), true) => {
                    if is_mine() {
                        let all = Share { of: 1, index: 0 };
                        readers.push(Box::new(JsonLinesReader::new(Arc::clone(stream), all, Some(watermark))));
                    }
                }
            }
        }
        readers
    }
}

/// The first records of every file or topic of an input, of this kind where it is given; none where it can be read once
/// only.
pub fn samples(
    path: &Path,
    given: Option<InputKind>,
    limits: &Limits,
    kafka: &KafkaSettings,
) -> JobResult<Vec<Sample>> {
    match kind_of(path, given)? {
        Kind::Olist => olist::sample::of_directory(path, limits),
        Kind::Topics => kafka::sample::of_topics(kafka.at_address(path).unwrap_or_default(), limits),
        Kind::JsonLines if !path.is_file() => Ok(Vec::new()),
        Kind::JsonLines => Ok(vec![sample::of_lines(path, limits)?]),
    }
}

/// What is meant by a path, told by its name, by what it is, and by its beginning.
pub fn kind_of(path: &Path, given: Option<InputKind>) -> JobResult<Kind> {
    let shown = path.display().to_string();
    if KafkaSettings::default().at_address(path).is_some() {
        return Ok(Kind::Topics);
    }
    if is_standard_input(path) {
        return match given {
            Some(InputKind::Olist) => Err(JobError::configuration("standard input cannot be an Olist directory")
                .at("flag --as")
                .remedy("leave --as out, or name a directory")),
            _ => Ok(Kind::JsonLines),
        };
    }
    let metadata = std::fs::metadata(path).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound if shown == crate::cli::DEFAULT_INPUT => {
                "name an input, or run in the directory that holds data/sample"
            }
            io::ErrorKind::NotFound => "check the path; `orderwatch replay --help` shows what an input may be",
            _ => bytes::remedy_of(&error, "check the path"),
        };
        JobError::io("open the input", path, &error).remedy(remedy)
    })?;
    match (metadata.is_dir(), given) {
        (true, None | Some(InputKind::Olist)) => {
            if let Some(missing) = Olist::missing(path) {
                let error =
                    JobError::job(format!("the directory is no Olist directory: it has no {missing}")).at(shown);
                return Err(error.remedy(format!("name a directory that holds {}", olist::FILES.join(", "))));
            }
            Ok(Kind::Olist)
        }
        (true, Some(_)) => Err(JobError::configuration("the input is a directory, --as says that it is a file")
            .at(shown)
            .remedy("name the .jsonl file, or leave --as out")),
        (false, Some(InputKind::Olist)) => Err(JobError::configuration("the input is a file, --as says olist")
            .at(shown)
            .remedy("name the directory that holds the Olist files")),
        (false, _) if metadata.is_file() && bytes::is_utf_16(path)? => {
            let remedy =
                format!("convert it: iconv -f UTF-16 -t UTF-8 {shown} > utf-8.jsonl (PowerShell writes UTF-16)");
            Err(JobError::job("the input is text in UTF-16, not in UTF-8").at(shown).remedy(remedy))
        }
        (false, Some(_)) => Ok(Kind::JsonLines),
        (false, None) => {
            let plain = ENDINGS.iter().find_map(|ending| shown.strip_suffix(ending)).unwrap_or(&shown);
            let is_named = [".jsonl", ".json", ".ndjson"].iter().any(|ending| plain.ends_with(ending));
            // Pipes cannot be looked into beforehand; nothing but lines comes through one.
            if is_named || !metadata.is_file() || begins_with_object(path)? {
                return Ok(Kind::JsonLines);
            }
            let remedy = "name a file of JSON lines, or the directory that holds the Olist files; where lines are \
                          broken from the first on, --as order-events or --as sales";
            Err(JobError::configuration("cannot tell what kind of input this is").at(shown).remedy(remedy))
        }
    }
}

/// True where the first thing in a file is a JSON object.
fn begins_with_object(path: &Path) -> JobResult<bool> {
    let block = JsonLines::open(path, 0)?.next_block()?;
    Ok(block.is_some_and(|block| block.bytes.trim_ascii_start().starts_with(b"{")))
}

/// Standard input and pipes can be read once only: `--limit` reads its input twice, so it is kept in a file.
fn spool(input: &Path) -> JobResult<tempfile::NamedTempFile> {
    let failed = |error: io::Error| {
        JobError::job(format!("cannot keep {} for --limit: {error}", input.display()))
            .at(std::env::temp_dir().display().to_string())
            .remedy("free some space there, set TMPDIR, or cut the input with `head`")
    };
    let mut file = interrupt::unfinished_temporary(tempfile::NamedTempFile::new).map_err(failed)?;
    io::copy(&mut bytes::open(input)?, &mut file).map_err(failed)?;
    file.flush().map_err(failed)?;
    Ok(file)
}

/// The first orders of the inputs, in the order in which they stand there: what `--limit` lets through.
struct FirstOrders {
    limit: u64,
    keys: HashSet<OrderKey>,
}

impl FirstOrders {
    fn is_full(&self) -> bool {
        self.keys.len() as u64 >= self.limit
    }

    fn add(&mut self, key: OrderKey) {
        if !self.is_full() {
            self.keys.insert(key);
        }
    }

    fn read(&mut self, path: &Path, kind: Kind, limits: &Limits) -> JobResult<()> {
        let (mut blocks, columns) = match kind {
            Kind::Olist => {
                let (blocks, columns) = Olist::orders_file(path)?;
                (blocks, Some(columns))
            }
            Kind::JsonLines | Kind::Topics => (Blocks::new(bytes::open(path)?, Framing::Lines), None),
        };
        while !self.is_full() {
            let name = path.display().to_string();
            let block = blocks.next_block().map_err(|error| jsonl::unreadable(&name, blocks.line(), &error))?;
            let Some(block) = block else { break };
            if block.is_too_large {
                continue;
            }
            match &columns {
                Some(columns) => {
                    let tenant = Text::new(DEFAULT_TENANT);
                    for order_id in olist::order_ids(&block, columns, limits) {
                        self.add(order_key(&OrderId { tenant: tenant.clone(), order_id }));
                    }
                }
                None => {
                    for (_, line) in JsonLines::lines(&block) {
                        if let Ok(facts) = decode_line(line, limits) {
                            facts.iter().take(1).for_each(|fact| self.add(order_key(&fact.order)));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
