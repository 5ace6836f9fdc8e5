//! Connections to PostgreSQL: waiting for a server that is still to come, what a session is set to, and errors in words.
//!
//! Invariant: what may come right by itself is waited for, what cannot is an error at once.

use std::error::Error;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::error::{DbError, Severity, SqlState};

use super::address::Address;
use crate::error::{JobError, JobResult};
use crate::interrupt;
use crate::sink::sql::ADDED_RULE;

/// How long to wait between two attempts to connect.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// How often it is said that a server is waited for.
const SAY_EVERY: Duration = Duration::from_secs(5);

const NO_ANSWER: &str = "it takes the connection and does not answer";

/// What holds for every session: locks of others are waited for so long that the log can name them, nothing else is given up
/// for the time it takes, whatever the role's settings say (of which older servers lack some), nothing that was committed is
/// forgotten by the server, whoever has waited for a lock sees what was done under it, and all names are those of the schema that tables are made in.
const SESSION: &str = "
    SET application_name = 'orderwatch'; SET client_min_messages = 'warning'; SET lock_timeout = '30s';
    SET default_transaction_isolation = 'read committed';
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout',
      'idle_in_transaction_session_timeout', 'idle_session_timeout');
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
    SELECT set_config('search_path', quote_ident(current_schema()), false) WHERE current_schema() IS NOT NULL;";

/// Connects, waiting for as long as the server is not there.
pub(super) fn connect(address: &Address) -> JobResult<Client> {
    let mut said: Option<Instant> = None;
    loop {
        let mut asked = Instant::now();
        let connected = connect_while(address, || {
            if asked.elapsed() >= SAY_EVERY {
                asked = Instant::now();
                tracing::warn!("waiting for PostgreSQL, {}: {NO_ANSWER}", address.shown);
            }
            !interrupt::is_signalled()
        });
        match connected {
            Some(Ok(client)) => return Ok(client),
            Some(Err(error)) if !may_come(&error) => return Err(cannot_connect(address, &error)),
            Some(Err(error)) if !interrupt::is_signalled() => {
                if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                    said = Some(Instant::now());
                    tracing::warn!("waiting for PostgreSQL, {}: {}", address.shown, reason(&error));
                }
                std::thread::sleep(TRY_EVERY);
            }
            // A server that does not come back keeps what was read from being written, too.
            _ => {
                let error = JobError::job("PostgreSQL was not there, and the program was asked to end");
                return Err(error.at(address.shown.clone()).remedy("start the server, then this again"));
            }
        }
    }
}

/// Connects, if that is possible now; an error where the server does not answer for a while.
pub(super) fn connect_now(address: &Address) -> JobResult<Client> {
    let begun = Instant::now();
    let connected = connect_while(address, || begun.elapsed() < SAY_EVERY);
    let connected = connected.ok_or_else(|| {
        let error = JobError::job(format!("cannot connect to PostgreSQL: {NO_ANSWER}")).at(address.shown.clone());
        error.remedy("check host and port of the URL, and what stands between here and the server")
    })?;
    connected.map_err(|error| cannot_connect(address, &error))
}

/// Connects, if that is possible now.
pub(super) fn connect_once(address: &Address) -> Result<Client, postgres::Error> {
    let mut client = address.config.connect(address.tls.clone())?;
    client.batch_execute(SESSION)?;
    Ok(client)
}

/// Connects on a thread of its own: a server that takes a connection and says nothing would not be waited for, but hung on
/// to. None where it no longer `goes_on`; the thread then ends with the program, or when the server hangs up.
fn connect_while(address: &Address, mut goes_on: impl FnMut() -> bool) -> Option<Result<Client, postgres::Error>> {
    let (sender, answer) = channel();
    let address = address.clone();
    let connect = move || _ = sender.send(connect_once(&address));
    std::thread::Builder::new().name("connecting".to_owned()).spawn(connect).ok()?;
    loop {
        match answer.recv_timeout(TRY_EVERY) {
            Ok(connected) => return Some(connected),
            Err(RecvTimeoutError::Timeout) if goes_on() => {}
            Err(_) => return None,
        }
    }
}

/// True where the next attempt may succeed: nothing listens yet, or the server is starting or full.
fn may_come(error: &postgres::Error) -> bool {
    match error.as_db_error() {
        Some(said) => [SqlState::CANNOT_CONNECT_NOW, SqlState::TOO_MANY_CONNECTIONS].contains(said.code()),
        // A certificate that is not trusted comes as an error of I/O, too.
        None => match error.source().and_then(|cause| cause.downcast_ref::<io::Error>()) {
            Some(cause) => cause.get_ref().is_none_or(|inner| !inner.is::<rustls::Error>()),
            None => error.is_closed(),
        },
    }
}

/// True where the server said that it did not do something, and can be asked for the next thing.
pub(super) fn is_refusal(error: &postgres::Error) -> bool {
    error.as_db_error().is_some_and(|said| said.parsed_severity() == Some(Severity::Error))
}

/// What went wrong, in the server's words where there are some.
pub(super) fn reason(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None => {
            let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
            format!("{error}{cause}")
        }
    }
}

fn cannot_connect(address: &Address, error: &postgres::Error) -> JobError {
    let remedy = match error.as_db_error().map(|said| said.code().code()) {
        Some("28P01" | "28000") => "check user, password and sslmode of the URL, and pg_hba.conf of the server",
        Some("3D000") => "create the database (createdb NAME), or name another one in the URL",
        _ => "check host, port, user, password and sslmode of the URL",
    };
    JobError::job(format!("cannot connect to PostgreSQL: {}", reason(error))).at(address.shown.clone()).remedy(remedy)
}

/// What keeps rows out of a table, where something does: a constraint or an index by its name, a trigger by what it calls.
fn rule(said: &DbError) -> Option<String> {
    match &said.code().code()[..2] {
        "23" => said.constraint().map(|name| format!("constraint {name}")),
        "P0" => said.where_()?.lines().next().map(str::to_owned),
        _ => None,
    }
}

/// The server did not do what it was asked for, with this table where it was about one.
pub(super) fn refused(address: &Address, table: Option<&str>, error: &postgres::Error) -> JobError {
    let code = error.as_db_error().map(|said| said.code().code());
    let remedy = match (code, code.map(|code| &code[..2])) {
        (Some("42P01" | "42703" | "42804" | "42P10"), _) => {
            "the table was dropped or altered: put it back as it was, or drop all tables of orderwatch there and start anew"
        }
        (Some("42501"), _) => "grant the user USAGE and CREATE on the schema, or name a schema of its own",
        (Some("55P03"), _) => "another program holds a lock on the table: end its transaction",
        (Some("25006"), _) => "name the primary server: this one is read only",
        (_, Some("23" | "P0")) => ADDED_RULE,
        (_, Some("53")) => "free space, memory or connections on the server",
        (None, _) | (_, Some("57")) => {
            "see the server's log; a job goes on by itself once the server is back, a replay is to be started again"
        }
        _ => "see the server's log",
    };
    let table = table.map(|table| format!("table {table}"));
    let rule = error.as_db_error().and_then(rule);
    let place: Vec<String> = [Some(address.shown.clone()), table, rule].into_iter().flatten().collect();
    JobError::job(format!("cannot write to PostgreSQL: {}", reason(error))).at(place.join(", ")).remedy(remedy)
}
