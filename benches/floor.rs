//! The floor: how fast this machine reads an Olist directory when nothing is done with it.
//!
//! `cargo bench --bench floor -- DIR THREADS [RUNS]` reads orders, items and payments with `csv::ByteRecord`, decodes
//! the fields orderwatch uses (ids to 128 bits, times to milliseconds, money to ten-thousandths) and sums them up into a
//! checksum that does not depend on threads. One line a run. Blocks of 4 MiB are handed out by a counter, so every
//! thread has work until the last blocks.
//!
//! Limits: ids are 32 hex digits and no quoted field holds a line break, as in Olist data; a row that is otherwise is
//! counted as broken. Includes reading the files, so the first run tells the disk's speed, the others the cache's.

use std::error::Error;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use csv::ByteRecord;

const BLOCK_BYTES: u64 = 4 << 20;
/// Longest line looked for past the end of a block.
const LINE_BYTES: u64 = 64 << 10;

/// How a field is decoded.
#[derive(Clone, Copy)]
enum Form {
    Id,
    Time,
    Money,
    Number,
    Text,
}

/// A file's name, and its used columns.
type Table = (&'static str, &'static [(&'static str, Form)]);

const TABLES: [Table; 3] = [
    (
        "olist_orders_dataset.csv",
        &[
            ("order_id", Form::Id),
            ("customer_id", Form::Id),
            ("order_status", Form::Text),
            ("order_purchase_timestamp", Form::Time),
            ("order_approved_at", Form::Time),
            ("order_delivered_carrier_date", Form::Time),
            ("order_delivered_customer_date", Form::Time),
        ],
    ),
    (
        "olist_order_items_dataset.csv",
        &[
            ("order_id", Form::Id),
            ("order_item_id", Form::Number),
            ("product_id", Form::Id),
            ("seller_id", Form::Id),
            ("price", Form::Money),
            ("freight_value", Form::Money),
        ],
    ),
    (
        "olist_order_payments_dataset.csv",
        &[
            ("order_id", Form::Id),
            ("payment_sequential", Form::Number),
            ("payment_type", Form::Text),
            ("payment_installments", Form::Number),
            ("payment_value", Form::Money),
        ],
    ),
];

/// A part of a file: the lines that start in `from .. to`.
struct Block {
    path: PathBuf,
    columns: Vec<(usize, Form)>,
    from: u64,
    to: u64,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    rows: u64,
    broken: u64,
    checksum: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [directory, threads, rest @ ..] = arguments.as_slice() else {
        println!("usage: cargo bench --bench floor -- DIR THREADS [RUNS]");
        return Ok(());
    };
    let threads: usize = threads.parse()?;
    let runs: usize = rest.first().map_or(Ok(3), |runs| runs.parse())?;
    for _ in 0..runs {
        let started = Instant::now();
        let (blocks, bytes) = blocks(Path::new(directory))?;
        let sum = read_all(&blocks, threads)?;
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "floor threads {threads} rows {} broken {} seconds {seconds:.3} rows/s {:.0} MB/s {:.0} checksum {:016x}",
            sum.rows,
            sum.broken,
            sum.rows as f64 / seconds,
            bytes as f64 / 1e6 / seconds,
            sum.checksum
        );
    }
    Ok(())
}

/// Every block of the three files, and their length in bytes. Reads the headers.
fn blocks(directory: &Path) -> Result<(Vec<Block>, u64), Box<dyn Error>> {
    let mut blocks = Vec::new();
    let mut bytes = 0;
    for (name, used) in TABLES {
        let path = directory.join(name);
        let mut file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let length = file.metadata()?.len();
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(LINE_BYTES).read_to_end(&mut head)?;
        let header_end = memchr::memchr(b'\n', &head).ok_or("no header")? + 1;
        let header = head[..header_end].strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head[..header_end]);
        let mut names = ByteRecord::new();
        reader(header).read_byte_record(&mut names)?;
        let mut columns = Vec::new();
        for (column, form) in used {
            let index = names.iter().position(|name| name == column.as_bytes());
            columns.push((index.ok_or_else(|| format!("{name}: no column {column}"))?, *form));
        }
        let mut from = header_end as u64;
        while from < length {
            let to = (from + BLOCK_BYTES).min(length);
            blocks.push(Block { path: path.clone(), columns: columns.clone(), from, to });
            from = to;
        }
        bytes += length;
    }
    Ok((blocks, bytes))
}

fn read_all(blocks: &[Block], threads: usize) -> Result<Sum, String> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Sum, String> {
        let (mut sum, mut buffer) = (Sum::default(), Vec::new());
        while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            read_block(block, &mut buffer, &mut sum).map_err(|error| format!("{}: {error}", block.path.display()))?;
        }
        Ok(sum)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let mut total = Sum::default();
        for worker in workers {
            let sum = worker.join().map_err(|_| "a thread panicked".to_owned())??;
            total.rows += sum.rows;
            total.broken += sum.broken;
            total.checksum = total.checksum.wrapping_add(sum.checksum);
        }
        Ok(total)
    })
}

