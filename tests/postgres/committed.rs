//! What a job commits: netted by key, once, at the frontier it says, and by nobody who was replaced.

use dataflows::time::Time;
use dataflows::views::COLLECTIONS;
use orderwatch::clock::partitions::{Mark, Partition, Trail};
use orderwatch::sink::change::Change;
use orderwatch::sink::commits::{Outcome, Progress, Transactions};

use super::inputs::Chance;
use super::refused::connect;
use super::server::Database;
use super::wanted::Wanted;

#[track_caller]
pub fn assert_holds(database: &Database, wanted: &Wanted) {
    for collection in &COLLECTIONS {
        assert_eq!(database.rows(collection), wanted.rows(collection), "{}", collection.name);
    }
}

fn trail(offset: u64) -> Trail {
    let mark = Mark { next_offset: offset, largest_at: 5, watermark: u64::MAX, ceiling: 1 << 60 };
    Trail::from([(Partition { topic: "orders".into(), number: 3 }, vec![mark])])
}

fn progress(incarnation: u64, frontier: Time) -> Progress {
    Progress { incarnation, frontier, committed_by: incarnation, trail: trail(frontier), complete_since: 0 }
}

#[test]
fn the_tables_are_what_the_changes_come_to() {
    let Some(database) = Database::new() else { return };
    let mut postgres = connect(&database.url, "shop").unwrap();
    assert_eq!(postgres.fence(7), Some(Progress { incarnation: 7, ..Progress::default() }));
    let (mut wanted, mut chance) = (Wanted::default(), Chance(1));
    for frontier in 0..30 {
        let count = chance.below(200);
        let updates: Vec<(Change, Time)> = (0..count).map(|_| (wanted.change(&mut chance, 40), frontier)).collect();
        let outcome = postgres.commit(frontier, &progress(7, frontier + 1), &updates);
        assert_eq!(outcome, Outcome::Done);
        if frontier % 10 == 0 {
            assert_holds(&database, &wanted);
        }
    }
    assert_holds(&database, &wanted);
    let mut again = connect(&database.url, "shop").unwrap();
    assert_eq!(again.fence(7), Some(progress(7, 30)), "another connection reads the trail, too");
}

#[test]
fn nobody_but_the_newest_incarnation_commits_and_only_from_where_the_sink_is() {
    let Some(database) = Database::new() else { return };
    let (mut old, mut new) = (connect(&database.url, "shop").unwrap(), connect(&database.url, "shop").unwrap());
    let (mut wanted, mut chance) = (Wanted::default(), Chance(2));
    assert!(matches!(old.commit(0, &progress(1, 9), &[]), Outcome::Unknown), "the progress was not read");
    old.fence(1).unwrap();
    let change = wanted.change(&mut chance, 40);
    assert_eq!(old.commit(0, &progress(1, 5), &[(change, 1)]), Outcome::Done);
    assert_eq!(new.fence(2), Some(Progress { incarnation: 2, ..progress(1, 5) }));
    let lost = (Wanted::default().change(&mut chance, 40), 6);
    assert_eq!(old.commit(5, &progress(1, 9), std::slice::from_ref(&lost)), Outcome::Fenced);
    assert_eq!(old.fence(1), Some(Progress { incarnation: 2, ..progress(1, 5) }), "an older one changes nothing");
    assert_eq!(new.commit(4, &progress(2, 9), std::slice::from_ref(&lost)), Outcome::Fenced);
    assert_holds(&database, &wanted);
    let change = wanted.change(&mut chance, 40);
    assert_eq!(new.commit(5, &progress(2, 9), &[(change, 6)]), Outcome::Done);
    assert_holds(&database, &wanted);
}

#[test]
fn a_zombie_that_stands_still_in_its_transaction_holds_its_successor_up_for_seconds_only() {
    let Some(database) = Database::new() else { return };
    let (mut new, mut chance) = (connect(&database.url, "shop").unwrap(), Chance(3));
    new.fence(1).unwrap();
    // What the zombie is about to do when it is cut off: it has locked the progress, and waits.
    let mut zombie = database.client();
    let lock = "UPDATE orderwatch_progress SET frontier = 5 WHERE incarnation = 1";
    zombie.batch_execute(&format!("SET idle_in_transaction_session_timeout = '1s'; BEGIN; {lock}")).unwrap();
    assert_eq!(new.fence(2).map(|found| found.frontier), Some(0));
    let mut wanted = Wanted::default();
    let change = wanted.change(&mut chance, 40);
    assert_eq!(new.commit(0, &progress(2, 9), &[(change, 6)]), Outcome::Done);
    assert!(zombie.batch_execute("COMMIT").is_err());
    assert_holds(&database, &wanted);
}

