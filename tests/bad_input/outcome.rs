//! What a run came to: its files, its dead letters, its record law.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dataflows::views::COLLECTIONS;

use super::run::{Ended, replay, run};

/// A dead letter: position, reasons, event id, raw.
pub type Letter = [String; 4];

/// A run that ended well.
#[derive(Debug)]
pub struct Outcome {
    /// Its dead letters.
    pub letters: Vec<Letter>,
    /// Records read, decoded and refused.
    pub records: [u64; 3],
    /// Facts, and those accepted, duplicates and refused.
    pub facts: [u64; 4],
    /// What it printed.
    pub stdout: String,
    /// Rows of `orders`, header aside.
    pub orders: Vec<Vec<String>>,
}

/// A folder with what a test needs and, within it, the output directory.
pub struct Place {
    pub folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn out(&self) -> PathBuf {
        self.path("out")
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Replays within the folder; it must end well and the record law must hold.
    pub fn replay(&self, arguments: &[&str]) -> Outcome {
        let ended = run(replay(arguments).arg("--out").arg(self.out()).current_dir(self.folder.path()));
        self.outcome(&ended)
    }

    /// What a run into the output directory came to.
    pub fn outcome(&self, ended: &Ended) -> Outcome {
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!ended.stdout.contains('\u{1b}') && !ended.stdout.contains("vanished"), "{}", ended.stdout);
        let outcome = Outcome {
            letters: letters(&self.out()),
            records: counts(&ended.stdout, "records:"),
            facts: counts(&ended.stdout, "facts:"),
            stdout: ended.stdout.clone(),
            orders: rows(&self.out().join("orders.csv")),
        };
        let [read, decoded, refused] = outcome.records;
        assert_eq!(read, decoded + refused);
        let [facts, accepted, duplicates, refused] = outcome.facts;
        assert_eq!(facts, accepted + duplicates + refused);
        let quality = rows(&self.out().join("data_quality_metrics.csv"));
        let sum = |column: usize| quality.iter().map(|row| row[column].parse::<u64>().unwrap()).sum::<u64>();
        assert_eq!([sum(2), sum(3), sum(4)], outcome.records, "data_quality_metrics tells another story");
        assert_eq!(sum(5), duplicates);
        assert_no_partial_file(&self.out());
        outcome
    }

    /// Replays within the folder over files of an earlier run; it must fail with this code, say this, and leave those
    /// files as they were.
    pub fn refused(&self, arguments: &[&str], code: i32, says: &[&str]) {
        let _ = fs::remove_dir_all(self.out());
        let names: Vec<&str> = COLLECTIONS[0].columns.iter().map(|column| column.name).collect();
        let earlier = names.join(",") + "\nof an earlier run\n";
        self.write("out/orders.csv", &earlier);
        let mut command = replay(arguments);
        let ended = run(command.arg("--out").arg(self.out()).current_dir(self.folder.path()));
        assert_failed(&ended, code, says);
        let left: Vec<_> = fs::read_dir(self.out()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["orders.csv"], "{arguments:?} leaves files behind");
        assert_eq!(fs::read_to_string(self.out().join("orders.csv")).unwrap(), earlier);
    }
}

/// It failed with this code, and said what, where and what to do, these words among it.
pub fn assert_failed(ended: &Ended, code: i32, says: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    for words in [&["error: ", "\n  where: ", "\n  do: "], says].concat() {
        assert!(ended.stderr.contains(words), "`{words}` is missing in:\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked") && !ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
}

/// The directory holds no file that is not finished.
pub fn assert_no_partial_file(directory: &Path) {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let partial: Vec<String> = names.filter(|name| !name.ends_with(".csv") || name.starts_with('.')).collect();
    assert!(partial.is_empty(), "{partial:?}");
}

fn rows(path: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

fn letters(out: &Path) -> Vec<Letter> {
    let rows = rows(&out.join("dead_letters.csv"));
    let mut by_place = BTreeMap::new();
    for row in &rows {
        let [source, position, reasons, event_id, _, raw] = &row[..] else { panic!("{row:?}") };
        let letter = [position, reasons, event_id, raw].map(String::clone);
        assert!(by_place.insert((source, position), ()).is_none(), "{source} {position}: two dead letters");
        assert!(raw.len() <= 4 * (64 << 10), "{position}: raw is too long");
        assert!(!raw.contains(char::is_control), "{position}: control characters");
        assert!(letter[0].contains(':'));
    }
    rows.iter().map(|row| [&row[1], &row[2], &row[3], &row[5]].map(String::clone)).collect()
}

fn counts<const N: usize>(stdout: &str, label: &str) -> [u64; N] {
    let line = stdout.lines().find(|line| line.starts_with(label)).unwrap_or_else(|| panic!("{stdout}"));
    let words = line.split(' ').map(|word| word.replace(',', ""));
    let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap()
}
