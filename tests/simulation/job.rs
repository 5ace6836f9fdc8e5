//! A simulated incarnation: it reads, ticks, commits and writes checkpoints, a step at a time.
//!
//! Its graph only keeps which record counted when: as of a frontier that is all that any graph's state is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::once;
use std::ops::Range;
use std::time::Duration;

use dataflows::time::Time;
use orderwatch::checkpoint::{Checkpoints, StoreError, Successors};
use orderwatch::clock::partitions::{Backlog, Partition, PartitionClock, Standing, Trail, cut_at, put_down};
use orderwatch::incarnation::{self, StartError};
use orderwatch::sink::commits::{Commits, Outcome};
use serde::{Deserialize, Serialize};

use super::world::{Random, Record, World};

const NAME: &str = "shop";
const FINGERPRINT: u64 = 7;

/// Why an incarnation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    Failed,
    Fenced,
}

/// What a checkpoint holds of the graph.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    counted: Vec<(Record, Time)>,
    waiting: Vec<(Record, Time)>,
}

pub struct Job {
    checkpoints: Checkpoints,
    successors: Successors,
    clock: PartitionClock,
    counted: BTreeMap<Record, Time>,
    waiting: BTreeSet<(Time, Record)>,
    frontier: Time,
    /// All marks of this incarnation.
    trail: Trail,
    commits: Vec<Commits<Record>>,
    /// The world's sinks that these are of.
    named: Range<usize>,
    /// How often it has tried to write a checkpoint.
    attempts: u64,
    pub is_fenced: bool,
    pub was_restored: bool,
    pub has_new_sink: bool,
}

impl Job {
    pub fn start(world: &mut World, random: &mut Random) -> Result<Job, StartError> {
        world.configure(random);
        let named = world.named.clone();
        let start = incarnation::start(&mut world.store, NAME, FINGERPRINT, &mut world.sinks[named.clone()])?;
        let mut kept = Kept::default();
        let mut frontier = 0;
        let is_new = start.restored.is_none();
        let has_new_sink = start.sinks.iter().any(|progress| progress.frontier < progress.complete_since);
        let was_restored = start.restored.as_ref().is_some_and(|restored| restored.manifest.frontier > 0);
        let mut cut = BTreeMap::new();
        if let Some(restored) = start.restored {
            for part in &restored.parts {
                let part: Kept = serde_json::from_slice(part).expect("it is whole");
                kept.counted.extend(part.counted);
                kept.waiting.extend(part.waiting);
            }
            (frontier, cut) = (restored.manifest.frontier, restored.manifest.cut);
        }
        let mut clock = PartitionClock::new(world.mode, world.out_of_orderness_ms, frontier, start.followed_until);
        let mut successors = Successors::default();
        if world.furthest_behind > 30 {
            // So that ticks move watermarks that records leave where they are.
            clock.unmoving_records = 3;
            // Whoever has not said where it goes on was killed: to start takes one step.
            successors = Successors::that_start_within(Duration::ZERO);
        }
        for partition in world.partitions.keys() {
            let marks = start.trail.get(partition).map_or(&[][..], Vec::as_slice);
            if !clock.resume(partition.clone(), cut.get(partition).copied(), marks) {
                clock.enter(partition.clone(), 0);
            }
        }
        let mut job = Job {
            checkpoints: start.checkpoints,
            successors,
            clock,
            counted: kept.counted.into_iter().collect(),
            waiting: kept.waiting.into_iter().map(|(record, time)| (time, record)).collect(),
            frontier,
            trail: Trail::new(),
            commits: start.sinks.into_iter().map(|sink| Commits::new(sink, &start.trail)).collect(),
            named,
            attempts: 0,
            is_fenced: false,
            was_restored,
            has_new_sink,
        };
        if has_new_sink {
            // Those that have it take no notice.
            let Job { counted, commits, .. } = &mut job;
            for (record, time) in counted.iter() {
                commits.iter_mut().for_each(|commits| commits.give(record.clone(), *time));
            }
        }
        if is_new {
            // Where it begins is a checkpoint, too: a start from nothing would begin elsewhere the next time.
            let (trail, _) = job.clock.tick(0, Standing::default(), |_| Backlog::Some);
            job.put_down(&trail);
            job.write_checkpoint(world, random)?;
        }
        Ok(job)
    }

    /// Does something.
    pub fn step(&mut self, world: &mut World, random: &mut Random) -> Result<(), Stopped> {
        match random.up_to(10) {
            0..4 => self.read(world, random),
            4..7 => self.tick(world, random),
            7 | 8 => {
                let sink = random.up_to(self.commits.len() as u64) as usize;
                // Whatever lies before may be committed, in one step or in several.
                let behind = random.up_to(3) * random.up_to(world.furthest_behind);
                return self.commit(world, sink, self.frontier.saturating_sub(behind));
            }
            _ => return self.checkpoint(world, random),
        }
        Ok(())
    }

    fn read(&mut self, world: &World, random: &mut Random) {
        let count = world.partitions.len() as u64;
        let Some((partition, ats)) = world.partitions.iter().nth(random.up_to(count) as usize) else { return };
        if self.clock.next_offset(partition).is_none() {
            self.clock.enter(partition.clone(), 0);
        }
        if !self.clock.may_read(partition, self.clock.promise(), world.max_read_ahead_ms) {
            return;
        }
        let next = self.clock.next_offset(partition).unwrap_or(0);
        // Some are delivered again.
        let from = next.saturating_sub(random.up_to(3));
        for offset in from..(next + random.up_to(12)).min(ats.len() as u64) {
            let Some(watermark) = self.clock.begin(partition, offset) else { continue };
            let at = ats[offset as usize];
            self.waiting.insert((at.max(watermark), (partition.clone(), offset)));
            self.clock.observe(partition, at);
        }
    }

