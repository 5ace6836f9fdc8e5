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
