//! The index against one that walks the files row by row, at all numbers of threads and sizes of stripes.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index as Chosen;

use super::*;
use crate::source::olist::{FILES, read_header};
use crate::validate::timestamp;

const HEADERS: [&str; 3] = [
    "order_id,order_status,order_purchase_timestamp,order_approved_at",
    "order_id,order_item_id,price",
    "payment_sequential,order_id,payment_value",
];

/// What the index must be: the same definition without stripes, hashes and threads.
fn oracle(texts: &[String; 3], stripe_bytes: u64) -> Option<Vec<Cut>> {
    if texts.iter().any(|text| text.contains('"') || text.replace("\r\n", "").trim_end_matches('\r').contains('\r')) {
        return None;
    }
    let [orders, items, payments] = [0, 1, 2].map(|file: usize| {
        let mut place = FilePlace { offset: 0, line: 1 };
        let mut rows = Vec::new();
        for line in texts[file].split_inclusive('\n') {
            rows.push((place, line.trim_end_matches(['\r', '\n']).split(',').map(str::to_owned).collect::<Vec<_>>()));
            place = FilePlace { offset: place.offset + line.len() as u64, line: place.line + 1 };
        }
        (rows, place)
    });
    if [&orders, &items, &payments].iter().all(|(rows, _)| rows.len() == 1) {
        return Some(Vec::new());
    }
    let start = orders.0[0].1.join(",").len() as u64 + 1;
    let mut left = [(items, 0), (payments, 1)].map(|((rows, end), id)| (rows, end, id, 1));
    let (mut cuts, mut seen, mut stripe) = (Vec::<Cut>::new(), Vec::new(), None);
    for (place, row) in &orders.0[1..] {
        let [order_id, _, times @ ..] = row.as_slice() else { return None };
        if seen.contains(order_id) || order_id.trim() != order_id || times.len() < 2 {
            return None;
        }
        seen.push(order_id.clone());
        let places = left.each_ref().map(|(rows, end, _, at)| rows.get(*at).map_or(*end, |row| row.0));
        let its_stripe = Some((place.offset - start) / stripe_bytes);
        if std::mem::replace(&mut stripe, its_stripe) != its_stripe {
            cuts.push(Cut { places: [*place, places[0], places[1]], earliest: Time::MAX });
        }
        for time in times[..2].iter().filter(|time| !time.is_empty()) {
            let cut = cuts.last_mut()?;
            cut.earliest = cut.earliest.min(timestamp::parse(time.as_bytes())?);
        }
        for (rows, _, id, at) in &mut left {
            while rows.get(*at).is_some_and(|(_, row)| row.get(*id) == Some(order_id)) {
                *at += 1;
            }
        }
    }
    if left.iter().any(|(rows, .., at)| *at < rows.len()) || cuts.last()?.earliest == Time::MAX {
        return None;
    }
    for number in (1..cuts.len()).rev() {
        cuts[number - 1].earliest = cuts[number - 1].earliest.min(cuts[number].earliest);
    }
    cuts.push(Cut { places: [orders.1, left[0].1, left[1].1], earliest: Time::MAX });
    Some(cuts)
}

fn find(directory: &Path, texts: &[String; 3], threads: usize, stripe_bytes: u64) -> Option<Vec<Cut>> {
    let paths = FILES.map(|name| directory.join(name));
    for (path, text) in paths.iter().zip(texts) {
        std::fs::write(path, text).unwrap();
    }
    let files = FILES.map(|name| TableFile::open(directory, name).unwrap());
    let headers = files.each_ref().map(|file| read_header(file).unwrap());
    let index = Index::find_in_stripes(&files, &headers, threads, stripe_bytes).unwrap();
    index.map(|index| index.cuts)
}

/// Three co-ordered files: of each order its id, status, times, and how many items and payments it has.
fn texts(orders: &[(String, String, [String; 2], usize, usize)], line_end: &str, ends_open: bool) -> [String; 3] {
    let mut rows = HEADERS.map(|header| vec![header.to_owned()]);
    for (order_id, status, [purchased, approved], items, payments) in orders {
        rows[0].push(format!("{order_id},{status},{purchased},{approved}"));
        rows[1].extend((0..*items).map(|item| format!("{order_id},{item},9.90")));
        rows[2].extend((0..*payments).map(|payment| format!("{payment},{order_id},9.90")));
    }
    // A header ends with a bare line feed: where it is counted, nothing depends on the rows.
    rows.map(|rows| {
        let body: String = rows[1..].iter().map(|row| format!("{row}{line_end}")).collect();
        let body = if ends_open { body.strip_suffix(line_end).unwrap_or(&body) } else { &body };
        format!("{}\n{body}", rows[0])
    })
}

fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "201[6-8]-(0[1-9]|1[0-2])-([01][1-9]|29) [01][0-9]:[0-5][0-9]:[0-5][0-9]",
        1 => Just(String::new()),
        1 => "2016-01-01T00:00:00\\.[0-9]{3}(Z|\\+01:00)",
    ]
}

fn orders() -> impl Strategy<Value = Vec<(String, String, [String; 2], usize, usize)>> {
    let order = ("[0-9a-f]{1,32}", "[a-z]{0,40}", [time(), time()], 0_usize..4, 0_usize..3);
    prop::collection::vec(order, 0..24)
}

