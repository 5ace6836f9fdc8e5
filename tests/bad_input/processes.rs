//! Clusters that do not come together, or fall apart.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::lines::placed;
use super::outcome::{Place, assert_failed};
use super::run::{Running, cluster, hostfile, orderwatch, replay, run, start};

/// Starts both processes of a cluster that would take days.
fn at_leisure(place: &Place) -> Vec<Running> {
    place.write("x.jsonl", [placed("a", 1), placed("b", 28)].join("\n"));
    let arguments = ["x.jsonl", "--speed", "2", "--out", "out", "-v"].map(str::to_owned);
    let mut commands = cluster(&arguments, place.folder.path(), 2);
    commands.iter_mut().map(|command| start(command.current_dir(place.folder.path()))).collect()
}

#[test]
fn a_port_that_is_taken() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    place.write("hosts", format!("{address}\n127.0.0.1:1\n"));
    place.refused(
        &["x.jsonl", "-n", "2", "--hostfile", "hosts"],
        1,
        &["cannot listen as process 0", &address, "--hostfile"],
    );
}

#[test]
fn a_missing_process_is_named_while_the_other_waits() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    let hosts = hostfile(place.folder.path(), 2);
    for (process, missing) in [("0", 1), ("1", 0)] {
        let mut command = replay(&["x.jsonl", "-n", "2", "-p", process, "--hostfile"]);
        let mut running = start(command.arg(&hosts).current_dir(place.folder.path()));
        let address = fs::read_to_string(&hosts).unwrap().lines().nth(missing).unwrap().to_owned();
        running.wait_until_it_says(&format!("waiting for process {missing} at {address}"));
    }
}

#[test]
fn whoever_waits_for_the_others_can_be_asked_to_end() {
    let place = Place::new();
    place.write("shop/x.jsonl", placed("a", 1));
    let hosts = hostfile(place.folder.path(), 2);
    for process in ["0", "1"] {
        let mut command = orderwatch();
        command.args(["run", "--watch", "shop", "--serve", "none", "-n", "2", "-p", process, "--hostfile"]).arg(&hosts);
        let mut running = start(command.current_dir(place.folder.path()));
        running.wait_until_it_says("waiting for process");
        running.terminate();
        let ended = running.wait();
        assert_failed(&ended, 1, &["other processes were not there, and the program was asked to end", "do: "]);
    }
}

#[test]
fn a_lost_process_is_named_by_the_other() {
    for lost in [0, 1] {
        let place = Place::new();
        let mut processes = at_leisure(&place);
        processes.iter_mut().for_each(|running| running.wait_until_it_says("all 2 processes are connected"));
        processes[lost].child.kill().unwrap();
        let killed = Instant::now();
        let survivor = processes.remove(1 - lost).wait();
        assert!(killed.elapsed() < Duration::from_secs(10), "after {:?}", killed.elapsed());
        assert_eq!(survivor.code, Some(1), "{}", survivor.stderr);
        assert!(survivor.stderr.contains(&format!("error: process {lost} was lost")), "{}", survivor.stderr);
        assert!(survivor.stderr.contains("do: ") && !survivor.stderr.contains("panicked"), "{}", survivor.stderr);
        let left = fs::read_dir(place.out()).unwrap().count();
        assert_eq!(left, 0, "nothing was finished");
    }
}

#[test]
fn a_process_whose_input_breaks_ends_the_others() {
    let place = Place::new();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    for number in 0..40_000 {
        std::io::Write::write_all(&mut packed, format!("{}\n", placed(&format!("o{number}"), 1)).as_bytes()).unwrap();
    }
    let packed = packed.finish().unwrap();
    for broken in [0, 1] {
        for process in [0, 1] {
            let kept = if process == broken { packed.len() / 2 } else { packed.len() };
            place.write(&format!("{process}/x.jsonl.gz"), &packed[..kept]);
        }
        let arguments = ["x.jsonl.gz", "--out", "out"].map(str::to_owned);
        let mut commands = cluster(&arguments, place.folder.path(), 2);
        let folders = ["0", "1"].map(|process| place.path(process));
        let started: Vec<Running> =
            commands.iter_mut().zip(&folders).map(|(command, folder)| start(command.current_dir(folder))).collect();
        for (process, running) in started.into_iter().enumerate() {
            let ended = running.wait();
            let says =
                if process == broken { "cannot read the input".into() } else { format!("process {broken} was lost") };
            assert_eq!(ended.code, Some(1), "process {process}: {}", ended.stderr);
            assert!(ended.stderr.contains(&says), "process {process}, {broken} being broken: {}", ended.stderr);
        }
        assert_eq!(fs::read_dir(place.path("0/out")).unwrap().count(), 0);
    }
}

#[test]
fn processes_with_different_commands_refuse_each_other() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    for (one, other, says) in [
        (&["--grace", "1h"][..], &[][..], "its command or configuration differs"),
        (&["-w", "2"], &["-w", "1"], "-w is"),
        (&["--until", "2024-01-01"], &[], "its command or configuration differs"),
    ] {
        let mut commands = cluster(&["x.jsonl".to_owned()], place.folder.path(), 2);
        let started: Vec<Running> = commands
            .iter_mut()
            .zip([one, other])
            .map(|(command, more)| start(command.args(more).current_dir(place.folder.path())))
            .collect();
        for running in started {
            assert_failed(&running.wait(), 2, &["does not belong to this cluster", says, "same program and command"]);
        }
    }
}

#[test]
fn the_same_process_twice_is_refused() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    let hosts = hostfile(place.folder.path(), 2);
    let mut first = replay(&["x.jsonl", "-n", "2", "-p", "1", "--hostfile"]);
    let mut running = start(first.arg(&hosts).current_dir(place.folder.path()));
    running.wait_until_it_says("waiting for process 0");
    let mut second = replay(&["x.jsonl", "-n", "2", "-p", "1", "--hostfile"]);
    let ended = run(second.arg(&hosts).current_dir(place.folder.path()));
    assert_failed(&ended, 1, &["cannot listen as process 1", "--hostfile"]);
}
