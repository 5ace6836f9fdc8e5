//! The decoders against the golden dead letters beside the workspace (`../shared`): every broken line and row, its
//! reasons and its event id must be those of the goldens, and no other line may be broken.
//!
//! Limits: refusals that come after decoding are left out here. Where `../shared` is not there, a test says so and
//! checks nothing. The dirty Olist directory is made by `python3`.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/run.rs"]
#[allow(dead_code)] // shared with bad_input.rs
mod run;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use csv::{ByteRecord, ReaderBuilder};
use flate2::read::MultiGzDecoder;
use orderwatch::decode::olist::{ItemColumns, OrderColumns, PaymentColumns};
use orderwatch::decode::{ProductCategories, Translation, decode_line};
use orderwatch::validate::{Broken, Limits};

/// Reasons and event id by position.
type DeadLetters = BTreeMap<String, (String, String)>;

/// Reasons that are found after decoding.
const LATER: [&str; 4] = ["order_retired", "too_late", "unknown_order", "conflicting_duplicate"];

fn shared(path: &str) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ancestors = workspace.ancestors().skip(1).take(2);
    let found = ancestors.map(|folder| folder.join("shared").join(path)).find(|path| path.exists());
    if found.is_none() {
        run::lacks(&format!("../shared/{path}"));
    }
    found
}

fn limits() -> Limits {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Limits::at(now.as_millis().try_into().unwrap())
}

fn unzipped(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = File::open(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        MultiGzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    } else {
        { file }.read_to_end(&mut bytes).unwrap();
    }
    bytes
}

fn golden(set: &str) -> Option<DeadLetters> {
    let bytes = unzipped(&shared(&format!("golden/{set}/dead_letters.csv.gz"))?);
    let mut reader = ReaderBuilder::new().from_reader(&bytes[..]);
    let rows = reader.records().map(|row| row.unwrap());
    let decoding = rows.filter(|row| row[1].split(';').all(|reason| !LATER.contains(&reason)));
    Some(decoding.map(|row| (row[0].to_owned(), (row[1].to_owned(), row[2].to_owned()))).collect())
}

fn keep(letters: &mut DeadLetters, file: &str, line: u64, broken: &Broken) {
    let event_id = broken.event_id.as_ref().map(ToString::to_string).unwrap_or_default();
    letters.insert(format!("{file}:{line}"), (broken.joined(), event_id));
}

fn check_lines(path: &str, set: &str) {
    let (Some(path), Some(golden)) = (shared(path), golden(set)) else { return };
    let (bytes, limits) = (unzipped(&path), limits());
    let file = path.file_name().unwrap().to_string_lossy();
    let mut letters = DeadLetters::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if !line.trim_ascii().is_empty()
            && let Err(broken) = decode_line(line, &limits)
        {
            keep(&mut letters, &file, number, &broken);
        }
    }
    assert!(!golden.is_empty());
    assert_alike(&letters, &golden);
}

/// Shows only what differs.
fn assert_alike(letters: &DeadLetters, golden: &DeadLetters) {
    let beyond = |some: &DeadLetters, other: &DeadLetters| {
        let differing = some.iter().filter(|(position, row)| other.get(*position) != Some(row)).take(10);
        differing.map(|(position, row)| format!("{position} {row:?}")).collect::<Vec<_>>()
    };
    assert_eq!((beyond(letters, golden), beyond(golden, letters)), (vec![], vec![]), "(ours, golden)");
    eprintln!("{} broken records agree", golden.len());
}

#[test]
fn events() {
    check_lines("data/events/events.jsonl.gz", "events");
}

#[test]
fn nasty() {
    check_lines("data/nasty/nasty.jsonl", "nasty");
    check_lines("data/nasty/nasty.jsonl", "nasty-strict");
}

fn check_rows<C>(
    letters: &mut DeadLetters,
    folder: &Path,
    file: &str,
    columns: impl FnOnce(&ByteRecord) -> C,
    decode: impl Fn(&C, &ByteRecord) -> Option<Broken>,
) -> u64 {
    let bytes = fs::read(folder.join(file)).unwrap();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let (mut record, mut rows) = (ByteRecord::new(), 0);
    reader.read_byte_record(&mut record).unwrap();
    let columns = columns(&record);
    while reader.read_byte_record(&mut record).unwrap() {
        rows += 1;
        if let Some(broken) = decode(&columns, &record) {
            // The csv reader's position is where the last record ended: line ends, and blank lines, come first.
            let position = record.position().unwrap();
            let rest = &bytes[usize::try_from(position.byte()).unwrap()..];
            let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
            let line = position.line() + ends.filter(|byte| **byte == b'\n').count() as u64;
            keep(letters, file, line, &broken);
        }
    }
    rows
}

fn check_olist(folder: &Path, set: &str) {
    let Some(golden) = golden(set) else { return };
    let (mut letters, limits) = (DeadLetters::new(), limits());
    let orders = "olist_orders_dataset.csv";
    let items = "olist_order_items_dataset.csv";
    let payments = "olist_order_payments_dataset.csv";
    let header = |header: &ByteRecord| OrderColumns::from_header(header).unwrap();
    let rows = check_rows(&mut letters, folder, orders, header, |columns, row| columns.decode(row, &limits).err());
    assert!(rows > 18_000);
    let header = |header: &ByteRecord| ItemColumns::from_header(header).unwrap();
    check_rows(&mut letters, folder, items, header, |columns, row| columns.decode(row, &limits).err());
    let header = |header: &ByteRecord| PaymentColumns::from_header(header).unwrap();
    check_rows(&mut letters, folder, payments, header, |columns, row| columns.decode(row, &limits).err());
    assert_alike(&letters, &golden);
}

#[test]
fn olist_is_clean_and_its_products_have_categories() {
    let Some(folder) = shared("data/olist") else { return };
    check_olist(&folder, "olist");
    let open = |name| File::open(folder.join(name)).unwrap();
    let translation = Translation::read(open("product_category_name_translation.csv")).unwrap();
    let categories = ProductCategories::read(open("olist_products_dataset.csv"), &translation).unwrap();
    assert_eq!(categories.skipped(), 0);
    assert!(categories.len() > 30_000);
}

#[test]
fn dirty_olist() {
    let (Some(script), Some(olist)) = (shared("data/make_dirty.py"), shared("data/olist")) else { return };
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("dirty");
    let made = Command::new("python3").arg(script).arg("1").arg(olist).arg(&folder).status();
    if !made.is_ok_and(|status| status.success()) {
        run::lacks("a python3 that runs ../shared/data/make_dirty.py");
        return;
    }
    check_olist(&folder, "olist-dirty-1");
}
