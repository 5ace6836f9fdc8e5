//! Workers of this process, and of the other processes of a cluster.
//!
//! Sockets are our own and handed to timely: a process that is missing is named while the others wait, one that runs
//! another command or has another secret is refused, and one that is lost, be it without a word, ends the others within
//! ten seconds with a message that names it. Results never depend on any of this.

mod hello;

use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::panic;
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use timely::WorkerConfig;
use timely::communication::Hooks;
use timely::communication::allocator::AllocatorBuilder;
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::{CommsGuard, initialize_networking_from_sockets};
use timely::worker::Worker;

use crate::config::Cluster;
use crate::error::{JobError, JobResult};
use crate::interrupt;
use crate::source::no_thread;
use hello::{Hello, Role};

/// How often a process says whom it waits for.
const SAY_EVERY: Duration = Duration::from_secs(5);
const SAY_FIRST_AFTER: Duration = Duration::from_secs(1);
const RETRY_EVERY: Duration = Duration::from_millis(100);
/// Exit code of a process whose peer was lost.
const LOST_PEER_EXIT_CODE: i32 = 1;
/// A lost peer may make another survivor fail first: wait before blaming.
const BLAME_AFTER: Duration = Duration::from_millis(300);

/// Runs `work` on every worker of this process; what they return, unless `failure` then tells of an error.
/// `fingerprint` stands for the command: all processes must have the same.
pub fn execute<T: Send + 'static>(
    cluster: &Cluster,
    fingerprint: u64,
    work: impl Fn(&mut Worker) -> T + Send + Sync + 'static,
    failure: impl FnOnce() -> Option<JobError>,
) -> JobResult<Vec<T>> {
    let (builders, connections) = match cluster.processes {
        1 => {
            let builders = ProcessBuilder::new_typed_vector(cluster.workers, Hooks::default().refill, None);
            (builders.into_iter().map(AllocatorBuilder::Process).collect(), None)
        }
        _ => {
            let (builders, connections) = connect(cluster, fingerprint)?;
            (builders, Some(connections))
        }
    };
    let guards =
        timely::execute::execute_from(builders, Box::new(()), WorkerConfig::default(), work).map_err(no_thread)?;
    let panicked = |error| {
        JobError::job(format!("a worker stopped unexpectedly: {error}"))
            .remedy("this is a defect of orderwatch: please report it with the message above and the command")
    };
    let results: Result<Vec<T>, String> = guards.join().into_iter().collect();
    let results = failure().map_or_else(|| results.map_err(panicked), Err);
    match results {
        // Waits until the others have all that this process had to say.
        Ok(_) => drop(connections),
        // Dropped, the connections would wait for peers that may be gone. Those that are not would wait for us for ever:
        // they learn of it when the process ends, which it is about to, and its sockets close.
        Err(_) => std::mem::forget(connections),
    }
    results
}

/// Connects this process with the others of its cluster.
fn connect(cluster: &Cluster, fingerprint: u64) -> JobResult<(Vec<AllocatorBuilder>, CommsGuard)> {
    let sockets = open_sockets(cluster, fingerprint)?;
    name_lost_peers(cluster.addresses.clone());
    let allocators = ProcessBuilder::new_typed_vector(cluster.workers, Hooks::default().refill, None);
    let connected =
        initialize_networking_from_sockets(allocators, sockets, cluster.process, cluster.workers, Hooks::default());
    let (builders, guard) = connected.map_err(|error| cannot("set up the cluster's connections", &error))?;
    Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), guard))
}

