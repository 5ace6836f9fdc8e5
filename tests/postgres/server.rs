//! A database for one test, on the server that the environment names or on one of the test's own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dataflows::views::collection::{Collection, ColumnType};
use postgres::{Client, NoTls};

use super::read::Rows;
use super::run;

static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// A database that goes with its test.
pub struct Database {
    server: String,
    name: String,
    pub url: String,
}

impl Database {
    /// On the server of the environment; none where there is none, which is said by name.
    pub fn new() -> Option<Database> {
        match std::env::var("ORDERWATCH_POSTGRES") {
            Ok(server) => Some(Database::on(&server)),
            Err(_) => {
                run::lacks("PostgreSQL (eval \"$(scripts/services up postgres)\")");
                None
            }
        }
    }

    pub fn on(server: &str) -> Database {
        let name = format!("orderwatch_{}_{}", std::process::id(), DATABASES.fetch_add(1, Ordering::Relaxed));
        let mut client = Client::connect(server, NoTls).unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")).unwrap();
        let (place, _) = server.rsplit_once('/').unwrap();
        Database { server: server.to_owned(), url: format!("{place}/{name}"), name }
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.url, NoTls).unwrap()
    }

    pub fn run(&self, sql: &str) {
        self.client().batch_execute(sql).unwrap();
    }

    pub fn number(&self, sql: &str) -> f64 {
        self.client().query_one(&format!("SELECT ({sql})::double precision"), &[]).unwrap().get(0)
    }

    /// The rows of a collection as the CSV file has them, sorted.
    pub fn rows(&self, collection: &Collection) -> Rows {
        let columns = collection.columns.iter().map(|column| match column.column_type {
            ColumnType::Time => {
                format!("to_char(\"{}\" AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')", column.name)
            }
            _ => format!("\"{}\"::text", column.name),
        });
        let sql = format!("SELECT {} FROM \"{}\"", columns.collect::<Vec<_>>().join(", "), collection.name);
        let rows = self.client().query(&sql, &[]).unwrap();
        let text = |row: &postgres::Row, place| row.get::<_, Option<String>>(place).unwrap_or_default();
        let mut rows: Rows =
            rows.iter().map(|row| (0..collection.columns.len()).map(|place| text(row, place)).collect()).collect();
        rows.sort();
        rows
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Ok(mut client) = Client::connect(&self.server, NoTls) {
            let _ = client.batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}

/// A server that goes with its test, and may be killed.
pub struct Server {
    folder: tempfile::TempDir,
    pub url: String,
}

impl Server {
    /// None where PostgreSQL is not installed, which `scripts/services` says by name.
    pub fn start() -> Option<Server> {
        let folder = tempfile::tempdir().unwrap();
        let said = services(&folder, &["up", "postgres"]).or_else(|| {
            run::lacks("a PostgreSQL of the test's own (scripts/services up postgres)");
            None
        })?;
        let url = said.trim().strip_prefix("export ORDERWATCH_POSTGRES=").unwrap().to_owned();
        Some(Server { folder, url })
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    pub fn kill(&self) {
        let id = std::fs::read_to_string(self.folder.path().join("services/postgres/pid")).unwrap();
        run::kill(id.trim());
    }

    /// Its other processes may take a moment to be gone.
    pub fn restart(&self) {
        let started = Instant::now();
        while services(&self.folder, &["restart", "postgres"]).is_none() {
            assert!(started.elapsed() < Duration::from_secs(60), "it does not start again");
        }
    }

    /// Where it keeps what it stores.
    pub fn data(&self) -> PathBuf {
        let place = std::fs::read_to_string(self.folder.path().join("services/postgres/data")).unwrap();
        PathBuf::from(place.trim()).join("data")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        services(&self.folder, &["down", "postgres"]);
    }
}

/// What `scripts/services` says; none where it fails.
fn services(folder: &tempfile::TempDir, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/services"));
    command.args(arguments).env("CARGO_TARGET_DIR", folder.path()).env_remove("ORDERWATCH_POSTGRES");
    let ended = command.stdin(Stdio::null()).output().unwrap();
    if !ended.status.success() {
        eprint!("{}", String::from_utf8_lossy(&ended.stderr));
        return None;
    }
    Some(String::from_utf8(ended.stdout).unwrap())
}

/// Waits until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(100), "{what} never");
        std::thread::sleep(Duration::from_millis(1));
    }
}
