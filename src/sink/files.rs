//! Files: one file a collection in a format of choice, written beside and renamed into place when all are complete.
//!
//! Invariant: a failed job leaves no half-written file behind, and the files of an earlier run as they were. Equal
//! results are byte-identical files, whatever the format (outputs.md). No more than a row group of
//! each collection that is being written is held in memory: five at a time, in a replay of two threads.

mod csv;
mod jsonl;
mod parquet;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::ValueEnum;
use dataflows::views::collection::{Collection, Column};
use tempfile::NamedTempFile;

use super::text_row::TextRow;
use super::{CHANGE_COLUMNS, Sink, Writer, temporary};
use crate::error::{JobError, JobResult};
use crate::interrupt;

/// How rows become a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Comma-separated text with a header.
    #[default]
    Csv,
    /// A JSON object a line.
    Jsonl,
    /// Columns, compressed with Snappy.
    Parquet,
}

/// Writes the rows of one file.
trait RowWriter {
    /// Writes a row.
    fn write(&mut self, row: TextRow<'_>) -> io::Result<()>;

    /// Writes what is left; without it the file is not complete.
    fn finish(&mut self) -> io::Result<()>;
}

impl Format {
    /// How the names of files of this format end.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Jsonl => "jsonl",
            Format::Parquet => "parquet",
        }
    }

    fn writer(self, columns: Vec<Column>, file: File) -> io::Result<Box<dyn RowWriter>> {
        Ok(match self {
            Format::Csv => Box::new(csv::Writer::start(&columns, file)),
            Format::Jsonl => Box::new(jsonl::Writer::start(columns, file)),
            Format::Parquet => Box::new(parquet::Writer::start(&columns, file)?),
        })
    }
}

/// Where in it changes are written.
const CHANGES: &str = "changes";

/// A directory of files.
pub struct Files {
    directory: PathBuf,
    format: Format,
    has_changes: bool,
    /// Finished files, and where they go.
    written: Mutex<Vec<(PathBuf, NamedTempFile)>>,
}

/// A file of which rows are written.
struct Unfinished<'f> {
    files: &'f Files,
    path: PathBuf,
    file: NamedTempFile,
    writer: Box<dyn RowWriter>,
}

impl Files {
    /// Makes the directory, and that of changes, where it is missing and tries whether it can be written to.
    pub fn create(directory: &Path, format: Format, has_changes: bool) -> JobResult<Files> {
        let of_changes = directory.join(CHANGES);
        for directory in [Some(directory), has_changes.then_some(&of_changes)].into_iter().flatten() {
            std::fs::create_dir_all(directory)
                .map_err(|error| refused("create the output directory", directory, &error))?;
            tempfile::tempfile_in(directory)
                .map_err(|error| refused("write to the output directory", directory, &error))?;
        }
        Ok(Files { directory: directory.to_path_buf(), format, has_changes, written: Mutex::default() })
    }

    /// Begins a file with these columns.
    fn begin_in(&self, directory: &Path, name: &str, columns: Vec<Column>) -> JobResult<Box<dyn Writer + '_>> {
        let path = directory.join(format!("{name}.{}", self.format.extension()));
        if path.is_dir() {
            return Err(JobError::job("a directory stands where a file is to be written")
                .at(path.display().to_string())
                .remedy("remove it, or name another directory with --out"));
        }
        let begun = || {
            let file = temporary(directory, name)?;
            let writer = self.format.writer(columns, file.as_file().try_clone()?)?;
            Ok((file, writer))
        };
        let (file, writer) = begun().map_err(|error| refused("write", &path, &error))?;
        Ok(Box::new(Unfinished { files: self, path, file, writer }))
    }

    /// Tries whether the directory could be made and written to; leaves nothing behind.
    pub fn probe(directory: &Path) -> JobResult<()> {
        let there = Files::existing(directory);
        tempfile::tempfile_in(&there).map_err(|error| refused("write to the output directory", &there, &error))?;
        Ok(())
    }

    /// The directory, or the nearest one above it that exists.
    pub fn existing(directory: &Path) -> PathBuf {
        let above = directory.ancestors().find(|path| path.exists());
        above.map_or_else(|| PathBuf::from("."), Path::to_path_buf)
    }
}

impl Sink for Files {
    fn begin(&self, Collection { name, columns, .. }: Collection) -> JobResult<Box<dyn Writer + '_>> {
        self.begin_in(&self.directory, name, columns.to_vec())
    }

    fn begin_changes(&self, Collection { name, columns, .. }: Collection) -> JobResult<Option<Box<dyn Writer + '_>>> {
        let columns = || [&CHANGE_COLUMNS, columns].concat();
        self.has_changes.then(|| self.begin_in(&self.directory.join(CHANGES), name, columns())).transpose()
    }

    fn commit(&self) -> JobResult<()> {
        let written = std::mem::take(&mut *self.written.lock().unwrap_or_else(PoisonError::into_inner));
        interrupt::whole(|| {
            written.into_iter().try_for_each(|(path, file)| {
                let moved = file.persist(&path).map(drop);
                moved.map_err(|error| refused("move the finished file to", &path, &error.error))
            })
        })
    }
}

impl Writer for Unfinished<'_> {
    fn write(&mut self, row: TextRow<'_>) -> JobResult<()> {
        self.writer.write(row).map_err(|error| refused("write", &self.path, &error))
    }

    fn finish(mut self: Box<Self>) -> JobResult<()> {
        self.writer.finish().map_err(|error| refused("write", &self.path, &error))?;
        self.files.written.lock().unwrap_or_else(PoisonError::into_inner).push((self.path, self.file));
        Ok(())
    }
}

fn refused(doing: &str, path: &Path, error: &io::Error) -> JobError {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space or name another directory with --out; files of an earlier run are as they were"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "name a directory that you may write to with --out"
        }
        _ => "name another directory with --out",
    };
    JobError::io(doing, path, error).remedy(remedy)
}
