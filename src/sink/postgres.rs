//! PostgreSQL: a table a collection, kept up to date by a job in transactions, or replaced by a replay in one
//! ([`Replacement`]).
//!
//! A commit is one transaction: rows come by COPY into staging tables, the job's row of `orderwatch_progress` moves under
//! the condition that it stands where this incarnation left it, then each staging table is merged into its own. Invariant:
//! nothing is written through a connection on which the progress has not been read first, so an answer to COMMIT that was
//! lost is never guessed. Rows are locked only after all have been sent: a process that is cut off while it sends holds
//! nobody up. Source: outputs.md; decision 10.

pub mod address;
mod connection;
mod replacement;
mod rows;
mod schema;

use std::collections::BTreeSet;

use dataflows::time::Time;
use postgres::Client;

use super::change::Change;
use super::commits::owner::Owner;
use super::commits::{Outcome, Progress, Transactions};
use crate::clock::partitions::Trail;
use crate::clock::trail;
use crate::error::JobResult;
use crate::instant::format_instant;
use address::{Address, Url};
use connection::{connect, connect_now, connect_once, is_refusal, refused};
pub use replacement::Replacement;
use rows::Staging;
use schema::PROGRESS;

/// A transaction whose process stands still gives up what it locked: its successor must not wait for ever.
const IDLE_MAX: &str = "SET idle_in_transaction_session_timeout = '10s'";

/// Where a job keeps its tables up to date.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// The database; its schema is the first of the user's search path.
    pub url: Url,
    /// Identity of the job.
    pub job: String,
}

/// Tables that a job keeps up to date.
pub struct Postgres {
    address: Address,
    job: String,
    /// None where it was lost, and the progress has not been read since.
    session: Option<Session>,
}

/// A connection, and what was made on it.
struct Session {
    client: Client,
    /// Collections with a staging table.
    staged: BTreeSet<&'static str>,
}

