//! The hello: what two processes of a cluster tell each other before anything else.
//!
//! Both choose a number and send it, then say who they are, sealed with the secret of the cluster and with both numbers.
//! Invariant: the secret is never sent, a hello that was overheard is of no use again, and nothing is believed before its
//! seal was checked. Limits: what follows the hello is neither sealed nor encrypted.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::config::{Cluster, Secret};
use crate::error::{JobError, JobResult};

/// What a hello begins with: names the program and the form of what follows.
const MAGIC: &[u8; 8] = b"ordwatc2";
const NUMBER_LENGTH: usize = 16;
const SEAL_LENGTH: usize = 32;
/// Who takes longer than this for the whole of it is a stranger.
const WITHIN: Duration = Duration::from_secs(2);

/// Who opened the connection. It is sealed as well, so that nobody's own hello can be sent back to him.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Caller,
    Called,
}

/// What a process says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    version: String,
    pub(super) process: u32,
    processes: u32,
    workers: u32,
    fingerprint: u64,
}

impl Hello {
    pub(super) fn new(cluster: &Cluster, fingerprint: u64) -> Hello {
        let Cluster { process, processes, workers, .. } = *cluster;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Hello { version, process: process as u32, processes: processes as u32, workers: workers as u32, fingerprint }
    }

    /// Says hello over a socket and hears the peer's; none where a stranger is there, who is not to end a job that waits.
    pub(super) fn exchange(
        &self,
        socket: &mut TcpStream,
        role: Role,
        secret: &Secret,
        address: &str,
    ) -> JobResult<Option<Hello>> {
        let Ok(heard) = self.converse(socket, role, secret) else { return Ok(None) };
        let Some(other) = heard else {
            return Err(JobError::configuration("the process there has another secret")
                .at(address)
                .remedy("give all processes of a cluster the same [cluster] secret, or ORDERWATCH__CLUSTER__SECRET"));
        };
        self.check(&other, address)?;
        Ok(Some(other))
    }

    /// None where the seal is not that of the secret.
    fn converse(&self, socket: &mut TcpStream, role: Role, secret: &Secret) -> io::Result<Option<Hello>> {
        let until = Instant::now() + WITHIN;
        let mut mine = [0; NUMBER_LENGTH];
        SystemRandom::new().fill(&mut mine).map_err(|_| io::ErrorKind::Other)?;
        socket.write_all(&[MAGIC, &mine[..]].concat())?;
        let theirs: [u8; MAGIC.len() + NUMBER_LENGTH] = read(socket, until)?;
        let Some(theirs) = theirs.strip_prefix(MAGIC) else { return Err(io::ErrorKind::InvalidData.into()) };
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.0.as_bytes());
        // The same bytes at both ends, but for who seals.
        let sealed = |by: Role, told: &[u8]| {
            let (caller, called) = if role == Role::Caller { (&mine[..], theirs) } else { (theirs, &mine[..]) };
            [&[by as u8], caller, called, told].concat()
        };
        let told = postcard::to_allocvec(self).map_err(io::Error::other)?;
        let seal = hmac::sign(&key, &sealed(role, &told));
        socket.write_all(&[&[told.len() as u8], &told[..], seal.as_ref()].concat())?;
        let [length] = read(socket, until)?;
        // One byte says how long it is: nobody makes us wait for more, or keep more.
        let (mut other, mut seal) = (vec![0; usize::from(length)], [0; SEAL_LENGTH]);
        read_into(socket, &mut other, until)?;
        read_into(socket, &mut seal, until)?;
        let by = if role == Role::Caller { Role::Called } else { Role::Caller };
        if hmac::verify(&key, &sealed(by, &other), &seal).is_err() {
            return Ok(None);
        }
        postcard::from_bytes(&other).map(Some).map_err(io::Error::other)
    }

    fn check(&self, other: &Hello, address: &str) -> JobResult<()> {
        let differs = match () {
            () if self.version != other.version => {
                format!("it is orderwatch {}, this is {}", other.version, self.version)
            }
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

fn read<const LENGTH: usize>(socket: &mut TcpStream, until: Instant) -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    read_into(socket, &mut bytes, until)?;
    Ok(bytes)
}

/// A peer that sends a byte now and then would not run into a time limit of the socket alone.
fn read_into(socket: &mut TcpStream, mut bytes: &mut [u8], until: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match socket.read(bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if left.is_zero() => return Err(io::ErrorKind::TimedOut.into()),
            count => bytes = &mut bytes[count..],
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn hello(process: usize, version: &str) -> Hello {
        let cluster = Cluster { workers: 1, processes: 2, process, ..Cluster::default() };
        Hello { version: version.to_owned(), ..Hello::new(&cluster, 7) }
    }

    fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (caller, listener.accept().unwrap().0)
    }

    /// What both ends make of each other.
    fn meet(caller: (Hello, &str), called: (Hello, &str)) -> [JobResult<Option<Hello>>; 2] {
        let (mut one, mut other) = sockets();
        thread::scope(|scope| {
            let (hello, secret) = (caller.0, Secret(caller.1.to_owned()));
            let calling = scope.spawn(move || hello.exchange(&mut one, Role::Caller, &secret, "there"));
            let answer = called.0.exchange(&mut other, Role::Called, &Secret(called.1.to_owned()), "here");
            [calling.join().unwrap(), answer]
        })
    }

    #[test]
    fn both_learn_of_each_other_or_why_not() {
        assert_eq!(
            meet((hello(1, "1"), "s3cret"), (hello(0, "1"), "s3cret")),
            [Ok(Some(hello(0, "1"))), Ok(Some(hello(1, "1")))]
        );
        for (one, other) in [("s3cret", "secret"), ("", "s3cret"), ("s3cret", "")] {
            for heard in meet((hello(1, "1"), one), (hello(0, "1"), other)) {
                let error = heard.unwrap_err().to_string();
                assert!(error.contains("another secret") && !error.contains("s3cret"), "{error}");
            }
        }
        for heard in meet((hello(1, "1"), ""), (hello(0, "2"), "")) {
            assert!(heard.unwrap_err().what().contains("it is orderwatch "));
        }
    }

    #[test]
    fn strangers_are_passed_over() {
        let secret = Secret("s3cret".into());
        let me = hello(0, "1");
        let met = |act: fn(&mut TcpStream)| {
            let (mut stranger, mut socket) = sockets();
            let acting = thread::spawn(move || act(&mut stranger));
            let (started, heard) = (Instant::now(), me.exchange(&mut socket, Role::Called, &secret, "there"));
            assert!(started.elapsed() < 5 * WITHIN);
            drop(socket);
            acting.join().unwrap();
            heard
        };
        assert_eq!(met(|stranger| stranger.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").unwrap()), Ok(None));
        assert_eq!(met(|stranger| drop(stranger.read_to_end(&mut Vec::new()))), Ok(None), "it says nothing");
        let slow = |stranger: &mut TcpStream| {
            while stranger.write_all(b"o").is_ok() {
                thread::sleep(Duration::from_secs(1));
            }
        };
        assert_eq!(met(slow), Ok(None));
        // Everything that is said is said back.
        let echo = |stranger: &mut TcpStream| {
            let mut bytes = [0; 512];
            while let Ok(count @ 1..) = stranger.read(&mut bytes) {
                let _ = stranger.write_all(&bytes[..count]);
            }
        };
        assert!(met(echo).unwrap_err().what().contains("another secret"));
    }
}
