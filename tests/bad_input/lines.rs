//! Broken lines among good ones: each is one dead letter with all its reasons, its position and its bytes.

use super::outcome::Place;

/// A good line, the order placed at midnight of a day of March 2024.
pub fn placed(order: &str, day: u32) -> String {
    format!(
        "{{\"order_id\":\"{order}\",\"event_type\":\"ORDER_PLACED\",\"timestamp\":\"2024-03-{day:02}T00:00:00Z\",\"event_id\":\"e-{order}\"}}"
    )
}

fn lines(lines: &[&[u8]]) -> Vec<u8> {
    lines.join(&b'\n')
}

#[test]
fn bytes_that_are_no_text_are_shown_as_they_are() {
    let place = Place::new();
    let good = placed("a", 1);
    let text = lines(&[
        b"{\"order_id\":\"\xFFx\"}",
        good.as_bytes(),
        b"{\"order_id\":\"a\0b\"}",
        b"{\"a\\\\b\":\t1",
        b"[]",
        b"",
    ]);
    place.write("x.jsonl", text);
    let outcome = place.replay(&["x.jsonl"]);
    let expected = [
        ["x.jsonl:1", "not_utf8", "", "{\"order_id\":\"\\xFFx\"}"],
        ["x.jsonl:3", "malformed", "", "{\"order_id\":\"a\\x00b\"}"],
        ["x.jsonl:4", "malformed", "", "{\"a\\x5C\\x5Cb\":\\x091"],
        ["x.jsonl:5", "malformed", "", "[]"],
    ];
    assert_eq!(outcome.letters, expected.map(|letter| letter.map(str::to_owned)));
    assert_eq!((outcome.records, outcome.facts), ([5, 1, 4], [1, 1, 0, 0]));
}

#[test]
fn every_reason_of_a_line_is_named() {
    let place = Place::new();
    place.write(
        "x.jsonl",
        concat!(
            r#"{"event_type":"ITEM_ADDED","event_id":"e9","item_no":-1,"quantity":0,"price":"1.00001","freight":-2,"timestamp":"2024-02-30T00:00:00Z"}"#,
            "\n",
            r#"{"order_id":"s","status":"pending","timestamp":"2999-01-01 00:00:00","quantity":2,"price":5,"total":11,"payment_method":"cash"}"#,
        ),
    );
    let outcome = place.replay(&["x.jsonl"]);
    let reasons: Vec<&str> = outcome.letters.iter().map(|letter| letter[1].as_str()).collect();
    assert_eq!(
        reasons,
        [
            "bad_number:price;bad_timestamp:timestamp;below_minimum:quantity;missing_field:order_id;negative:freight;negative:item_no",
            "future_timestamp:timestamp;total_mismatch;unknown_payment_type",
        ]
    );
    assert_eq!(outcome.letters[0][2], "e9");
    assert_eq!(outcome.records, [2, 0, 2]);
    assert!(outcome.stdout.contains("no fact was accepted"));
}

#[test]
fn marks_line_ends_and_blank_lines_are_no_records() {
    let place = Place::new();
    let text = format!("\u{feff}{}\r\n\r\n  \t\n\u{feff}{}\r\n\n{}", placed("a", 1), placed("b", 2), placed("c", 3));
    place.write("x.jsonl", text);
    let outcome = place.replay(&["x.jsonl"]);
    assert_eq!(outcome.letters.len(), 1, "a mark within a file is no mark: {:?}", outcome.letters);
    assert_eq!(outcome.letters[0][..2], ["x.jsonl:4".to_owned(), "malformed".to_owned()]);
    assert!(!outcome.letters[0][3].contains("\\x0D"), "the line end is no part of the line");
    assert_eq!(outcome.records, [3, 2, 1]);
    place.write("x.jsonl", "\u{feff}");
    assert_eq!(place.replay(&["x.jsonl"]).records, [0, 0, 0]);
}

