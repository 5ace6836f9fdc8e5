//! What a file holds after each commit that was done, failed, or got lost; and whose file it is.

use std::fs;

use super::*;
use crate::clock::partitions::{Mark, Partition};
use crate::sink::Sink;
use crate::sink::commits::Commits;
use crate::sink::text_row::write_text;

fn text(cells: &[&str]) -> String {
    let mut text = String::new();
    cells.iter().for_each(|cell| write_text(cell, &mut text));
    text
}

/// What becomes of a category at a time.
fn change(category: &str, items: Option<&str>, time: Time) -> (Change, Time) {
    let collection = COLLECTIONS.iter().find(|collection| collection.name == "category_metrics").unwrap();
    let row = items.map(|items| text(&[items, "1.50"]).into());
    (Change { collection, key: text(&["total", "", "acme", category]).into(), row }, time)
}

fn at(incarnation: u64, frontier: Time) -> Progress {
    let mark = Mark { next_offset: frontier, largest_at: 5, watermark: u64::MAX, ceiling: 1 << 60 };
    let trail = Trail::from([(Partition { topic: "orders".into(), number: 3 }, vec![mark])]);
    Progress { incarnation, frontier, committed_by: incarnation, trail, complete_since: 0 }
}

fn categories(connection: &Connection) -> Vec<(String, i64)> {
    let mut statement = connection.prepare("SELECT category, items FROM category_metrics ORDER BY category").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

fn row(category: &str, items: i64) -> (String, i64) {
    (category.to_owned(), items)
}

fn said(result: JobResult<impl Sized>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn rows_and_progress_move_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sqlite");
    let mut live = LiveSqlite::open(&path, "shop").unwrap();
    assert_eq!(live.commit(0, &at(7, 5), &[]), Outcome::Unknown, "the progress was not read");
    assert_eq!(live.fence(7), Some(Progress { incarnation: 7, ..Progress::default() }));
    let updates =
        [change("a", Some("1"), 1), change("b", Some("1"), 1), change("a", Some("2"), 2), change("b", None, 3)];
    assert_eq!(live.commit(0, &at(7, 5), &updates), Outcome::Done);
    let other = Connection::open(&path).unwrap();
    let later = [change("a", None, 6), change("c", Some("3"), 6)];
    let rename = "ALTER TABLE category_metrics RENAME";
    for (away, back, what) in [
        (format!("{rename} TO mine"), "ALTER TABLE mine RENAME TO category_metrics".to_owned(), "no such table"),
        (format!("{rename} items TO things"), format!("{rename} things TO items"), "no column named items"),
    ] {
        other.execute_batch(&away).unwrap();
        let connection = live.connection.as_mut().unwrap();
        let (table, error) = commit(connection, "shop", 5, &at(7, 9), &later).unwrap_err();
        let says = refused(&path, table, &error).to_string();
        assert!(says.contains(what) && says.contains("table category_metrics\n"), "{says}");
        assert!(says.contains("dropped or altered"), "{says}");
        assert_eq!(live.commit(5, &at(7, 9), &later), Outcome::Failed);
        other.execute_batch(&back).unwrap();
        assert_eq!(live.fence(7), Some(at(7, 5)));
    }
    assert_eq!(categories(&other), [row("a", 2)]);
    assert_eq!(live.commit(5, &at(7, 9), &later), Outcome::Done);
    assert_eq!(categories(&other), [row("c", 3)]);
    let mut again = LiveSqlite::open(&path, "shop").unwrap();
    assert_eq!(again.fence(7), Some(at(7, 9)), "another connection reads the trail, too");
}

#[test]
fn what_somebody_added_to_a_table_is_told_where_it_keeps_rows_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sqlite");
    let mut live = LiveSqlite::open(&path, "shop").unwrap();
    live.fence(1).unwrap();
    let other = Connection::open(&path).unwrap();
    let updates = [change("a", Some("1"), 1), change("b", Some("1"), 1)];
    let trigger = "CREATE TRIGGER mine BEFORE INSERT ON category_metrics BEGIN SELECT RAISE(ABORT, 'not today'); END";
    for (add, away, what) in [
        ("CREATE UNIQUE INDEX mine ON category_metrics (tenant)", "DROP INDEX mine", "failed: category_metrics.tenant"),
        (trigger, "DROP TRIGGER mine", "not today"),
    ] {
        other.execute_batch(add).unwrap();
        let connection = live.connection.as_mut().unwrap();
        let (table, error) = commit(connection, "shop", 0, &at(1, 5), &updates).unwrap_err();
        let says = refused(&path, table, &error).to_string();
        assert!(says.contains(what) && says.contains("table category_metrics\n"), "{says}");
        assert!(says.contains("was added to the table") && !says.contains("altered"), "{says}");
        assert_eq!(live.commit(0, &at(1, 5), &updates), Outcome::Failed);
        other.execute_batch(away).unwrap();
    }
    assert_eq!(live.commit(0, &at(1, 5), &updates), Outcome::Done);
}

