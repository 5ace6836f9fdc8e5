//! Bytes of an input: a file, a pipe or standard input, decompressed where they are compressed.
//!
//! What they begin with tells gzip and zstd apart, whatever the name says; a name that promises one of them is held to
//! it. Invariant: a file is read as long as it was when it was opened: what is appended later is not part of it, and one
//! that has become shorter is an error. Nobody waits in here for a pipe when the program has been asked to stop.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use rustix::io::Errno;

use super::inputs::named::is_standard_input;
use super::no_thread;
use crate::error::{JobError, JobResult};
use crate::interrupt;

/// The bytes of an input, as they are read.
pub type Bytes = Box<dyn Read + Send>;

/// The endings of compressed files.
pub const ENDINGS: [&str; 2] = [".gz", ".zst"];
const GZIP_MAGIC: &[u8] = &[0x1F, 0x8B];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xB5, 0x2F, 0xFD];
/// A zstd stream may begin with a frame to be skipped; the low half of its first byte is any.
const ZSTD_SKIPPED_MAGIC: &[u8] = &[0x2A, 0x4D, 0x18];
const BUFFER_BYTES: usize = 1 << 18;
/// How much of a pipe is read at once, and how many such chunks wait to be taken.
const CHUNK_BYTES: usize = 1 << 16;
const CHUNKS_AHEAD: usize = 4;
/// How often a reader of a pipe that stands still looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What to do about an input that breaks off.
pub const DAMAGED: &str = "the file may be cut off or damaged: fetch it again; nothing was written";

/// What to do about a file that cannot be read: see to its permissions, or its links, where they are why; `otherwise` what
/// is given.
pub fn remedy_of(error: &io::Error, otherwise: &'static str) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "this user may not read it: change its permissions, or run as one who may",
        _ if Errno::from_io_error(error) == Some(Errno::LOOP) => "a symbolic link leads back to itself: mend it",
        _ => otherwise,
    }
}

/// What is wrong with a file that has lost its end meanwhile.
pub const BECAME_SHORTER: &str = "it became shorter while it was read";

/// True where a file is compressed, by what it begins with or by its name.
pub fn is_compressed(path: &Path, file: &File) -> io::Result<bool> {
    let mut start = [0; ZSTD_MAGIC.len()];
    let length = file.read_at(&mut start, 0)?;
    Ok(claimed(path).or(Form::of(&start[..length])).is_some())
}

/// True where a file begins with the mark of UTF-16 and a character of it: no line of it could be read. The mark alone may be
/// the beginning of a broken line.
pub fn is_utf_16(path: &Path) -> JobResult<bool> {
    let mut start = [0; 4];
    let length = open_file(path)?.read_at(&mut start, 0).map_err(|error| cannot_open(path, &error))?;
    Ok(length == start.len() && matches!(start, [0xFF, 0xFE, low, 0] | [0xFE, 0xFF, 0, low] if low != 0))
}

/// The form that a name promises.
fn claimed(path: &Path) -> Option<Form> {
    let place = ENDINGS.iter().position(|ending| path.to_string_lossy().ends_with(ending))?;
    Some([Form::Gzip, Form::Zstd][place])
}

/// Opens a file.
pub fn open_file(path: &Path) -> JobResult<File> {
    File::open(path).map_err(|error| cannot_open(path, &error))
}

fn cannot_open(path: &Path, error: &io::Error) -> JobError {
    JobError::io("open the input", path, error).remedy(remedy_of(error, "check the path and that you may read it"))
}

/// Opens a file, or standard input where the path is `-`. Nothing is read before it is asked for.
pub fn open(path: &Path) -> JobResult<Bytes> {
    open_as_it_was(path, None)
}

/// The same of a file that had so many bytes once: what was appended since is not part of it either.
pub fn open_as_it_was(path: &Path, length: Option<u64>) -> JobResult<Bytes> {
    let claimed = claimed(path);
    if is_standard_input(path) {
        return Ok(Box::new(Decompressed::Unknown { raw: piped(io::stdin())?, claimed: None }));
    }
    let file = open_file(path)?;
    let metadata = file.metadata().map_err(|error| cannot_open(path, &error))?;
    let raw: Bytes = match metadata.is_file() {
        true => Box::new(WholeFile { file, left: length.unwrap_or(metadata.len()) }),
        false => piped(file)?,
    };
    Ok(Box::new(Decompressed::Unknown { raw, claimed }))
}

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Gzip,
    Zstd,
}

impl Form {
    fn of(start: &[u8]) -> Option<Form> {
        let is_skipped = start.first().is_some_and(|byte| byte >> 4 == 5) && start[1..] == *ZSTD_SKIPPED_MAGIC;
        match start {
            _ if start.starts_with(GZIP_MAGIC) => Some(Form::Gzip),
            _ if start == ZSTD_MAGIC || is_skipped => Some(Form::Zstd),
            _ => None,
        }
    }
}

