//! `run --generate`: killed and resumed, the tables are those of a replay of what the generator told.

use std::path::PathBuf;

use orderwatch::checkpoint::Store;
use orderwatch::generate::stream::endless::Endless;
use orderwatch::store::Objects;

use dataflows::time::Time;
use orderwatch::clock::wall_clock_ms;
use orderwatch::instant::format_instant;

use crate::run::start;
use crate::{Job, bucket, drop_in};

/// What the generator of a job told until `until`, as a file.
fn told(job: &Job, rate: u64, until: Time) -> PathBuf {
    let store = Objects::open_as(&job.checkpoints, job.environment.clone()).unwrap();
    let began = store.get(&format!("orderwatch/generated/{rate}")).unwrap().unwrap();
    let mut endless = Endless::new(rate, String::from_utf8(began).unwrap().parse().unwrap());
    let lines: Vec<Vec<u8>> =
        std::iter::from_fn(|| endless.next_due(until)).map(|(_, line)| [line, b"\n".to_vec()].concat()).collect();
    let told = job.folder.path().join("told.jsonl");
    std::fs::write(&told, lines.concat()).unwrap();
    told
}

/// Runs a generator, killed twice, and compares.
fn killed_and_resumed(job: &Job) {
    let mut last = 0;
    for workers in [2, 1, 3] {
        let mut running = start(&mut job.command(workers, &["--generate", "200"]));
        job.wait_until(&mut running, "the tables move on", |frontier| frontier > last + 2_000);
        last = job.frontier();
        if workers == 3 { job.stop(running) } else { drop(running) }
    }
    job.assert_as_replayed(&[told(job, 2_000_000, job.frontier())], false);
}

#[test]
fn a_generator_that_is_killed_goes_on_where_it_was() {
    if let Some(job) = Job::new() {
        killed_and_resumed(&job);
    }
}

#[test]
fn a_directory_and_a_generator_are_read_together() {
    let Some(job) = Job::new() else { return };
    let incoming = job.folder.path().join("incoming");
    std::fs::create_dir(&incoming).unwrap();
    let directory = incoming.display().to_string();
    let mut files = Vec::new();
    for workers in [3, 1] {
        let mut running = start(&mut job.command(workers, &["--generate", "20", "--watch", &directory]));
        let stood = job.frontier().max(wall_clock_ms());
        job.wait_until(&mut running, "time moves on", |frontier| frontier > stood);
        for (order, at) in ["one", "two"].into_iter().zip(stood..) {
            let (at, name) = (format_instant(at), format!("{workers}-{order}.jsonl"));
            let placed =
                format!(r#"{{"event_type":"ORDER_PLACED","order_id":"{workers}-{order}","timestamp":"{at}"}}"#);
            drop_in(&incoming, &name, placed.as_bytes());
            files.push(incoming.join(name));
        }
        let ours = format!("SELECT count(*) FROM orders WHERE order_id LIKE '{workers}-%'");
        job.wait_until(&mut running, "the files are read", |_| job.database.number(&ours) == 2.0);
        if workers == 1 { job.stop(running) } else { drop(running) }
    }
    files.push(told(&job, 200_000, job.frontier()));
    job.assert_as_replayed(&files, true);
}

#[test]
fn a_job_is_resumed_from_a_bucket() {
    let (Some(mut job), Some(server)) = (Job::new(), bucket::server()) else { return };
    job.checkpoints = bucket::unique("resumed");
    job.environment = bucket::environment(&server);
    killed_and_resumed(&job);
    let checkpoint = |arguments: &[&str]| {
        let mut command = crate::orderwatch();
        command.arg("checkpoint").args(arguments).args(["--checkpoint", &job.checkpoints]);
        let ended = crate::run::run(command.envs(job.environment.iter().cloned()));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    };
    assert!(checkpoint(&["list"]).contains("whole"));
    assert!(checkpoint(&["inspect"]).contains("generate 200/s"));
    assert!(checkpoint(&["reset", "--yes"]).contains("removed"));
    assert_eq!(checkpoint(&["list", "--output", "json"]).trim(), "[]");
    // A store that lost everything is no beginning for tables that are further.
    let ended = crate::run::run(&mut job.command(1, &["--generate", "200"]));
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("no checkpoint fits the results that are there"), "{}", ended.stderr);
}