#[test]
fn a_line_may_be_a_mebibyte_long_and_no_longer() {
    let place = Place::new();
    let padded = |order: &str, length: usize| {
        let line = placed(order, 1);
        let padding = "x".repeat(length - line.len() - r#","pad":"""#.len());
        line.replace('}', &format!(",\"pad\":\"{padding}\"}}"))
    };
    let whole = padded("whole", 1 << 20);
    assert_eq!(whole.len(), 1 << 20);
    let text = [whole, padded("larger", (1 << 20) + 1), placed("b", 2), padded("huge", 2 << 20), placed("c", 3)];
    // With either line end the end of the line is no part of it.
    for end in ["\n", "\r\n"] {
        place.write("x.jsonl", text.join(end));
        let outcome = place.replay(&["x.jsonl"]);
        let found: Vec<_> = outcome.letters.iter().map(|letter| (letter[0].as_str(), letter[1].as_str())).collect();
        assert_eq!(found, [("x.jsonl:2", "too_large"), ("x.jsonl:4", "too_large")], "{end:?}");
        assert!(outcome.letters.iter().all(|letter| letter[3].len() == 64 << 10));
        assert_eq!((outcome.records, outcome.facts), ([5, 3, 2], [3, 3, 0, 0]));
    }
}

#[test]
fn copies_count_once_wherever_they_come_from() {
    let place = Place::new();
    place.write("x.jsonl", [placed("a", 1), placed("a", 1), placed("b", 2)].join("\n"));
    std::fs::copy(place.path("x.jsonl"), place.path("again.jsonl")).unwrap();
    let outcome = place.replay(&["x.jsonl", "again.jsonl"]);
    assert_eq!((outcome.records, outcome.facts), ([6, 6, 0], [6, 2, 4, 0]));
    let other = placed("a", 2);
    place.write("y.jsonl", other);
    let outcome = place.replay(&["x.jsonl", "y.jsonl", "-w", "2"]);
    assert_eq!((outcome.records, outcome.facts), ([4, 4, 0], [4, 2, 1, 1]));
    let raw = r#"[{"at":1709337600000,"kind":"ORDER_PLACED"}]"#;
    let letter = &outcome.letters[0];
    assert_eq!([&letter[0], &letter[1], &letter[3]], ["y.jsonl:1", "conflicting_duplicate", raw]);
}

#[test]
fn from_and_until_are_inclusive_and_broken_lines_are_dead_letters_all_the_same() {
    let place = Place::new();
    let event = |at: &str| format!("{{\"order_id\":\"{at}\",\"event_type\":\"ORDER_PLACED\",\"timestamp\":\"{at}\"}}");
    let times =
        ["2024-03-01T23:59:59.999Z", "2024-03-02T00:00:00Z", "2024-03-03T00:00:00Z", "2024-03-03T00:00:00.001Z"];
    let mut text = times.map(event).join("\n");
    text += "\n{\"order_id\":\"q\",\"event_type\":\"LOST\",\"timestamp\":\"2025-01-01T00:00:00Z\"}\n{";
    place.write("x.jsonl", text);
    let outcome = place.replay(&["x.jsonl", "--from", "2024-03-02", "--until", "2024-03-03"]);
    let orders: Vec<&str> = outcome.orders.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(orders, times[1..3]);
    assert_eq!(outcome.letters.len(), 2);
    assert_eq!((outcome.records, outcome.facts), ([6, 4, 2], [2, 2, 0, 0]));
    assert!(outcome.stdout.contains("as of 2024-03-03T00:00:00.000Z"), "{}", outcome.stdout);
    let outcome = place.replay(&["x.jsonl", "--until", "2024-03-03T00:00:00.001Z"]);
    assert!(outcome.stdout.contains("as of 2024-03-03T00:00:00.001Z"), "{}", outcome.stdout);
    assert_eq!(outcome.orders.len(), 4);
    let outcome = place.replay(&["x.jsonl"]);
    assert!(outcome.stdout.contains("as of 2024-03-03T00:00:00.001Z"), "T is exact: {}", outcome.stdout);
}
