//! Files: one file a collection in a format of choice, written beside and renamed into place when all are complete.
//!
//! Invariant: a failed job leaves no half-written file behind, and the files of an earlier run as they were. A file that is
//! not known as a result, by its columns, is neither replaced nor removed; results of one replay at most are in a directory.
//! Equal results are byte-identical files, whatever the format (outputs.md). No more than a row group of
//! each collection that is being written is held in memory: of the five of orders to the end, and of one more a thread.

mod csv;
mod jsonl;
mod parquet;

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use dataflows::views::COLLECTIONS;
use dataflows::views::collection::{Collection, Column};
use tempfile::NamedTempFile;

use super::text_row::TextRow;
use super::{CHANGE_COLUMNS, Found, Sink, Writer, would_overwrite};
use crate::error::{JobError, JobResult, MORE_OPEN_FILES, is_of_open_files};
use crate::interrupt::{self, Death};

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
trait RowWriter: Send {
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

    /// True where a file is one of these columns in this format.
    fn wrote(self, columns: &[Column], file: File) -> io::Result<bool> {
        match self {
            Format::Csv => csv::wrote(columns, file),
            Format::Jsonl => jsonl::wrote(columns, file),
            Format::Parquet => Ok(parquet::wrote(columns, file)),
        }
    }
}

/// Where in it changes are written.
const CHANGES: &str = "changes";
/// So long other replays may hold the directory: they make and rename files, nothing else.
const ALONE_WITHIN: Duration = Duration::from_secs(5);

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
    /// Looks at what stands there, makes the directory, and that of changes, where it is missing, and tries whether it can be
    /// written to.
    pub fn create(directory: &Path, format: Format, has_changes: bool) -> JobResult<Files> {
        look(directory, format, has_changes)?;
        let of_changes = directory.join(CHANGES);
        for made in [Some(directory), has_changes.then_some(&of_changes)].into_iter().flatten() {
            let _alone = alone(directory);
            fs::create_dir_all(made).map_err(|error| refused("create the output directory", made, &error))?;
            tempfile::tempfile_in(made).map_err(|error| refused("write to the output directory", made, &error))?;
        }
        Ok(Files { directory: directory.to_path_buf(), format, has_changes, written: Mutex::default() })
    }

    /// Begins a file with these columns.
    fn begin_in(&self, directory: &Path, name: &str, columns: Vec<Column>) -> JobResult<Box<dyn Writer + '_>> {
        let path = directory.join(format!("{name}.{}", self.format.extension()));
        let begun = || {
            // Another replay, without changes, removes the directory of changes.
            let _alone = alone(&self.directory);
            fs::create_dir_all(directory)?;
            let file = interrupt::temporary(&path, Death::Unlocked)?;
            let writer = self.format.writer(columns, file.as_file().try_clone()?)?;
            Ok((file, writer))
        };
        let (file, writer) = begun().map_err(|error| refused("write", &path, &error))?;
        Ok(Box::new(Unfinished { files: self, path, file, writer }))
    }

    /// Tries whether there could be such files; leaves nothing behind.
    pub fn probe(directory: &Path, format: Format, has_changes: bool) -> JobResult<()> {
        Files::probe_directory(directory)?;
        if has_changes {
            Files::probe_directory(&directory.join(CHANGES))?;
        }
        look(directory, format, has_changes)
    }

    /// Tries whether the directory could be made and written to; leaves nothing behind.
    pub fn probe_directory(directory: &Path) -> JobResult<()> {
        let there = Files::existing(directory);
        tempfile::tempfile_in(&there).map_err(|error| refused("write to the output directory", &there, &error))?;
        Ok(())
    }

    /// The directory, or the nearest one above it that exists.
    pub fn existing(directory: &Path) -> PathBuf {
        let above = directory.ancestors().find(|path| path.exists());
        above.map_or_else(|| PathBuf::from("."), Path::to_path_buf)
    }

    /// Removes results of earlier replays that these do not replace.
    fn remove_earlier(&self) -> JobResult<()> {
        let mut earlier: Vec<Place> = places(&self.directory, self.format, self.has_changes, false);
        earlier.iter().for_each(|place| interrupt::remove_dead(&place.path, Death::Unlocked));
        earlier.retain(|place| matches!(place.find(), Ok(Found::Ours)));
        let is_empty = |place: &Place| fs::metadata(&place.path).is_ok_and(|there| there.len() == 0);
        for place in &earlier {
            let path = &place.path;
            // One that is empty is a result among results; alone it may be a file that somebody has just begun.
            let among = |other: &Place| other.format == place.format && other.path.parent() == path.parent();
            if earlier.iter().any(|other| among(other) && !is_empty(other)) {
                tracing::info!("the earlier result {} is removed", path.display());
                fs::remove_file(path).map_err(|error| refused("remove the earlier result", path, &error))?;
            }
        }
        if !self.has_changes {
            // It stays where anything else is in it.
            let _ = fs::remove_dir(self.directory.join(CHANGES));
        }
        Ok(())
    }
}

