//! What must hold whatever the bytes are: one function a property, which panics where it does not.
//!
//! The fuzz targets (`tests/fuzz`) and their twins on stable Rust (`tests/fuzz_twins.rs`) call the same functions.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use dataflows::graph::{self, Inputs, Plan};
use dataflows::model::{Position, Rules, Symbol, Text};
use dataflows::operators::limit::Until;
use dataflows::orders::Detail;
use dataflows::orders::driver::Emitted;
use dataflows::orders::outlook::Law;
use dataflows::orders::parcel::order_key;
use dataflows::orders::sla::RuleBook;
use dataflows::orders::view::View;
use dataflows::settings::{Settings, Transitions};
use dataflows::time::{DAY_MS, MINUTE_MS, Time, Window};
use dataflows::views::measures::Measures;
use dataflows::views::record_law;
use orderwatch::clock::Lateness;
use orderwatch::config::duration::{format_duration, parse_duration};
use orderwatch::config::{self};
use orderwatch::decode::avro::{TOPIC_RECORD, WriterSchema};
use orderwatch::decode::decode_line;
use orderwatch::decode::form::Form;
use orderwatch::decode::topic;
use orderwatch::error::Fault;
use orderwatch::instant::{format_instant, parse_instant};
use orderwatch::rules;
use orderwatch::source::blocks::{Block, Blocks, Framing, first_csv_record_end};
use orderwatch::source::intake::{Decoded, FACTS_GIVEN, Intake, RECORDS_READ, Selection};
use orderwatch::source::jsonl::JsonLines;
use orderwatch::validate::{Broken, Limits, Reason, number, timestamp};
use timely::dataflow::operators::{Input, Inspect, Probe};

#[path = "row_properties.rs"]
mod row_properties;
pub use row_properties::{olist, rows};

/// The wall clock of all properties: 2030-01-01.
const NOW: Time = 1_893_456_000_000;

fn assert_broken(broken: &Broken) {
    assert!(!broken.reasons.is_empty(), "refused without a reason");
    assert!(broken.reasons.is_sorted() && broken.reasons.windows(2).all(|pair| pair[0] != pair[1]), "{broken:?}");
}

/// A line is decoded, to facts of one order and time, or refused for every reason; decoded is nothing but JSON.
pub fn json(line: &[u8]) {
    let limits = Limits::at(NOW);
    let decoded = decode_line(line, &limits);
    assert_eq!(decoded, decode_line(line, &limits), "the same line comes to the same");
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line);
    match decoded {
        Ok(facts) => {
            assert!((1..=3).contains(&facts.iter().count()) && facts.at() <= limits.latest());
            let deep = |error: &serde_json::Error| error.to_string().contains("recursion limit");
            assert!(object.as_ref().err().is_none_or(deep), "decoded, and no JSON object: {object:?}");
            for fact in facts.iter() {
                assert_eq!((&fact.order, fact.at), (facts.order(), facts.at()));
                assert!(!fact.order.order_id.is_empty() && !fact.order.tenant.is_empty());
                assert!(serde_json::from_str::<serde_json::Value>(&fact.content()).is_ok(), "{}", fact.content());
            }
        }
        Err(broken) => {
            assert_broken(&broken);
            if broken.reasons == [Reason::NotUtf8] {
                assert!(std::str::from_utf8(line).is_err());
            }
        }
    }
}

/// A record of a topic is decoded, to facts of one order, or refused for every reason; lines of files mean the same there.
pub fn topic_record(bytes: &[u8]) {
    let limits = Limits::at(NOW);
    let decoded = topic::record(bytes, &limits);
    assert_eq!(decoded, topic::record(bytes, &limits), "the same record comes to the same");
    if let Ok(line) = decode_line(bytes, &limits) {
        assert_eq!(decoded.as_ref(), Ok(&line));
    }
    match decoded {
        Ok(facts) => {
            assert!((1..=5).contains(&facts.iter().count()) && facts.at() <= facts.latest());
            assert!(facts.latest() <= limits.latest());
            assert!(facts.iter().all(|fact| fact.order == *facts.order()));
            assert_eq!(topic::order_id(bytes).as_ref(), Some(&facts.order().order_id));
        }
        Err(broken) => assert_broken(&broken),
    }
}

