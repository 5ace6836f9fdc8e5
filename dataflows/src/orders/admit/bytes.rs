//! What the orders of a worker take up in memory, for whoever watches it.
//!
//! Tables say what they have room for. What orders have beside their places there is looked at of some, as far apart as
//! can be, which stand for all: it takes no longer where there are more. Limits: rosters, and memory that is kept to be
//! used again, are not in it.

use super::{Head, Order, Registry};

/// So many orders are looked at, and less than twice as many; where there are less, all.
const SAMPLE: usize = 1 << 8;

impl Registry {
    /// Bytes that the orders take that live.
    pub fn heap_bytes(&self) -> usize {
        let end = self.end();
        let sample = (0..end).step_by((end as usize / SAMPLE).max(1)).filter_map(|number| self.get(number));
        let add = |(count, own): (usize, usize), order: &Order| (count + 1, own + order.heap_bytes());
        let (looked_at, own) = sample.fold((0, 0), add);
        self.table_bytes() + own * self.count() / looked_at.max(1)
    }

    fn table_bytes(&self) -> usize {
        let heads = self.heads.capacity() * size_of::<Head>();
        self.orders.heap_bytes() + heads + self.numbers.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::packed::{PackedFacts, write};
    use crate::model::{Body, EventKind, Fact, OrderId, Origin, Position};
    use crate::orders::parcel::OrderKey;

    /// So many orders with one fact or some.
    fn registry(count: u64) -> Registry {
        let mut registry = Registry::default();
        for number in 0..count {
            let order = OrderId { tenant: "default".into(), order_id: "an id that has no place in line".into() };
            let body = Body::Lifecycle { kind: EventKind::Placed, origin: Origin::Event, customer_id: None };
            let (fact, mut bytes) = (Fact { order: order.clone(), at: 7, event_id: None, body }, Vec::new());
            write(&fact, Position::default(), &mut bytes);
            let facts = PackedFacts::of((0..=number % 31).map(|_| &bytes[..]));
            registry.insert(OrderKey::from(number) << 64, Order::restored(&order, facts, 7));
        }
        registry
    }

    #[test]
    fn more_orders_take_more_and_each_neither_little_nor_much() {
        assert_eq!(Registry::default().heap_bytes(), 0);
        let [some, more] = [20_000, 40_000].map(registry);
        assert!(some.heap_bytes() < more.heap_bytes());
        for registry in [some, more] {
            let of_each = registry.heap_bytes() / registry.count();
            assert!((50..5_000).contains(&of_each), "{of_each}");
        }
    }

    #[test]
    fn some_orders_stand_for_all() {
        for (count, tolerance) in [(100, 0), (50_000, 10)] {
            let registry = registry(count);
            let own: usize = registry.iter().map(Order::heap_bytes).sum();
            let said = registry.heap_bytes() - registry.table_bytes();
            assert!(said.abs_diff(own) <= own * tolerance / 100, "{said} for {own}");
        }
    }
}
