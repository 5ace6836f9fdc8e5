//! Where a stream goes: files, compressed by their names' endings, directories, standard output, and topics; each gets
//! every line.
//!
//! Invariant: targets get whole lines, and are ended properly whatever ended the stream. A file that is made at once
//! appears when it is complete; one that is made as time passes grows in its place, for others to follow. Pipes and
//! devices are written to, never replaced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempPath;
use zstd::stream::write::Encoder as ZstdEncoder;

use super::StreamKind;
use crate::decode::topic::order_id;
use crate::error::{JobError, JobResult};
use crate::interrupt::{self, Death};
use crate::kafka::KafkaSettings;
use crate::kafka::sender::Sender;

/// Of zstd; 3 is its own default.
const ZSTD_LEVEL: i32 = 3;

enum Encoding {
    Plain(Box<dyn Write>),
    Gzip(GzEncoder<Box<dyn Write>>),
    Zstd(ZstdEncoder<'static, Box<dyn Write>>),
    Topic(Sender, String),
}

struct Target {
    path: PathBuf,
    encoding: Encoding,
    /// Where it is until it is complete.
    partial: Option<TempPath>,
}

/// All targets of a stream.
pub struct Targets {
    targets: Vec<Target>,
}

impl Targets {
    /// Opens every target; files that are to `grow` in their places do. Directories are made where they are missing.
    pub fn open(kind: StreamKind, paths: &[PathBuf], grow: bool, kafka: &KafkaSettings) -> JobResult<Targets> {
        let files: Vec<PathBuf> = paths.iter().map(|path| file_of(kind, path, kafka)).collect();
        named_once(&files)?;
        let open = |(path, file): (&PathBuf, &PathBuf)| {
            if file != path {
                fs::create_dir_all(path).map_err(|error| failed(path, &error))?;
            }
            Target::open(file, grow, kafka)
        };
        let targets = paths.iter().zip(&files).map(open).collect::<JobResult<Vec<Target>>>()?;
        Ok(Targets { targets })
    }

    /// True where nobody is left to write to.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Writes whole lines to every target. A reader of standard output that has read enough is left out from then on.
    pub fn write(&mut self, lines: &[u8]) -> JobResult<()> {
        self.each(|target| target.encoding.write(lines))
    }

    /// Ends every target and puts complete files in their places.
    pub fn finish(mut self) -> JobResult<()> {
        self.each(|target| target.encoding.finish())?;
        for target in self.targets {
            if let Some(partial) = target.partial {
                let path = &target.path;
                let placed = interrupt::whole(|| partial.persist(path));
                placed.map_err(|error| failed(path, &error.error))?;
            }
        }
        Ok(())
    }

