//! Inputs that are named twice, under whatever names, and those that can be read once only where that is not enough.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use super::lines::placed;
use super::outcome::{Place, assert_failed};
use super::pipes::make_pipe;
use super::rows::shop;
use super::run::{orderwatch, replay, run};

#[test]
fn an_input_that_is_named_twice_is_told_and_read_once_whatever_its_names_are() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1) + "\nbroken\n");
    fs::copy(place.path("x.jsonl"), place.path("copy.jsonl")).unwrap();
    fs::hard_link(place.path("x.jsonl"), place.path("hard.jsonl")).unwrap();
    symlink("x.jsonl", place.path("link.jsonl")).unwrap();
    shop(&place, b"", b"", b"");
    symlink("shop", place.path("other")).unwrap();
    make_pipe(&place, "p.jsonl");
    let absolute = place.path("x.jsonl").display().to_string();
    for (first, again) in [
        ("x.jsonl", "x.jsonl"),
        ("x.jsonl", "./x.jsonl"),
        ("link.jsonl", "x.jsonl"),
        ("x.jsonl", "hard.jsonl"),
        (absolute.as_str(), "shop/../x.jsonl"),
        ("shop", "other/"),
    ] {
        let mut command = replay(&[first, "copy.jsonl", again]);
        let ended = run(command.arg("--out").arg(place.out()).current_dir(place.folder.path()));
        let what = format!("an input is named twice: {first} and {again}; it is read once");
        assert!(ended.stderr.contains(&what), "{}", ended.stderr);
        let records = if first == "shop" { [2, 1, 1] } else { [4, 2, 2] };
        assert_eq!(place.outcome(&ended).records, records, "{first} and {again}");
    }
    for (first, again) in
        [("p.jsonl", "p.jsonl"), ("-", "-"), ("-", "/dev/stdin"), ("kafka://127.0.0.1:1/t", "kafka://127.0.0.1:1/t")]
    {
        let what = format!("an input is named twice: {first} and {again}");
        let (place_of, cure) = (format!("where: {again}\n"), format!("name `{first}` once"));
        place.refused(&[first, "copy.jsonl", again], 2, &[&what, &place_of, &cure]);
    }
    let twice = ["--input", "p.jsonl", "./p.jsonl"];
    let explained = run(orderwatch().args(["explain", "a"]).args(twice).current_dir(place.folder.path()));
    assert_failed(&explained, 2, &["an input is named twice: p.jsonl and ./p.jsonl"]);
    let checked = run(orderwatch().args(["check", "p.jsonl", "./p.jsonl"]).current_dir(place.folder.path()));
    assert_eq!(checked.code, Some(1), "{}", checked.stderr);
    assert!(
        checked.stdout.contains("failed   configuration, all layers: an input is named twice"),
        "{}",
        checked.stdout
    );
    // A copy is another input.
    assert_eq!(place.replay(&["x.jsonl", "copy.jsonl", "shop"]).records, [4, 2, 2]);
}

#[test]
fn what_can_be_read_once_only_is_neither_shared_nor_read_again() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    make_pipe(&place, "p.jsonl");
    for input in ["-", "/dev/stdin", "p.jsonl"] {
        let place_of = format!("where: {input}\n");
        for process in ["0", "1"] {
            let says = ["processes of a cluster cannot share an input", &place_of, "leave -n and -p out"];
            place.refused(&["x.jsonl", input, "-n", "2", "-p", process], 2, &says);
        }
        let says = ["nobody knows whether it is the same again", &place_of, "leave --checkpoint out"];
        place.refused(&["x.jsonl", input, "--speed", "9", "--checkpoint", "kept"], 2, &says);
    }
    assert!(!place.path("kept").exists());
    // Standard input may be a file: which one it is for the other processes nobody knows.
    let mut command = replay(&["-", "-n", "2"]);
    let ended = run(command.stdin(File::open(place.path("x.jsonl")).unwrap()));
    assert_failed(&ended, 2, &["processes of a cluster cannot share an input"]);
}
