//! Packed facts read back as they were written.

use super::*;

fn order() -> OrderId {
    OrderId { tenant: "default".into(), order_id: "o".into() }
}

fn lifecycle(event_id: Option<&str>, customer_id: Option<&str>) -> Fact {
    Fact {
        order: order(),
        at: 1_700_000_000_123,
        event_id: event_id.map(Text::new),
        body: Body::Lifecycle {
            kind: EventKind::Shipped,
            origin: Origin::Event,
            customer_id: customer_id.map(Text::new),
        },
    }
}

#[test]
fn facts_come_back_as_they_went() {
    let long = "x".repeat(300);
    let item = Body::Item {
        item_no: 3,
        product_id: Some("4244733e06e7ecb4970a6e2683c13e61".into()),
        product_name: None,
        category: Some("Hats".into()),
        category_joined: true,
        seller_id: Some(long.as_str().into()),
        quantity: 1_000_000,
        price: Money(999_999_999_999_999),
        freight: Money(1),
    };
    let payment =
        Body::Payment { seq: 65_535, payment_type: PaymentType::BankTransfer, installments: 24, value: Money(7) };
    let facts = [
        lifecycle(Some("e1"), Some("c1")),
        lifecycle(None, Some("c1")),
        lifecycle(None, Some("c2")),
        lifecycle(None, None),
        Fact { body: item, ..lifecycle(None, None) },
        Fact { body: payment, ..lifecycle(Some("p"), None) },
    ];
    let mut packed = PackedFacts::default();
    for (line, fact) in facts.iter().enumerate() {
        let mut bytes = Vec::new();
        write(fact, Position::new(2, line as u64), &mut bytes);
        packed.push(&bytes, line == 3);
    }
    for (line, (fact, (_, view))) in facts.iter().zip(packed.iter()).enumerate() {
        assert_eq!(&view.fact(&order()), fact);
        assert_eq!((view.position, view.loser), (Position::new(2, line as u64), line == 3));
    }
    assert_eq!(packed.iter().count(), facts.len());
}