#[test]
fn a_table_that_was_dropped_or_altered_fails_until_it_is_back_and_changes_nothing() {
    let Some(database) = Database::new() else { return };
    let mut postgres = connect(&database.url, "shop").unwrap();
    postgres.fence(1).unwrap();
    let mut wanted = Wanted::default();
    let mut chance = Chance(4);
    let mut updates = Vec::new();
    while updates.len() < 50 {
        updates.push((wanted.change(&mut chance, 40), 1));
    }
    for (away, back) in [
        ("ALTER TABLE orders RENAME TO mine", "ALTER TABLE mine RENAME TO orders"),
        ("ALTER TABLE orders RENAME COLUMN items TO things", "ALTER TABLE orders RENAME COLUMN things TO items"),
        ("ALTER TABLE orders ADD CHECK (false) NOT VALID", "ALTER TABLE orders DROP CONSTRAINT orders_check"),
    ] {
        database.run(away);
        assert_eq!(postgres.commit(0, &progress(1, 2), &updates), Outcome::Failed, "{away}");
        database.run(back);
        assert_holds(&database, &Wanted::default());
    }
    database.client().query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()", &[]).unwrap();
    assert_eq!(postgres.commit(0, &progress(1, 2), &updates), Outcome::Unknown);
    assert_eq!(postgres.commit(0, &progress(1, 2), &updates), Outcome::Unknown, "nothing before the progress was read");
    assert_eq!(postgres.fence(1).map(|found| found.frontier), Some(0));
    assert_eq!(postgres.commit(0, &progress(1, 2), &updates), Outcome::Done);
    assert_holds(&database, &wanted);
}

/// What the table of categories should hold, as PostgreSQL shows it.
#[track_caller]
fn assert_holds_categories(database: &Database, wanted: &Wanted) {
    let collection = COLLECTIONS.iter().find(|collection| collection.name == "category_metrics").unwrap();
    let shown = |cell: String| cell.replace('␀', "␀␀").replace('\0', "␀0");
    let mut rows: Vec<Vec<String>> =
        wanted.rows(collection).into_iter().map(|row| row.into_iter().map(shown).collect()).collect();
    rows.sort();
    assert!(rows.len() > 5 && database.rows(collection) == rows, "{rows:?}");
}

#[test]
fn no_text_of_a_record_is_too_long_or_too_strange_for_a_key() {
    let Some(database) = Database::new() else { return };
    let mut postgres = connect(&database.url, "shop").unwrap();
    postgres.fence(1).unwrap();
    let mut wanted = Wanted::default();
    // Each is written, written again, and deleted, beside others that are almost the same.
    for number in 0..5 {
        let frontier = number as Time;
        let updates: Vec<_> = wanted.categories(number).into_iter().map(|change| (change, frontier)).collect();
        assert_eq!(postgres.commit(frontier, &progress(1, frontier + 1), &updates), Outcome::Done);
        assert_holds_categories(&database, &wanted);
    }
}

#[test]
fn tables_of_an_earlier_version_are_brought_to_this_one() {
    let Some(database) = Database::new() else { return };
    connect(&database.url, "shop").unwrap().fence(1).unwrap();
    database.run(
        "DROP INDEX category_metrics_key; UPDATE orderwatch_schema SET version = 1;
         ALTER TABLE orderwatch_progress DROP COLUMN committed_by;
         CREATE UNIQUE INDEX category_metrics_key ON category_metrics
           (\"window\", COALESCE(window_start, '-infinity'), tenant, category)",
    );
    let mut postgres = connect(&database.url, "shop").unwrap();
    assert_eq!(database.number("SELECT version FROM orderwatch_schema"), 3.0);
    assert_eq!(postgres.fence(2).map(|found| (found.frontier, found.committed_by)), Some((0, 1)));
    let mut wanted = Wanted::default();
    let updates: Vec<_> = wanted.categories(1).into_iter().map(|change| (change, 0)).collect();
    assert_eq!(postgres.commit(0, &progress(2, 1), &updates), Outcome::Done);
    assert_holds_categories(&database, &wanted);
}

#[test]
fn a_commit_may_take_longer_than_others_of_its_role_may() {
    let Some(database) = Database::new() else { return };
    let mut postgres = connect(&format!("{}?options=-cstatement_timeout%3D500", database.url), "shop").unwrap();
    postgres.fence(1).unwrap();
    database.run(
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NEW; END';
         CREATE TRIGGER slowly BEFORE UPDATE ON orderwatch_progress FOR EACH ROW EXECUTE FUNCTION slowly()",
    );
    let mut wanted = Wanted::default();
    let change = wanted.change(&mut Chance(7), 40);
    assert_eq!(postgres.commit(0, &progress(1, 9), &[(change, 6)]), Outcome::Done);
    assert_holds(&database, &wanted);
}
