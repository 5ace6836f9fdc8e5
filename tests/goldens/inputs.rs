//! Where the data is, and copies of it: dirty, shuffled.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::lacks;

/// A file or folder beside the work tree; where it is missing, says so by name.
pub fn shared(path: &str) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ancestors = workspace.ancestors().skip(1).take(2);
    let found = ancestors.map(|folder| folder.join("shared").join(path)).find(|path| path.exists());
    if found.is_none() {
        lacks(&format!("../shared/{path}"));
    }
    found
}

/// The sample that this project brings.
pub fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sample")
}

/// The Olist directory with dirt in it; none where the data or `python3` is missing, which is said by name.
pub fn dirty(seed: u32, folder: &Path) -> Option<PathBuf> {
    let (script, olist) = (shared("data/make_dirty.py")?, shared("data/olist")?);
    let out = folder.join(format!("dirty-{seed}"));
    let python = Command::new("python3").arg(script).arg(seed.to_string()).arg(olist).arg(&out).status();
    match python {
        Ok(status) => {
            assert!(status.success(), "make_dirty.py failed");
            Some(out)
        }
        Err(error) => {
            lacks(&format!("python3: {error}"));
            None
        }
    }
}

/// A stream of chances, the same for the same seed.
pub struct Chance(pub u64);

impl Chance {
    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// The lines of a text in another order, without line breaks in records; the first `kept` stay where they are.
fn shuffled_lines(text: &[u8], kept: usize, seed: u64) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n').collect();
    Chance(seed).shuffle(&mut lines[kept..]);
    lines.join(&b'\n')
}

/// A copy of an Olist directory with the rows of each file in another order.
pub fn shuffled_directory(from: &Path, to: &Path, seed: u64) -> PathBuf {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        let text = fs::read(&path).unwrap();
        let is_rows = path.extension().is_some_and(|extension| extension == "csv");
        let text = if is_rows { shuffled_lines(&text, 1, seed) } else { text };
        fs::write(to.join(name), text).unwrap();
    }
    to.to_path_buf()
}

/// The text of a file of lines, decompressed where it is gzipped.
pub fn lines(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    let mut file = fs::File::open(path).unwrap();
    match path.extension().is_some_and(|extension| extension == "gz") {
        true => flate2::read::MultiGzDecoder::new(file).read_to_end(&mut text).unwrap(),
        false => file.read_to_end(&mut text).unwrap(),
    };
    text
}

/// A copy of a file of lines in another order.
pub fn shuffled_file(from: &Path, to: &Path, seed: u64) -> PathBuf {
    fs::write(to, shuffled_lines(&lines(from), 0, seed)).unwrap();
    to.to_path_buf()
}
