//! What values in Avro come to; the library writes them, so that reader and writer share no logic.

use apache_avro::types::Value as Written;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::decode::form::Form;
use crate::kafka::KafkaSettings;
use crate::kafka::avro::Writer;

const NOW_MS: u64 = 1_700_000_000_000;

fn reasons(form: &Form, bytes: &[u8]) -> String {
    form.record(bytes, &Limits::at(NOW_MS)).map_or_else(|broken| broken.joined(), |_| "ok".to_owned())
}

fn form(schema: &str) -> Form {
    Form::Avro(WriterSchema::parse(schema, &[]).unwrap(), 0)
}

/// Fields as the reader of formats sees them.
fn cells(schema: &str, datum: &[u8]) -> Option<Vec<String>> {
    let schema = WriterSchema::parse(schema, &[]).unwrap();
    schema.fields(datum).map(|fields| fields.iter().map(|(name, value)| format!("{name} {:?}", value.cell())).collect())
}

fn written(schema: &str, value: impl Into<Written>) -> Vec<u8> {
    let schema = Schema::parse_str(schema).unwrap();
    GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap()
}

fn own() -> (Form, Writer) {
    (form(TOPIC_RECORD), Writer::of(&KafkaSettings::default(), "any", TOPIC_RECORD, || false).unwrap())
}

#[test]
fn differential_a_record_says_the_same_in_json_and_in_avro() {
    let (form, writer) = own();
    for seed in ["event", "item", "order", "payment"] {
        let json = std::fs::read(format!("tests/fuzz/seeds/topic_record/{seed}.json")).unwrap();
        let avro = writer.write_json(&json).unwrap();
        assert_eq!(form.record(&avro, &Limits::at(NOW_MS)), topic::record(&json, &Limits::at(NOW_MS)), "{seed}");
        for cut in 0..avro.len() {
            assert_eq!(reasons(&form, &avro[..cut]), "malformed", "{seed}, cut at {cut}");
        }
        assert_eq!(reasons(&form, &[&avro[..], &[0]].concat()), "malformed", "{seed}, and more");
    }
    for unwritable in ["", "x", "[]", "{}x", r#"{"price":true}"#, r#"{"order_id":{}}"#, "\u{feff}{}"] {
        assert!(writer.write_json(unwritable.as_bytes()).is_none(), "{unwritable}");
    }
}

#[test]
fn every_field_of_the_schema_is_one_that_a_format_asks_for() {
    let own: serde_json::Value = serde_json::from_str(TOPIC_RECORD).unwrap();
    let ignored = ["order_estimated_delivery_date", "shipping_limit_date"];
    for field in own["fields"].as_array().unwrap() {
        let name = field["name"].as_str().unwrap();
        let source = [include_str!("../json.rs"), include_str!("../topic.rs")].concat();
        assert!(ignored.contains(&name) || source.contains(&format!("\"{name}\" =>")), "{name}");
    }
}