#[test]
fn who_fences_a_file_asks_once_more_whose_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sqlite");
    let mut live = LiveSqlite::open(&path, "shop").unwrap();
    live.fence(1).unwrap();
    // Another one has come since the tables were looked at.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("UPDATE orderwatch_progress SET job = 'other'").unwrap();
    let says = said(fence(live.connection.as_mut().unwrap(), &path, "shop", 2));
    assert!(says.contains("the job other keeps these tables up to date, nobody else may"), "{says}");
    assert_eq!(live.fence(2), None);
    let jobs = "SELECT group_concat(job) FROM orderwatch_progress";
    assert_eq!(other.query_row(jobs, [], |row| row.get::<_, String>(0)).unwrap(), "other");
}

#[test]
fn a_full_disk_and_others_that_write_fail_a_commit_and_who_reads_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sqlite");
    let mut live = LiveSqlite::open(&path, "shop").unwrap();
    live.fence(1).unwrap();
    let limit = |live: &LiveSqlite, pages: i64| {
        let connection = live.connection.as_ref().unwrap();
        connection.busy_timeout(Duration::from_millis(5)).unwrap();
        connection.pragma_update(None, "max_page_count", pages).unwrap();
    };
    // No more than there are.
    limit(&live, 1);
    let long = "ü".repeat(100_000);
    assert_eq!(live.commit(0, &at(1, 5), &[change(&long, Some("1"), 1)]), Outcome::Failed);
    limit(&live, 1 << 20);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(live.commit(0, &at(1, 5), &[change("a", Some("1"), 1)]), Outcome::Failed);
    other.execute_batch("ROLLBACK; BEGIN").unwrap();
    assert!(categories(&other).is_empty());
    for frontier in 0..30 {
        let category = format!("{frontier}{long}");
        let changes = [change(&category, Some("1"), frontier)];
        assert_eq!(live.commit(frontier, &at(1, frontier + 1), &changes), Outcome::Done);
    }
    assert!(categories(&other).is_empty(), "a transaction sees one state");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(categories(&other).len(), 30);
}

#[test]
fn nobody_but_the_newest_incarnation_commits_and_only_from_where_the_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sqlite");
    let [mut old, mut new] = [(), ()].map(|()| LiveSqlite::open(&path, "shop").unwrap());
    old.fence(1).unwrap();
    assert_eq!(old.commit(0, &at(1, 5), &[change("a", Some("1"), 1)]), Outcome::Done);
    assert_eq!(new.fence(2), Some(Progress { incarnation: 2, ..at(1, 5) }));
    let lost = [change("lost", Some("1"), 6)];
    assert_eq!(old.commit(5, &at(1, 9), &lost), Outcome::Fenced);
    assert_eq!(old.fence(1), Some(Progress { incarnation: 2, ..at(1, 5) }), "an older one changes nothing");
    assert_eq!(new.commit(4, &at(2, 9), &lost), Outcome::Fenced);
    assert_eq!(new.commit(5, &at(2, 9), &[change("b", Some("1"), 6)]), Outcome::Done);
    assert_eq!(categories(&Connection::open(&path).unwrap()), [row("a", 1), row("b", 1)]);
}

/// Does what it is asked for, and is gone before it can say so.
struct Lost<'l>(&'l mut LiveSqlite);

impl Transactions<Change> for Lost<'_> {
    fn fence(&mut self, incarnation: u64) -> Option<Progress> {
        self.0.fence(incarnation)
    }

    fn commit(&mut self, from: Time, to: &Progress, updates: &[(Change, Time)]) -> Outcome {
        assert_eq!(self.0.commit(from, to, updates), Outcome::Done);
        self.0.connection = None;
        Outcome::Unknown
    }
}

#[test]
fn after_a_lost_answer_or_a_lost_file_the_progress_is_asked_for_first() {
    let folder = tempfile::tempdir().unwrap();
    let [path, aside] = ["shop.sqlite", "aside"].map(|name| folder.path().join(name));
    let mut live = LiveSqlite::open(&path, "shop").unwrap();
    let mut commits = Commits::new(live.fence(1).unwrap(), &Trail::new());
    let give = |commits: &mut Commits<Change>, (change, time)| commits.give(change, time);
    give(&mut commits, change("a", Some("1"), 1));
    assert_eq!(commits.commit(5, &mut Lost(&mut live)), Outcome::Unknown);
    assert_eq!(commits.progress().frontier, 0);
    assert_eq!(commits.commit(5, &mut live), Outcome::Done);
    assert_eq!(commits.progress().frontier, 5);
    give(&mut commits, change("b", Some("1"), 6));
    fs::rename(&path, &aside).unwrap();
    for _ in 0..3 {
        assert_eq!(commits.commit(9, &mut live), Outcome::Unknown);
    }
    assert!(!path.exists(), "one that was moved is not made anew");
    fs::rename(&aside, &path).unwrap();
    assert_eq!(commits.commit(9, &mut live), Outcome::Done);
    assert_eq!(categories(&Connection::open(&path).unwrap()), [row("a", 1), row("b", 1)]);
}