/// Bytes whose form shows when the first of them have come.
enum Decompressed {
    Unknown { raw: Bytes, claimed: Option<Form> },
    Known(Bytes),
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Decompressed::Unknown { raw, claimed } = self {
            let mut start = Vec::new();
            raw.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut start)?;
            let form = Form::of(&start).or(*claimed);
            if form.is_some() && start.is_empty() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is empty"));
            }
            let raw = std::mem::replace(raw, Box::new(io::empty()));
            let whole = Cursor::new(start).chain(raw);
            *self = Decompressed::Known(match form {
                None => Box::new(whole),
                Some(Form::Gzip) => Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(BUFFER_BYTES, whole))),
                Some(Form::Zstd) => {
                    let buffered = io::BufReader::with_capacity(BUFFER_BYTES, whole);
                    Box::new(zstd::stream::read::Decoder::with_buffer(buffered)?)
                }
            });
        }
        match self {
            Decompressed::Known(bytes) => bytes.read(buffer),
            Decompressed::Unknown { .. } => Ok(0),
        }
    }
}

/// A file, as long as it was when it was opened.
struct WholeFile {
    file: File,
    left: u64,
}

impl Read for WholeFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read(&mut buffer[..wanted])?;
        self.left -= read as u64;
        match read {
            0 if wanted > 0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, BECAME_SHORTER)),
            _ => Ok(read),
        }
    }
}

/// A pipe, read by a thread of its own.
struct Pipe {
    chunks: Receiver<io::Result<Vec<u8>>>,
    current: Cursor<Vec<u8>>,
}

fn piped(mut input: impl Read + Send + 'static) -> JobResult<Bytes> {
    let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
    let reading = move || {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = match input.read(&mut chunk) {
                Ok(0) => return,
                Ok(length) => {
                    chunk.truncate(length);
                    Ok(chunk)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_last = read.is_err();
            if sender.send(read).is_err() || is_last {
                return;
            }
        }
    };
    std::thread::Builder::new().spawn(reading).map_err(no_thread)?;
    Ok(Box::new(Pipe { chunks, current: Cursor::default() }))
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.chunks.recv_timeout(LOOK_EVERY) {
                Ok(chunk) => self.current = Cursor::new(chunk?),
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
                // Not `Interrupted`, which would be tried again.
                Err(RecvTimeoutError::Timeout) if interrupt::is_requested() => {
                    return Err(io::Error::other("the program was asked to stop"));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(name: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut text = Vec::new();
        open(&path).unwrap().read_to_end(&mut text).map(|_| text)
    }

    fn forms(text: &[u8]) -> [Vec<u8>; 3] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text).unwrap();
        [text.to_vec(), gzip.finish().unwrap(), zstd::encode_all(text, 1).unwrap()]
    }

    #[test]
    fn content_tells_the_form_and_a_name_is_held_to_its_word() {
        for text in [&b"{\"order_id\":1}\n"[..], b"x", b"\x1f", b"\x28\xb5\x2f"] {
            let [plain, gzip, zstd] = forms(text);
            for name in ["a", "a.jsonl", "a.gz", "a.zst"] {
                assert_eq!(read(name, &gzip).unwrap(), text, "{name}");
                assert_eq!(read(name, &[&zstd[..], &zstd].concat()).unwrap(), [text, text].concat(), "{name}");
                assert_eq!(read(name, &plain).is_ok(), !name.ends_with("gz") && !name.ends_with("zst"), "{name}");
            }
        }
        assert_eq!(read("a", b"").unwrap(), b"");
        assert!(ENDINGS.iter().all(|ending| read(&format!("a{ending}"), b"").is_err()));
        let skipped = [&[0x5A, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 7][..], &forms(b"text")[2]].concat();
        assert_eq!(read("a", &skipped).unwrap(), b"text");
    }

    #[test]
    fn utf_16_is_told_from_a_broken_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let begins = |start: &[u8]| {
            std::fs::write(&path, start).unwrap();
            is_utf_16(&path).unwrap()
        };
        assert!(begins(b"\xFF\xFE{\0\"\0") && begins(b"\xFE\xFF\0{"));
        assert!(![&b""[..], b"\xFF\xFE", b"\xFF\xFE{\"", b"\xFF\xFE\0\0", b"{\0\"\0"].into_iter().any(begins));
    }

    #[test]
    fn a_file_is_as_long_as_it_was() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"one\ntwo\n").unwrap();
        let (mut grown, mut cut, mut text) = (open(file.path()).unwrap(), open(file.path()).unwrap(), String::new());
        file.write_all(b"three\n").unwrap();
        grown.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
        file.as_file().set_len(4).unwrap();
        assert!(cut.read_to_end(&mut Vec::new()).unwrap_err().to_string().contains("shorter"));
    }
}
