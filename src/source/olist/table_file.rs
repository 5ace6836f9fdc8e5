//! A file of a directory: CSV, plain or compressed.
//!
//! A directory is read at many places at once, and more than once, which no compressed stream is made for. So a compressed
//! file is unpacked beforehand into a temporary file that has no name and is gone with the program.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::memchr_iter;

use super::unreadable;
use crate::error::{JobError, JobResult};
use crate::source::bytes::{self, Bytes, ENDINGS};

/// A file of a directory, opened; unpacked where it is compressed.
#[derive(Clone, Debug)]
pub struct TableFile {
    /// The file as it stands in the directory.
    pub path: PathBuf,
    /// Its text; offsets are those of the text.
    pub text: Arc<File>,
}

impl TableFile {
    /// Where a file of this name stands in a directory, plain or compressed; none where there is none. Where that cannot be
    /// told, opening it says why.
    pub fn find(directory: &Path, name: &str) -> Option<PathBuf> {
        let names = [""].iter().chain(&ENDINGS).map(|ending| directory.join(format!("{name}{ending}")));
        names.into_iter().find(|path| path.try_exists().unwrap_or(true))
    }

    /// Opens the file of this name.
    pub fn open(directory: &Path, name: &str) -> JobResult<TableFile> {
        let (path, file) = opened(directory, name)?;
        let is_compressed = bytes::is_compressed(&path, &file).map_err(|error| unreadable(&path, &error))?;
        tracing::debug!(is_compressed, "table {}", path.display());
        let text = Arc::new(if is_compressed { unpack(&path)? } else { file });
        Ok(TableFile { path, text })
    }

    /// The text of the file of this name, once and from its beginning: a compressed one is unpacked as it is read.
    pub fn stream(directory: &Path, name: &str) -> JobResult<(PathBuf, Bytes)> {
        let (path, _) = opened(directory, name)?;
        let text = bytes::open(&path)?;
        Ok((path, text))
    }

    /// Its text from the beginning, whoever else reads it.
    pub fn reader(&self) -> Bytes {
        Box::new(FromStart { text: Arc::clone(&self.text), offset: 0 })
    }
}

/// Opens the file of this name as it stands in the directory.
fn opened(directory: &Path, name: &str) -> JobResult<(PathBuf, File)> {
    let path = TableFile::find(directory, name).unwrap_or_else(|| directory.join(name));
    let failed = |error: io::Error| {
        let remedy = bytes::remedy_of(&error, "an Olist directory holds at least orders, items and payments");
        JobError::io("open an Olist file", &path, &error).remedy(remedy)
    };
    // Files are read more than once, which a pipe is not made for: opening one would wait for ever.
    if !path.metadata().map_err(failed)?.is_file() {
        let error = JobError::io("open an Olist file", &path, &io::Error::other("it is no file"));
        return Err(error.remedy("put a file there: directories and pipes cannot be read in its place"));
    }
    let file = File::open(&path).map_err(failed)?;
    Ok((path, file))
}

/// Unpacks a compressed file.
fn unpack(path: &Path) -> JobResult<File> {
    let full = |error: io::Error| {
        JobError::job(format!("cannot unpack {}: {error}", path.display()))
            .at(std::env::temp_dir().display().to_string())
            .remedy("free some space there, set TMPDIR, or unpack the file beforehand")
    };
    tracing::info!("unpacking {}", path.display());
    let mut text = tempfile::tempfile().map_err(full)?;
    let (mut packed, mut buffer, mut lines) = (bytes::open(path)?, vec![0; 1 << 18], 0);
    loop {
        let read = packed.read(&mut buffer).map_err(|error| {
            let error = JobError::job(format!("cannot read the input: {error}"));
            error.at(format!("{}, after line {lines}", path.display())).remedy(bytes::DAMAGED)
        })?;
        if read == 0 {
            return Ok(text);
        }
        lines += memchr_iter(b'\n', &buffer[..read]).count();
        text.write_all(&buffer[..read]).map_err(full)?;
    }
}

/// Reads a file from its beginning, with a place of its own in it.
struct FromStart {
    text: Arc<File>,
    offset: u64,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
