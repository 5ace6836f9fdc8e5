//! Files and ends of files in which nothing can be read: every line is a dead letter, whatever else is read with them.

use std::fs;

use super::forms::replayed;

const LINE: &str = r#"{"order_id":"a","event_type":"ORDER_PLACED","timestamp":1709200000000}"#;
/// Not yet: no time that an index could know.
const FUTURE: &str = r#"{"order_id":"a","event_type":"ORDER_PLACED","timestamp":"2999-01-01T00:00:00Z"}"#;

#[test]
fn what_holds_no_time_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, lines: Vec<String>| fs::write(folder.path().join(name), lines.join("\n")).unwrap();
    let junk = |count: usize| (0..count).map(|number| format!("{number:x<1000}")).collect::<Vec<_>>();
    write("good.jsonl", vec![LINE.to_owned()]);
    write("junk.jsonl", junk(2));
    write("future.jsonl", vec![FUTURE.to_owned(); 3]);
    // More than a block of lines is broken.
    write("tail.jsonl", [vec![LINE.to_owned()], junk(5_000)].concat());
    write("head.jsonl", [junk(5_000), vec![LINE.to_owned()]].concat());
    for (inputs, refused) in [
        (&["good.jsonl", "junk.jsonl"][..], 2),
        (&["junk.jsonl", "good.jsonl"], 2),
        (&["future.jsonl", "good.jsonl", "junk.jsonl"], 5),
        (&["tail.jsonl"], 5_000),
        (&["head.jsonl", "tail.jsonl"], 10_000),
        (&["junk.jsonl"], 2),
    ] {
        let decoded = inputs.iter().filter(|name| !["junk.jsonl", "future.jsonl"].contains(name)).count();
        let law = format!("{} read = {decoded} decoded + {refused} refused", decoded + refused);
        for arguments in [
            &["-w", "1"][..],
            &["-w", "2"],
            &["-w", "3", "--plan", "relational"],
            &["--arrival-order"],
            &["--speed", "100000000"],
            &["--changes"],
            &["--until", "2024-02-01"],
        ] {
            let (files, ended) =
                replayed(folder.path(), &[inputs, &["--as", "order-events"], arguments].concat(), None);
            assert!(ended.stdout.replace(',', "").contains(&law), "{inputs:?} {arguments:?}: {}", ended.stdout);
            let letters = files["dead_letters.csv"].iter().filter(|byte| **byte == b'\n').count() - 1;
            assert_eq!(letters, refused, "{inputs:?} {arguments:?}");
        }
    }
}

#[test]
fn what_is_refused_waits_for_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let lines = |name: &str, lines: Vec<String>| fs::write(folder.path().join(name), lines.join("\n")).unwrap();
    let broken = (0..20_000).map(|number| format!("{}{number}", LINE.replace("1709200000000", "1809200000000")));
    let broken: Vec<String> = broken.map(|line| line.replace("\"a\"", "\"\"")).collect();
    lines("years.jsonl", [vec![LINE.to_owned()], broken].concat());
    lines("epoch.jsonl", vec![LINE.replace("1709200000000", "0"), LINE.replace("1709200000000", "9")]);
    // Three years would take sixteen minutes.
    for (name, law) in [
        ("years.jsonl", "20001 read = 1 decoded + 20000 refused"),
        ("years.jsonl", "1 = 1 accepted"),
        ("epoch.jsonl", "2 = 2 accepted"),
    ] {
        let (_, ended) = replayed(folder.path(), &[name, "--speed", "100000"], None);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout.replace(',', "").contains(law), "{name}: {}", ended.stdout);
    }
}

#[test]
fn a_line_about_as_long_as_it_may_be_is_judged_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let (mib, other) = (1 << 20, LINE.replace("\"a\"", "\"b\""));
    let untrimmed = LINE.replace("1709200000000", "\" 2024-02-29T09:46:40Z\"");
    // It ends with CR and LF behind the last byte that it may have.
    write("end.jsonl", &format!("{LINE}\n{untrimmed}{}\r\n{other}\r\n", " ".repeat(mib - untrimmed.len())));
    write("limit.jsonl", &format!("{LINE}{}\n{other}\n{LINE}\n", " ".repeat(3 * mib)));
    let broken = |count: usize| "junk\n".repeat(count);
    write("over.jsonl", &format!("{}{}\n{}", broken(mib / 5 - 1), "x".repeat(mib + 20), broken(300_000)));
    for (arguments, laws) in [
        (&["end.jsonl", "-w", "2"][..], ["3 read = 3 decoded + 0 refused", "3 = 2 accepted + 1 duplicates"]),
        (&["limit.jsonl", "--limit", "1"], ["3 read = 2 decoded + 1 refused", "1 = 1 accepted"]),
    ] {
        let (_, ended) = replayed(folder.path(), arguments, None);
        let holds = laws.iter().all(|law| ended.stdout.contains(law));
        assert!(holds, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
    }
    let (alone, _) = replayed(folder.path(), &["over.jsonl", "-w", "1"], None);
    for _ in 0..5 {
        let (files, _) = replayed(folder.path(), &["over.jsonl", "-w", "4"], None);
        assert!(files == alone, "every line has its number");
    }
}

#[test]
fn a_last_row_that_is_too_large_is_one_record() {
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop");
    fs::create_dir(&shop).unwrap();
    let rows = [
        ("orders", "order_id,order_status,order_purchase_timestamp\nb,created,2024-03-01 00:00:00\n".to_owned()),
        ("order_payments", "order_id,payment_sequential,payment_type,payment_value\nb,1,voucher,6\n".to_owned()),
        ("order_items", format!("order_id,order_item_id,price,freight_value\nb,1,5,\"{}\"", "1,2\n".repeat(400_000))),
    ];
    for (name, text) in &rows {
        fs::write(shop.join(format!("olist_{name}_dataset.csv")), text).unwrap();
    }
    for end in ["", "\n"] {
        fs::write(shop.join("olist_order_items_dataset.csv"), format!("{}{end}", rows[2].1)).unwrap();
        let (files, ended) = replayed(folder.path(), &["shop"], None);
        assert!(ended.stdout.contains("3 read = 2 decoded + 1 refused"), "{}", ended.stdout);
        let letters = String::from_utf8_lossy(&files["dead_letters.csv"]).into_owned();
        assert!(letters.contains("olist_order_items_dataset.csv:2,too_large"), "{}", &letters[..200]);
    }
}
