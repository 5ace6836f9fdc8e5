//! Interruption: Ctrl-C or SIGTERM ends the program with code 130 and leaves no unfinished file behind.
//!
//! A command that [`drains`] is asked to stop first: it reads no more and writes what it has; of one that [has read
//! all](has_read_all) it asks nothing. A second signal, and the first one to any other command, ends the program wherever it
//! stands: nothing cooperates, so a program that waits for its input ends as well. One that comes right behind the first is
//! the same one: `timeout`, and what starts a container, tell a process and then its group. Invariant: unfinished files are made, and
//! finished ones put in their places, under one lock, which the end takes before it removes the unfinished ones: what was
//! asked for is there whole or not at all. One more signal does not wait for the lock.
//!
//! SIGKILL leaves unfinished files behind. Whoever makes one holds a lock on it, which is gone with the process: so the
//! next one to write to the same place knows those of the dead, and removes them. Limits: not where files cannot be locked.

use std::cell::Cell;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use tempfile::NamedTempFile;

/// Exit code of a program that was interrupted.
pub const EXIT_CODE: u8 = 130;
/// How the names of files end that are to be renamed.
const UNFINISHED_ENDING: &str = ".unfinished";
/// No person asks a second time so soon.
const SAME_WITHIN: Duration = Duration::from_millis(100);
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Files that are to be removed, those that are finished and renamed included: their names are not used again.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
/// True where the first signal only asks.
static DRAINS: AtomicBool = AtomicBool::new(false);
/// What has come of a command that drains: a signal ([`ASKED`]), the end of what it reads before any did ([`WHOLE`]).
static STATE: AtomicU8 = AtomicU8::new(0);
const ASKED: u8 = 1;
const WHOLE: u8 = 2;

/// True where the last signal was SIGTERM.
static TERMINATED: AtomicBool = AtomicBool::new(false);

/// From now on signals end the program as this file says.
pub fn watch() -> io::Result<()> {
    let ends = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, i32::from(EXIT_CODE), Arc::clone(&ends))?;
    }
    // Of a file that grows beyond `ulimit -f` whoever writes it is told, as of a full disk.
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let (mut said, mut asked_at): (Option<JoinHandle<()>>, Option<Instant>) = (None, None);
        for signal in signals.forever() {
            TERMINATED.store(signal == SIGTERM, Ordering::SeqCst);
            let drains = DRAINS.load(Ordering::SeqCst);
            let state = if drains { STATE.fetch_or(ASKED, Ordering::SeqCst) } else { ASKED };
            if state & ASKED == 0 {
                let what = if state == WHOLE { "all that there is" } else { "what has been read" };
                // Standard error may take nothing, which holds up no second signal.
                let say =
                    move || drop(writeln!(io::stderr(), "interrupted: finishing {what}; once more to stop at once"));
                (said, asked_at) = (std::thread::Builder::new().spawn(say).ok(), Some(Instant::now()));
                continue;
            }
            if asked_at.is_some_and(|at| at.elapsed() < SAME_WITHIN) {
                continue;
            }
            ends.store(true, Ordering::SeqCst);
            let unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
            for path in unfinished.iter() {
                // Those that are finished are gone.
                let _ = fs::remove_file(path);
            }
            if said.is_none_or(|said| said.is_finished()) {
                let _ = writeln!(io::stderr(), "interrupted");
            }
            std::process::exit(i32::from(EXIT_CODE));
        }
    })?;
    Ok(())
}

/// From now on the first signal asks to stop reading and to finish.
pub fn drains() {
    DRAINS.store(true, Ordering::SeqCst);
}

/// Asks as a signal does: another process of the cluster was asked.
pub fn request() {
    STATE.fetch_or(ASKED, Ordering::SeqCst);
}

/// True once the program has been asked to stop reading and to finish, before it had read all.
pub fn is_requested() -> bool {
    STATE.load(Ordering::Relaxed) == ASKED
}

