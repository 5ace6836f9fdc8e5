//! What a replay does to PostgreSQL: the content of all tables is replaced in one transaction.
//!
//! Rows of several collections are made at a time and sent in turns over one connection. Invariant: whoever reads sees what
//! was there before until all of the new is; what fails or is interrupted changes nothing. Limits: rows with the same key,
//! as of dead letters whose records CR alone divides, become one.

use std::sync::{Mutex, PoisonError};

use dataflows::views::collection::Collection;
use postgres::Client;

use super::address::{Address, Url};
use super::connection::{connect, refused};
use super::schema;
use super::{rows, within};
use crate::error::JobResult;
use crate::interrupt;
use crate::sink::commits::owner::Owner;
use crate::sink::text_row::{TextRow, key_bytes};
use crate::sink::{Sink, Writer};

/// Rows are sent in pieces of about this size.
const PIECE_BYTES: usize = 1 << 20;

/// Tables whose content is replaced.
pub struct Replacement {
    address: Address,
    connection: Mutex<Connection>,
}

struct Connection {
    client: Client,
    /// From the first collection on.
    is_in_transaction: bool,
}

impl Replacement {
    /// Waits for the server, and makes the tables where there are none.
    pub fn create(url: &Url) -> JobResult<Replacement> {
        let address = Address::of(url)?;
        let mut client = connect(&address)?;
        within(&mut client, &address, |client| schema::prepare(client, &address, Owner::Replay))?;
        Ok(Replacement { address, connection: Mutex::new(Connection { client, is_in_transaction: false }) })
    }

    /// Tries the same without waiting, and leaves nothing behind; where that is.
    pub fn probe(url: &Url) -> JobResult<()> {
        super::probe(url, Owner::Replay)
    }

    fn begin_transaction(&self, connection: &mut Connection) -> JobResult<()> {
        if connection.is_in_transaction {
            return Ok(());
        }
        if connection.client.is_closed() {
            // It may have been hours since.
            connection.client = connect(&self.address)?;
        }
        connection.client.batch_execute("BEGIN").map_err(|error| refused(&self.address, None, &error))?;
        connection.is_in_transaction = true;
        schema::prepare(&mut connection.client, &self.address, Owner::Replay)
    }

    fn with<T>(
        &self,
        table: Option<&str>,
        work: impl FnOnce(&mut Client) -> Result<T, postgres::Error>,
    ) -> JobResult<T> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin_transaction(&mut connection)?;
        work(&mut connection.client).map_err(|error| refused(&self.address, table, &error))
    }
}

impl Sink for Replacement {
    fn begin(&self, collection: Collection) -> JobResult<Box<dyn Writer + '_>> {
        // Unlike TRUNCATE it holds no reader up, and takes nothing from those who began before.
        let delete = format!("DELETE FROM \"{}\"", collection.name);
        self.with(Some(collection.name), |client| client.batch_execute(&delete))?;
        let key_columns = collection.columns.iter().filter(|column| column.is_key).count();
        let (copy, piece, key) = (rows::copy_into(&collection), String::new(), String::new());
        Ok(Box::new(Unfinished { replacement: self, collection, key_columns, copy, piece, key, last: 0 }))
    }

    fn commit(&self) -> JobResult<()> {
        interrupt::whole(|| self.with(None, |client| client.batch_execute("COMMIT")))
    }
}

/// A table of which rows are written.
struct Unfinished<'r> {
    replacement: &'r Replacement,
    collection: Collection,
    key_columns: usize,
    copy: String,
    /// Rows that wait to be sent.
    piece: String,
    /// The key of the last of them, and where it begins.
    key: String,
    last: usize,
}

impl Unfinished<'_> {
    fn send(&mut self) -> JobResult<()> {
        let sent =
            self.replacement.with(Some(self.collection.name), |client| rows::copy(client, &self.copy, &self.piece));
        self.piece.clear();
        sent
    }
}

impl Writer for Unfinished<'_> {
    fn write(&mut self, row: TextRow<'_>) -> JobResult<()> {
        let key = row.text().get(..key_bytes(row.text().as_bytes(), self.key_columns)).unwrap_or_default();
        if key == self.key {
            self.piece.truncate(self.last);
        } else {
            if self.piece.len() >= PIECE_BYTES {
                self.send()?;
            }
            self.key.clear();
            self.key.push_str(key);
        }
        self.last = self.piece.len();
        rows::write_cells(&self.collection, row, &mut self.piece);
        self.piece.push('\n');
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> JobResult<()> {
        self.send()
    }
}
