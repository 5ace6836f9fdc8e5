//! Paced replays: time passes at the speed asked for, breaches are told when they are due, results stay the same.
//!
//! Limits: bounds are generous, and a machine that stands still for a moment gets another chance; too early is never right.

// A test that cannot set up its case must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "goldens/compare.rs"]
#[allow(dead_code)] // shared with goldens.rs
mod compare;
#[path = "support/run.rs"]
#[allow(dead_code)] // shared with bad_input.rs
mod run;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use compare::{assert_same, files};
use run::{cluster, replay, run, start};

/// What a busy machine may be late by.
const SLACK: Duration = Duration::from_millis(1_500);

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A replay at this speed takes as long as `expected`, beyond what one without a pace takes.
#[track_caller]
fn assert_takes(folder: &Path, speed: &str, arguments: &[&str], expected: Duration) {
    let timed = |speed: &str| {
        let started = Instant::now();
        let ended = run(replay(&[arguments, &["--speed", speed]].concat()).current_dir(folder));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        started.elapsed()
    };
    let is_in_time = || {
        let (unpaced, whole) = (timed("max"), timed(speed));
        assert!(whole >= expected, "{whole:?}, not {expected:?}");
        whole <= expected + unpaced + SLACK
    };
    assert!((0..3).any(|_| is_in_time()), "{arguments:?} at {speed}: three replays took longer than {expected:?}");
}

/// Two orders that are placed and not processed, and one event forty hours later.
const STORY: &str = r#"{"order_id":"late","event_type":"ORDER_PLACED","timestamp":"2024-03-02T12:00:00Z"}
{"order_id":"a","event_type":"ORDER_PLACED","timestamp":"2024-03-01T00:00:00Z","item_name":"Jeans","price":"1"}
{"order_id":"b","event_type":"ORDER_PLACED","timestamp":"2024-03-01T06:00:00Z"}
{"order_id":"a","event_type":"PROCESSING_STARTED","timestamp":"2024-03-02T16:00:00Z"}
"#;

#[test]
fn a_replay_takes_its_span_divided_by_its_speed() {
    // From the first event to the last 40 h.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("story"), STORY).unwrap();
    assert_takes(folder.path(), "100000", &["story"], Duration::from_millis(1_440));
    // Time without events passes as well: to the end that is given, from the beginning that is given.
    let ends = ["story", "--from", "2024-02-29", "--until", "2024-03-03"];
    assert_takes(folder.path(), "100000", &ends, Duration::from_millis(2_592));
    // Nothing at all takes no time, nor does what lies beyond the end.
    let day = ["--from", "2016-10-01", "--until", "2016-10-02"];
    assert_takes(project(), "1000000", &day, Duration::from_millis(86));
    assert_takes(folder.path(), "1", &["story", "--until", "2024-02-01"], Duration::ZERO);
    let month = ["--from", "2018-06-01", "--until", "2018-07-01", "-w", "2"];
    assert_takes(project(), "2000000", &month, Duration::from_millis(1_296));
}

#[test]
fn the_clock_starts_at_from_and_waits_for_nothing_before_it() {
    let folder = tempfile::tempdir().unwrap();
    // Four years before: they would take an hour and a half.
    let before = r#"{"order_id":"old","event_type":"ORDER_PLACED","timestamp":"2020-03-01T00:00:00Z"}"#;
    fs::write(folder.path().join("story"), format!("{before}\n{STORY}")).unwrap();
    // To the last event five hours, in the first of which nothing happens, and one.
    for (from, takes_ms) in [("2024-03-02T11:00:00Z", 1_200), ("2024-03-02T15:00:00Z", 240)] {
        for workers in ["1", "2"] {
            let arguments = ["story", "--from", from, "-w", workers];
            assert_takes(folder.path(), "15000", &arguments, Duration::from_millis(takes_ms));
        }
    }
}

