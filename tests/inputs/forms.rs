//! Compressed files, pipes, and files whose name does not tell what they are.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use super::compare::{assert_same, files};
use super::inputs::sample;
use super::run::{Ended, replay, run, start};

pub type Files = BTreeMap<String, Vec<u8>>;

pub fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

pub fn zstd(text: &[u8]) -> Vec<u8> {
    let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
    packed.include_checksum(true).unwrap();
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

/// Lines of many orders, some of them late and some broken, in an order of their own.
pub fn events(orders: u64) -> Vec<u8> {
    let mut text = String::new();
    for number in 0..orders * 3 {
        let (order, step) = (number * 7_919 % orders, number / orders);
        let at = 1_704_100_000_000 + order * 61_000 + step * (order % 50) * 3_600_000;
        let kind = ["ORDER_PLACED", "PROCESSING_STARTED", "ITEM_SHIPPED"][step as usize];
        let item = if step == 0 { r#","item_name":"Jeans","item_category":"Clothes","price":"19.90""# } else { "" };
        text += &format!("{{\"order_id\":\"o{order}\",\"event_type\":\"{kind}\",\"timestamp\":{at}{item}}}\n");
        if number % 997 == 0 {
            text += "{\"order_id\":\"broken\"}\n\n";
        }
    }
    text.into_bytes()
}

/// Replays within `folder`; its files, and how it ended.
pub fn replayed(folder: &Path, arguments: &[&str], stdin: Option<&[u8]>) -> (Files, Ended) {
    let out = tempfile::tempdir().unwrap();
    let mut command = replay(arguments);
    command.current_dir(folder).arg("--out").arg(out.path());
    let ended = match stdin {
        None => run(&mut command),
        Some(bytes) => {
            let mut running = start(command.stdin(Stdio::piped()));
            let mut pipe = running.child.stdin.take().unwrap();
            let bytes = bytes.to_vec();
            let writer = std::thread::spawn(move || drop(pipe.write_all(&bytes)));
            let ended = running.wait();
            writer.join().unwrap();
            ended
        }
    };
    assert!(matches!(ended.code, Some(0 | 130)), "{arguments:?}: {}", ended.stderr);
    assert!(!ended.stdout.contains("vanished"), "{}", ended.stdout);
    (files(out.path()), ended)
}

#[test]
fn content_tells_what_a_file_is_and_how_it_is_compressed() {
    let text = events(2_000);
    let folder = tempfile::tempdir().unwrap();
    let mut straight = None;
    for form in [text.clone(), gzip(&text), zstd(&text), [gzip(&text[..99_993]), gzip(&text[99_993..])].concat()] {
        fs::write(folder.path().join("events"), &form).unwrap();
        let (of_file, _) = replayed(folder.path(), &["events", "-w", "2"], None);
        let (of_pipe, _) = replayed(folder.path(), &["-", "-w", "2"], Some(&form));
        let (straight_file, straight_pipe) = straight.get_or_insert((of_file.clone(), of_pipe.clone()));
        assert_same(straight_file, &of_file, "a file without a telling name");
        assert_same(straight_pipe, &of_pipe, "standard input");
        for name in ["orders.csv", "order_events.csv", "real_time_funnel.csv"] {
            assert_eq!(of_file[name], of_pipe[name], "{name} by a pipe");
        }
    }
    let letters = String::from_utf8(straight.unwrap().0["dead_letters.csv"].clone()).unwrap();
    assert!(letters.lines().count() == 8 && letters.contains("events,events:2,"), "{letters}");
}

/// How the files of a directory are packed: their ending and their bytes.
type Packing = fn(usize, &[u8]) -> (&'static str, Vec<u8>);

#[test]
fn directories_with_compressed_files_are_read_as_plain_ones() {
    let packings: [Packing; 3] = [
        |_, text| (".gz", gzip(text)),
        |number, text| if number % 3 == 0 { ("", text.to_vec()) } else { (".zst", zstd(text)) },
        // Of a file with the name of a plain one the content tells.
        |_, text| ("", gzip(text)),
    ];
    let sample = sample();
    for options in [&["sample", "-w", "2"][..], &["sample", "--arrival-order", "--limit", "100"]] {
        let (straight, _) = replayed(sample.parent().unwrap(), options, None);
        for pack in packings {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("sample")).unwrap();
            for (number, entry) in fs::read_dir(&sample).unwrap().enumerate() {
                let path = entry.unwrap().path();
                let (ending, packed) = pack(number, &fs::read(&path).unwrap());
                let name = path.file_name().unwrap().to_str().unwrap();
                fs::write(folder.path().join("sample").join(format!("{name}{ending}")), packed).unwrap();
            }
            assert_same(&straight, &replayed(folder.path(), options, None).0, &format!("{options:?}"));
        }
    }
}

#[test]
fn kinds_and_forms_are_mixed() {
    let (folder, text) = (tempfile::tempdir().unwrap(), events(500));
    let half = text.len() / 2 + text[text.len() / 2..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let sample = sample().display().to_string();
    fs::write(folder.path().join("a.ndjson.zst"), zstd(&text[..half])).unwrap();
    fs::write(folder.path().join("whole.jsonl"), &text).unwrap();
    let (apart, _) = replayed(folder.path(), &["a.ndjson.zst", &sample, "-", "-w", "2"], Some(&gzip(&text[half..])));
    let (together, _) = replayed(folder.path(), &[&sample, "whole.jsonl"], None);
    for (name, bytes) in &together {
        if !["data_quality_metrics.csv", "dead_letters.csv"].contains(&name.as_str()) {
            assert!(*bytes == apart[name], "{name}");
        }
    }
}
