//! The output collections, one a file: what its rows are and how they come about.
//!
//! A collection is defined once, by its row type ([`collection::Row`]): name, key, columns, units and doc. Sinks know
//! cells and columns, never collections. Row collections (`orders`, `order_events`, `violations`, `sla_breaches`,
//! `stalled_orders`) come from one order's view; the others are sums of [`measures::Measures`], differences of
//! which every order contributes, rolled up over windows and tenants.

pub mod categories;
pub mod collection;
pub mod dead_letters;
pub mod drop_off;
pub mod funnel;
pub mod gmv;
pub mod measures;
pub mod order_events;
pub mod orders;
pub mod payments;
pub mod quality;
pub mod record_law;
pub mod roll_up;
pub mod row_counts;
pub mod sla_breaches;
pub mod sla_summary;
pub mod stalled_orders;
pub mod status;
pub mod violations;

use collection::Collection;

use crate::model::{Symbol, Text};
use crate::time::{Time, Window};

/// Every collection, in the order of outputs and documents.
pub const COLLECTIONS: [Collection; 14] = [
    Collection::of::<orders::OrderRow>(),
    Collection::of::<order_events::OrderEventRow>(),
    Collection::of::<violations::ViolationRow>(),
    Collection::of::<sla_breaches::SlaBreachRow>(),
    Collection::of::<sla_summary::SlaSummaryRow>(),
    Collection::of::<stalled_orders::StalledOrderRow>(),
    Collection::of::<status::StatusRow>(),
    Collection::of::<funnel::FunnelRow>(),
    Collection::of::<gmv::GmvRow>(),
    Collection::of::<categories::CategoryRow>(),
    Collection::of::<drop_off::DropOffRow>(),
    Collection::of::<payments::PaymentRow>(),
    Collection::of::<dead_letters::DeadLetterRow>(),
    Collection::of::<quality::QualityRow>(),
];

/// The tenant of rows that sum all tenants.
pub const ALL_TENANTS: &str = "*";

/// A window's start as its rows show it: none for `total`.
fn window_start(window: Window, start: Time) -> Option<collection::At> {
    window.length_ms().map(|_| collection::At(start))
}

/// A tenant as its rows show it.
fn all_or(tenant: Option<Symbol>) -> Text {
    tenant.map_or_else(|| Text::new(ALL_TENANTS), Symbol::text)
}
