//! The schema in PostgreSQL: made, recognised, and checked against what this version writes.
//!
//! Tables follow from row types, so there are no scripts to run for a new one: `orderwatch_schema` holds the version, and a
//! version that changes tables adds the step that leads to it to [`MIGRATIONS`]. (That is all of a tool such as refinery
//! that is left where what a script says is generated.) Invariant: what orderwatch did not make is never written to, and a
//! schema is written to by one job alone, or by replays.

use std::collections::BTreeMap;

use dataflows::views::COLLECTIONS;
use dataflows::views::collection::Collection;
use postgres::Client;

use super::address::Address;
use super::connection::refused;
use crate::error::{JobError, JobResult};
use crate::sink::commits::owner::Owner;
use crate::sink::sql::Dialect::Postgres as Sql;

/// How far each job's transactions have come.
pub(super) const PROGRESS: &str = "orderwatch_progress";
/// Which version made the tables.
const VERSION_TABLE: &str = "orderwatch_schema";
/// From the first version to the next, and so on.
const MIGRATIONS: [&str; 2] = [
    // Categories may be of any length.
    r#"DO $$ BEGIN
      IF to_regclass('category_metrics') IS NOT NULL THEN
        DROP INDEX IF EXISTS category_metrics_key;
        CREATE UNIQUE INDEX category_metrics_key ON category_metrics ("window", COALESCE(window_start, '-infinity'),
          tenant, sha256(decode(replace(category, E'\\', E'\\\\'), 'escape')));
      END IF;
    END $$"#,
    // Who committed was not noted: the last who may have.
    "ALTER TABLE orderwatch_progress ADD COLUMN committed_by bigint NOT NULL DEFAULT 0;
     UPDATE orderwatch_progress SET committed_by = incarnation",
];
const ANOTHER_SCHEMA: &str = "name another database, or another schema: CREATE SCHEMA NAME, and after the URL \
                              ?options=-csearch_path%3DNAME";
const START_ANEW: &str = "put it back from a backup; or drop the schema, and have the job write it anew";

/// Columns with their types, by table or view.
type Catalog = BTreeMap<String, BTreeMap<String, String>>;

/// Within a transaction, which it keeps to itself: makes the schema where there is nothing of it, otherwise sees whether it
/// can be written to.
pub(super) fn prepare(client: &mut Client, address: &Address, owner: Owner<'_>) -> JobResult<()> {
    let failed = |error: postgres::Error| refused(address, None, &error);
    let refuse = |what: String, remedy: &str| Err(refusal(address, what, remedy));
    lock(client).map_err(failed)?;
    let place = client.query_one("SELECT current_schema()::text, current_setting('server_encoding')", &[]);
    let place = place.map_err(failed)?;
    if place.get::<_, Option<&str>>(0).is_none() {
        return refuse("PostgreSQL has no schema to write to".into(), ANOTHER_SCHEMA);
    }
    if place.get::<_, &str>(1) != "UTF8" {
        let what = format!("the database does not hold every text: its encoding is {}", place.get::<_, &str>(1));
        return refuse(what, "name a database that was created with ENCODING 'UTF8'");
    }
    let mut found = catalog(client).map_err(failed)?;
    if found.remove(VERSION_TABLE).is_none() {
        if let Some(foreign) = found.keys().next() {
            return refuse(format!("orderwatch did not make {foreign}, which is there already"), ANOTHER_SCHEMA);
        }
        return client.batch_execute(&everything()).map_err(failed);
    }
    migrate(client).map_err(failed)?.map_or(Ok(()), |newer| {
        let what = format!("a newer version of orderwatch made these tables: theirs is {newer}");
        refuse(what, "start that version, or name another schema")
    })?;
    for collection in &COLLECTIONS {
        let Some(columns) = found.get(collection.name) else {
            if let Owner::Job(_) = owner {
                return refuse(format!("the table {} has been dropped", collection.name), START_ANEW);
            }
            client.batch_execute(&table(collection)).map_err(failed)?;
            continue;
        };
        if let Some(what) = Sql.altered(collection, columns) {
            return refuse(what, "alter it back; or drop the schema, and have it written anew");
        }
    }
    client.batch_execute(&views(|name| !found.contains_key(name))).map_err(failed)?;
    spare(client, address, owner)
}

/// Until the transaction ends nobody else makes the tables, or makes them his own.
pub(super) fn lock(client: &mut Client) -> Result<(), postgres::Error> {
    client.batch_execute("SELECT pg_advisory_xact_lock(hashtext('orderwatch ' || current_schema()))")
}