/// A step that failed: with the table it was about.
type Step<T> = Result<T, (Option<&'static str>, postgres::Error)>;

impl Postgres {
    /// Waits for the server, and makes the tables where there are none.
    pub fn connect(settings: &PostgresSettings) -> JobResult<Postgres> {
        let address = Address::of(&settings.url)?;
        let mut client = connect(&address)?;
        within(&mut client, &address, |client| schema::prepare(client, &address, Owner::Job(&settings.job)))?;
        Ok(Postgres { address, job: settings.job.clone(), session: None })
    }

    /// Tries the same without waiting, and leaves nothing behind; where that is.
    pub fn probe(settings: &PostgresSettings) -> JobResult<()> {
        probe(&settings.url, Owner::Job(&settings.job))
    }

    /// The session, a new one where the last was lost.
    fn session(&mut self) -> Result<&mut Session, postgres::Error> {
        let session = match self.session.take().filter(|session| !session.client.is_closed()) {
            Some(session) => session,
            None => {
                let mut client = connect_once(&self.address)?;
                client.batch_execute(IDLE_MAX)?;
                Session { client, staged: BTreeSet::new() }
            }
        };
        Ok(self.session.insert(session))
    }

    fn fenced(&mut self, incarnation: u64) -> JobResult<Progress> {
        let sql = format!(
            "INSERT INTO {PROGRESS} AS known (job, incarnation, frontier, trail) VALUES ($1, $2, 0, $3)
             ON CONFLICT (job) DO UPDATE SET incarnation = greatest(known.incarnation, excluded.incarnation)
             RETURNING incarnation, frontier, trail, complete_since, committed_by"
        );
        let (address, job) = (self.address.clone(), self.job.clone());
        let failed = |error: postgres::Error| refused(&address, Some(PROGRESS), &error);
        let values: [&(dyn postgres::types::ToSql + Sync); 3] =
            [&job, &incarnation.cast_signed(), &trail::packed(&Trail::new())];
        let client = &mut self.session().map_err(failed)?.client;
        // Of two that found tables that are nobody's one alone may go on.
        let row = within(client, &address, |client| {
            schema::lock(client).map_err(failed)?;
            schema::spare(client, &address, Owner::Job(&job))?;
            client.query_one(&sql, &values).map_err(failed)
        })?;
        Ok(Progress {
            incarnation: row.get::<_, i64>(0).cast_unsigned(),
            frontier: row.get::<_, i64>(1).cast_unsigned(),
            trail: trail::unpacked(row.get(2)),
            complete_since: row.get::<_, i64>(3).cast_unsigned(),
            committed_by: row.get::<_, i64>(4).cast_unsigned(),
        })
    }
}

impl Transactions<Change> for Postgres {
    fn fence(&mut self, incarnation: u64) -> Option<Progress> {
        self.fenced(incarnation)
            .inspect_err(|error| {
                self.session = None;
                error.warn();
            })
            .ok()
    }

    fn commit(&mut self, from: Time, to: &Progress, updates: &[(Change, Time)]) -> Outcome {
        // Whoever has no session has to read the progress first.
        let Some(session) = self.session.as_mut().filter(|session| !session.client.is_closed()) else {
            return Outcome::Unknown;
        };
        match session.commit(&self.job, from, to, updates) {
            Ok(outcome) => outcome,
            Err((table, error)) => {
                refused(&self.address, table, &error).warn();
                if is_refusal(&error) && session.client.batch_execute("ROLLBACK").is_ok() {
                    return Outcome::Failed;
                }
                self.session = None;
                Outcome::Unknown
            }
        }
    }
}

impl Session {
    fn commit(&mut self, job: &str, from: Time, to: &Progress, updates: &[(Change, Time)]) -> Step<Outcome> {
        let changes = rows::staged(updates);
        let changes: Vec<_> =
            changes.iter().map(|(collection, text)| (collection, Staging::of(collection), text)).collect();
        for (collection, staging, _) in &changes {
            if !self.staged.contains(collection.name) {
                self.client.batch_execute(&staging.create).map_err(|error| (Some(collection.name), error))?;
                self.staged.insert(collection.name);
            }
        }
        self.client.batch_execute("BEGIN").map_err(|error| (None, error))?;
        for (collection, staging, text) in &changes {
            rows::copy(&mut self.client, &staging.copy, text).map_err(|error| (Some(collection.name), error))?;
        }
        if !self.advance(job, from, to).map_err(|error| (Some(PROGRESS), error))? {
            self.client.batch_execute("ROLLBACK").map_err(|error| (None, error))?;
            let left_at = format_instant(from);
            tracing::warn!(
                "{PROGRESS} no longer says of job {job} what incarnation {} left there at {left_at}: another one has taken \
                 over, or the database was put back to an earlier state",
                to.incarnation
            );
            return Ok(Outcome::Fenced);
        }
        for (collection, staging, _) in &changes {
            self.client.batch_execute(&staging.merge).map_err(|error| (Some(collection.name), error))?;
        }
        self.client.batch_execute("COMMIT").map_err(|error| (None, error))?;
        Ok(Outcome::Done)
    }

    /// Moves the progress, which nobody else can then do before the transaction ends; false where it is not ours to move.
    fn advance(&mut self, job: &str, from: Time, to: &Progress) -> Result<bool, postgres::Error> {
        let sql = format!(
            "UPDATE {PROGRESS} SET frontier = $4, trail = $5, complete_since = $6, committed_by = $7, updated_at = now()
             WHERE job = $1 AND incarnation = $2 AND frontier = $3"
        );
        let [incarnation, from, frontier, complete_since, committed_by] =
            [to.incarnation, from, to.frontier, to.complete_since, to.committed_by].map(u64::cast_signed);
        let trail = trail::packed(&to.trail);
        let values: [&(dyn postgres::types::ToSql + Sync); 7] =
            [&job, &incarnation, &from, &frontier, &trail, &complete_since, &committed_by];
        Ok(self.client.execute(&sql, &values)? == 1)
    }
}

/// Connects, if that is possible now, and makes the tables where there are none, in a transaction that comes to nothing.
fn probe(url: &Url, owner: Owner<'_>) -> JobResult<()> {
    let address = Address::of(url)?;
    let mut client = connect_now(&address)?;
    client.batch_execute("BEGIN").map_err(|error| refused(&address, None, &error))?;
    schema::prepare(&mut client, &address, owner)
}

/// What is done in one transaction.
fn within<T>(client: &mut Client, address: &Address, work: impl FnOnce(&mut Client) -> JobResult<T>) -> JobResult<T> {
    let failed = |error: postgres::Error| refused(address, None, &error);
    client.batch_execute("BEGIN").map_err(failed)?;
    let done = work(client)?;
    client.batch_execute("COMMIT").map_err(failed)?;
    Ok(done)
}
