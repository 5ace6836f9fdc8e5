//! Links between processes that are cut without a word, and processes that do not know the secret.

use std::process::Command;
use std::time::{Duration, Instant};

use super::lines::placed;
use super::network::{Network, is_inside};
use super::outcome::{Place, assert_failed};
use super::run::{Running, cluster, orderwatch, start};

const SECRET: &str = "ORDERWATCH__CLUSTER__SECRET";

#[test]
fn a_link_that_is_cut_ends_both_within_ten_seconds() {
    if !is_inside("links::a_link_that_is_cut_ends_both_within_ten_seconds") {
        return;
    }
    let (network, place) = (Network::new(2), Place::new());
    let hosts = [0, 1].map(|process| format!("{}:2101", Network::address(process))).join("\n");
    place.write("hosts", hosts);
    std::fs::create_dir(place.path("incoming")).unwrap();
    // Once with nothing to say, once with more and more of it.
    for source in [["--watch", "incoming"], ["--generate", "500"]] {
        let mut processes: Vec<Running> = (0..2)
            .map(|process: usize| {
                let mut command = orderwatch();
                command.args(["run", "--clock", "event", "--checkpoint", "none", "--serve", "none", "--no-console"]);
                command.args(source).args(["-v", "-n", "2", "--hostfile", "hosts", "-p", &process.to_string()]);
                command.env(SECRET, "s3cret");
                start(network.at(process, &command).current_dir(place.folder.path()))
            })
            .collect();
        processes.iter_mut().for_each(|running| running.wait_until_it_says("all 2 processes are connected"));
        // By then all has been said that is said at the start.
        std::thread::sleep(Duration::from_secs(1));
        network.cut(1);
        let cut = Instant::now();
        for (process, running) in processes.into_iter().enumerate() {
            let ended = running.wait();
            // A machine may stand still meanwhile.
            assert!(cut.elapsed() < Duration::from_secs(20), "after {:?}", cut.elapsed());
            assert_eq!(ended.code, Some(1), "{}", ended.stderr);
            assert!(ended.stderr.contains(&format!("error: process {} was lost", 1 - process)), "{}", ended.stderr);
        }
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