/// A value in Avro, after a byte that chooses its schema, is decoded to facts of one order or refused, whatever the schema.
pub fn avro(bytes: &[u8]) {
    thread_local! {
        static FORMS: Vec<Form> = [
            TOPIC_RECORD,
            r#"["null",{"type":"record","name":"R","fields":[{"name":"order_id","type":{"type":"fixed","name":"F","size":3}},
                {"name":"event_type","type":{"type":"enum","name":"E","symbols":["ORDER_PLACED","ITEM_ADDED"]}},
                {"name":"timestamp","type":{"type":"long","logicalType":"timestamp-nanos"}},
                {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":4}},
                {"name":"more","type":{"type":"map","values":{"type":"array","items":["null","R","double","F"]}}}]}]"#,
            r#"{"type":"record","name":"L","fields":[{"name":"order_id","type":"string"},{"name":"status","type":"string"},
                {"name":"timestamp","type":"string"},{"name":"many","type":{"type":"array","items":"null"}},
                {"name":"next","type":["null","L"]}]}"#,
        ]
        .map(|schema| Form::Avro(WriterSchema::parse(schema, &[]).unwrap(), 1))
        .into();
    }
    let limits = Limits::at(NOW);
    let which = usize::from(bytes.first().copied().unwrap_or_default());
    let decoded = FORMS.with(|forms| {
        let form = &forms[which % forms.len()];
        let decoded = form.record(bytes, &limits);
        assert_eq!(decoded, form.record(bytes, &limits), "the same value comes to the same");
        decoded
    });
    match decoded {
        Ok(facts) => {
            assert!(facts.iter().all(|fact| fact.order == *facts.order()) && facts.latest() <= limits.latest())
        }
        Err(broken) => assert_broken(&broken),
    }
}