/// A socket to every other process, in their order. Each process calls those before it and is called by those after.
fn open_sockets(cluster: &Cluster, fingerprint: u64) -> JobResult<Vec<Option<TcpStream>>> {
    let me = cluster.process;
    let hello = Hello::new(cluster, fingerprint);
    let mut sockets: Vec<Option<TcpStream>> = (0..cluster.processes).map(|_| None).collect();
    let mine = &cluster.addresses[me];
    let listener = TcpListener::bind(mine).map_err(|error| {
        JobError::job(format!("cannot listen as process {me}: {error}"))
            .at(mine.clone())
            .remedy("another process may use the port: stop it, or name other ports with --hostfile")
    })?;
    listener.set_nonblocking(true).map_err(|error| cannot("wait for other processes", &error))?;
    let mut said: Option<Instant> = None;
    let started = Instant::now();
    loop {
        sockets.iter_mut().for_each(|place| drop(place.take_if(|socket| is_closed(socket))));
        for (peer, address) in cluster.addresses.iter().enumerate().take(me) {
            if sockets[peer].is_none()
                && let Ok(mut socket) = call(address)
                && let Some(answer) = hello.exchange(&mut socket, Role::Caller, &cluster.secret, address)?
            {
                if answer.process as usize != peer {
                    let what = format!("process {peer} is expected here, process {} answered", answer.process);
                    return Err(JobError::job(what).at(address.clone()).remedy("give all processes the same hostfile"));
                }
                sockets[peer] = Some(watched(socket)?);
            }
        }
        while let Ok((mut socket, address)) = listener.accept() {
            let address = address.to_string();
            if socket.set_nonblocking(false).is_err() {
                continue;
            }
            // A stranger is not one of us: go on waiting.
            let Some(peer) = hello.exchange(&mut socket, Role::Called, &cluster.secret, &address)? else { continue };
            match sockets.get_mut(peer.process as usize) {
                Some(place) if peer.process as usize > me && place.as_ref().is_none_or(is_closed) => {
                    *place = Some(watched(socket)?);
                }
                _ => {
                    let what = format!("process {} is there twice", peer.process);
                    let error = JobError::job(what).at(address);
                    return Err(error.remedy("give every process its own -p, from 0 to one less than -n"));
                }
            }
        }
        let missing: Vec<usize> = (0..sockets.len()).filter(|peer| *peer != me && sockets[*peer].is_none()).collect();
        if missing.is_empty() {
            tracing::info!("all {} processes are connected", sockets.len());
            return Ok(sockets);
        }
        if interrupt::is_requested() {
            let addresses: Vec<&str> = missing.iter().map(|peer| cluster.addresses[*peer].as_str()).collect();
            let error = JobError::job("other processes were not there, and the program was asked to end");
            return Err(error.at(addresses.join(", ")).remedy("start all processes of the cluster, then this again"));
        }
        if said.map_or(started.elapsed() >= SAY_FIRST_AFTER, |said| said.elapsed() >= SAY_EVERY) {
            said = Some(Instant::now());
            for peer in missing {
                tracing::warn!("waiting for process {peer} at {}", cluster.addresses[peer]);
            }
        }
        std::thread::sleep(RETRY_EVERY);
    }
}

fn call(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            // Where nobody listens on a port that the system also gives to callers, one may reach oneself.
            Ok(socket) if socket.local_addr()? == socket.peer_addr()? => {}
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A socket of which the system notices within ten seconds that its peer is gone without a word: cut off, or without power.
fn watched(socket: TcpStream) -> JobResult<TcpStream> {
    let set_up = || -> io::Result<()> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(None)?;
        // Where nothing is said the system asks; where something was said and not confirmed, it gives up.
        sockopt::set_socket_keepalive(&socket, true)?;
        sockopt::set_tcp_keepidle(&socket, Duration::from_secs(2))?;
        sockopt::set_tcp_keepintvl(&socket, Duration::from_secs(1))?;
        sockopt::set_tcp_keepcnt(&socket, 3)?;
        // Counted from when it was said once more, which takes a second or two where the machine is busy.
        #[cfg(target_os = "linux")]
        sockopt::set_tcp_user_timeout(&socket, 5_000)?;
        Ok(())
    };
    set_up().map_err(|error| cannot("set up the cluster's connections", &error))?;
    Ok(socket)
}

/// True where the peer has ended: of a cluster that still waits one may be started again.
fn is_closed(socket: &TcpStream) -> bool {
    let peeked = socket.set_nonblocking(true).and_then(|()| socket.peek(&mut [0]));
    let _ = socket.set_nonblocking(false);
    match peeked {
        Ok(count) => count == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

/// Ends this process, by name of the culprit, when a connection to another one breaks: timely only panics.
fn name_lost_peers(addresses: Vec<String>) {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let thread = std::thread::current();
        let name = thread.name().and_then(|name| name.strip_prefix("timely:")).and_then(|name| name.split_once('-'));
        match name.map(|(kind, number)| (kind, number.parse::<usize>())) {
            Some(("send" | "recv", Ok(peer))) => {
                std::thread::sleep(BLAME_AFTER);
                let address = addresses.get(peer).map_or("an unknown address", String::as_str);
                let error = JobError::job(format!("process {peer} was lost"))
                    .at(address)
                    .remedy("see what it said last, then start all processes again");
                eprintln!("error: {error}");
                std::process::exit(LOST_PEER_EXIT_CODE);
            }
            // A worker that fails after the connection has: the thread above is about to end the process. Where it fails
            // by itself, the others of the process would wait for it for ever.
            Some(("work", _)) => {
                std::thread::sleep(BLAME_AFTER * 10);
                usual(info);
                std::process::exit(LOST_PEER_EXIT_CODE);
            }
            _ => usual(info),
        }
    }));
}

fn cannot(doing: &str, error: &io::Error) -> JobError {
    JobError::job(format!("cannot {doing}: {error}"))
}