/// What a replay does that has one category, but for the commit.
fn give_one_category(sink: &Sqlite) {
    for collection in COLLECTIONS {
        let mut writer = sink.begin(collection).unwrap();
        if collection.name == "category_metrics" {
            writer.write(TextRow::new(&text(&["total", "", "acme", "replayed", "1", "1.50"]))).unwrap();
        }
        writer.finish().unwrap();
    }
}

#[test]
fn what_a_removed_file_has_left_is_not_taken_for_the_next_ones() {
    let folder = tempfile::tempdir().unwrap();
    let [path, log, aside] = ["shop.sqlite", "shop.sqlite-wal", "aside"].map(|name| folder.path().join(name));
    let mut live = LiveSqlite::open(&path, "shop").unwrap();
    live.fence(1).unwrap();
    assert_eq!(live.commit(0, &at(1, 5), &[change("gone", Some("1"), 1)]), Outcome::Done);
    fs::copy(&log, &aside).unwrap();
    drop(live);
    fs::remove_file(&path).unwrap();
    fs::rename(&aside, &log).unwrap();
    let sink = Sqlite::create(&path).unwrap();
    give_one_category(&sink);
    sink.commit().unwrap();
    assert_eq!(categories(&Connection::open(&path).unwrap()), [row("replayed", 1)]);
}

#[test]
fn a_file_is_of_one_job_or_of_replays() {
    let folder = tempfile::tempdir().unwrap();
    let [path, replayed] = ["shop.sqlite", "replayed.sqlite"].map(|name| folder.path().join(name));
    LiveSqlite::probe(&path, "shop").unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "to try leaves nothing");
    LiveSqlite::open(&path, "shop").unwrap().fence(1).unwrap();
    LiveSqlite::probe(&path, "shop").unwrap();
    let is_kept = "the job shop keeps these tables up to date, nobody else may";
    assert!(said(LiveSqlite::open(&path, "other")).contains(is_kept));
    assert!(said(LiveSqlite::probe(&path, "other")).contains(is_kept));
    assert!(said(Sqlite::create(&path)).contains(is_kept));
    // Both found nothing there; the job was first.
    let late = folder.path().join("late.sqlite");
    let sink = Sqlite::create(&late).unwrap();
    give_one_category(&sink);
    LiveSqlite::open(&late, "shop").unwrap().fence(1).unwrap();
    assert!(said(sink.commit()).contains(is_kept));
    let sink = Sqlite::create(&replayed).unwrap();
    give_one_category(&sink);
    sink.commit().unwrap();
    let says = said(LiveSqlite::open(&replayed, "shop"));
    assert!(says.contains("the table category_metrics holds what a replay wrote"), "{says}");
    let other = Connection::open(&replayed).unwrap();
    // Nothing is mixed where there are no rows.
    other.execute_batch("DELETE FROM category_metrics").unwrap();
    assert_eq!(LiveSqlite::open(&replayed, "shop").unwrap().fence(1).unwrap().frontier, 0);
    for (sql, what) in [
        ("ALTER TABLE orders RENAME COLUMN items TO things", "orders has been altered: items is missing, not INTEGER"),
        ("ALTER TABLE orders RENAME COLUMN things TO items", ""),
        ("DROP TABLE stalled_orders", "the table stalled_orders has been dropped"),
    ] {
        other.execute_batch(sql).unwrap();
        let says = said(LiveSqlite::open(&replayed, "shop"));
        assert!(says.contains(what), "{says}");
    }
}

#[test]
fn no_text_of_a_record_is_too_long_or_too_strange_for_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sqlite");
    let mut live = LiveSqlite::open(&path, "shop").unwrap();
    live.fence(1).unwrap();
    let long = "ü".repeat(100_000);
    // As bytes order them.
    let strange = ["", "\0", "'x\"", "x", "x\0", "x\0\0", "x\0a", "x\u{1}", "x\u{fffd}", &long];
    for (frontier, items) in (0..).zip([Some("1"), Some("2"), None, Some("3")]) {
        let changes = strange.map(|category| change(category, items, frontier));
        assert_eq!(live.commit(frontier, &at(1, frontier + 1), &changes), Outcome::Done);
        let there: i64 = items.map_or(0, |items| items.parse().unwrap());
        let expected = strange.iter().filter(|_| there > 0).map(|category| row(category, there));
        assert_eq!(categories(&Connection::open(&path).unwrap()), expected.collect::<Vec<_>>());
    }
}