#[test]
fn breaches_are_told_when_they_are_due() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("story"), STORY).unwrap();
    let are_told_in_time = |workers: &str| {
        let mut command = replay(&["story", "--speed", "36000", "-w", workers]);
        let mut child = command.current_dir(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if line.contains("SLA BREACH") {
                told.push((Instant::now(), line));
            }
        }
        assert!(child.wait().unwrap().success());
        // What comes due after the last event is beyond the end of the results.
        let [(first, a), (second, b)] = &told[..] else { panic!("{told:?}") };
        assert!(a.contains("order a not processed within 24 h, due 2024-03-02 00:00:00 UTC: 1 × Jeans"), "{a}");
        assert!(a.as_str() >= "2024-03-02T00" && b.as_str() >= "2024-03-02T06" && b.contains("order b"), "{a}\n{b}");
        // Six hours apart, long after the last event before them and long before the next one.
        let apart = second.duration_since(*first);
        eprintln!("{apart:?}: {a}");
        a.starts_with("2024-03-02T00") && apart > Duration::from_millis(350) && apart < Duration::from_millis(1_100)
    };
    for workers in ["1", "2"] {
        assert!((0..6).any(|_| are_told_in_time(workers)), "-w {workers}: of six replays none was in time");
    }
}

#[test]
fn no_breach_is_told_that_results_do_not_reach() {
    let folder = tempfile::tempdir().unwrap();
    let placed = r#"{"order_id":"a","event_type":"ORDER_PLACED","timestamp":"2024-03-01T00:00:00Z"}"#;
    let paid = |value: u8, at: &str| {
        let payment = r#""event_type":"PAYMENT_RECEIVED","payment_seq":1,"payment_type":"paypal""#;
        format!(r#"{{"order_id":"a",{payment},"value":{value},"timestamp":"{at}"}}"#)
    };
    // The last event is a minute before the breach, or is refused.
    let before = r#"{"order_id":"b","event_type":"ORDER_PLACED","timestamp":"2024-03-01T23:59:00Z"}"#.to_owned();
    let refused = [paid(1, "2024-03-01T01:00:00Z"), paid(2, "2024-03-11T01:00:00Z")].join("\n");
    for (last, speeds) in [(before, ["100000", "10000000"]), (refused, ["1000000", "10000000"])] {
        fs::write(folder.path().join("story"), format!("{placed}\n{last}\n")).unwrap();
        for speed in speeds {
            for options in [&["-w", "1"][..], &["-w", "2"], &["--arrival-order"]] {
                let arguments = [&["story", "--speed", speed, "--out", "out"], options].concat();
                let ended = run(replay(&arguments).current_dir(folder.path()));
                assert_eq!(ended.code, Some(0), "{}", ended.stderr);
                assert!(!ended.stdout.contains("SLA BREACH"), "{arguments:?}: {}", ended.stdout);
                let rows = fs::read_to_string(folder.path().join("out/sla_breaches.csv")).unwrap();
                assert_eq!(rows.lines().count(), 1, "{rows}");
            }
        }
    }
}

#[test]
fn a_breach_that_a_late_fact_takes_back_is_told_at_any_speed() {
    let folder = tempfile::tempdir().unwrap();
    let event =
        |order, kind, at| format!(r#"{{"order_id":"{order}","event_type":"{kind}","timestamp":"2024-03-0{at}Z"}}"#);
    let story = [
        event("a", "ORDER_PLACED", "1T00:00:00"),
        event("b", "ORDER_PLACED", "2T12:00:00"),
        event("a", "PROCESSING_STARTED", "1T12:00:00"),
        event("b", "PROCESSING_STARTED", "2T12:30:00"),
    ];
    fs::write(folder.path().join("story"), story.join("\n")).unwrap();
    for speed in ["200000", "100000000"] {
        let ended = run(replay(&["story", "--arrival-order", "--speed", speed]).current_dir(folder.path()));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(ended.stdout.matches("SLA BREACH").count(), 1, "at {speed}: {}", ended.stdout);
        assert!(ended.stdout.contains("order a not processed within 24 h"), "at {speed}: {}", ended.stdout);
    }
}

#[test]
fn breaches_told_to_programs_are_objects_before_the_totals() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("story"), STORY).unwrap();
    let ended = run(replay(&["story", "--speed", "10000000", "--output", "json"]).current_dir(folder.path()));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let said: Vec<serde_json::Value> =
        serde_json::Deserializer::from_str(&ended.stdout).into_iter().map(Result::unwrap).collect();
    let [a, b, totals] = &said[..] else { panic!("{}", ended.stdout) };
    assert_eq!((&a["order_id"], &a["sla"], &b["order_id"]), (&"a".into(), &"processing".into(), &"b".into()));
    assert!(totals["as_of"].is_string() && totals.get("order_id").is_none(), "{totals}");
}

