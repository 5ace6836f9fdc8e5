//! Runs of the real program for tests: alone, or as a cluster of processes over loopback.
//!
//! Invariant: every process is waited for with a deadline and killed after it, so a test that would wait for ever fails
//! and says where.

use std::ffi::OsStr;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No run of a test takes longer.
const DEADLINE: Duration = Duration::from_secs(120);

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
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("orderwatch"));
    command.env_clear().arg("replay").args(arguments).stdin(Stdio::null());
    command
}

/// Starts `command`, what it says being kept.
pub fn start(command: &mut Command) -> Running {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let read = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = read(Box::new(child.stdout.take().unwrap()));
    let stderr = read(Box::new(child.stderr.take().unwrap()));
    Running { child, said: Some([stdout, stderr]) }
}

/// A process that runs; killed where its test fails before it ends.
pub struct Running {
    /// The process.
    pub child: Child,
    said: Option<[std::thread::JoinHandle<String>; 2]>,
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
        let [stdout, stderr] = self.said.take().unwrap().map(|said| said.join().unwrap());
        assert!(in_time, "it never ended: {stderr}");
        Ended { code: status.code(), stdout, stderr }
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