/// A damage to a file: what is put in place of some of its bytes.
const DAMAGES: [&str; 12] = ["\"", "\r", "\n", ",", "x", " ", "", "\r\n", "\n\n", ",,", "-", "9"];

proptest! {
    #[test]
    fn oracle_of_co_ordered_files(
        orders in orders(),
        line_end in prop_oneof![Just("\n"), Just("\r\n")],
        ends_open: bool,
        threads in 1_usize..4,
        stripe_bytes in prop_oneof![1_u64..80, 80_u64..2_000],
    ) {
        let directory = tempfile::tempdir().unwrap();
        let texts = texts(&orders, line_end, ends_open);
        prop_assert_eq!(find(directory.path(), &texts, threads, stripe_bytes), oracle(&texts, stripe_bytes));
    }

    #[test]
    fn oracle_of_damaged_files(
        orders in orders(),
        threads in 1_usize..4,
        stripe_bytes in 1_u64..400,
        file in 0_usize..3,
        at: Chosen,
        removed in 0_usize..2,
        damage in prop::sample::select(&DAMAGES[..]),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut texts = texts(&orders, "\n", false);
        let body = HEADERS[file].len() + 1;
        let from = body + at.index(texts[file].len() - body + 1);
        let to = (from + removed).min(texts[file].len());
        texts[file].replace_range(from..to, damage);
        prop_assert_eq!(find(directory.path(), &texts, threads, stripe_bytes), oracle(&texts, stripe_bytes));
    }

    #[test]
    fn oracle_of_rows_out_of_order(
        orders in orders(),
        threads in 1_usize..4,
        stripe_bytes in 1_u64..400,
        file in 0_usize..3,
        from: Chosen,
        to: Chosen,
        is_copied: bool,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut texts = texts(&orders, "\n", false);
        let mut rows: Vec<String> = texts[file].split_inclusive('\n').map(str::to_owned).collect();
        if rows.len() > 1 {
            let from = 1 + from.index(rows.len() - 1);
            let row = if is_copied { rows[from].clone() } else { rows.remove(from) };
            rows.insert(1 + to.index(rows.len()), row);
        }
        texts[file] = rows.concat();
        prop_assert_eq!(find(directory.path(), &texts, threads, stripe_bytes), oracle(&texts, stripe_bytes));
    }
}

#[test]
fn what_is_odd_is_not_co_ordered() {
    let directory = tempfile::tempdir().unwrap();
    let order = |order_id: &str, time: &str| {
        (order_id.to_owned(), "shipped".to_owned(), [time.to_owned(), String::new()], 1, 1)
    };
    let is_found = |orders: &[_]| {
        let found =
            [1, 50, 1_000].map(|stripe_bytes| find(directory.path(), &texts(orders, "\n", false), 2, stripe_bytes));
        assert!(found.iter().all(|cuts| cuts.is_some() == found[0].is_some()));
        found[0].is_some()
    };
    let time = "2018-01-01 00:00:00";
    assert!(is_found(&[order("a", time), order("b", time)]));
    assert!(is_found(&[order("", time), order("b", "2018-01-31T00:00:00.5-03:00")]), "refused later, and an odd time");
    assert!(is_found(&[]), "no rows, and so none that is odd");
    assert!(!is_found(&[order("a", time), order("b", time), order("a", time)]), "listed twice");
    assert!(!is_found(&[order("a", time), order("a", time)]), "listed twice, one after the other");
    assert!(!is_found(&[order("a", time), order(" a", time)]), "listed twice, once to be trimmed");
    assert!(!is_found(&[order("a", time), order("a\u{a0}", time)]), "listed twice, once to be trimmed");
    assert!(!is_found(&[order("a", time), order("b", "2018-02-29 00:00:00")]), "no time");
    assert!(!is_found(&[order("a", "1969-12-28 00:00:00"), order("b", time)]), "before 1970");
    assert!(!is_found(&[order("a", time), order("b\rb", time)]), "a line end to a CSV reader");
    assert!(!is_found(&[order("a", time), order("\"b\"", time)]), "quotes");
    let timeless_end = texts(&[order("a", time), order("b", "")], "\n", false);
    assert_eq!(find(directory.path(), &timeless_end, 2, 1), None, "nothing could be promised before the last block");
    assert!(find(directory.path(), &timeless_end, 2, 1_000).is_some(), "its block has a time");
}

#[test]
fn rows_longer_than_stripes_are_whole() {
    let directory = tempfile::tempdir().unwrap();
    let time = "2018-01-01 00:00:00".to_owned();
    let of_length = |length: usize| ("a".repeat(8), "s".repeat(length), [time.clone(), time.clone()], 1, 0);
    let last = ("b".to_owned(), String::new(), [time.clone(), time.clone()], 0, 1);
    let long = texts(&[of_length(100_000), last.clone()], "\n", true);
    assert_eq!(find(directory.path(), &long, 2, 64), oracle(&long, 64));
    assert!(oracle(&long, 64).is_some());
    let too_long = texts(&[of_length(20 << 20), last], "\n", true);
    assert_eq!(find(directory.path(), &too_long, 2, 256 << 10), None);
}