/// When each breach that a replay tells was due, in milliseconds, and when it was told, since the replay was started.
fn told(arguments: &[&str]) -> Vec<(i64, Duration)> {
    let started = Instant::now();
    let mut child = replay(arguments).current_dir(project()).stdout(Stdio::piped()).spawn().unwrap();
    let due = |line: &str| {
        let (_, due) = line.split_once(", due ")?;
        let due = chrono::NaiveDateTime::parse_from_str(due.get(..19)?, "%Y-%m-%d %H:%M:%S").unwrap();
        Some((due.and_utc().timestamp_millis(), started.elapsed()))
    };
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines.filter_map(|line| due(&line.unwrap())).collect();
    assert!(child.wait().unwrap().success());
    told
}

#[test]
fn nine_in_ten_breaches_are_told_within_50_ms_of_when_they_are_due() {
    const SPEED: u32 = 2_000_000;
    let month = ["--from", "2018-01-01", "--until", "2018-03-01", "--speed", &SPEED.to_string()];
    for workers in ["1", "2"] {
        // A machine that does other things may stand still for as long; it does not every time.
        let shares = (0..6).map(|_| {
            let told = told(&[&month[..], &["-w", workers]].concat());
            assert!(told.len() > 100, "{} breaches", told.len());
            // How long after the clock's start, which is when the least of them was told at the latest.
            let late = |(due, told): &(i64, Duration)| told.as_secs_f64() * 1e3 - *due as f64 / f64::from(SPEED);
            let least = told.iter().map(late).fold(f64::MAX, f64::min);
            let in_time = told.iter().filter(|told| late(told) - least <= 50.0).count();
            100 * in_time / told.len()
        });
        let best = shares.take_while(|share| *share < 90).count();
        assert!(best < 6, "-w {workers}: of six replays none was in time");
    }
}

#[test]
fn the_speed_changes_no_result() {
    let of = |options: &[&str]| {
        let out = tempfile::tempdir().unwrap();
        let ended = run(replay(options).current_dir(project()).arg("--out").arg(out.path()));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        files(out.path())
    };
    for options in [&["-w", "2"][..], &["--arrival-order"], &["--limit", "50", "--until", "2017-12-01"]] {
        let quick = [options, &["--speed", "100000000"]].concat();
        assert_same(&of(options), &of(&quick), &format!("{options:?}"));
    }
    // Time passes beyond the last fact that is accepted, whose rivals are refused.
    let folder = tempfile::tempdir().unwrap();
    let rivals = r#"{"event_id":"x","order_id":"late","event_type":"ITEM_SHIPPED","timestamp":"2024-03-02T17:00:00Z"}
{"event_id":"x","order_id":"late","event_type":"ITEM_SHIPPED","timestamp":"2024-03-19T00:00:00Z"}
"#;
    fs::write(folder.path().join("story"), format!("{STORY}{rivals}")).unwrap();
    let story = folder.path().join("story").display().to_string();
    assert_same(&of(&[&story]), &of(&[&story, "--speed", "10000000", "-w", "2"]), "rivals");
}

#[test]
fn processes_keep_the_same_pace() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("story"), STORY).unwrap();
    let arguments = ["story", "--speed", "100000", "-w", "2"].map(str::to_owned);
    let started = Instant::now();
    let mut commands = cluster(&arguments, folder.path(), 2);
    let running: Vec<_> = commands.iter_mut().map(|command| start(command.current_dir(folder.path()))).collect();
    let ended: Vec<_> = running.into_iter().map(run::Running::wait).collect();
    assert!(ended.iter().all(|ended| ended.code == Some(0)), "{ended:?}");
    assert!(started.elapsed() >= Duration::from_millis(1_440));
    assert_eq!(ended[0].stdout.matches("SLA BREACH").count(), 2, "{}", ended[0].stdout);
}

