//! Files: one CSV file a collection, written beside and renamed into place when all are complete.
//!
//! Invariant: a failed job leaves no half-written file behind, and the files of an earlier run as they were. Equal
//! results are byte-identical files (outputs.md).

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use dataflows::views::collection::{Cell, Column};
use tempfile::NamedTempFile;

use super::{Sink, cell};
use crate::error::{JobError, JobResult};
use crate::interrupt;

/// A directory of CSV files.
pub struct Files {
    directory: PathBuf,
    written: Vec<(&'static str, NamedTempFile)>,
}

impl Files {
    /// Makes the directory where it is missing and tries whether it can be written to.
    pub fn create(directory: &Path) -> JobResult<Files> {
        std::fs::create_dir_all(directory)
            .map_err(|error| refused("create the output directory", directory, &error))?;
        tempfile::tempfile_in(directory)
            .map_err(|error| refused("write to the output directory", directory, &error))?;
        Ok(Files { directory: directory.to_path_buf(), written: Vec::new() })
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

    fn write_rows(
        &self,
        file: &NamedTempFile,
        columns: &[Column],
        rows: &mut dyn Iterator<Item = Vec<Cell>>,
    ) -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 18, file.as_file());
        let header: Vec<&str> = columns.iter().map(|column| column.name).collect();
        writeln!(out, "{}", header.join(","))?;
        let (mut line, mut text) = (String::new(), String::new());
        for row in rows {
            line.clear();
            for (place, value) in row.iter().enumerate() {
                if place > 0 {
                    line.push(',');
                }
                text.clear();
                cell::write_text(value, &mut text);
                push_field(&text, &mut line);
            }
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        out.flush()
    }
}

impl Sink for Files {
    fn write(
        &mut self,
        name: &'static str,
        columns: &'static [Column],
        rows: &mut dyn Iterator<Item = Vec<Cell>>,
    ) -> JobResult<()> {
        let path = self.directory.join(format!("{name}.csv"));
        let prefix = format!(".{name}.");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).permissions(permissions());
        let file = interrupt::unfinished_temporary(|| builder.tempfile_in(&self.directory))
            .map_err(|error| refused("write", &path, &error))?;
        self.write_rows(&file, columns, rows).map_err(|error| refused("write", &path, &error))?;
        self.written.push((name, file));
        Ok(())
    }

    fn needs_order(&self) -> bool {
        true
    }

    fn commit(&mut self) -> JobResult<()> {
        let Files { directory, written } = self;
        let path = |name: &str| directory.join(format!("{name}.csv"));
        if let Some(taken) = written.iter().map(|(name, _)| path(name)).find(|path| path.is_dir()) {
            return Err(JobError::job("a directory stands where a file is to be written")
                .at(taken.display().to_string())
                .remedy("remove it, or name another directory with --out"));
        }
        interrupt::whole(|| {
            written.drain(..).try_for_each(|(name, file)| {
                let moved = file.persist(path(name)).map(drop);
                moved.map_err(|error| refused("move the finished file to", &path(name), &error.error))
            })
        })
    }
}

/// A field, in quotes where it needs them.
fn push_field(text: &str, line: &mut String) {
    if text.contains(['"', ',', '\n', '\r']) {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
}

/// Readable by all, as files made by hand are; the process's mask still applies.
fn permissions() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(0o666)
}

fn refused(doing: &str, path: &Path, error: &std::io::Error) -> JobError {
    let remedy = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "free some space or name another directory with --out; files of an earlier run are as they were"
        }
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
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
    fn fields_are_quoted_only_where_needed() {
        let mut line = String::new();
        for field in ["plain", "a,b", "say \"x\"", "two\nlines"] {
            push_field(field, &mut line);
            line.push('|');
        }
        assert_eq!(line, "plain|\"a,b\"|\"say \"\"x\"\"\"|\"two\nlines\"|");
    }
}
