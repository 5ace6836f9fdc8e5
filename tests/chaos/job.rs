//! A job and its supervisor, which does what systemd or Kubernetes would: a process that fails is started again.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::inputs::Chance;
use crate::network::Network;
use crate::run::{Running, start};
use crate::shop::Shop;
use crate::stack::Stack;

/// So long a job may take to stop when it is asked to.
const STOPS_WITHIN: Duration = Duration::from_secs(30);
const START_AGAIN_AFTER: Duration = Duration::from_millis(100);
const STARTS_MAX: usize = 60;
/// A process that is only just there does not listen to signals yet: asked to stop it would just be gone.
const LISTENS_AFTER: Duration = Duration::from_secs(1);

pub struct Job<'s> {
    stack: &'s Stack,
    shop: &'s Shop,
    workers: usize,
    processes: usize,
    running: Vec<Option<Running>>,
    /// When one of them was started last.
    started: Instant,
    /// How often each was started.
    pub starts: Vec<usize>,
    /// What processes said that failed.
    said: String,
}

impl<'s> Job<'s> {
    pub fn start(stack: &'s Stack, shop: &'s Shop, processes: usize, chance: &mut Chance) -> Job<'s> {
        let workers = 1 + chance.below(3);
        let (started, starts, said) = (Instant::now(), vec![0; processes], String::new());
        let mut job = Job { stack, shop, workers, processes, running: Vec::new(), started, starts, said };
        let hosts: Vec<String> = (0..processes).map(|process| format!("{}:2101", Network::address(process))).collect();
        std::fs::write(job.hosts(), hosts.join("\n")).unwrap();
        job.running = (0..processes).map(|process| Some(job.start_one(process))).collect();
        job
    }

    pub fn processes(&self) -> usize {
        self.processes
    }

    fn hosts(&self) -> PathBuf {
        self.shop.folder.path().join("hosts")
    }

    fn start_one(&mut self, process: usize) -> Running {
        assert!(self.starts[process] < STARTS_MAX, "it does not come up: {}", self.said);
        self.starts[process] += 1;
        self.started = Instant::now();
        let (count, number, hosts) = (self.processes.to_string(), process.to_string(), self.hosts());
        let cluster = ["-n", &count, "-p", &number, "--hostfile", hosts.to_str().unwrap()];
        let mut command = self.shop.job(self.workers, if self.processes == 1 { &[] } else { &cluster });
        // Half a minute, as it is by default, would be most of a round.
        command.env("ORDERWATCH__CLUSTER__SECRET", "s3cret").env("ORDERWATCH__SINK__CIRCUIT_PROBE_AFTER", "1s");
        // What waits for a server that is away goes through files.
        command.env("ORDERWATCH__SINK__MEMORY", "1M");
        start(&mut self.stack.network.at(process, &command))
    }

    /// Does the supervisor's work; true where all have ended well.
    fn tend(&mut self) -> bool {
        for process in 0..self.processes {
            let place = &mut self.running[process];
            if place.as_mut().is_some_and(|running| running.child.try_wait().unwrap().is_some()) {
                let ended = place.take().unwrap().wait();
                let start = self.starts[process];
                self.said += &format!("\n--- process {process}, start {start}, {:?}: {}", ended.code, ended.stderr);
                // That is for people to mend; a supervisor gives up.
                assert!(ended.code != Some(2) && !ended.stderr.contains("panicked"), "{}", self.said);
                if ended.code != Some(0) {
                    std::thread::sleep(START_AGAIN_AFTER);
                    self.running[process] = Some(self.start_one(process));
                }
            }
        }
        self.running.iter().all(Option::is_none)
    }

    /// Lets time go by.
    pub fn pass(&mut self, time: Duration) {
        let started = Instant::now();
        while started.elapsed() < time {
            self.tend();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until something is so.
    pub fn until(&mut self, what: &str, within: Duration, mut is_so: impl FnMut(&Job<'_>) -> bool) {
        let started = Instant::now();
        while !is_so(self) {
            assert!(started.elapsed() < within, "{what}: not within {within:?}; {}", self.tell());
            self.tend();
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// As `kill -9` does.
    pub fn kill(&mut self, process: usize) {
        if let Some(running) = &mut self.running[process] {
            running.child.kill().unwrap();
            running.child.wait().unwrap();
        }
    }

    pub fn kill_all(&mut self) {
        (0..self.processes).for_each(|process| self.kill(process));
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) {
        let asked = Instant::now();
        let mut told = None;
        loop {
            let runs = self.running.iter().flatten().next();
            if let Some(running) = runs.filter(|_| told != Some(self.started) && self.started.elapsed() > LISTENS_AFTER)
            {
                running.terminate();
                told = Some(self.started);
            }
            if self.tend() {
                return;
            }
            assert!(asked.elapsed() < STOPS_WITHIN, "it does not stop: {}", self.tell());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the processes said, those that run included.
    fn tell(&self) -> String {
        let running = self.running.iter().enumerate();
        let now = running.map(|(process, running)| {
            let said = running.as_ref().map_or("has ended".to_owned(), Running::said_so_far);
            format!("\n--- process {process}, start {}, now: {said}", self.starts[process])
        });
        format!("{}{}", self.said, now.collect::<String>())
    }
}
