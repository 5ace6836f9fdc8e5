//! Interruption: Ctrl-C or SIGTERM ends the program with code 130 and leaves no unfinished file behind.
//!
//! Nothing cooperates, so a program that waits for its input ends as well. Invariant: unfinished files are made, and
//! finished ones put in their places, under one lock, which the interruption takes before it removes the unfinished
//! ones: a set of files is there whole or not at all. A second signal does not wait for the lock.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use tempfile::NamedTempFile;

/// Exit code of a program that was interrupted.
pub const EXIT_CODE: i32 = 130;

/// Files that are to be removed, those that are finished and renamed included: their names are not used again.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// From now on signals end the program as this file says.
pub fn watch() -> io::Result<()> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the first signal finds the flag unset, then sets it.
        flag::register_conditional_shutdown(signal, EXIT_CODE, Arc::clone(&interrupted))?;
        flag::register(signal, Arc::clone(&interrupted))?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            let unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
            for path in unfinished.iter() {
                // Those that are finished are gone.
                let _ = std::fs::remove_file(path);
            }
            let _ = writeln!(io::stderr(), "interrupted");
            std::process::exit(EXIT_CODE);
        }
    })?;
    Ok(())
}

/// Makes a file that an interruption removes.
pub fn unfinished<F>(path: &Path, make: impl FnOnce() -> io::Result<F>) -> io::Result<F> {
    let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    let file = make()?;
    unfinished.push(path.to_path_buf());
    Ok(file)
}

/// Makes a file, of a name of its own choice, that an interruption removes.
pub fn unfinished_temporary(make: impl FnOnce() -> io::Result<NamedTempFile>) -> io::Result<NamedTempFile> {
    let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    let file = make()?;
    unfinished.push(file.path().to_path_buf());
    Ok(file)
}

/// Does what an interruption must not cut in two.
pub fn whole<T>(work: impl FnOnce() -> T) -> T {
    let _held = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    work()
}
