//! Runs of the real program for tests: alone, or as a cluster of processes over loopback; and what a test lacks that
//! cannot run.
//!
//! Invariant: every process is waited for with a deadline and killed after it, so a test that would wait for ever fails
//! and says where. A test that checks nothing, or less than it could, says so by [`lacks`] alone.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// No run of a test takes longer.
const DEADLINE: Duration = Duration::from_secs(120);

/// Says what this test lacks, so that it checks nothing or less: on standard error, which nobody sees where it passes, and
/// as a line of the file that ORDERWATCH_SKIPPED names, which `scripts/test` shows.
#[allow(dead_code)] // of those that need more than the program
pub fn lacks(what: &str) {
    let thread = std::thread::current();
    let line = format!("{} {}: {what}\n", env!("CARGO_CRATE_NAME"), thread.name().unwrap_or("?"));
    eprint!("not checked: {line}");
    if let Some(path) = std::env::var_os("ORDERWATCH_SKIPPED") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// `orderwatch replay` with these arguments, nothing of the environment, no standard input.
pub fn replay<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = orderwatch();
    command.arg("replay").args(arguments);
    command
}

/// `orderwatch`, with an empty environment and nothing to read.
pub fn orderwatch() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("orderwatch"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// Starts `command`, what it says being kept.
pub fn start(command: &mut Command) -> Running {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = Said::by(child.stdout.take().unwrap());
    let stderr = Said::by(child.stderr.take().unwrap());
    Running { child, stdout, stderr }
}

/// What a process says on one of its pipes, read as it comes.
struct Said {
    so_far: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Said {
    fn by(mut pipe: impl Read + Send + 'static) -> Said {
        let so_far = Arc::<Mutex<Vec<u8>>>::default();
        let shared = Arc::clone(&so_far);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 1 << 12];
            while let Ok(read @ 1..) = pipe.read(&mut bytes) {
                shared.lock().unwrap().extend_from_slice(&bytes[..read]);
            }
        });
        Said { so_far, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.so_far.lock().unwrap()).into_owned()
    }

    fn whole(&mut self) -> String {
        self.reader.take().unwrap().join().unwrap();
        self.so_far()
    }
}

/// What was said on standard error but for what a slow machine alone makes a program say: lines of progress, which come
/// where a run takes longer than ten seconds, and that Kafka was silent for a second.
fn without_progress(said: &str) -> String {
    let is_progress = |line: &str| {
        line.starts_with("writing results: ")
            || line.contains(" records, ") && line.contains("/s") && !line.contains(':')
    };
    let is_silence = |line: &str| {
        line.contains("Kafka at ") && (line.contains(" does not answer (") || line.contains(" answers again, after "))
    };
    let is_kept = |line: &&str| !is_progress(line.split(", at ").next().unwrap_or(line)) && !is_silence(line);
    said.split_inclusive('\n').filter(is_kept).collect()
}

/// A process that runs; killed where its test fails before it ends.
pub struct Running {
    /// The process.
    pub child: Child,
    stdout: Said,
    stderr: Said,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        let started = Instant::now();
        let mut in_time = true;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if in_time && started.elapsed() > DEADLINE => {
                    in_time = false;
                    self.child.kill().unwrap();
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let (stdout, stderr) = (self.stdout.whole(), without_progress(&self.stderr.whole()));
        assert!(in_time, "it never ended: {stderr}");
        Ended { code: status.code(), stdout, stderr }
    }

    /// Waits until it has said so on standard error. A machine may be slow: tests wait for what they need, not for a
    /// time that was enough somewhere else.
    pub fn wait_until_it_says(&mut self, text: &str) {
        self.wait_until(&format!("it never said {text:?}"), |running| running.stderr.so_far().contains(text));
    }

    /// Waits until it has said so on standard output.
    #[allow(dead_code)] // of the live job alone
    pub fn wait_until_it_prints(&mut self, text: &str) {
        self.wait_until(&format!("it never printed {text:?}"), |running| running.stdout.so_far().contains(text));
    }

    /// Asks it to stop.
    #[allow(dead_code)] // of the live job alone
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// What it has said on standard error so far.
    #[allow(dead_code)] // of the live job alone
    pub fn said_so_far(&self) -> String {
        self.stderr.so_far()
    }

    /// What it has printed on standard output so far.
    #[allow(dead_code)] // of the live job alone
    pub fn printed_so_far(&self) -> String {
        self.stdout.so_far()
    }

    /// Waits until it catches SIGINT, as one that comes before just ends it; or until it has ended.
    #[allow(dead_code)] // of those that are interrupted alone
    pub fn wait_until_it_listens(&mut self) {
        let started = Instant::now();
        while self.child.try_wait().unwrap().is_none() && !self.listens() {
            assert!(started.elapsed() < DEADLINE, "it never listened: {}", self.stderr.so_far());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn listens(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let caught = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok());
        // A bit for each signal, from 1; that of SIGINT is 2.
        caught.is_some_and(|caught| caught & 0b10 != 0)
    }

    /// Waits until it has opened the file of this name.
    pub fn wait_until_it_opens(&mut self, name: &str) {
        self.wait_until(&format!("it never opened {name}"), |running| {
            let open = std::fs::read_dir(format!("/proc/{}/fd", running.child.id())).into_iter().flatten().flatten();
            open.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|path| path.ends_with(name))
        });
    }

    fn wait_until(&mut self, otherwise: &str, is_so: impl Fn(&Running) -> bool) {
        let started = Instant::now();
        while !is_so(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && started.elapsed() < DEADLINE, "{otherwise}: {}", self.stderr.so_far());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Kills a process as `kill -9` does and waits until it is gone: until then it holds its ports and its files.
#[allow(dead_code)] // of servers alone
pub fn kill(id: &str) {
    assert!(Command::new("kill").args(["-KILL", id]).status().unwrap().success());
    while std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z")) {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs `command` to its end.
pub fn run(command: &mut Command) -> Ended {
    start(command).wait()
}

/// A hostfile of `count` loopback addresses that were free a moment ago.
pub fn hostfile(folder: &Path, count: usize) -> PathBuf {
    let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<String> = listeners.iter().map(|each| each.local_addr().unwrap().to_string()).collect();
    let path = folder.join(format!("hosts-{}", addresses[0].rsplit(':').next().unwrap()));
    std::fs::write(&path, addresses.join("\n")).unwrap();
    path
}

/// The commands of a cluster: the same one, each with its own number.
pub fn cluster(arguments: &[String], folder: &Path, processes: usize) -> Vec<Command> {
    let hosts = hostfile(folder, processes);
    let command = |process: usize| {
        let mut command = replay(arguments);
        command.args(["-n", &processes.to_string(), "-p", &process.to_string(), "--hostfile"]).arg(&hosts);
        command
    };
    (0..processes).map(command).collect()
}