/// Until it is dropped other replays neither put files in their places there nor remove any; not where directories cannot be
/// locked, or somebody else holds on to the lock for seconds, as `flock` does for a whole command.
fn alone(directory: &Path) -> io::Result<File> {
    let (directory, asked) = (File::open(directory)?, Instant::now());
    while let Err(TryLockError::WouldBlock) = directory.try_lock() {
        if asked.elapsed() > ALONE_WITHIN {
            tracing::warn!("another program has locked the output directory: nobody else should write to it now");
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(directory)
}

/// Where a file of a collection is to be, or may be of an earlier replay.
struct Place {
    path: PathBuf,
    format: Format,
    columns: Vec<Column>,
}

impl Place {
    fn find(&self) -> io::Result<Found> {
        let Place { path, format, columns } = self;
        match fs::metadata(path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Found::Nothing),
            Err(error) => Err(error),
            Ok(there) if there.is_dir() => Ok(Found::Foreign("is a directory")),
            // Whoever opened a pipe would wait.
            Ok(there) if there.is_file() && format.wrote(columns, File::open(path)?)? => Ok(Found::Ours),
            Ok(_) => Ok(Found::Foreign("is no result of orderwatch")),
        }
    }
}

/// The places of all files that a replay in this format `writes`, with or without changes; or of all others.
fn places(directory: &Path, format: Format, has_changes: bool, writes: bool) -> Vec<Place> {
    let mut places = Vec::new();
    for (directory, front) in [(directory.to_path_buf(), 0), (directory.join(CHANGES), CHANGE_COLUMNS.len())] {
        for Collection { name, columns, .. } in COLLECTIONS {
            for &of in Format::value_variants() {
                if (of == format && (has_changes || front == 0)) == writes {
                    let path = directory.join(format!("{name}.{}", of.extension()));
                    places.push(Place { path, format: of, columns: [&CHANGE_COLUMNS[..front], columns].concat() });
                }
            }
        }
    }
    places
}

/// Refuses to replace what is no result.
fn look(directory: &Path, format: Format, has_changes: bool) -> JobResult<()> {
    places(directory, format, has_changes, true).iter().try_for_each(|place| match place.find() {
        Ok(Found::Foreign(what)) => Err(would_overwrite("--out", what, &place.path)),
        Ok(_) => Ok(()),
        Err(error) => Err(refused("read what stands there", &place.path, &error)),
    })
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
        let _alone = alone(&self.directory);
        interrupt::whole(|| {
            let cannot_move = |path: &Path, error: &io::Error| refused("move the finished file to", path, error);
            // Before any is in its place: one that cannot come to its own would leave these beside those of an earlier run.
            written.iter().try_for_each(|(path, file)| match fs::metadata(file.path()) {
                Ok(_) if path.is_dir() => Err(cannot_move(path, &ErrorKind::IsADirectory.into())),
                Ok(_) => Ok(()),
                Err(error) => Err(cannot_move(path, &error)),
            })?;
            written.into_iter().try_for_each(|(path, file)| {
                file.persist(&path).map(drop).map_err(|error| cannot_move(&path, &error.error))
            })?;
            self.remove_earlier()
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
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some space or name another directory with --out; files of an earlier run are as they were"
        }
        _ if is_of_open_files(error) => MORE_OPEN_FILES,
        ErrorKind::FileTooLarge => "raise the size limit (ulimit -f); files of an earlier run are as they were",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "name a directory that you may write to with --out"
        }
        _ => "name another directory with --out",
    };
    JobError::io(doing, path, error).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_file_cannot_come_to_its_place_none_does() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = [COLLECTIONS[0], COLLECTIONS[1]];
        let path = |collection: Collection| folder.path().join(format!("{}.csv", collection.name));
        let write = |spoil: &dyn Fn()| {
            let files = Files::create(folder.path(), Format::Csv, false).unwrap();
            for collection in [first, second] {
                let mut writer = files.begin(collection).unwrap();
                let row: String = collection.columns.iter().map(|_| "new\0").collect();
                writer.write(TextRow::new(&row)).unwrap();
                writer.finish().unwrap();
            }
            spoil();
            files.commit()
        };
        let error = write(&|| fs::create_dir(path(second)).unwrap()).unwrap_err().to_string();
        assert!(error.contains("cannot move the finished file to") && !path(first).exists(), "{error}");
        fs::remove_dir(path(second)).unwrap();
        let lost = || {
            let unfinished = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path());
            fs::remove_file(unfinished.max().unwrap()).unwrap();
        };
        assert!(write(&lost).is_err() && folder.path().read_dir().unwrap().next().is_none());
        write(&|| {}).unwrap();
        assert!(path(first).exists() && path(second).exists());
    }
}
