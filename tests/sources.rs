//! A live job without a broker: files that are renamed into a directory, a generator, checkpoints in a bucket. Whatever is
//! killed, tables come to hold what a replay of the same events says.
//!
//! PostgreSQL and S3 are real servers (`scripts/services up postgres s3`); without one a test says so and passes.

// A test that cannot set up its case must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "sources/bucket.rs"]
mod bucket;
#[path = "sources/directory.rs"]
mod directory;
#[path = "sources/dropped.rs"]
mod dropped;
#[path = "sources/generator.rs"]
mod generator;
#[path = "sinks/read.rs"]
#[allow(dead_code)]
mod read;
#[path = "support/run.rs"]
#[allow(dead_code)]
mod run;
#[path = "postgres/server.rs"]
#[allow(dead_code)]
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dataflows::time::Time;
use dataflows::views::COLLECTIONS;
use orderwatch::instant::format_instant;
use run::{Running, orderwatch};
use server::Database;

const DEADLINE: Duration = Duration::from_secs(100);

/// A job, its tables, and where its checkpoints are.
pub struct Job {
    database: Database,
    pub folder: tempfile::TempDir,
    pub checkpoints: String,
    environment: Vec<(String, String)>,
}

impl Job {
    fn new() -> Option<Job> {
        let (database, folder) = (Database::new()?, tempfile::tempdir().unwrap());
        let checkpoints = folder.path().join("checkpoints").display().to_string();
        Some(Job { database, folder, checkpoints, environment: Vec::new() })
    }

    /// A process of it.
    fn command(&self, workers: usize, more: &[&str]) -> Command {
        let mut command = orderwatch();
        command.args(["run", "--postgres", &self.database.url, "--checkpoint", &self.checkpoints, "--serve", "none"]);
        command.args(["--no-console", "--checkpoint-interval", "200ms", "-w", &workers.to_string()]).args(more);
        // Sums are compared as of the frontier, not as of the last tick before it.
        command.args(["--tick", "1ms"]);
        command.envs(self.environment.iter().cloned());
        command
    }

    /// How far the tables are; 0 before there are any.
    fn frontier(&self) -> Time {
        let found = self.database.client().query("SELECT frontier FROM orderwatch_progress", &[]).unwrap_or_default();
        found.first().map_or(0, |row| row.get::<_, i64>(0) as Time)
    }

    fn wait_until(&self, running: &mut Running, what: &str, is_so: impl Fn(Time) -> bool) {
        let started = Instant::now();
        while !is_so(self.frontier()) {
            assert!(started.elapsed() < DEADLINE, "{what} never: they stand at {}", format_instant(self.frontier()));
            assert!(running.child.try_wait().unwrap().is_none(), "{what} never: the process ended");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(&self, running: Running) {
        let pid = running.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let ended = running.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }

    /// Every table holds what a replay of these files says as of its frontier; dead letters with file and line where
    /// they are read in place.
    fn assert_as_replayed(&self, inputs: &[PathBuf], are_in_place: bool) {
        let out = self.folder.path().join("out");
        let until = format_instant(self.frontier() - 1);
        let mut command = run::replay(inputs);
        command.args(["--no-console", "--as", "order-events", "--grace", "5s", "--until", &until, "--out"]).arg(&out);
        let ended = run::run(&mut command);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        for collection in &COLLECTIONS {
            let (mut expected, mut found) = (read::csv(&out, collection), self.database.rows(collection));
            match collection.name {
                // The source is the log, not the file.
                "data_quality_metrics" => continue,
                "dead_letters" if !are_in_place => assert!(expected.is_empty() && found.is_empty()),
                _ => {}
            }
            expected.sort();
            found.sort();
            let has_rows = ["orders", "order_events", "real_time_funnel"].contains(&collection.name);
            assert!(!has_rows || !expected.is_empty(), "{}: nothing is compared", collection.name);
            let shown = |row: &Vec<String>| format!("{:.300}", format!("{row:?}"));
            let more: Vec<_> = found.iter().filter(|row| !expected.contains(row)).take(3).map(shown).collect();
            let less: Vec<_> = expected.iter().filter(|row| !found.contains(row)).take(3).map(shown).collect();
            let name = collection.name;
            assert!(more.is_empty() && less.is_empty(), "{name}: there are {more:?}, there should be {less:?}");
        }
    }
}

/// Writes a file as those should that drop files: aside, then renamed.
pub fn drop_in(directory: &Path, name: &str, bytes: &[u8]) {
    let aside = directory.join(format!(".{name}.part"));
    std::fs::write(&aside, bytes).unwrap();
    std::fs::rename(aside, directory.join(name)).unwrap();
}
