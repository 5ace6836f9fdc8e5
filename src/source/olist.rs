//! An Olist directory: orders, items and payments, with category names where it, or a directory read with it, has them
//! (inputs.md, section 1).
//!
//! Items and payments carry no time: they get their order's. Where the three files list their orders in the same order
//! (`olist/index.rs` finds out), blocks are cut so that an order's rows stand together and are joined while they are
//! read; otherwise, or where an order stands in two directories that are read together, the orders files are read beforehand
//! for the times of every order (`olist/stamps.rs`). In both cases a row is decoded once on its way into the graph, by the worker its block is dealt to.

mod index;
pub mod products;
pub mod published;
mod rows;
pub mod sample;
pub mod stamps;
mod table_file;

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use csv::ByteRecord;
use dataflows::model::Text;
use dataflows::time::Time;

use super::blocks::{Block, Blocks, Framing, without_blank_lines};
use super::intake::Intake;
use super::{Polled, Share, Source, bytes};
use crate::clock::Watermark;
use crate::decode::ProductCategories;
use crate::decode::cells::CsvRows;
use crate::decode::olist::{HeaderError, ItemColumns, OrderColumns, PaymentColumns};
use crate::error::{JobError, JobResult};
use crate::validate::Limits;
use index::{Cut, Index};
use rows::RowReader;
use stamps::{BlockStamps, Stamps};
use table_file::TableFile;

/// The three files every directory must have.
pub const FILES: [&str; 3] =
    ["olist_orders_dataset.csv", "olist_order_items_dataset.csv", "olist_order_payments_dataset.csv"];

/// Which of the three files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Orders,
    Items,
    Payments,
}

impl Table {
    const ALL: [Table; 3] = [Table::Orders, Table::Items, Table::Payments];
}

/// What is known of a directory before its rows are read.
pub struct Olist {
    files: [TableFile; 3],
    first_file: u32,
    orders: OrderColumns,
    items: ItemColumns,
    payments: PaymentColumns,
    /// Of all directories that are read together.
    categories: Arc<ProductCategories>,
    plan: Plan,
}

/// How the directory is read.
enum Plan {
    /// The files are co-ordered: an order's rows stand in one block.
    Joined(Index),
    /// They are not: times come from a table.
    Stamped { stamps: Arc<Stamps>, blocks: Box<[Mutex<Blocks>; 3]> },
}

/// The files of a directory, opened.
struct Tables {
    files: [TableFile; 3],
    headers: [Header; 3],
    orders: OrderColumns,
}

impl Tables {
    fn open(directory: &Path) -> JobResult<Tables> {
        let [orders, items, payments] = [0, 1, 2].map(|file: usize| TableFile::open(directory, FILES[file]));
        let files = [orders?, items?, payments?];
        let headers = [read_header(&files[0])?, read_header(&files[1])?, read_header(&files[2])?];
        let orders = OrderColumns::from_header(&headers[0].record).map_err(wrong_header(&files[0].path))?;
        Ok(Tables { files, headers, orders })
    }

    /// Where to cut each of these directories; none where one is not co-ordered, or an order stands in two of them.
    fn indexes(directories: &[Tables], threads: usize) -> JobResult<Option<Vec<Index>>> {
        let mut indexes = Vec::new();
        for Tables { files, headers, .. } in directories {
            let Some(index) = Index::find(files, headers, threads)? else { return Ok(None) };
            indexes.push(index);
        }
        Ok(Index::are_apart(&mut indexes, threads)?.then_some(indexes))
    }

    /// How to read each of these directories. Items and payments of an order that stands in two of them take their times
    /// from the rows of both, as if all stood in one.
    fn plans(directories: &[Tables], limits: &Limits, arrival_order: bool, threads: usize) -> JobResult<Vec<Plan>> {
        if let Some(indexes) = if arrival_order { None } else { Tables::indexes(directories, threads)? } {
            return Ok(indexes.into_iter().map(Plan::Joined).collect());
        }
        let mut stamps = Stamps::default();
        for Tables { files, orders, .. } in directories {
            stamps.add(&files[0], orders, limits, threads)?;
        }
        let stamps = Arc::new(stamps);
        let stamped = |Tables { files: [orders, items, payments], .. }: &Tables| {
            let blocks = [body(orders)?, body(items)?, body(payments)?].map(Mutex::new);
            Ok(Plan::Stamped { stamps: Arc::clone(&stamps), blocks: Box::new(blocks) })
        };
        directories.iter().map(stamped).collect()
    }
}