#[test]
fn a_paced_replay_that_is_interrupted_stops_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody waits for its end, half a minute later.
    let later = r#"{"order_id":"later","event_type":"ORDER_PLACED","timestamp":"2024-03-20T00:00:00Z"}"#;
    fs::write(folder.path().join("story"), format!("{STORY}{later}\n")).unwrap();
    let sample = project().join("data/sample").display().to_string();
    for (input, speed, told) in [("story", "50000", "due 2024-03-02"), (sample.as_str(), "4000000", "due 2017-0")] {
        for workers in ["1", "2"] {
            let [out, until] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let mut command = replay(&[input, "--speed", speed, "-w", workers]);
            let mut running = start(command.current_dir(folder.path()).arg("--out").arg(out.path()));
            running.wait_until_it_prints(told);
            let kill = Command::new("kill").args(["-INT", &running.child.id().to_string()]).status();
            assert!(kill.unwrap().success(), "it was too quick");
            let ended = running.wait();
            assert_eq!(ended.code, Some(130), "{}", ended.stderr);
            let as_of = ended.stderr.trim_end().rsplit(' ').next().unwrap();
            assert!(as_of.ends_with('Z') && as_of < "2024-03-20", "{}", ended.stderr);
            let mut command = replay(&[input, "--until", as_of]);
            assert_eq!(run(command.current_dir(folder.path()).arg("--out").arg(until.path())).code, Some(0));
            let [mut cut, mut whole] = [files(out.path()), files(until.path())];
            if input != "story" {
                // A directory is read as far as time has passed, and a block beyond; the other one to its end.
                for files in [&mut cut, &mut whole] {
                    assert!(files.remove("data_quality_metrics.csv").is_some());
                }
            }
            assert_same(&whole, &cut, &format!("{input} as of {as_of}"));
        }
    }
}

#[test]
fn a_paced_replay_that_was_stopped_or_killed_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("story"), STORY).unwrap();
    // Forty hours in 7.2 s; breaches are due after 4.3 s and after 5.4 s.
    let arguments =
        ["story", "--speed", "20000", "--checkpoint", "kept", "--checkpoint-interval", "50ms", "--out", "out"];
    let whole = run(replay(&["story", "--out", "whole"]).current_dir(folder.path()));
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let list = || {
        let names = fs::read_dir(folder.path().join("kept")).unwrap().map(|entry| entry.unwrap().file_name());
        let lists = names.map(|name| {
            let mut command = run::orderwatch();
            command.args(["checkpoint", "list", "--checkpoint", "kept", "--output", "json", "--job"]).arg(name);
            run(command.current_dir(folder.path())).stdout
        });
        lists.collect::<String>()
    };
    // What was written at the very time at which breach a is due was written before that was told.
    let has_passed_a = || {
        let list = list();
        list.contains("2024-03-02T0") && !list.contains("2024-03-02T00:00:00.000")
    };
    for (signal, code, processes) in [("-KILL", None, 2), ("-INT", Some(130), 3)] {
        // It ends between both breaches, when how far it came has been kept. Where a machine stood still meanwhile it is
        // begun anew.
        let ended = (0..5).find_map(|_| {
            let mut running = start(replay(&arguments).current_dir(folder.path()));
            running.wait_until_it_prints("order a not processed");
            let told = Instant::now();
            while !has_passed_a() && told.elapsed() < Duration::from_millis(700) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let kill = Command::new("kill").args([signal, &running.child.id().to_string()]).status();
            assert!(kill.unwrap().success());
            let ended = running.wait();
            let is_between = !ended.stdout.contains("order b not processed") && has_passed_a();
            if !is_between {
                fs::remove_dir_all(folder.path().join("kept")).unwrap();
            }
            is_between.then_some(ended)
        });
        let ended = ended.expect("a slow machine");
        assert_eq!(ended.code, code, "{}", ended.stderr);
        let mut commands = cluster(&arguments.map(str::to_owned), folder.path(), processes);
        let started = Instant::now();
        let running: Vec<_> = commands.iter_mut().map(|command| start(command.current_dir(folder.path()))).collect();
        let ended: Vec<_> = running.into_iter().map(run::Running::wait).collect();
        let took = started.elapsed();
        assert!(ended.iter().all(|ended| ended.code == Some(0)), "{ended:?}");
        let ended = &ended[0];
        assert!(ended.stderr.contains("an earlier replay came to 2024-03-02T0"), "{}", ended.stderr);
        assert!(!ended.stdout.contains("order a not processed"), "told twice: {}", ended.stdout);
        assert!(ended.stdout.contains("order b not processed"), "{}", ended.stdout);
        // At least the ten hours from when b is due.
        assert!(took > Duration::from_millis(1_800), "{signal}: {took:?}");
        assert_same(&files(&folder.path().join("whole")), &files(&folder.path().join("out")), signal);
        assert_eq!(list().trim(), "[]", "one that has come to its end begins anew");
    }
    // A replay of something else, of other rules, or without a pace, leaves alone what is kept of this one.
    let mut running = start(replay(&arguments).current_dir(folder.path()));
    running.wait_until_it_prints("order a not processed");
    drop(running);
    let other_law = ["--transitions", "strict", "--speed", "1000000"];
    for other in [&["--until", "2024-03-01T01:00:00Z", "--speed", "20000"][..], &["--speed", "max"], &other_law] {
        let other = [&["story", "--checkpoint", "kept"], other].concat();
        let ended = run(replay(&other).current_dir(folder.path()));
        assert!(ended.code == Some(0) && !ended.stderr.contains("an earlier replay"), "{}", ended.stderr);
    }
    assert!(list().contains("2024-03-0"), "{}", list());
}