fn read_block(block: &Block, buffer: &mut Vec<u8>, sum: &mut Sum) -> Result<(), Box<dyn Error>> {
    // One byte before the block tells whether a line starts with it; the last line may end behind it.
    let mut file = File::open(&block.path)?;
    file.seek(SeekFrom::Start(block.from - 1))?;
    buffer.clear();
    file.take(block.to - block.from + 1 + LINE_BYTES).read_to_end(buffer)?;
    let start = memchr::memchr(b'\n', buffer).map_or(buffer.len(), |end| end + 1);
    let to = (block.to - block.from) as usize;
    let end = memchr::memchr(b'\n', &buffer[to..]).map_or(buffer.len(), |end| to + end + 1);
    let mut reader = reader(buffer.get(start..end).unwrap_or_default());
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record)? {
        sum.rows += 1;
        match decode(&record, &block.columns) {
            Some(hash) => sum.checksum = sum.checksum.wrapping_add(hash),
            None => sum.broken += 1,
        }
    }
    Ok(())
}

fn reader(bytes: &[u8]) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().has_headers(false).from_reader(bytes)
}

/// A hash of the used fields, or none where one cannot be decoded.
fn decode(record: &ByteRecord, columns: &[(usize, Form)]) -> Option<u64> {
    let mut hash = 0_u64;
    for (column, form) in columns {
        let field = record.get(*column)?;
        let value = match form {
            Form::Id => {
                let id = id(field)?;
                (id >> 64) as u64 ^ id as u64
            }
            Form::Time if field.is_empty() => 0,
            Form::Time => time_ms(field)?,
            Form::Money => money(field)?,
            Form::Number => number(field)?,
            Form::Text => field.iter().fold(0_u64, |value, byte| value.rotate_left(8) ^ u64::from(*byte)),
        };
        hash = (hash.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    Some(hash)
}

/// The value of each hex digit; 255 for every other byte.
const HEX: [u8; 256] = {
    let mut table = [255; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    table
};

/// By table: a branch a digit would be guessed wrong half of the time.
fn id(field: &[u8]) -> Option<u128> {
    let digits: &[u8; 32] = field.try_into().ok()?;
    let (mut high, mut low, mut all) = (0_u64, 0_u64, 0);
    for (upper, lower) in digits[..16].iter().zip(&digits[16..]) {
        let (upper, lower) = (HEX[usize::from(*upper)], HEX[usize::from(*lower)]);
        all |= upper | lower;
        high = high << 4 | u64::from(upper);
        low = low << 4 | u64::from(lower);
    }
    if all < 16 { Some(u128::from(high) << 64 | u128::from(low)) } else { None }
}

fn number(digits: &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for digit in digits {
        number =
            number.checked_mul(10)?.checked_add(u64::from(digit.checked_sub(b'0').filter(|value| *value < 10)?))?;
    }
    if digits.is_empty() { None } else { Some(number) }
}

/// `129.9` to 1,299,000 ten-thousandths.
fn money(field: &[u8]) -> Option<u64> {
    let point = memchr::memchr(b'.', field).unwrap_or(field.len());
    let mut value = number(&field[..point])?;
    let fraction = field.get(point + 1..).unwrap_or_default();
    for place in 0..4 {
        let digit = fraction.get(place).map_or(Some(0), |digit| number(&[*digit]))?;
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    if fraction.len() <= 4 { Some(value) } else { None }
}

/// `YYYY-MM-DD HH:MM:SS` to milliseconds since 1970.
fn time_ms(field: &[u8]) -> Option<u64> {
    if field.len() != 19 || [field[4], field[7], field[10], field[13], field[16]] != *b"-- ::" {
        return None;
    }
    let (year, month, day) = (number(&field[..4])?, number(&field[5..7])?, number(&field[8..10])?);
    let (hour, minute, second) = (number(&field[11..13])?, number(&field[14..16])?, number(&field[17..])?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59
    {
        return None;
    }
    // Days since 0000-03-01 (Hinnant), less those up to 1970-01-01.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year / 400;
    let year_of_era = shifted_year % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000)
}