/// A reader that gives little at a time.
struct Trickle {
    bytes: Vec<u8>,
    at: usize,
    stride: usize,
}

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.stride).min(self.bytes.len() - self.at);
        buffer[..length].copy_from_slice(&self.bytes[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// Every byte is in one block, but those of blanks that are longer than a record may be; records are whole, and every block
/// knows its line. The first byte says how the bytes after it are framed and how often they are repeated.
pub fn blocks(bytes: &[u8]) {
    let Some((choice, text)) = bytes.split_first() else { return };
    let framing = if choice & 1 == 0 { Framing::Lines } else { Framing::Csv };
    let repeated = if choice & 2 == 0 { 1 } else { (9 << 17) / text.len().max(1) };
    let text = text.repeat(repeated);
    let stride = if choice & 4 == 0 { usize::MAX } else { 70_001 };
    let mut cut = Blocks::new(Box::new(Trickle { bytes: text.clone(), at: 0, stride }), framing);
    let blocks: Vec<Block> = std::iter::from_fn(|| cut.next_block().ok().flatten()).collect();
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text);
    if blocks.iter().any(|block| block.is_too_large) {
        assert!(text.len() > 1 << 20);
        return;
    }
    let (mut line, mut left) = (1, text);
    for (number, block) in blocks.iter().enumerate() {
        assert_eq!((block.number, block.first_line), (number as u64, line));
        let given = if block.bytes.is_empty() {
            // A line of blanks alone is no record, and one that is longer than a record may be is not kept.
            let blanks = left.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
            let is_blank = std::str::from_utf8(blanks).is_ok_and(|blanks| blanks.trim().is_empty());
            assert!(is_blank && blanks.len() > 1 << 20, "nothing is given for what is a record");
            blanks
        } else {
            &block.bytes
        };
        line += given.iter().filter(|byte| **byte == b'\n').count() as u64;
        assert!(left.starts_with(given), "bytes were lost or made");
        left = &left[given.len()..];
        if number + 1 < blocks.len() {
            let mut rest = given;
            while let Some(end) = first_csv_record_end(rest).filter(|_| framing == Framing::Csv) {
                rest = &rest[end..];
            }
            assert!(rest.is_empty() || framing == Framing::Lines && rest.ends_with(b"\n"), "a record is cut");
        }
    }
    assert!(left.is_empty(), "bytes were lost");
}

/// What is read from a text is what its own form reads back as.
pub fn scalars(text: &[u8]) {
    if let Some(at) = timestamp::parse(text) {
        assert_eq!(timestamp::parse(format_instant(at).as_bytes()), Some(at));
    }
    if let Some(amount) = number::money(text) {
        assert_eq!(number::money(amount.to_string().as_bytes()), Some(amount));
    }
    if let Some(integer) = number::integer(text) {
        assert_eq!(number::integer(integer.to_string().as_bytes()), Some(integer));
    }
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Ok(at) = parse_instant(text) {
        assert_eq!(parse_instant(&format_instant(at)), Ok(at));
    }
    if let Ok(duration) = parse_duration(text) {
        assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }
}

/// A configuration file, in TOML or in YAML, comes to valid settings or is refused as the user's fault, with a place and a
/// remedy.
pub fn config(text: &[u8]) {
    thread_local! {
        static FILES: [tempfile::NamedTempFile; 2] =
            [".toml", ".yaml"].map(|ending| tempfile::NamedTempFile::with_suffix(ending).unwrap());
    }
    FILES.with(|files| files.iter().for_each(|file| configured(file.path(), text)));
}

fn configured(path: &Path, text: &[u8]) {
    std::fs::write(path, text).unwrap();
    match config::load(config::Kind::Bounded, Some(path), [], &[], |_| Ok(Rules::default())) {
        Ok(config) => {
            let settings = &config.settings;
            assert!(settings.tick_ms > 0 && !settings.windows.is_empty() && config.cluster.workers > 0);
            assert!(settings.max_age_ms >= settings.abandon_after_ms);
        }
        Err(error) => {
            assert_eq!(error.fault(), Fault::Configuration, "{error}");
            let text = error.to_string();
            assert!(text.contains("\n  where: ") && text.contains("\n  do: "), "{text}");
        }
    }
}

/// A file of SLA rules is taken whole or refused at a line that it has.
pub fn rules(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    match rules::parse(text) {
        Ok(rules) => drop(RuleBook::new(&rules)),
        Err(error) => {
            assert!(!error.message.is_empty());
            assert!((1..=text.split('\n').count()).contains(&error.line), "{error}");
        }
    }
}

/// What became of lines: sums of the record law, and rows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ended {
    total: Measures,
    letters: usize,
    refused: isize,
    rows: BTreeMap<String, isize>,
}

/// The record law, on the whole path from bytes to collections: nothing vanishes. And whoever gets every line twice,
/// backwards at first, accepts the same facts and shows the same orders and breaches.
pub fn whole(bytes: &[u8]) {
    let mut cut = Blocks::new(Box::new(io::Cursor::new(bytes.to_vec())), Framing::Lines);
    let blocks: Vec<Block> = std::iter::from_fn(|| cut.next_block().ok().flatten()).collect();
    let once: Vec<Vec<u8>> =
        blocks.iter().flat_map(|block| JsonLines::lines(block).map(|(_, line)| line.to_vec())).collect();
    let twice: Vec<Vec<u8>> = once.iter().rev().chain(&once).cloned().collect();
    let (lines, once) = (once.len() as i64, replayed(once));
    let [decoded, refused_records, accepted, duplicates, refused_facts, ..] = once.total.counts;
    assert_eq!(once.total.counts[RECORDS_READ], lines);
    assert_eq!(lines, decoded + refused_records);
    assert_eq!(once.total.counts[FACTS_GIVEN], accepted + duplicates + refused_facts);
    assert_eq!((once.letters as i64, once.refused as i64), (refused_records, refused_facts));
    let twice = replayed(twice);
    assert_eq!((twice.total.counts[RECORDS_READ], twice.total.counts[2]), (2 * lines, accepted));
    assert_eq!(twice.rows, once.rows);
}