#[test]
fn a_replay_that_is_interrupted_again_and_again_tells_each_breach_once() {
    let folder = tempfile::tempdir().unwrap();
    let month = ["--from", "2018-01-01", "--until", "2018-03-01"];
    let breaches = |said: &str| -> Vec<String> {
        let told = said.lines().filter_map(|line| line.split_once(" SLA BREACH"));
        told.map(|(_, breach)| breach.to_owned()).collect()
    };
    let paced = |speed: &str| {
        let mut command = replay(&month);
        command.current_dir(project()).args(["--speed", speed, "-w", "2", "--checkpoint"]).arg(folder.path());
        command
    };
    let is_kept = || {
        let folders = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path().join("manifests"));
        folders.filter_map(|manifests| fs::read_dir(manifests).ok()).any(|mut files| files.next().is_some())
    };
    let mut whole = breaches(&run(&mut paced("100000000")).stdout);
    let (mut told, mut interrupted, mut said) = (Vec::new(), 0, String::new());
    loop {
        let mut running = start(&mut paced("1000000"));
        running.wait_until_it_listens();
        std::thread::sleep(Duration::from_millis(1_200));
        // It may have come to its end.
        let _ = Command::new("kill").args(["-INT", &running.child.id().to_string()]).status();
        let ended = running.wait();
        told.extend(breaches(&ended.stdout));
        said += &ended.stderr;
        // It may have been asked to stop when it had come to its end, or before time passed at all.
        if ended.code == Some(0) || !is_kept() && told.len() >= whole.len() {
            break;
        }
        assert_eq!(ended.code, Some(130), "{}", ended.stderr);
        interrupted += 1;
        assert!(interrupted < 30, "it does not get on: {}", ended.stderr);
    }
    assert!(interrupted >= 1 && whole.len() > 100, "{interrupted}, {}", whole.len());
    whole.sort();
    told.sort();
    let twice: Vec<_> = told.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    let missing: Vec<_> = whole.iter().filter(|breach| !told.contains(breach)).collect();
    assert!(told == whole, "of {} missing {missing:#?}, twice {twice:#?}: {said}", whole.len());
}