/// Under the lock: refuses tables that are another one's.
pub(super) fn spare(client: &mut Client, address: &Address, owner: Owner<'_>) -> JobResult<()> {
    let failed = |error: postgres::Error| refused(address, Some(PROGRESS), &error);
    let jobs = client.query(&format!("SELECT job FROM {PROGRESS}"), &[]).map_err(failed)?;
    let jobs: Vec<String> = jobs.iter().map(|row| row.get(0)).collect();
    let has_rows = |table: &str| -> Result<bool, postgres::Error> {
        Ok(client.query_opt(&format!("SELECT 1 FROM \"{table}\" LIMIT 1"), &[])?.is_some())
    };
    let kept_out = owner.kept_out(&jobs, has_rows).map_err(failed)?;
    kept_out.map_or(Ok(()), |what| Err(refusal(address, what, ANOTHER_SCHEMA)))
}

fn refusal(address: &Address, what: String, remedy: &str) -> JobError {
    JobError::configuration(what).at(address.shown.clone()).remedy(remedy)
}

/// Brings the tables of an earlier version to this one; the version where it is a later one.
fn migrate(client: &mut Client) -> Result<Option<i32>, postgres::Error> {
    let version: i32 = client.query_one(&format!("SELECT version FROM {VERSION_TABLE}"), &[])?.get(0);
    for step in MIGRATIONS.iter().skip(usize::try_from(version - 1).unwrap_or(0)) {
        client.batch_execute(step)?;
    }
    client.execute(&format!("UPDATE {VERSION_TABLE} SET version = $1 WHERE version < $1"), &[&version_now()])?;
    Ok(Some(version).filter(|version| *version > version_now()))
}

fn version_now() -> i32 {
    MIGRATIONS.len() as i32 + 1
}

/// What there is of ours, or has a name of ours.
fn catalog(client: &mut Client) -> Result<Catalog, postgres::Error> {
    let views = Sql.views();
    let collections = COLLECTIONS.iter().map(|collection| collection.name);
    let names = collections.chain(views.iter().map(|(name, _)| *name)).chain([PROGRESS, VERSION_TABLE]);
    let rows = client.query(
        "SELECT relname::text, attname::text, format_type(atttypid, atttypmod)
         FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace JOIN pg_attribute ON attrelid = pg_class.oid
         WHERE nspname = current_schema() AND relkind IN ('r', 'p', 'v', 'm', 'f') AND attnum > 0 AND NOT attisdropped
           AND relname::text = ANY($1)",
        &[&names.collect::<Vec<&str>>()],
    )?;
    let mut catalog = Catalog::new();
    for row in rows {
        catalog.entry(row.get(0)).or_default().insert(row.get(1), row.get(2));
    }
    Ok(catalog)
}

fn everything() -> String {
    let tables: String = COLLECTIONS.iter().map(table).collect();
    format!(
        "{tables}{}
         CREATE TABLE {PROGRESS} (job text PRIMARY KEY, incarnation bigint NOT NULL, frontier bigint NOT NULL,
           trail bytea NOT NULL, complete_since bigint NOT NULL DEFAULT 0,
           committed_by bigint NOT NULL DEFAULT 0, updated_at timestamp with time zone NOT NULL DEFAULT now());
         COMMENT ON TABLE {PROGRESS} IS 'Who may write, and from which to which time, in ms since 1970, tables are complete';
         CREATE TABLE {VERSION_TABLE} (version integer PRIMARY KEY);
         COMMENT ON TABLE {VERSION_TABLE} IS 'The version of the tables of orderwatch in this schema';
         INSERT INTO {VERSION_TABLE} VALUES ({});",
        views(|_| true),
        version_now()
    )
}

/// A table with its indexes, and what it means for those who look at it.
fn table(collection: &Collection) -> String {
    let Collection { name, doc, columns } = collection;
    let quoted = |doc: &str| format!("'{}'", doc.trim().replace('\'', "''"));
    let mut sql = Sql.table(collection) + &Sql.indexes(collection);
    sql += &format!("COMMENT ON TABLE \"{name}\" IS {};\n", quoted(doc));
    for column in *columns {
        sql += &format!("COMMENT ON COLUMN \"{name}\".\"{}\" IS {};\n", column.name, quoted(column.doc));
    }
    sql
}

fn views(is_wanted: impl Fn(&str) -> bool) -> String {
    let views = Sql.views();
    let wanted = views.iter().filter(|(name, _)| is_wanted(name));
    wanted.map(|(name, query)| format!("CREATE VIEW {name} AS {query};\n")).collect()
}
