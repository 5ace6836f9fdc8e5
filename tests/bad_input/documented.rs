//! docs/validation.md is true: every record in it is refused for exactly the reasons that stand there, or accepted, and
//! every reason there is has its place with a record of both kinds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use csv::ByteRecord;
use orderwatch::decode::decode_line;
use orderwatch::decode::olist::{ItemColumns, OrderColumns, PaymentColumns};
use orderwatch::validate::meaning::meaning;
use orderwatch::validate::{Broken, Limits, Reason};

use super::run::{replay, run};

const ORDERS: &str = "order_id,order_status,order_purchase_timestamp\nA-1,created,2024-03-01 09:00:00\n";
const PAYMENTS: &str = "order_id,payment_sequential,payment_type,payment_value\n";
/// Reasons of user activity, which cannot be read yet: they have a meaning and no record.
const OF_ACTIVITY: [&str; 2] = ["unknown_schema_version", "login_required"];

/// A fence: the section it stands in, the words that open it, what it holds.
struct Fence {
    code: String,
    opening: Vec<String>,
    text: String,
}

fn every_reason() -> Vec<Reason> {
    use Reason::*;
    vec![
        NotUtf8,
        TooLarge,
        Malformed,
        ColumnCount,
        UnknownSchemaVersion,
        MissingField("f"),
        BadId("f"),
        UnknownEventType,
        UnknownStatus,
        UnknownPaymentType,
        BadTimestamp("f"),
        FutureTimestamp("f"),
        BadNumber("f"),
        Negative("f"),
        BelowMinimum("f"),
        AboveMaximum("f"),
        TotalMismatch,
        LoginRequired,
        UnknownOrder,
        ConflictingDuplicate,
        OrderRetired,
        TooLate,
    ]
}

fn sections(document: &str) -> Vec<(String, String)> {
    let sections = document.split("\n### `").skip(1);
    let code = |section: &str| section.split([':', '`']).next().unwrap().to_owned();
    sections.map(|section| (code(section), section.split("\n## ").next().unwrap().to_owned())).collect()
}

fn fences(sections: &[(String, String)]) -> Vec<Fence> {
    let mut fences = Vec::new();
    for (code, section) in sections {
        for fence in section.split("```").skip(1).step_by(2) {
            let (opening, text) = fence.split_once('\n').unwrap();
            let opening = opening.split(' ').map(str::to_owned).collect();
            fences.push(Fence { code: code.clone(), opening, text: text.to_owned() });
        }
    }
    fences
}

/// The bytes that a text of the document stands for.
fn bytes(text: &str) -> Vec<u8> {
    let text = text.replace("[1 MiB]", &"x".repeat(1 << 20));
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

/// The reasons for which a CSV row, below its header, is refused.
fn of_row(text: &str, limits: &Limits) -> Result<(), Broken> {
    let mut rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let rows: Vec<ByteRecord> = rows.byte_records().map(Result::unwrap).collect();
    let [header, row] = rows.as_slice() else { panic!("a header and a row: {text}") };
    if let Ok(columns) = OrderColumns::from_header(header) {
        columns.decode(row, limits).map(drop)
    } else if let Ok(columns) = ItemColumns::from_header(header) {
        columns.decode(row, limits).map(drop)
    } else {
        PaymentColumns::from_header(header).unwrap().decode(row, limits).map(drop)
    }
}

/// The reasons of the dead letters of a replay of `input`, each with its position.
fn of_replay(input: &Path, arguments: &[&str]) -> Vec<(String, String)> {
    let out = input.parent().unwrap().join("out");
    let ended = run(replay(&[input]).args(arguments).args(["--no-console", "--out"]).arg(&out));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let mut letters = csv::Reader::from_path(out.join("dead_letters.csv")).unwrap();
    letters.records().map(Result::unwrap).map(|row| (row[1].to_owned(), row[2].to_owned())).collect()
}

fn of_facts(fence: &Fence) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    if fence.opening[1] == "items" {
        let directory = folder.path().join("shop");
        fs::create_dir(&directory).unwrap();
        for (name, text) in [("orders", ORDERS), ("order_items", &fence.text), ("order_payments", PAYMENTS)] {
            fs::write(directory.join(format!("olist_{name}_dataset.csv")), text).unwrap();
        }
        return of_replay(&directory, &[]);
    }
    let input = folder.path().join("lines.jsonl");
    fs::write(&input, &fence.text).unwrap();
    of_replay(&input, if fence.code == "too_late" { &["--arrival-order"] } else { &[] })
}

#[test]
fn every_record_in_the_document_on_validation_is_as_it_says() {
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/validation.md")).unwrap();
    let sections = sections(&document);
    let limits = Limits::at(1_767_225_600_000);
    let mut seen: BTreeSet<(String, bool)> = BTreeSet::new();
    for fence in fences(&sections) {
        let Fence { code, opening, text } = &fence;
        let kinds = opening.iter().take_while(|word| !["refused", "accepted"].contains(&word.as_str())).count();
        let is_refused = opening[kinds] == "refused";
        let wanted = opening[kinds + 1..].join(";");
        let last_line = text.lines().count();
        let found = match (opening[0].as_str(), opening[1].as_str()) {
            (_, "items" | "lines") => match of_facts(&fence).as_slice() {
                [] => String::new(),
                [(position, reasons)] if position.ends_with(&format!(":{last_line}")) => reasons.clone(),
                letters => panic!("{code}: {letters:?}"),
            },
            ("csv", _) => of_row(text, &limits).err().map_or_else(String::new, |broken| broken.joined()),
            _ => {
                let line = bytes(text.trim_end());
                decode_line(&line, &limits).err().map_or_else(String::new, |broken| broken.joined())
            }
        };
        assert_eq!(found, wanted, "{code}: {text}");
        assert_eq!(is_refused, !wanted.is_empty(), "{code}: {text}");
        assert!(!is_refused || wanted.contains(code.as_str()), "{wanted} is no example of {code}");
        seen.insert((code.clone(), is_refused));
    }
    for reason in every_reason() {
        let code = reason.code();
        let section = sections.iter().find(|(known, _)| known == code);
        let section = &section.unwrap_or_else(|| panic!("docs/validation.md lacks {code}")).1;
        let flowing = section.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        assert!(flowing.contains(&meaning(code).to_lowercase()), "{code} means: {}", meaning(code));
        for is_refused in [true, false] {
            let is_there = seen.contains(&(code.to_owned(), is_refused));
            assert_eq!(is_there, !OF_ACTIVITY.contains(&code), "{code}: refused {is_refused}");
        }
    }
    assert_eq!(sections.len(), every_reason().len(), "a reason that there is not");
}