#[test]
fn types_of_others_come_to_what_they_mean() {
    let schema = json!({ "type": "record", "name": "Order", "fields": [
        { "name": "order_id", "type": { "type": "string", "logicalType": "uuid" } },
        { "name": "event_type", "type": { "type": "enum", "name": "Kind", "symbols": ["ORDER_HELD", "ITEM_ADDED"] } },
        { "name": "timestamp", "type": { "type": "long", "logicalType": "timestamp-micros" } },
        { "name": "item_no", "type": "int" },
        { "name": "quantity", "type": ["null", "long"] },
        { "name": "price", "type": { "type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2 } },
        { "name": "freight", "type": "double" },
        { "name": "item_name", "type": ["null", "string"] },
        { "name": "tags", "type": { "type": "map", "values": { "type": "array", "items": "string" } } },
        { "name": "paid", "type": "boolean" },
    ] });
    let schema = schema.to_string();
    let union = |branch, value| Written::Union(branch, Box::new(value));
    let id = "123e4567-e89b-12d3-a456-426614174000";
    let fields = |price: &[u8], freight| {
        Written::Record(vec![
            ("order_id".into(), Written::Uuid(Uuid::parse_str(id).unwrap())),
            ("event_type".into(), Written::Enum(1, "ITEM_ADDED".into())),
            ("timestamp".into(), Written::TimestampMicros(1_500_000_000_123_999)),
            ("item_no".into(), Written::Int(3)),
            ("quantity".into(), union(1, Written::Long(2))),
            ("price".into(), Written::Decimal(apache_avro::Decimal::from(price))),
            ("freight".into(), Written::Double(freight)),
            ("item_name".into(), union(0, Written::Null)),
            ("tags".into(), Written::Map([("a".into(), Written::Array(vec![Written::String("b".into())]))].into())),
            ("paid".into(), Written::Boolean(true)),
        ])
    };
    let datum = written(&schema, fields(&[0x0b, 0xb7], 1.5));
    let fact = form(&schema).record(&datum, &Limits::at(NOW_MS)).unwrap().into_iter().next().unwrap();
    assert_eq!((&*fact.order.order_id.to_string(), fact.at), (id, 1_500_000_000_123));
    assert!(fact.content().contains(r#""price":"29.99""#) && fact.content().contains(r#""freight":"1.5""#));
    let refused = |price, freight| reasons(&form(&schema), &written(&schema, fields(price, freight)));
    assert_eq!(refused(&[0xff], 0.0), "negative:price");
    assert_eq!(refused(&[1; 20], f64::NAN), "bad_number:freight;bad_number:price");
}

#[test]
fn what_is_no_record_of_its_schema_is_malformed() {
    let one = |held: serde_json::Value| {
        json!({ "type": "record", "name": "R", "fields": [{ "name": "a", "type": held }] }).to_string()
    };
    let cell = |held, datum: &[u8]| cells(&one(held), datum).map(|cells| cells.concat());
    assert_eq!(cell(json!("long"), &[0x80, 0x01]).as_deref(), Some("a Number(\"64\")"));
    for (held, datum) in [
        (json!("string"), &[4, b'a'][..]),
        (json!("string"), &[1]),
        (json!("string"), &[2, 0xff]),
        (json!("boolean"), &[2]),
        (json!("int"), &[0xfe, 0xff, 0xff, 0xff, 0x1f]),
        (json!("long"), &[0xff; 11]),
        (json!(["null", "long"]), &[4]),
        (json!(["null", "long"]), &[]),
        (json!({ "type": "enum", "name": "E", "symbols": ["A"] }), &[2]),
        (json!({ "type": "array", "items": "null" }), &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        (json!({ "type": "fixed", "name": "F", "size": 4 }), &[0; 3]),
    ] {
        assert_eq!(cell(held.clone(), datum), None, "{held} {datum:?}");
    }
    // As many values without a byte as anybody likes, and one after them.
    let nulls = [&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01][..], &[0]].concat();
    assert_eq!(cell(json!({ "type": "array", "items": "null" }), &nulls).as_deref(), Some("a Other"));
    assert_eq!(cells("\"string\"", &[0]), None);
    let union = format!("[\"null\",{}]", one(json!("string")));
    assert_eq!(cells(&union, &[2, 2, b'x']), Some(vec!["a Text(\"x\")".to_owned()]));
    assert_eq!(cells(&union, &[0]), None);
}

#[test]
fn no_schema_makes_reading_endless() {
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    assert!(cells(list, &[&[2; 126][..], &[0]].concat()).is_some());
    assert!(cells(list, &[&[2; 1 << 20][..], &[0]].concat()).is_none(), "nested over 128 deep");
    let itself = r#"{"type":"record","name":"L","fields":[{"name":"next","type":"L"}]}"#;
    assert!(cells(itself, &[]).is_none());
    // Each record holds the next one twice, and the last one nothing.
    let twice = (0..40).fold(r#"{"type":"record","name":"N","fields":[]}"#.to_owned(), |inner, number| {
        let name = if number == 0 { "N".to_owned() } else { format!("N{}", number - 1) };
        format!(
            r#"{{"type":"record","name":"N{number}","fields":[{{"name":"a","type":{inner}}},{{"name":"b","type":"{name}"}}]}}"#
        )
    });
    assert!(cells(&twice, &[]).is_none());
}

#[test]
fn a_schema_may_build_on_others() {
    let schema =
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"shop.Id"},{"name":"b","type":"shop.Id"}]}"#;
    let other = r#"{"type":"enum","namespace":"shop","name":"Id","symbols":["X","Y"]}"#;
    let schema = WriterSchema::parse(schema, &[other.to_owned()]).unwrap();
    assert_eq!(schema.fields(&[2, 0]).unwrap().len(), 2);
}

proptest! {
    /// What is written is read: numbers and texts of any kind mean in Avro what they mean in JSON.
    #[test]
    fn differential_members_of_any_kind(
        id in "[a-z]{1,3}|-?[0-9]{1,25}", quantity in "-?[0-9]{1,8}(\\.[0-9]{1,2})?", price in "-?[0-9]{1,12}(\\.[0-9]{1,5})?(e-?[0-9])?",
        at in "[0-9]{1,13}", quoted in any::<[bool; 3]>(),
    ) {
        let quote = |text: &str, quoted| if quoted { format!("\"{text}\"") } else { text.to_owned() };
        let json = format!(
            r#"{{"event_type":"ITEM_ADDED","order_id":"{id}","item_no":1,"quantity":{},"price":{},"timestamp":{}}}"#,
            quote(&quantity, quoted[0]), quote(&price, quoted[1]), quote(&at, quoted[2]),
        );
        let (form, writer) = own();
        if let Some(avro) = writer.write_json(json.as_bytes()) {
            prop_assert_eq!(form.record(&avro, &Limits::at(NOW_MS)), topic::record(json.as_bytes(), &Limits::at(NOW_MS)));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let broken = form(TOPIC_RECORD).record(&bytes, &Limits::at(NOW_MS)).err();
        prop_assert!(broken.is_none_or(|broken| !broken.reasons.is_empty()));
    }
}