impl Olist {
    /// Opens directories that are read together and finds out how to read them. With each stands the number of its orders
    /// file; items are joined with `categories`; `threads` may be used to read ahead.
    pub fn open_all(
        directories: &[(&Path, u32)],
        categories: &Arc<ProductCategories>,
        limits: &Limits,
        arrival_order: bool,
        threads: usize,
    ) -> JobResult<Vec<Olist>> {
        let opened = directories.iter().map(|(directory, _)| Tables::open(directory));
        let tables = opened.collect::<JobResult<Vec<Tables>>>()?;
        let plans = Tables::plans(&tables, limits, arrival_order, threads)?;
        let open = |((tables, plan), (_, first_file)): ((Tables, Plan), &(&Path, u32))| {
            let Tables { files, headers, orders } = tables;
            let items = ItemColumns::from_header(&headers[1].record).map_err(wrong_header(&files[1].path))?;
            let payments = PaymentColumns::from_header(&headers[2].record).map_err(wrong_header(&files[2].path))?;
            Ok(Olist {
                files,
                first_file: *first_file,
                orders,
                items,
                payments,
                categories: Arc::clone(categories),
                plan,
            })
        };
        tables.into_iter().zip(plans).zip(directories).map(open).collect()
    }

    /// The names of the three files in a directory: compressed ones have another ending.
    pub fn file_names(directory: &Path) -> [String; 3] {
        FILES.map(|name| {
            let found = TableFile::find(directory, name);
            let found = found.as_deref().and_then(Path::file_name).map(|found| found.to_string_lossy().into_owned());
            found.unwrap_or_else(|| name.to_owned())
        })
    }

    /// The first of the three files that a directory lacks.
    pub fn missing(directory: &Path) -> Option<&'static str> {
        FILES.into_iter().find(|name| TableFile::find(directory, name).is_none())
    }

    /// The orders file cut into blocks, and its columns: what `--limit` reads.
    pub fn orders_file(directory: &Path) -> JobResult<(Blocks, OrderColumns)> {
        let file = TableFile::open(directory, FILES[0])?;
        let header = read_header(&file)?;
        let columns = OrderColumns::from_header(&header.record).map_err(wrong_header(&file.path))?;
        Ok((body(&file)?, columns))
    }

    /// True where the files are co-ordered: blocks are then dealt to workers, otherwise workers take them in turn.
    pub fn is_joined(&self) -> bool {
        matches!(self.plan, Plan::Joined(_))
    }

    fn next_block(&self, table: Table) -> JobResult<Option<Block>> {
        let Plan::Stamped { blocks, .. } = &self.plan else { return Ok(None) };
        let mut blocks = blocks[table as usize].lock().unwrap_or_else(PoisonError::into_inner);
        blocks.next_block().map_err(|error| unreadable(&self.files[table as usize].path, &error))
    }

    /// Reads a block's rows of one file into `bytes`, which it takes for that.
    fn read_range(&self, table: Table, from: &Cut, to: &Cut, mut bytes: Vec<u8>) -> JobResult<Block> {
        let file = &self.files[table as usize];
        let (start, end) = (from.places[table as usize], to.places[table as usize]);
        bytes.resize((end.offset - start.offset) as usize, 0);
        file.text.read_exact_at(&mut bytes, start.offset).map_err(|error| {
            JobError::io("read an Olist file", &file.path, &error)
                .at(format!("{}, after line {}", file.path.display(), start.line.saturating_sub(1)))
                .remedy("the file changed while it was read: start again when it is complete")
        })?;
        Ok(Block { number: 0, first_line: start.line, bytes, is_too_large: false })
    }
}

/// The ids of the orders in a block of an orders file, in order.
pub fn order_ids(block: &Block, columns: &OrderColumns, limits: &Limits) -> Vec<Text> {
    let (mut split, mut order_ids) = (CsvRows::of(&block.bytes), Vec::new());
    if block.is_too_large {
        return order_ids;
    }
    while let Some(row) = split.next_row().filter(|row| !rows::is_open(row)) {
        order_ids.extend(columns.decode(row.cells, limits).ok().map(|row| row.order_id));
    }
    order_ids
}

/// A worker's reader of a directory.
pub struct OlistReader {
    olist: Arc<Olist>,
    share: Share,
    /// True where no other input may speak of its orders.
    is_alone: bool,
    next: u64,
    tables: Vec<Table>,
    watermark: Option<Watermark>,
    rows: RowReader,
    stamps: BlockStamps,
    /// One for each file: blocks of one file are of much the same length.
    buffers: [Vec<u8>; 3],
    done: bool,
}

impl OlistReader {
    /// Reads `share` of the blocks of all three files, brought into order; `is_alone` where there is no other input.
    pub fn new(olist: Arc<Olist>, share: Share, is_alone: bool) -> OlistReader {
        OlistReader { is_alone, ..OlistReader::of(olist, share, Table::ALL.to_vec(), None) }
    }

    /// The three files as partitions, each read in its own order.
    pub fn in_arrival_order(olist: &Arc<Olist>, watermark: Watermark) -> [OlistReader; 3] {
        let all = Share { of: 1, index: 0 };
        Table::ALL.map(|table| OlistReader::of(Arc::clone(olist), all, vec![table], Some(watermark)))
    }

