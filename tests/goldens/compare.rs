//! Comparisons: an output directory with a golden set, as `../shared/golden/compare` does it, and two directories byte
//! by byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use csv::StringRecord;
use flate2::read::MultiGzDecoder;

type Row = Vec<String>;

fn read(text: &[u8]) -> (Row, Vec<Row>) {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let owned = |record: StringRecord| record.iter().map(str::to_owned).collect::<Row>();
    let mut rows = reader.records().map(|record| owned(record.unwrap()));
    (rows.next().unwrap_or_default(), rows.collect())
}

fn unzipped(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    MultiGzDecoder::new(fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Every collection of the golden set equals the file of that name; of windowed collections those of `windows`.
pub fn assert_golden(out: &Path, set: &Path, windows: Option<&[&str]>) {
    let mut goldens: Vec<_> = fs::read_dir(set).unwrap().map(|entry| entry.unwrap().path()).collect();
    goldens.sort();
    let mut differences = String::new();
    assert!(goldens.len() >= 13, "{} has only {} collections", set.display(), goldens.len());
    for golden in goldens {
        let name = golden.file_name().unwrap().to_str().unwrap().strip_suffix(".csv.gz").unwrap();
        let (head, mut wanted) = read(&unzipped(&golden));
        if let (Some(windows), "window") = (windows, head[0].as_str()) {
            wanted.retain(|row| windows.contains(&row[0].as_str()));
        }
        let Ok(text) = fs::read(out.join(format!("{name}.csv"))) else {
            differences += &format!("{name}: missing\n");
            continue;
        };
        let (have, rows) = read(&text);
        let places: Vec<usize> = (0..have.len()).filter(|place| head.contains(&have[*place])).collect();
        if places.iter().map(|place| &have[*place]).ne(&head) {
            differences += &format!("{name}: has columns {have:?}, not {head:?}\n");
            continue;
        }
        let mut got: Vec<Row> =
            rows.iter().map(|row| places.iter().map(|place| row[*place].clone()).collect()).collect();
        if name == "dead_letters" {
            got.retain(|row| row[1] != "conflicting_duplicate");
        }
        if got != wanted {
            differences += &difference(name, &got, &wanted);
        }
    }
    assert!(differences.is_empty(), "{} differs from {}:\n{differences}", out.display(), set.display());
}

fn difference(name: &str, got: &[Row], wanted: &[Row]) -> String {
    let sets = [got, wanted].map(|rows| rows.iter().collect::<BTreeSet<_>>());
    let mut text = format!("{name}: {} rows, want {}\n", got.len(), wanted.len());
    for (label, one, other) in [("not wanted", 0, 1), ("lacking", 1, 0)] {
        for row in sets[one].difference(&sets[other]).take(3) {
            text += &format!("   {label}: {}\n", row.join(","));
        }
    }
    text
}

/// The files of a directory, and of those in it, by name.
pub fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            files.extend(self::files(&path).into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

/// Both hold the same files, byte by byte.
pub fn assert_same(one: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>, what: &str) {
    assert!(one.keys().eq(other.keys()), "{what}: {:?} and {:?}", one.keys(), other.keys());
    for (name, bytes) in one {
        if *bytes == other[name] {
            continue;
        }
        let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
        let (left, right) = (lines(bytes), lines(&other[name]));
        let place = left.iter().zip(&right).position(|(left, right)| left != right).unwrap_or(0);
        panic!(
            "{what}: {name} differs ({} and {} lines), first at line {}:\n  {:?}\n  {:?}",
            left.len(),
            right.len(),
            place + 1,
            left.get(place),
            right.get(place)
        );
    }
}

/// `files` with the column of this name emptied, wherever it stands.
pub fn without_column(files: &BTreeMap<String, Vec<u8>>, column: &str) -> BTreeMap<String, Vec<u8>> {
    let emptied = |bytes: &Vec<u8>| {
        let (head, rows) = read(bytes);
        let Some(place) = head.iter().position(|name| name == column) else { return bytes.clone() };
        let mut text = head.join(",");
        for mut row in rows {
            row[place].clear();
            text += &format!("\n{}", row.join(","));
        }
        text.into_bytes()
    };
    files.iter().map(|(name, bytes)| (name.clone(), emptied(bytes))).collect()
}
