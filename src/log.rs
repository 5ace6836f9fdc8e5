//! The log: on standard error, or in a file that does not grow without bound; a device or a pipe is only written to.
//!
//! Warnings and errors, more or less by `-v` and `-q`, a line each. With a file, standard error still gets the errors.
//! Invariant: how the program failed is said on standard error once, in plain text where that is no log in JSON alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::cli::{General, LogFormat};
use crate::console::Style;
use crate::error::{JobError, JobResult};

/// The target of the event that says how the program ends.
const OUTCOME: &str = "orderwatch::outcome";

/// A file that holds more becomes `FILE.1`: both together hold at most twice this.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The log that was started.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    style: Style,
    /// True where its lines on standard error are to say how the program ends.
    says_outcome: bool,
}

impl Log {
    /// Says how the program failed. Whoever closed standard error still gets the exit code.
    pub fn failed(self, outcome: &str) {
        tracing::error!(target: OUTCOME, "{outcome}");
        if !self.says_outcome {
            let paint = anstyle::AnsiColor::Red.on_default().bold();
            let label = if self.style.color { format!("{paint}error:{paint:#}") } else { "error:".into() };
            let _ = writeln!(io::stderr(), "{label} {outcome}");
        }
    }
}

/// Starts the log, on standard error alone where its file `may_be` none or cannot be opened, which is the error.
pub fn start(general: &General, style: Style, may_be: impl Fn(&Path) -> JobResult<()>) -> (Log, JobResult<()>) {
    let level = match (general.quiet, general.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let mut started = Ok(());
    let file = general.log_file.as_ref().and_then(|path| {
        let failed = |error: io::Error| {
            let error = JobError::io("open the log file", path, &error);
            error.remedy("name a file that you may write to with --log-file")
        };
        let opened = may_be(path).and_then(|()| BoundedFile::open(path, FILE_BYTES_MAX).map_err(failed));
        opened.map_err(|error| started = Err(error)).ok()
    });
    let format = general.log_format;
    let log = Log { style, says_outcome: format == LogFormat::Json && file.is_none() };
    let of_outcome = if log.says_outcome { LevelFilter::ERROR } else { LevelFilter::OFF };
    let on_error = |level| {
        let filter = Targets::new().with_default(level).with_target(OUTCOME, of_outcome);
        layer(format, filter, style.color, io::stderr)
    };
    let layers = match file {
        None => vec![on_error(level)],
        Some(file) => vec![
            layer(format, Targets::new().with_default(level), false, Mutex::new(file)),
            on_error(LevelFilter::ERROR),
        ],
    };
    tracing_subscriber::registry().with(layers).init();
    (log, started)
}

fn layer<W>(format: LogFormat, filter: Targets, color: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(color);
    match format {
        LogFormat::Text => layer.with_target(false).with_filter(filter).boxed(),
        LogFormat::Json => layer.json().with_filter(filter).boxed(),
    }
}

/// A file that is appended to, and set aside when it is full.
struct BoundedFile {
    /// Where it is, links followed; none of what is no regular file, such as a device: that keeps its name.
    place: Option<PathBuf>,
    file: File,
    length: u64,
    bytes_max: u64,
}

impl BoundedFile {
    fn open(path: &Path, bytes_max: u64) -> io::Result<BoundedFile> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let metadata = file.metadata()?;
        let place = if metadata.is_file() { path.canonicalize().ok() } else { None };
        Ok(BoundedFile { place, file, length: metadata.len(), bytes_max })
    }
}

impl Write for BoundedFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.length > 0
            && self.length + line.len() as u64 > self.bytes_max
            && let Some(place) = self.place.clone()
        {
            let mut aside = place.clone().into_os_string();
            aside.push(".1");
            fs::rename(&place, aside)?;
            *self = BoundedFile::open(&place, self.bytes_max)?;
        }
        self.file.write_all(line)?;
        self.length += line.len() as u64;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_appended_to_and_set_aside_when_it_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for line in ["first\n", "second\n"] {
            BoundedFile::open(&path, 16).unwrap().write_all(line.as_bytes()).unwrap();
        }
        let mut file = BoundedFile::open(&path, 16).unwrap();
        file.write_all(b"third\n").unwrap();
        file.write_all(b"a line longer than the file may be\n").unwrap();
        file.write_all(b"last\n").unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("log"), "last\n");
        assert_eq!(read("log.1"), "a line longer than the file may be\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_device_and_a_link_are_not_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        // By a link, so that a program that is wrong moves that alone.
        symlink("/dev/null", path("device")).unwrap();
        symlink("file", path("link")).unwrap();
        for name in ["device", "link"] {
            let mut file = BoundedFile::open(&path(name), 8).unwrap();
            for line in ["first\n", "second\n"] {
                file.write_all(line.as_bytes()).unwrap();
            }
            assert!(path(name).is_symlink(), "{name}");
        }
        assert_eq!(fs::read_to_string(path("file")).unwrap(), "second\n");
        assert_eq!(fs::read_to_string(path("file.1")).unwrap(), "first\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }
}
