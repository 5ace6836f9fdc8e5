//! The index of a file of lines: its promises hold, and it finds every time that decoding finds.

use super::*;
use dataflows::model::Money;
use proptest::prelude::*;
use std::io::Write;

const LIMITS: Limits = Limits { now_ms: 1_800_000_000_000, max_future_skew_ms: 0, max_price: Money::ZERO };

fn index(text: &[u8], threads: usize) -> Option<LineIndex> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    LineIndex::find(file.path(), &LIMITS, threads, 8 << 20).unwrap()
}

#[test]
fn times_are_found_however_they_are_written() {
    let times = Times::new(&LIMITS);
    let at = 1_709_164_800_000;
    for (member, found) in [
        (r#""timestamp":"2024-02-29T00:00:00Z""#, at),
        (r#""timestamp" : "2024-02-29 00:00:00""#, at),
        (r#""timestamp":" 2024-02-29 00:00:00 ""#, at),
        (r#""timestamp":1709164800000"#, at),
        ("\"timestamp\"\t:\t1709164800000\t", at),
        (r#""timestam\u0070":1709164800000"#, at),
        (r#""\u0074imestamp":1709164800000"#, at),
        (r#""timestam\u0070":"2024-02-29T00:00:00\u005a""#, at),
        (r#""timestamp":"2024\u002d02-29T00:00:00Z""#, at),
        (r#""note":"timestamp","timestamp":1709164800000"#, at),
        (r#""timestamp":1,"timestamp":1709164800000"#, 1),
        (r#""timestamp":{"timestamp":7},"timestamp":1709164800000"#, 7),
        (r#""timestamp":"2099-01-01T00:00:00Z""#, Time::MAX),
        (r#""timestamp":null"#, Time::MAX),
        (r#""timestamp":"soon""#, Time::MAX),
        (r#""note":"\"timestamp\":5""#, Time::MAX),
    ] {
        let line = format!("{{\"order_id\":1,\"event_type\":\"ORDER_HELD\",{member}}}");
        assert_eq!(times.span(line.as_bytes()).earliest, found, "{line}");
        let decoded = decode_line(line.as_bytes(), &LIMITS).map(|facts| facts.at());
        assert!(decoded.is_err() || decoded.unwrap() >= found, "{line}");
    }
}

#[test]
fn files_that_cannot_be_streams_have_no_index() {
    let line = |at: u64| format!("{{\"order_id\":1,\"event_type\":\"ORDER_HELD\",\"timestamp\":{at}}}\n");
    assert!(index(b"", 2).is_some() && index(line(5).as_bytes(), 1).is_some());
    let descending: String = (1..200_000).rev().map(line).collect();
    assert!(index(descending.as_bytes(), 2).is_none(), "all of it would have to wait");
    let large = [&b"\n\n"[..], &vec![b'x'; MAX_RECORD_BYTES * 3], line(5).as_bytes()].concat();
    assert!(index(&large, 2).is_none());
    let packed = zstd::encode_all(line(5).as_bytes(), 1).unwrap();
    assert!(index(&packed, 2).is_none());
}

#[test]
fn of_a_file_that_loses_its_end_whole_lines_are_given() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "{}\n".repeat(100)).unwrap();
    let index = LineIndex::find(file.path(), &LIMITS, 1, 0).unwrap().unwrap();
    file.as_file().set_len(100).unwrap();
    let (block, whole) = index.read(0);
    assert_eq!((block.bytes.len(), whole.unwrap_err().to_string().as_str()), (99, bytes::BECAME_SHORTER));
}

const KEYS: [&str; 8] = [
    r#""timestamp""#,
    r#""timestam\u0070""#,
    r#""\u0074\u0069\u006d\u0065\u0073\u0074\u0061\u006D\u0070""#,
    r#""Timestamp""#,
    r#""note""#,
    r#""\"timestamp""#,
    r#""\\""#,
    r#""a\u00e9""#,
];
const VALUES: [&str; 14] = [
    "1709164800000",
    "7",
    "0",
    "-1",
    "1e3",
    "1800000000001",
    r#""2024-02-29T00:00:00Z""#,
    r#""2024-02-29 00:00:00.5+02:00""#,
    r#"" \u0032024-02-28 00:00:00""#,
    r#""\"timestamp\":5,""#,
    r#""\\""#,
    "null",
    r#"{"timestamp":3,"timestamp":"2020-01-01 00:00:00"}"#,
    r#"["timestamp",{"timestamp":4}]"#,
];
const BLANKS: [&str; 4] = ["", " ", "\t ", "\r"];

proptest! {
    #[test]
    fn no_line_is_earlier_than_what_is_found_in_it(
        members in prop::collection::vec((0..KEYS.len(), 0..VALUES.len(), 0..BLANKS.len()), 1..6),
        before in "[a-z\"\\\\:, ]{0,8}",
    ) {
        let member = |(key, value, blank): &(usize, usize, usize)| {
            let blank = BLANKS[*blank];
            format!(",{blank}{}{blank}:{blank}{}{blank}", KEYS[*key], VALUES[*value])
        };
        let members: String = members.iter().map(member).collect();
        let lines = format!("{before}\n{{\"order_id\":1,\"event_type\":\"ORDER_HELD\"{members}}}\n{{}}");
        let found = Times::new(&LIMITS).span(lines.as_bytes());
        for line in lines.lines() {
            if let Ok(facts) = decode_line(line.as_bytes(), &LIMITS) {
                prop_assert!((found.earliest..=found.latest).contains(&facts.at()), "{line}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn blocks_are_the_file_and_no_promise_is_broken(
        lines in prop::collection::vec((0_u64..90_000, 0_usize..40_000), 0..300),
        has_mark: bool, has_end: bool, threads in 1_usize..3,
    ) {
        let mut text = if has_mark { b"\xEF\xBB\xBF".to_vec() } else { Vec::new() };
        for (number, (jitter, length)) in lines.iter().enumerate() {
            let at = number as u64 * 1_000 + jitter;
            let note = "x".repeat(*length);
            let line = format!(
                "{{\"order_id\":1,\"event_type\":\"ORDER_HELD\",\"timestamp\":{at},\"note\":\"{note}\"}}\n",
            );
            text.extend(line.as_bytes());
        }
        if !has_end && !lines.is_empty() {
            text.pop();
        }
        let index = index(&text, threads).unwrap();
        let (mut bytes, mut line) = (Vec::new(), 1);
        for number in 0..index.blocks() {
            let promised = index.earliest_from(number);
            let (block, whole) = index.read(number);
            prop_assert!(whole.is_ok() && block.first_line == line);
            line += memchr_iter(b'\n', &block.bytes).count() as u64;
            for record in block.bytes.split(|byte| *byte == b'\n').filter(|record| !record.is_empty()) {
                prop_assert!(decode_line(record, &LIMITS).unwrap().at() >= promised);
            }
            bytes.extend(block.bytes);
        }
        let start = if has_mark { 3.min(text.len()) } else { 0 };
        prop_assert_eq!(&bytes[..], &text[start..]);
    }
}
