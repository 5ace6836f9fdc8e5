//! Workers of this process, and of the other processes of a cluster.
//!
//! Sockets are our own and handed to timely: a process that is missing is named while the others wait, one that runs
//! another command is refused, and one that is lost ends the others with a message that names it. Results never depend
//! on any of this.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::panic;
use std::time::{Duration, Instant};

use timely::WorkerConfig;
use timely::communication::Hooks;
use timely::communication::allocator::AllocatorBuilder;
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::{CommsGuard, initialize_networking_from_sockets};
use timely::worker::Worker;

use crate::config::Cluster;
use crate::error::{JobError, JobResult};

/// How often a process says whom it waits for.
const SAY_EVERY: Duration = Duration::from_secs(5);
const SAY_FIRST_AFTER: Duration = Duration::from_secs(1);
const RETRY_EVERY: Duration = Duration::from_millis(100);
/// What a hello begins with: names the program and the form of what follows.
const MAGIC: &[u8; 8] = b"ordwatc1";
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
    let failed = |error| JobError::job(format!("cannot start the workers: {error}"));
    let guards =
        timely::execute::execute_from(builders, Box::new(()), WorkerConfig::default(), work).map_err(failed)?;
    let panicked = |error| {
        JobError::job(format!("a worker stopped unexpectedly: {error}"))
            .remedy("this is a defect of orderwatch: please report it with the message above and the command")
    };
    let results: Result<Vec<T>, String> = guards.join().into_iter().collect();
    if let Some(error) = failure() {
        // The others would wait for us for ever: they learn of it when the process ends and its sockets close.
        std::mem::forget(connections);
        return Err(error);
    }
    match results {
        Ok(results) => {
            // Waits until the others have all that this process had to say.
            drop(connections);
            Ok(results)
        }
        Err(error) => {
            // Dropped, the connections would wait for peers that may be gone; the process is about to end.
            std::mem::forget(connections);
            Err(panicked(error))
        }
    }
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
    let hello =
        Hello { process: me as u32, processes: cluster.processes as u32, workers: cluster.workers as u32, fingerprint };
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
        for (peer, address) in cluster.addresses.iter().enumerate().take(me) {
            if sockets[peer].is_none()
                && let Ok(mut socket) = call(address)
                && hello.write(&mut socket).is_ok()
                && let Some(answer) = Hello::read(&mut socket)
            {
                hello.check(&answer, address)?;
                if answer.process as usize != peer {
                    let what = format!("process {peer} is expected here, process {} answered", answer.process);
                    return Err(JobError::job(what).at(address.clone()).remedy("give all processes the same hostfile"));
                }
                sockets[peer] = Some(socket);
            }
        }
        while let Ok((mut socket, address)) = listener.accept() {
            let peer = match socket.set_nonblocking(false).ok().and_then(|()| Hello::read(&mut socket)) {
                // A stranger is not one of us: go on waiting.
                None => continue,
                Some(peer) => peer,
            };
            // It learns from our answer what is wrong, as we do from its hello.
            let _ = hello.write(&mut socket);
            hello.check(&peer, &address.to_string())?;
            match sockets.get_mut(peer.process as usize) {
                Some(place @ None) if peer.process as usize > me => *place = Some(socket),
                _ => {
                    let what = format!("process {} is there twice", peer.process);
                    let error = JobError::job(what).at(address.to_string());
                    return Err(error.remedy("give every process its own -p, from 0 to one less than -n"));
                }
            }
        }
        let missing: Vec<usize> = (0..sockets.len()).filter(|peer| *peer != me && sockets[*peer].is_none()).collect();
        if missing.is_empty() {
            for socket in sockets.iter().flatten() {
                let _ = socket.set_nodelay(true).and_then(|()| socket.set_read_timeout(None));
            }
            tracing::info!("all {} processes are connected", sockets.len());
            return Ok(sockets);
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

/// What two processes tell each other before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hello {
    process: u32,
    processes: u32,
    workers: u32,
    fingerprint: u64,
}

impl Hello {
    fn write(&self, socket: &mut TcpStream) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        for number in [self.process, self.processes, self.workers] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.fingerprint.to_le_bytes());
        socket.write_all(&bytes)
    }

    fn read(socket: &mut TcpStream) -> Option<Hello> {
        socket.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let mut bytes = [0; 28];
        socket.read_exact(&mut bytes).ok()?;
        let number = |from: usize| Some(u32::from_le_bytes(bytes.get(from..from + 4)?.try_into().ok()?));
        let fingerprint = u64::from_le_bytes(bytes.get(20..28)?.try_into().ok()?);
        let hello = Hello { process: number(8)?, processes: number(12)?, workers: number(16)?, fingerprint };
        bytes.starts_with(MAGIC).then_some(hello)
    }

    fn check(&self, other: &Hello, address: &str) -> JobResult<()> {
        let differs = match () {
            () if self.processes != other.processes => {
                format!("-n is {} here and {} there", self.processes, other.processes)
            }
            () if self.workers != other.workers => format!("-w is {} here and {} there", self.workers, other.workers),
            () if self.fingerprint != other.fingerprint => "its command or configuration differs".to_owned(),
            () => return Ok(()),
        };
        Err(JobError::configuration(format!("process {} does not belong to this cluster: {differs}", other.process))
            .at(address.to_owned())
            .remedy("start every process of a cluster with the same program and command, but for -p"))
    }
}

/// Ends this process, by name of the culprit, when a connection to another one breaks: timely only panics.
fn name_lost_peers(addresses: Vec<String>) {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let thread = std::thread::current();
        let peer = thread.name().and_then(|name| name.strip_prefix("timely:")).and_then(|name| name.split('-').nth(1));
        match peer.and_then(|peer| peer.parse::<usize>().ok()) {
            Some(peer) => {
                std::thread::sleep(BLAME_AFTER);
                let address = addresses.get(peer).map_or("an unknown address", String::as_str);
                let error = JobError::job(format!("process {peer} was lost"))
                    .at(address)
                    .remedy("see what it said last, then start all processes again");
                eprintln!("error: {error}");
                std::process::exit(LOST_PEER_EXIT_CODE);
            }
            // Workers fail after the connection has: the thread above is about to end the process.
            None if thread.name().is_some_and(|name| name.starts_with("timely:work")) => {
                std::thread::sleep(BLAME_AFTER * 4);
                usual(info);
            }
            None => usual(info),
        }
    }));
}

fn cannot(doing: &str, error: &io::Error) -> JobError {
    JobError::job(format!("cannot {doing}: {error}"))
}
