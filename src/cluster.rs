//! Workers of this process, and of the other processes of a cluster.
//!
//! Sockets are our own and handed to timely: a process that is missing is named while the others wait, one that runs
//! another command is refused, and one that is lost ends the others with a message that names it. Results never depend
//! on any of this.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use timely::WorkerConfig;
use timely::communication::Hooks;
use timely::communication::allocator::AllocatorBuilder;
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::worker::Worker;

use crate::config::Cluster;
use crate::error::{JobError, JobResult};
use crate::worker::Gathered;

/// How often a process says whom it waits for.
const SAY_EVERY: Duration = Duration::from_secs(5);
const RETRY_EVERY: Duration = Duration::from_millis(100);
/// What a hello begins with: names the program and the form of what follows.
const MAGIC: &[u8; 8] = b"ordwatc1";
/// Exit code of a process whose peer was lost.
const LOST_PEER_EXIT_CODE: i32 = 1;
/// A lost peer may make another survivor fail first: wait before blaming.
const BLAME_AFTER: Duration = Duration::from_millis(300);

/// Runs `work` on every worker of this process; what the first one gathered.
pub fn execute(
    cluster: &Cluster,
    work: impl Fn(&mut Worker) -> Gathered + Send + Sync + 'static,
) -> JobResult<Gathered> {
    let builders = match cluster.processes {
        1 => {
            let builders = ProcessBuilder::new_typed_vector(cluster.workers, Hooks::default().refill, None);
            builders.into_iter().map(AllocatorBuilder::Process).collect()
        }
        _ => connect(cluster)?,
    };
    let failed = |error| JobError::job(format!("cannot start the workers: {error}"));
    let guards =
        timely::execute::execute_from(builders, Box::new(()), WorkerConfig::default(), work).map_err(failed)?;
    let mut results = guards.join().into_iter();
    let first = results.next().unwrap_or_else(|| Err("there is none".to_owned()));
    let panicked = |error| {
        JobError::job(format!("a worker stopped unexpectedly: {error}"))
            .remedy("this is a defect of orderwatch: please report it with the message above and the command")
    };
    let gathered = first.map_err(panicked)?;
    results.try_for_each(|result| result.map(|_| ())).map_err(panicked)?;
    Ok(gathered)
}

/// Connects this process with the others of its cluster.
fn connect(cluster: &Cluster) -> JobResult<Vec<AllocatorBuilder>> {
    let sockets = open_sockets(cluster)?;
    name_lost_peers(cluster);
    let allocators = ProcessBuilder::new_typed_vector(cluster.workers, Hooks::default().refill, None);
    let connected =
        initialize_networking_from_sockets(allocators, sockets, cluster.process, cluster.workers, Hooks::default());
    let (builders, guard) =
        connected.map_err(|error| JobError::job(format!("cannot set up the cluster's connections: {error}")))?;
    // Dropped, the guard would wait for threads that wait for the peers; the process ends without.
    std::mem::forget(guard);
    Ok(builders.into_iter().map(AllocatorBuilder::Tcp).collect())
}

/// A socket to every other process, in their order. Each process calls those before it and is called by those after.
fn open_sockets(cluster: &Cluster) -> JobResult<Vec<Option<TcpStream>>> {
    let me = cluster.process;
    let mut sockets: Vec<Option<TcpStream>> = (0..cluster.processes).map(|_| None).collect();
    let mine = &cluster.addresses[me];
    let listener = TcpListener::bind(mine).map_err(|error| {
        JobError::job(format!("cannot listen as process {me}: {error}"))
            .at(mine.clone())
            .remedy("another process may use the port: stop it, or name other ports with --hostfile")
    })?;
    let nonblocking = |error: io::Error| JobError::job(format!("cannot wait for other processes: {error}"));
    listener.set_nonblocking(true).map_err(nonblocking)?;
    let mut said = Instant::now();
    loop {
        for peer in 0..me {
            if sockets[peer].is_none()
                && let Some(mut socket) = call(&cluster.addresses[peer])
            {
                greet(&mut socket, cluster).and_then(|()| heed(&mut socket, cluster, Some(peer)))?;
                sockets[peer] = Some(socket);
            }
        }
        while let Ok((mut socket, _)) = listener.accept() {
            socket.set_nonblocking(false).map_err(nonblocking)?;
            let _ = socket.set_read_timeout(Some(Duration::from_secs(5)));
            // A stranger that says nothing sensible is not one of us: go on waiting.
            match heed(&mut socket, cluster, None).map(|()| read_process(&socket)) {
                Ok(_) => {}
                Err(error) => return Err(error),
            }
            let _ = socket.set_read_timeout(None);
        }
        if sockets.iter().enumerate().all(|(peer, socket)| peer == me || socket.is_some()) {
            return Ok(sockets);
        }
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            for (peer, socket) in sockets.iter().enumerate() {
                if peer != me && socket.is_none() {
                    eprintln!("waiting for process {peer} at {}", cluster.addresses[peer]);
                }
            }
        }
        std::thread::sleep(RETRY_EVERY);
    }
}