/// True once a signal has come, also after all had been read: what may never come is then waited for no longer.
pub fn is_signalled() -> bool {
    STATE.load(Ordering::Relaxed) & ASKED != 0
}

/// All there is has been read: from now on a first signal changes nothing. False where one has come before.
pub fn has_read_all() -> bool {
    STATE.compare_exchange(0, WHOLE, Ordering::SeqCst, Ordering::SeqCst) != Err(ASKED)
}

/// True where it was asked by SIGTERM, as who runs a service does: a live job that has drained then has done all it should.
pub fn is_terminated() -> bool {
    TERMINATED.load(Ordering::SeqCst)
}

/// Makes a file, of a name of its own choice, that an interruption removes.
pub fn unfinished_temporary(make: impl FnOnce() -> io::Result<NamedTempFile>) -> io::Result<NamedTempFile> {
    let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    let file = make()?;
    unfinished.push(file.path().to_path_buf());
    Ok(file)
}

/// By what a file that is unfinished is known to be of a process that is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Nobody holds a lock on it.
    Unlocked,
    /// Nobody has written to it for a day. For files that others lock in ways that ours would stand in, as SQLite does: on
    /// network file systems all locks are of one kind.
    Old,
}

/// Makes a file that is to be renamed to `path`, in the same directory, which an interruption removes. Readable by all, as
/// files made by hand are; the process's mask still applies. Where its lock tells that it lives it is locked while open.
pub fn temporary(path: &Path, death: Death) -> io::Result<NamedTempFile> {
    remove_dead(path, death);
    let (directory, prefix) = beside(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(UNFINISHED_ENDING).permissions(Permissions::from_mode(0o666));
    loop {
        let file = unfinished_temporary(|| builder.tempfile_in(directory))?;
        // Where nothing can be locked nothing is taken for dead.
        let is_locked = death == Death::Unlocked && file.as_file().lock().is_ok();
        // Another process may have found it before that, and removed it.
        if !is_locked || file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes files on their way to `path` of processes that are no more.
pub fn remove_dead(path: &Path, death: Death) {
    let is_dead = |file: &File| match death {
        Death::Unlocked => file.try_lock().is_ok(),
        Death::Old => {
            let written = file.metadata().and_then(|metadata| metadata.modified());
            written.is_ok_and(|written| written.elapsed().is_ok_and(|age| age > A_DAY))
        }
    };
    let (directory, prefix) = beside(path);
    for entry in directory.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // The lock is held until the file is gone, so nobody who has just made it takes it for theirs.
        if name.starts_with(&prefix)
            && name.ends_with(UNFINISHED_ENDING)
            && let Ok(file) = File::open(entry.path())
            && is_dead(&file)
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Where files on their way to `path` are, and how their names begin.
fn beside(path: &Path) -> (&Path, String) {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    (directory, format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy()))
}

thread_local! {
    /// True while this thread does something whole: what is a part of it is done under the same lock.
    static IS_WHOLE: Cell<bool> = const { Cell::new(false) };
}

/// Does what an interruption must not cut in two. It makes no unfinished file.
pub fn whole<T>(work: impl FnOnce() -> T) -> T {
    if IS_WHOLE.get() {
        return work();
    }
    let _held = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    IS_WHOLE.set(true);
    let done = work();
    IS_WHOLE.set(false);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_whole_may_be_a_part_of_another_whole() {
        let parts = whole(|| [whole(|| 1), whole(|| 2)]);
        assert_eq!((parts, IS_WHOLE.get(), whole(|| 3)), ([1, 2], false, 3));
    }

    #[test]
    fn a_signal_after_all_has_been_read_asks_for_nothing_but_ends_a_wait() {
        assert!(has_read_all() && !is_signalled());
        request();
        assert!(is_signalled() && !is_requested());
        // Other tests are of this process, too.
        STATE.store(0, Ordering::SeqCst);
    }
}
