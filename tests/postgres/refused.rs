//! What cannot be written to, or must not be, is refused, by name and with what to do; no password is shown.

use std::process::Command;

use super::outcome::{Place, assert_failed};
use super::run::{Ended, replay, run, start};
use super::server::{Database, wait_until};
use orderwatch::sink::commits::Transactions;
use orderwatch::sink::postgres::{Postgres, PostgresSettings};

const LINE: &str = "{\"order_id\":\"a\",\"event_type\":\"ORDER_PLACED\",\"timestamp\":\"2024-03-01T00:00:00Z\"}\n";

fn into(url: &str) -> Ended {
    let place = Place::new();
    place.write("x.jsonl", LINE);
    run(replay(&["x.jsonl", "--no-console", "--postgres", url]).current_dir(place.folder.path()))
}

pub fn connect(url: &str, job: &str) -> orderwatch::error::JobResult<Postgres> {
    Postgres::connect(&PostgresSettings { url: url.parse().unwrap(), job: job.into() })
}

#[test]
fn a_url_that_is_none_and_a_server_that_says_no() {
    assert_failed(&into("db.example"), 2, &["no URL of a PostgreSQL database", "flag --postgres", "postgresql://USER"]);
    let Some(database) = Database::new() else { return };
    let with_password = database.url.replace("postgres@", "postgres:s3cret@");
    let ended = into(&format!("{with_password}_none"));
    assert_failed(&ended, 1, &["cannot connect to PostgreSQL", "does not exist", "create the database"]);
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    let ended = into(&format!("{}?sslmode=require", database.url));
    assert_failed(&ended, 1, &["cannot connect to PostgreSQL", "TLS", "sslmode"]);
    let mut check = Command::new(assert_cmd::cargo::cargo_bin!("orderwatch"));
    let sample = super::inputs::sample();
    let ended = run(check.env_clear().arg("check").arg(sample).args(["--postgres", &with_password]));
    assert!(ended.code == Some(0) && ended.stdout.contains("--postgres postgresql://postgres@"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("s3cret"));
    assert_eq!(
        database.number("SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'"),
        0.0,
        "a check leaves nothing"
    );
}

#[test]
fn a_server_that_is_not_there_is_waited_for_until_an_interruption() {
    let place = Place::new();
    place.write("x.jsonl", LINE);
    let mut command = replay(&["x.jsonl", "--postgres", "postgresql://me:s3cret@127.0.0.1:1/shop"]);
    let mut running = start(command.current_dir(place.folder.path()));
    running.wait_until_it_says("waiting for PostgreSQL, postgresql://me@127.0.0.1:1/shop");
    assert!(Command::new("kill").args(["-INT", &running.child.id().to_string()]).status().unwrap().success());
    let ended = running.wait();
    assert!(ended.code == Some(130) && !ended.stderr.contains("s3cret"), "{}", ended.stderr);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let Some(database) = Database::new() else { return };
    database.run("CREATE TABLE orders (mine text); INSERT INTO orders VALUES ('x'); CREATE SCHEMA \"Shop 1\"");
    assert_failed(
        &into(&database.url),
        2,
        &["orderwatch did not make orders, which is there already", "CREATE SCHEMA"],
    );
    assert_eq!(database.number("SELECT COUNT(*) FROM orders WHERE mine = 'x'"), 1.0);
    let schema = format!("{}?options=-csearch_path%3D%22Shop%5C%201%22", database.url);
    assert_eq!(into(&schema).code, Some(0));
    assert_eq!(database.number("SELECT COUNT(*) FROM \"Shop 1\".orders"), 1.0);
    let none = format!("{}?options=-csearch_path%3Dnone", database.url);
    assert_failed(&into(&none), 2, &["PostgreSQL has no schema to write to"]);
    database.run("CREATE ROLE reader LOGIN; DROP TABLE orders");
    let reader = database.url.replace("postgres@", "reader@");
    assert_failed(&into(&reader), 1, &["permission denied for schema public", "grant"]);
    database.run("DROP OWNED BY reader; DROP ROLE reader");
}

#[test]
fn a_schema_is_of_one_job_or_of_replays_and_of_one_version() {
    let Some(database) = Database::new() else { return };
    assert_eq!(into(&database.url).code, Some(0));
    let refused = |job: &str| connect(&database.url, job).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused("shop").contains("the table orders holds what a replay wrote"), "{}", refused("shop"));
    database.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    let mut shop = connect(&database.url, "shop").unwrap();
    assert_eq!(shop.fence(1).unwrap().frontier, 0);
    assert!(refused("other").contains("the job shop keeps these tables up to date"), "{}", refused("other"));
    assert_failed(&into(&database.url), 2, &["the job shop keeps these tables up to date, nobody else may"]);
    assert!(connect(&database.url, "shop").is_ok());
    database.run("DROP TABLE stalled_orders");
    assert!(refused("shop").contains("the table stalled_orders has been dropped"), "{}", refused("shop"));
    database.run("UPDATE orderwatch_schema SET version = 99");
    assert!(refused("shop").contains("a newer version of orderwatch made these tables: theirs is 99"));
}

#[test]
fn of_two_jobs_that_found_nothing_one_gets_the_tables() {
    let Some(database) = Database::new() else { return };
    let [mut first, mut second] = ["first", "second"].map(|job| connect(&database.url, job).unwrap());
    assert_eq!(first.fence(1).unwrap().frontier, 0);
    assert_eq!(second.fence(1), None);
    assert_eq!(first.fence(2).unwrap().incarnation, 2);
    assert_eq!(database.number("SELECT COUNT(*) FROM orderwatch_progress"), 1.0);
}

#[test]
fn what_somebody_added_to_a_table_is_named_where_it_keeps_rows_out() {
    let Some(database) = Database::new() else { return };
    assert_eq!(into(&database.url).code, Some(0));
    database.run("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not today''; END'");
    // More than one row would have the same.
    database.run("DELETE FROM real_time_funnel");
    for (add, drop, says) in [
        (
            "CREATE UNIQUE INDEX mine ON real_time_funnel ((1))",
            "DROP INDEX mine",
            "table real_time_funnel, constraint mine",
        ),
        (
            "ALTER TABLE orders ADD CONSTRAINT mine CHECK (false) NOT VALID",
            "ALTER TABLE orders DROP CONSTRAINT mine",
            "table orders, constraint mine",
        ),
        (
            "CREATE TRIGGER mine BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION refuse()",
            "DROP TRIGGER mine ON orders",
            "table orders, PL/pgSQL function refuse()",
        ),
    ] {
        database.run(add);
        assert_failed(&into(&database.url), 1, &["cannot write to PostgreSQL", says, "was added to the table"]);
        database.run(drop);
    }
    assert_eq!(into(&database.url).code, Some(0));
}

#[test]
fn two_that_start_at_once_make_one_schema() {
    let Some(database) = Database::new() else { return };
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..4).map(|_| scope.spawn(|| connect(&database.url, "shop").map(drop))).collect();
        started.into_iter().for_each(|started| started.join().unwrap().unwrap());
    });
    wait_until("there is a version", || database.number("SELECT COUNT(*) FROM orderwatch_schema") == 1.0);
}
