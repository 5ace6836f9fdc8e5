//! A bucket as a store of checkpoints: one winner, clear errors, and a job that outlives a store that is away.

use std::io::{Read, Write};
use std::iter::{empty, once};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use orderwatch::checkpoint::{Store, StoreError};
use orderwatch::store::Objects;

use crate::Job;
use crate::run::{lacks, start};

/// The address of the server; none where there is none, which is said by name.
pub fn server() -> Option<String> {
    let server = std::env::var("ORDERWATCH_S3").ok();
    if server.is_none() {
        lacks("S3 (eval \"$(scripts/services up s3)\")");
    }
    server
}

/// A place in the bucket that nobody else uses.
pub fn unique(name: &str) -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros();
    format!("s3://orderwatch/{name}-{}-{now}", std::process::id())
}

pub fn environment(server: &str) -> Vec<(String, String)> {
    let of = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    [
        ("AWS_ENDPOINT_URL", server),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "someone"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ]
    .map(of)
    .to_vec()
}

#[test]
fn of_those_that_create_an_object_one_wins() {
    let Some(server) = server() else { return };
    let (url, start) = (unique("race"), Barrier::new(8));
    let open = || Objects::open_as(&url, environment(&server)).unwrap();
    for object in ["a", "b", "c"] {
        let name = format!("job/{object}");
        let race = |number: u8| {
            let mut store = open();
            start.wait();
            store.create(&name, &[number]).unwrap()
        };
        let won: Vec<bool> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8).map(|number| scope.spawn(move || race(number))).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let winner = won.iter().position(|won| *won).unwrap();
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
        assert_eq!(open().get(&name), Ok(Some(vec![winner as u8])));
    }
    let mut store = open();
    assert_eq!(store.get("job/none"), Ok(None));
    store.put("job/d", once(Ok(b"one".to_vec()))).unwrap();
    store.put("job/d", once(Ok(b"two".to_vec()))).unwrap();
    store.put("jobs/e", empty()).unwrap();
    assert_eq!(store.list("job/"), Ok(["job/a", "job/b", "job/c", "job/d"].map(str::to_owned).to_vec()));
    store.delete("job/d").unwrap();
    store.delete("job/d").unwrap();
    assert_eq!(open().get("job/d"), Ok(None));
}

#[test]
fn an_object_of_several_pieces_is_there_whole_or_not_at_all() {
    let Some(server) = server() else { return };
    let mut store = Objects::open_as(&unique("pieces"), environment(&server)).unwrap();
    let written: Vec<u8> = (0..5_u64 << 19).flat_map(u64::to_le_bytes).collect();
    let piece_bytes = 8 << 20;
    let pieces = || written.chunks(piece_bytes).map(|piece| Ok(piece.to_vec()));
    assert!(written.len() > 2 * piece_bytes && !written.len().is_multiple_of(piece_bytes));
    store.put("job/whole", pieces()).unwrap();
    assert!(store.get("job/whole").unwrap() == Some(written.clone()));
    let broken = StoreError("its worker has ended".to_owned());
    for name in ["job/broken", "job/whole"] {
        assert_eq!(store.put(name, pieces().take(2).chain([Err(broken.clone())])), Err(broken.clone()));
    }
    assert_eq!(store.list("job/"), Ok(vec!["job/whole".to_owned()]));
    assert!(store.get("job/whole").unwrap() == Some(written));
}

#[test]
fn what_is_wrong_with_a_bucket_is_said() {
    let Some(server) = server() else { return };
    let start = |url: &str, server: &str| {
        let mut command = crate::orderwatch();
        command.args(["run", "--generate", "1", "--serve", "none", "--checkpoint", url]).envs(environment(server));
        let ended = crate::run::run(&mut command);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
        ended.stderr
    };
    assert!(start("s3://nowhere/jobs", &server).contains("NoSuchBucket"));
    assert!(start("s3://orderwatch", "http://127.0.0.1:1").contains("s3://orderwatch"));
}

/// Passes bytes on to a server, unless it is told not to.
fn proxy(server: &str, is_away: &Arc<AtomicBool>) -> String {
    let (listener, server) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), server.trim_start_matches("http://").to_owned());
    let address = format!("http://{}", listener.local_addr().unwrap());
    let is_away = Arc::clone(is_away);
    let pass = |mut from: TcpStream, mut to: TcpStream, is_away: Arc<AtomicBool>| {
        std::thread::spawn(move || {
            let mut bytes = [0; 1 << 14];
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                if is_away.load(Ordering::SeqCst) || to.write_all(&bytes[..read]).is_err() {
                    break;
                }
            }
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
    };
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if is_away.load(Ordering::SeqCst) {
                continue;
            }
            let upstream = TcpStream::connect(&server).unwrap();
            pass(client.try_clone().unwrap(), upstream.try_clone().unwrap(), Arc::clone(&is_away));
            pass(upstream, client, Arc::clone(&is_away));
        }
    });
    address
}

#[test]
fn a_job_outlives_a_store_that_is_away() {
    let (Some(mut job), Some(server)) = (Job::new(), server()) else { return };
    let is_away = Arc::new(AtomicBool::new(false));
    job.checkpoints = unique("away");
    job.environment = environment(&proxy(&server, &is_away));
    let mut running = start(&mut job.command(2, &["--generate", "50", "-v"]));
    running.wait_until_it_says("checkpoint as of");
    is_away.store(true, Ordering::SeqCst);
    let stood = job.frontier();
    running.wait_until_it_says("no checkpoint could be written");
    job.wait_until(&mut running, "the tables move on meanwhile", |frontier| frontier > stood + 1_000);
    is_away.store(false, Ordering::SeqCst);
    let newest = || {
        let store = Objects::open_as(&job.checkpoints, environment(&server)).unwrap();
        store.list("orderwatch/manifests/").unwrap().pop()
    };
    let kept = newest();
    job.wait_until(&mut running, "a checkpoint is written again", |_| newest() > kept);
    job.stop(running);
}