fn replayed(lines: Vec<Vec<u8>>) -> Ended {
    timely::execute_directly(move |worker| {
        let (ended, probe) = (Rc::new(RefCell::new(Ended::default())), timely::dataflow::ProbeHandle::new());
        let mut input = worker.dataflow::<Time, _, _>(|scope| {
            let (input, parcels) = scope.new_input();
            let (_, record_counts) = scope.new_input();
            let (_, quality) = scope.new_input();
            let (_, refused_records) = scope.new_input();
            let inputs = Inputs { parcels, record_counts, quality, refused_records };
            let law =
                Law { settings: settings(), rules: RuleBook::new(&Rules::default()), sources: vec![Symbol::default()] };
            let law = Rc::new(law);
            let built = graph::build(inputs, Rc::clone(&law), Plan::Fused, Until::LargestAccepted, Detail::Final);
            let orders = built.orders;
            let counted = Rc::clone(&ended);
            let measures = orders.measures.inspect(move |(key, _, measures)| {
                if *key == record_law::key() {
                    counted.borrow_mut().total.add(measures);
                }
            });
            let refused = Rc::clone(&ended);
            let facts = orders.refused.inspect(move |(_, _, diff)| refused.borrow_mut().refused += diff);
            measures.probe_with(&probe);
            facts.probe_with(&probe);
            let rows_ended = Rc::clone(&ended);
            let standing = orders.standing.inspect(move |(standing, time, diff)| {
                let (mut emitted, rows) = (Emitted::default(), &mut rows_ended.borrow_mut().rows);
                emitted.give_rows_of(standing, &law, &mut View::default(), *time, *diff);
                emitted.orders.iter().for_each(|(row, _, diff)| add_row(row, *diff, rows));
                emitted.sla_breaches.iter().for_each(|(row, _, diff)| add_row(row, *diff, rows));
            });
            standing.probe_with(&probe);
            input
        });
        let mut intake = Intake::new(
            Limits::at(NOW),
            Selection { from: 0, until: Time::MAX, orders: None },
            Lateness { late_arrival_ms: 0, horizon_ms: 365 * DAY_MS },
            Arc::new(vec![Symbol::new(&Text::new("bytes"))]),
            1,
            MINUTE_MS,
        );
        for (number, line) in (1..).zip(&lines) {
            let position = Position::new(0, number);
            match decode_line(line, &intake.limits) {
                Ok(facts) => {
                    let key = order_key(facts.order());
                    let record = Decoded { key, position, record_at: facts.at(), watermark: 0 };
                    intake.count_decoded(record);
                    facts.iter().for_each(|fact| intake.fact(fact, record));
                }
                Err(broken) => intake.refuse(position, &broken, line),
            }
        }
        intake.parcels().for_each(|parcel| input.send(parcel));
        input.close();
        while !probe.done() {
            worker.step_or_park(None);
        }
        let mut ended = ended.take();
        intake.law().into_iter().for_each(|(_, _, measures)| ended.total.add(&measures));
        ended.letters = intake.refused_records().len();
        ended.rows.retain(|_, diff| *diff != 0);
        ended
    })
}

fn add_row(row: &impl Debug, diff: isize, rows: &mut BTreeMap<String, isize>) {
    *rows.entry(format!("{row:?}")).or_default() += diff;
}

fn settings() -> Settings {
    Settings {
        transitions: Transitions::Lenient,
        grace_ms: 0,
        tick_ms: MINUTE_MS,
        abandon_after_ms: DAY_MS,
        expect_payments: true,
        retention_ms: 30 * DAY_MS,
        max_age_ms: 365 * DAY_MS,
        horizon_ms: 365 * DAY_MS,
        windows: vec![Window::Day, Window::Total],
    }
}
