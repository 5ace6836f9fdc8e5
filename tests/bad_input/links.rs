//! Links between processes that are cut without a word, and processes that do not know the secret.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::lines::placed;
use super::network::{Network, is_inside};
use super::outcome::{Place, assert_failed};
use super::run::{Running, cluster, replay, start};

const SECRET: &str = "ORDERWATCH__CLUSTER__SECRET";

#[test]
fn a_link_that_is_cut_ends_both_within_ten_seconds() {
    if !is_inside("links::a_link_that_is_cut_ends_both_within_ten_seconds") {
        return;
    }
    let (network, place) = (Network::new(2), Place::new());
    let hosts = [0, 1].map(|process| format!("{}:2101", Network::address(process))).join("\n");
    place.write("hosts", hosts);
    // Once with nothing to say, once with more and more of it.
    for talks in [false, true] {
        let mut processes: Vec<Running> = (0..2)
            .map(|process: usize| {
                let mut command =
                    replay(&["-", "--arrival-order", "-n", "2", "-v", "--hostfile", "hosts", "--no-console", "-p"]);
                command.arg(process.to_string()).env(SECRET, "s3cret");
                start(network.at(process, &command).current_dir(place.folder.path()).stdin(Stdio::piped()))
            })
            .collect();
        processes.iter_mut().for_each(|running| running.wait_until_it_says("all 2 processes are connected"));
        let pipes: Vec<_> = processes.iter_mut().map(|running| running.child.stdin.take().unwrap()).collect();
        network.cut(1);
        let cut = Instant::now();
        let (over, is_over) = channel::<()>();
        let talking = std::thread::spawn(move || {
            let (mut pipes, mut number) = (pipes, 0);
            while is_over.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
                number += 1;
                for pipe in pipes.iter_mut().filter(|_| talks) {
                    (0..100)
                        .for_each(|order| drop(writeln!(pipe, "{}", placed(&format!("o{order}"), number % 28 + 1))));
                }
            }
        });
        for (process, running) in processes.into_iter().enumerate() {
            let ended = running.wait();
            // A machine may stand still meanwhile.
            assert!(cut.elapsed() < Duration::from_secs(20), "after {:?}", cut.elapsed());
            assert_eq!(ended.code, Some(1), "{}", ended.stderr);
            assert!(ended.stderr.contains(&format!("error: process {} was lost", 1 - process)), "{}", ended.stderr);
        }
        drop(over);
        talking.join().unwrap();
        network.join(1);
    }
}

#[test]
fn processes_with_different_secrets_refuse_each_other() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    let on = |secrets: [&str; 2]| -> Vec<Running> {
        let mut commands = cluster(&["x.jsonl".to_owned(), "-vv".to_owned()], place.folder.path(), 2);
        let start_one = |(command, secret): (&mut Command, &str)| {
            start(command.env(SECRET, secret).current_dir(place.folder.path()))
        };
        commands.iter_mut().zip(secrets).map(start_one).collect()
    };
    for secrets in [["hunter2", "hunter3"], ["", "hunter2"]] {
        for running in on(secrets) {
            let ended = running.wait();
            assert_failed(&ended, 2, &["the process there has another secret", SECRET]);
            assert!(!ended.stderr.contains("hunter"), "{}", ended.stderr);
        }
    }
    for running in on(["hunter2", "hunter2"]) {
        let ended = running.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!ended.stderr.contains("hunter") && !ended.stdout.contains("hunter"), "{}", ended.stderr);
    }
    // Written without quotes it is no text; what was written is not shown.
    place.write("wrong.toml", "[cluster]\nsecret = 5309\n");
    place.refused(&["x.jsonl", "-c", "wrong.toml"], 2, &["cluster.secret is not shown", "wrong.toml:2"]);
}