    fn of(olist: Arc<Olist>, share: Share, mut tables: Vec<Table>, watermark: Option<Watermark>) -> OlistReader {
        tables.reverse();
        let next = share.index;
        OlistReader {
            olist,
            share,
            is_alone: false,
            next,
            tables,
            watermark,
            rows: RowReader::default(),
            stamps: BlockStamps::default(),
            buffers: Default::default(),
            done: false,
        }
    }

    /// Reads the next block of a co-ordered directory.
    fn poll_joined(&mut self, index: &Index, intake: &mut Intake) -> JobResult<Polled> {
        let Some((from, to)) = index.block(self.next).filter(|_| !self.done) else {
            self.done = true;
            return Ok(Polled::Done);
        };
        self.next += self.share.of;
        self.stamps.clear();
        for table in Table::ALL {
            let buffer = std::mem::take(&mut self.buffers[table as usize]);
            let block = self.olist.read_range(table, from, to, buffer)?;
            self.rows.read(&self.olist, table, &block, &mut None, intake, Some(&mut self.stamps));
            self.buffers[table as usize] = block.bytes;
        }
        if self.is_alone {
            // A co-ordered directory lists no order twice, and all rows of an order stand in one block.
            intake.have_last_word();
        }
        Ok(Polled::Read)
    }

    fn poll_stamped(&mut self, intake: &mut Intake) -> JobResult<Polled> {
        while let Some(table) = self.tables.last().copied() {
            match self.olist.next_block(table)? {
                Some(block) if self.share.takes(block.number) => {
                    self.rows.read(&self.olist, table, &block, &mut self.watermark, intake, None);
                    return Ok(Polled::Read);
                }
                Some(_) => {}
                None => {
                    self.tables.pop();
                }
            }
        }
        self.done = true;
        Ok(Polled::Done)
    }
}

impl Source for OlistReader {
    fn poll(&mut self, intake: &mut Intake) -> JobResult<Polled> {
        let olist = Arc::clone(&self.olist);
        match &olist.plan {
            Plan::Joined(index) => self.poll_joined(index, intake),
            Plan::Stamped { .. } => self.poll_stamped(intake),
        }
    }

    fn promise(&self) -> Time {
        match (&self.olist.plan, &self.watermark) {
            _ if self.done => Time::MAX,
            (Plan::Joined(index), _) => index.earliest_from(self.next),
            (_, Some(watermark)) => watermark.time(),
            (_, None) => 0,
        }
    }

    fn stop(&mut self) {
        // Files that are read as streams end by themselves.
        self.done |= self.olist.is_joined();
    }
}

/// A file's header and where its rows begin.
struct Header {
    record: ByteRecord,
    /// Offset of the first row.
    offset: u64,
    /// Line of the first row.
    line: u64,
}

/// A file that was opened and cannot be read.
fn unreadable(path: &Path, error: &io::Error) -> JobError {
    let remedy = bytes::remedy_of(error, "check the file and the disk it is on, then start again");
    JobError::io("read an Olist file", path, error).remedy(remedy)
}

fn wrong_header(path: &Path) -> impl Fn(HeaderError) -> JobError {
    let location = format!("{}, line 1", path.display());
    move |error| {
        let error = JobError::job(error.to_string()).at(location.clone());
        error.remedy("give the file the column names of the Olist data set, in any order")
    }
}

/// Takes the header off a file: its names, and how many bytes it takes.
fn take_header(path: &Path, blocks: &mut Blocks) -> JobResult<(ByteRecord, u64)> {
    let bytes = blocks.take_header().map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => JobError::job(format!("the header has no end: {error}"))
            .at(format!("{}, line 1", path.display()))
            .remedy("let lines end in LF or CR LF: tr '\\r' '\\n' <FILE >COPY"),
        _ => unreadable(path, &error),
    })?;
    let mut record = ByteRecord::new();
    let header = without_blank_lines(&bytes);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(header);
    let found = reader.read_byte_record(&mut record).unwrap_or(false);
    if !found {
        let error = JobError::job("the file is empty: it has no header").at(path.display().to_string());
        return Err(error.remedy("give the file the column names of the Olist data set"));
    }
    Ok((record, bytes.len() as u64))
}

fn read_header(file: &TableFile) -> JobResult<Header> {
    let mut blocks = Blocks::new(file.reader(), Framing::Csv);
    let (record, bytes) = take_header(&file.path, &mut blocks)?;
    let mut start = [0; 3];
    let read = file.text.read_at(&mut start, 0).map_err(|error| unreadable(&file.path, &error))?;
    let mark = if start[..read] == *b"\xEF\xBB\xBF" { 3 } else { 0 };
    Ok(Header { record, offset: mark + bytes, line: blocks.line() })
}

/// A file cut into blocks, its header taken off.
fn body(file: &TableFile) -> JobResult<Blocks> {
    let mut blocks = Blocks::new(file.reader(), Framing::Csv);
    blocks.take_header().map_err(|error| unreadable(&file.path, &error))?;
    Ok(blocks)
}