    fn tick(&mut self, world: &World, random: &mut Random) {
        let is_silent = random.one_in(5);
        let read: BTreeMap<Partition, u64> = world
            .partitions
            .keys()
            .filter_map(|partition| Some((partition.clone(), self.clock.next_offset(partition)?)))
            .collect();
        let (trail, _) = self.clock.tick(world.now, Standing::default(), |partition| {
            let end = world.partitions.get(partition).map_or(0, |ats| ats.len() as u64);
            if !is_silent && read.get(partition) == Some(&end) { Backlog::None } else { Backlog::Some }
        });
        self.put_down(&trail);
        self.frontier = self.frontier.max(self.clock.promise());
        let rest = self.waiting.split_off(&(self.frontier, (Partition { topic: String::new(), number: 0 }, 0)));
        for (time, record) in std::mem::replace(&mut self.waiting, rest) {
            assert_eq!(self.counted.insert(record.clone(), time), None, "it was counted before");
            self.commits.iter_mut().for_each(|commits| commits.give(record.clone(), time));
        }
    }

    fn put_down(&mut self, trail: &Trail) {
        self.commits.iter_mut().for_each(|commits| commits.mark(trail));
        for (partition, marks) in trail {
            let known = self.trail.entry(partition.clone()).or_default();
            marks.iter().for_each(|mark| put_down(known, *mark));
        }
    }

    fn commit(&mut self, world: &mut World, sink: usize, frontier: Time) -> Result<(), Stopped> {
        match self.commits[sink].commit(frontier, &mut world.sinks[self.named.start + sink]) {
            Outcome::Done | Outcome::Failed | Outcome::Unknown => Ok(()),
            Outcome::Fenced => {
                self.is_fenced = true;
                Err(Stopped::Fenced)
            }
        }
    }

    fn checkpoint(&mut self, world: &mut World, random: &mut Random) -> Result<(), Stopped> {
        if world.furthest_behind > 30 && random.one_in(4) {
            // Another start is killed as soon as it has its number.
            let _ = Checkpoints::begin(&mut world.store, NAME, FINGERPRINT);
        }
        match self.write_checkpoint(world, random) {
            // Half of those who cannot write a checkpoint go on without.
            Err(_) if random.one_in(2) => Err(Stopped::Failed),
            _ => Ok(()),
        }
    }

    fn write_checkpoint(&mut self, world: &mut World, random: &mut Random) -> Result<(), StoreError> {
        let Some(cut) = cut_at(&self.trail, self.frontier) else { return Ok(()) };
        if cut.len() < world.partitions.keys().filter(|name| self.clock.next_offset(name).is_some()).count() {
            return Ok(());
        }
        let mut parts = [Kept::default(), Kept::default()];
        for (record, time) in &self.counted {
            parts[record.1 as usize % 2].counted.push((record.clone(), *time));
        }
        for (time, record) in &self.waiting {
            // What was read after the cut will be read again.
            if cut.get(&record.0).is_some_and(|mark| record.1 < mark.next_offset) {
                parts[record.1 as usize % 2].waiting.push((record.clone(), *time));
            }
        }
        let parts = parts.map(|part| serde_json::to_vec(&part).expect("it is plain"));
        let slowest = self.commits.iter().map(|commits| commits.progress().begins()).min().unwrap_or(0);
        self.attempts += 1;
        let (checkpoints, frontier, attempt) = (&self.checkpoints, self.frontier, self.attempts);
        let put = |(number, part): (usize, Vec<u8>)| {
            checkpoints.put_part(&mut world.store, frontier, number, attempt, once(Ok(part)))
        };
        let parts = parts.into_iter().enumerate().map(put).collect::<Result<Vec<_>, StoreError>>()?;
        self.checkpoints.complete(&mut world.store, self.frontier, &cut, parts)?;
        let oldest = self.checkpoints.prune(&mut world.store, slowest, &mut self.successors)?;
        oldest.iter().for_each(|cut| self.commits.iter_mut().for_each(|commits| commits.trim(cut)));
        if self.frontier > 0 && random.one_in(20) {
            world.store.damage_newest();
        }
        Ok(())
    }

    /// Goes on until nothing is left to do.
    pub fn finish(&mut self, world: &mut World, random: &mut Random) {
        for _ in 0..20_000 {
            self.read(world, random);
            self.tick(world, random);
            let is_read =
                world.partitions.iter().all(|(name, ats)| self.clock.next_offset(name) == Some(ats.len() as u64));
            // A partition that was found only now counts where time is, and shows once time has moved on.
            let is_of_before = |(partition, offset): &Record| world.partitions[partition][*offset as usize] < world.end;
            if is_read && self.frontier > world.end {
                if !self.waiting.iter().any(|(_, record)| is_of_before(record)) {
                    break;
                }
                world.move_on();
            }
        }
        assert!(self.frontier > world.end, "time stood still at {}", self.frontier);
        for sink in 0..self.commits.len() {
            self.commit(world, sink, self.frontier).expect("nothing fails any more");
        }
    }
}
