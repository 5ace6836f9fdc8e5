//! Rows of orders, made by all threads that write and written in the order of keys.
//!
//! A thread takes a portion of the orders, makes the rows of all collections of it, waits for its turn and writes them: an
//! order is looked at once. Invariant: portions are written in the order in which they were read, so what is written does
//! not depend on how many threads there are. Whoever fails lets nobody wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use dataflows::orders::outlook::Law;
use dataflows::views::order_events::{self, OrderEventRow};
use dataflows::views::orders::{self, OrderRow};
use dataflows::views::sla_breaches::SlaBreachRow;
use dataflows::views::stalled_orders::{self, StalledOrderRow};
use dataflows::views::violations::{self, ViolationRow};

use super::lives::{Life, Lives, Sheet, Unread};
use super::{Output, Results, Table};
use crate::error::JobResult;

/// In how many collections orders have rows of their own.
const COLLECTIONS_OF_ORDERS: usize = 5;

/// What is left to be written of orders.
pub struct Orders<'o> {
    law: &'o Law,
    unread: Mutex<Unread<'o>>,
    tables: Mutex<Tables<'o>>,
    moved_on: Condvar,
}

struct Tables<'o> {
    /// Which portion is written next; none where one could not be.
    next: Option<u64>,
    tables: [Table<'o>; COLLECTIONS_OF_ORDERS],
}

/// Held while portions are made and written: without an end that was said nobody writes any more.
struct Turns<'t, 'o> {
    orders: &'t Orders<'o>,
    has_ended: bool,
}

impl<'o> Orders<'o> {
    /// Begins the collections.
    pub fn begin(results: &'o Results, output: &Output<'o>) -> JobResult<Orders<'o>> {
        let tables = [
            output.begin::<OrderEventRow>()?,
            output.begin::<OrderRow>()?,
            output.begin::<SlaBreachRow>()?,
            output.begin::<ViolationRow>()?,
            output.begin::<StalledOrderRow>()?,
        ];
        let (unread, tables) = (Mutex::new(Unread::of(results)?), Mutex::new(Tables { next: Some(0), tables }));
        Ok(Orders { law: &results.law, unread, tables, moved_on: Condvar::new() })
    }

    /// Writes portions until none is left, or one could not be written. Any number of threads may do so at a time.
    pub fn write(&self) -> JobResult<()> {
        let mut turns = Turns { orders: self, has_ended: false };
        let mut lives = Lives::new(self.law);
        let mut sheets: [Sheet; COLLECTIONS_OF_ORDERS] = Default::default();
        loop {
            let read = lives.read(&mut self.unread.lock().unwrap_or_else(PoisonError::into_inner))?;
            let Some(number) = read else { break };
            make(&mut lives, &mut sheets)?;
            let Some(mut written) = self.turn(number) else { break };
            for (table, sheet) in written.tables.iter_mut().zip(&sheets) {
                sheet.rows().try_for_each(|row| table.write(row))?;
            }
            written.next = Some(number + 1);
            self.moved_on.notify_all();
        }
        turns.has_ended = true;
        Ok(())
    }

    /// Waits until a portion is the next one to be written; none where one before it could not be.
    fn turn(&self, number: u64) -> Option<MutexGuard<'_, Tables<'o>>> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let is_later = |tables: &mut Tables<'_>| tables.next.is_some_and(|next| next != number);
        let tables = self.moved_on.wait_while(tables, is_later).unwrap_or_else(PoisonError::into_inner);
        tables.next.is_some().then_some(tables)
    }

    /// All rows are written.
    pub fn finish(self) -> JobResult<()> {
        let Tables { tables, .. } = self.tables.into_inner().unwrap_or_else(PoisonError::into_inner);
        tables.into_iter().try_for_each(Table::finish)
    }
}

impl Drop for Turns<'_, '_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.orders.tables.lock().unwrap_or_else(PoisonError::into_inner).next = None;
            self.orders.moved_on.notify_all();
        }
    }
}

/// Makes the rows of all orders of a portion.
fn make(lives: &mut Lives<'_>, sheets: &mut [Sheet; COLLECTIONS_OF_ORDERS]) -> JobResult<()> {
    sheets.iter_mut().for_each(Sheet::clear);
    let [events, rows, breaches, violations, stalled] = sheets;
    while let Some(lives) = lives.next()? {
        let order = lives.order;
        events.add(lives, |Life { view, standing, breaches, .. }, give| {
            order_events::rows(order, view, &standing.facts, breaches).for_each(|row| give(&row));
        });
        rows.add(lives, |Life { view, standing, .. }, give| {
            orders::row(order, view, &standing.facts).iter().for_each(give);
        });
        breaches.add(lives, |Life { breaches, .. }, give| breaches.iter().for_each(give));
        violations.add(lives, |Life { view, standing, .. }, give| {
            violations::rows(order, &view.events, &standing.facts).for_each(|row| give(&row));
        });
        stalled.add(lives, |Life { view, .. }, give| {
            stalled_orders::row(order, view).iter().for_each(give);
        });
    }
    Ok(())
}
