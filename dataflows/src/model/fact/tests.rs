//! Contents and identities of facts.

use super::*;

#[test]
fn an_event_without_id_is_known_by_its_digest() {
    let identity = lifecycle_identity(EventKind::Confirmed, Origin::Event, 1_709_920_799_999);
    assert_eq!(identity.to_string(), "d5067002827546891a9964058af451a3");
}

#[test]
fn content_sorts_its_keys_and_leaves_out_identity() {
    let order = OrderId { tenant: "default".into(), order_id: "o".into() };
    let body = Body::Item {
        item_no: 1,
        product_id: None,
        product_name: Some("a\"é".into()),
        category: Some("Hats".into()),
        category_joined: false,
        seller_id: None,
        quantity: 2,
        price: Money(25_000),
        freight: Money::ZERO,
    };
    let fact = Fact { order, at: 5, event_id: Some("e".into()), body };
    assert_eq!(
        fact.content(),
        r#"{"at":5,"category":"Hats","freight":"0","price":"2.5","product_name":"a\"é","quantity":2}"#
    );
}