    fn each(&mut self, mut write: impl FnMut(&mut Target) -> io::Result<()>) -> JobResult<()> {
        let mut error = None;
        self.targets.retain_mut(|target| match write(target) {
            Ok(()) => true,
            Err(failure) => {
                if !(is_standard_output(&target.path) && failure.kind() == io::ErrorKind::BrokenPipe) {
                    error.get_or_insert(failed(&target.path, &failure));
                }
                false
            }
        });
        error.map_or(Ok(()), Err)
    }
}

impl Target {
    fn open(path: &Path, grow: bool, kafka: &KafkaSettings) -> JobResult<Target> {
        let name = path.to_string_lossy();
        if is_standard_output(path) {
            let encoding = Encoding::Plain(Box::new(io::stdout()));
            return Ok(Target { path: path.into(), encoding, partial: None });
        }
        if let Some(settings) = kafka.at_address(path) {
            settings.check_named()?;
            // Without one in the address these are the configured ones, of which orders have the first.
            let Some(topic) = settings.topics.first().cloned() else {
                let error = JobError::configuration("a stream goes into one topic").at(format!("--to {name}"));
                return Err(error.remedy("name it: kafka://HOST:PORT/TOPIC"));
            };
            let sender = Sender::connect(&settings, std::slice::from_ref(&topic))?;
            return Ok(Target { path: path.into(), encoding: Encoding::Topic(sender, topic), partial: None });
        }
        let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        let is_lines = [".jsonl", ".json", ".ndjson"].iter().any(|ending| plain.ends_with(ending));
        let existing = fs::metadata(path).ok();
        // A pipe or a device has the name it has.
        let is_special = existing.as_ref().is_some_and(|existing| !existing.is_file() && !existing.is_dir());
        if !(is_lines || is_special) || existing.is_some_and(|existing| existing.is_dir()) {
            let error = JobError::configuration("a stream is written to a file of JSON lines");
            let error = error.at(format!("--to {name}"));
            return Err(error.remedy("name a file that ends in .jsonl, .jsonl.gz or .jsonl.zst, a directory, or `-`"));
        }
        let opened = match grow || is_special {
            true => File::create(path).map(|file| (file, None)),
            false => interrupt::temporary(path, Death::Unlocked).map(|unfinished| {
                let (file, partial) = unfinished.into_parts();
                (file, Some(partial))
            }),
        };
        let (file, partial) = opened.map_err(|error| failed(path, &error))?;
        let encoding = Encoding::of(&name, Box::new(file)).map_err(|error| failed(path, &error))?;
        Ok(Target { path: path.into(), encoding, partial })
    }
}

impl Encoding {
    fn of(name: &str, file: Box<dyn Write>) -> io::Result<Encoding> {
        Ok(match name {
            _ if name.ends_with(".gz") => Encoding::Gzip(GzEncoder::new(file, Compression::default())),
            _ if name.ends_with(".zst") => Encoding::Zstd(ZstdEncoder::new(file, ZSTD_LEVEL)?),
            _ => Encoding::Plain(file),
        })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        // Whoever follows a stream wants its lines as they are written.
        match self {
            Encoding::Plain(file) => file.write_all(lines).and_then(|()| file.flush()),
            Encoding::Gzip(file) => file.write_all(lines),
            Encoding::Zstd(file) => file.write_all(lines),
            Encoding::Topic(sender, topic) => {
                for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                    let key = order_id(line).map(|order_id| order_id.to_string());
                    sender.send(topic, key.as_deref().map(str::as_bytes), line).map_err(io::Error::other)?;
                }
                Ok(())
            }
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Encoding::Plain(file) => file.flush(),
            Encoding::Gzip(file) => file.try_finish().and_then(|()| file.get_mut().flush()),
            Encoding::Zstd(file) => file.do_finish().and_then(|()| file.get_mut().flush()),
            Encoding::Topic(sender, _) => sender.finish().map(drop).map_err(io::Error::other),
        }
    }
}

/// The file of a target: in a directory, one that is there or whose name ends in `/`, it has the name of what the lines
/// are.
fn file_of(kind: StreamKind, path: &Path, kafka: &KafkaSettings) -> PathBuf {
    let is_directory = path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
    if !is_directory || is_standard_output(path) || kafka.at_address(path).is_some() {
        return path.to_owned();
    }
    path.join(match kind {
        StreamKind::Orders => "orders.jsonl",
        StreamKind::Sales => "sales.jsonl",
    })
}

/// An error where two targets are one, however their paths are written.
pub fn named_once(paths: &[PathBuf]) -> JobResult<()> {
    let places: Vec<PathBuf> = paths.iter().map(|path| place(path)).collect();
    let twice = paths.iter().enumerate().find(|(index, _)| places[..*index].contains(&places[*index]));
    twice.map_or(Ok(()), |(_, path)| {
        let error = JobError::configuration("a target is named twice").at(path.display().to_string());
        Err(error.remedy("name each target once with --to"))
    })
}

/// Where a target is, however its path is written.
fn place(path: &Path) -> PathBuf {
    let parent = path.parent().map(|parent| Path::new(".").join(parent).canonicalize());
    match (parent, path.file_name()) {
        (Some(Ok(parent)), Some(name)) if !is_standard_output(path) => parent.join(name),
        _ => path.to_owned(),
    }
}

/// True where the path stands for standard output.
pub fn is_standard_output(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn failed(path: &Path, error: &io::Error) -> JobError {
    // A topic says by itself what went wrong.
    if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<JobError>()) {
        return error.clone();
    }
    let name = if is_standard_output(path) { Path::new("standard output") } else { path };
    JobError::io("write the stream", name, error)
        .remedy("name a place that you may write to, with enough space, with --to")
}
