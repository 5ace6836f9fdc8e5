//! A job and its supervisor, which does what systemd or Kubernetes would: a process that fails is started again.
//!
//! Whoever kills all of it has it started in another shape. Invariant: processes of two shapes never run at one time.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::inputs::Chance;
use crate::network::Network;
use crate::run::{Running, start};
use crate::shop::Shop;
use crate::stack::{PROCESSES, Stack};

/// So long a job may take to stop when it is asked to.
const STOPS_WITHIN: Duration = Duration::from_secs(30);
const START_AGAIN_AFTER: Duration = Duration::from_millis(100);
const STARTS_MAX: usize = 60;
/// A process that is only just there does not listen to signals yet: asked to stop it would just be gone.
const LISTENS_AFTER: Duration = Duration::from_secs(1);

/// How many processes a job has, and how many workers each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub processes: usize,
    pub workers: usize,
}

impl Shape {
    pub fn by(chance: &mut Chance) -> Shape {
        Shape { processes: 1 + chance.below(PROCESSES), workers: 1 + chance.below(3) }
    }

    /// Any that is not this one.
    fn other(self, chance: &mut Chance) -> Shape {
        std::iter::repeat_with(|| Shape::by(chance)).find(|shape| *shape != self).unwrap()
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "-n {} -w {}", self.processes, self.workers)
    }
}

pub struct Job<'s> {
    stack: &'s Stack,
    shop: &'s Shop,
    /// The shapes it had, the present one last.
    pub shapes: Vec<Shape>,
    /// The shape it is to have, where all of it was killed.
    next: Option<Shape>,
    running: Vec<Option<Running>>,
    /// When one of them was started last.
    started: Instant,
    /// How often each was started.
    pub starts: [usize; PROCESSES],
    /// What processes said that failed.
    said: String,
}

impl<'s> Job<'s> {
    pub fn start(stack: &'s Stack, shop: &'s Shop, shape: Shape) -> Job<'s> {
        let (started, starts, said) = (Instant::now(), [0; PROCESSES], String::new());
        let mut job = Job { stack, shop, shapes: Vec::new(), next: None, running: Vec::new(), started, starts, said };
        job.start_all(shape);
        job
    }

    pub fn processes(&self) -> usize {
        self.running.len()
    }

    fn start_all(&mut self, shape: Shape) {
        let hosts = (0..shape.processes).map(|process| format!("{}:2101", Network::address(process)));
        std::fs::write(self.hosts(), hosts.collect::<Vec<_>>().join("\n")).unwrap();
        self.shapes.push(shape);
        self.running = (0..shape.processes).map(|process| Some(self.start_one(process))).collect();
    }

    fn hosts(&self) -> PathBuf {
        self.shop.folder.path().join("hosts")
    }

    fn start_one(&mut self, process: usize) -> Running {
        assert!(self.starts[process] < STARTS_MAX, "it does not come up: {}", self.said);
        self.starts[process] += 1;
        self.started = Instant::now();
        let Shape { processes, workers } = self.shapes[self.shapes.len() - 1];
        let (count, number, hosts) = (processes.to_string(), process.to_string(), self.hosts());
        let cluster = ["-n", &count, "-p", &number, "--hostfile", hosts.to_str().unwrap()];
        let mut command = self.shop.job(workers, if processes == 1 { &[] } else { &cluster });
        // Half a minute, as it is by default, would be most of a round.
        command.env("ORDERWATCH__CLUSTER__SECRET", "s3cret").env("ORDERWATCH__SINK__CIRCUIT_PROBE_AFTER", "1s");
        // What waits for a server that is away goes through files.
        command.env("ORDERWATCH__SINK__MEMORY", "1M");
        start(&mut self.stack.network.at(process, &command))
    }

    /// Does the supervisor's work; true where all have ended well.
    fn tend(&mut self) -> bool {
        if let Some(shape) = self.next.take() {
            for process in 0..self.processes() {
                self.ended(process);
            }
            std::thread::sleep(START_AGAIN_AFTER);
            self.start_all(shape);
        }
        for process in 0..self.processes() {
            if self.ended(process).is_some_and(|code| code != Some(0)) {
                std::thread::sleep(START_AGAIN_AFTER);
                self.running[process] = Some(self.start_one(process));
            }
        }
        self.running.iter().all(Option::is_none)
    }

    /// How a process ended since one last looked, where it did.
    fn ended(&mut self, process: usize) -> Option<Option<i32>> {
        let place = &mut self.running[process];
        let has_ended = place.as_mut().is_some_and(|running| running.child.try_wait().unwrap().is_some());
        let ended = place.take_if(|_| has_ended)?.wait();
        let start = self.starts[process];
        self.said += &format!("\n--- process {process}, start {start}, {:?}: {}", ended.code, ended.stderr);
        // That is for people to mend; a supervisor gives up.
        assert!(ended.code != Some(2) && !ended.stderr.contains("panicked"), "{}", self.said);
        Some(ended.code)
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

    /// Kills all of it; the supervisor starts it with another number of processes, or of workers.
    pub fn kill_all(&mut self, chance: &mut Chance) {
        (0..self.processes()).for_each(|process| self.kill(process));
        self.next = Some(self.shapes[self.shapes.len() - 1].other(chance));
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
