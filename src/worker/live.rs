//! The worker loop of a live job: read, tick, let the graph work; the first worker is its head besides.
//!
//! Between ticks what is read is given to the graph at times that were promised before; at a tick the marks go first, then
//! the promise. Worker 0 is told everything through the graph, so a job of several processes needs no other channel.
//! Invariant: an operator is asked for its state at a time that nobody has passed. So a checkpoint is of one frontier.

mod feed;
mod updates;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use dataflows::orders::Rows;
use dataflows::orders::fused::resumed;
use dataflows::orders::keeper::{Keeper, Snapshots};
use dataflows::orders::parcel::Parcel;
use dataflows::time::Time;
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Concatenate, Input, Operator, Probe};
use timely::dataflow::{ProbeHandle, Stream};
use timely::worker::Worker;

use super::reached;
use crate::clock::partitions::{Standing, Trail};
use crate::clock::wall_clock_ms;
use crate::error::{JobError, JobResult};
use crate::live::archive::Report;
use crate::live::head::Head;
use crate::live::job::{LiveJob, Shared};
use crate::live::publisher::Update;
use crate::live::reading::Reading;
use crate::live::rows::rows_that_stood;
use feed::{Feed, Told};
use updates::updates_of;

/// How often marks are put down and time is promised, in milliseconds of the wall clock: all workers do so at its multiples, for
/// results wait for the one that promised least.
const TICK_MS: u64 = 10;
/// How long an epoch lasts at most, of a job that is far behind; of one that is up to date it is a tick.
const EPOCH_AT_MOST: Duration = Duration::from_millis(500);
/// Before that it lasts this part of the time for which the job has been behind.
const EPOCH_SHARE: u32 = 5;
/// A job whose promise is less behind than this, in milliseconds, is up to date.
const BEHIND_MS: u64 = 1_000;
/// How often the log is told how far it has been read.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long a worker without anything to do sleeps at most, for what was read meanwhile to be taken in soon.
const NAP: Duration = Duration::from_millis(2);
/// How long sinks have, in the end, to take what was published.
const DRAIN_WITHIN: Duration = Duration::from_secs(20);

/// What comes to the first worker.
#[derive(Default)]
struct Arrived {
    updates: Vec<Update>,
    trails: Vec<Trail>,
    reports: Vec<Report>,
}

/// What a worker has heard from others.
struct Heard {
    standings: Vec<Standing>,
    is_over: bool,
}

/// Runs one worker to its end.
pub fn run(worker: &mut Worker, job: &Arc<LiveJob>) {
    if let Err(error) = work(worker, job) {
        job.fail(error);
    }
    if job.has_failed() {
        // As in the bounded worker: the others are to see that this process was lost, not that it ended well.
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
        std::mem::forget(worker.clone());
    }
}

fn work(worker: &mut Worker, job: &Arc<LiveJob>) -> JobResult<()> {
    let (index, peers) = (worker.index(), worker.peers());
    let Some(shared) = agree(worker, job) else { return Ok(()) };
    let (reply, replies) = channel();
    let snapshots: Snapshots = match job.archive(&shared)? {
        Some(archive) => archive.snapshots(1 + index, reply.clone()),
        None => Box::new(|_| Box::new(drop)),
    };
    let mut keeper = take_up(job, &shared, snapshots, index, peers)?;
    let frontier = shared.beginning.frontier;
    let stood = if shared.has_new_sink { rows_that_stood(keeper.standing(frontier)) } else { Vec::new() };
    let census = keeper.census();
    let mut head = if index == 0 { Some(job.head(&shared, reply.clone(), peers)?) } else { None };
    job.has_taken_up();
    job.know(&shared.beginning);
    let mut reading = Reading::new((job.open)()?, job.terms.clone(), &shared.beginning, peers);
    let probes = [ProbeHandle::new(), ProbeHandle::new()];
    let arrived = Rc::new(RefCell::new(Arrived::default()));
    // Whoever has not said how far it is holds back time.
    let unheard = Standing { least: Some(0), largest: 0 };
    let heard = Rc::new(RefCell::new(Heard { standings: vec![unheard; peers], is_over: false }));
    let mut feed = build(worker, job, keeper, &probes, &arrived, &heard);
    // Sent before: once time has come there all of it has, from every worker, even where it then stands still.
    stood.into_iter().for_each(|update| feed.updates.send(update));
    feed.advance_to(frontier);
    let mut each = Loop {
        worker_index: index,
        peers,
        job,
        has_told_stop: false,
        has_told_full: false,
        has_ticked: false,
        epoch_end: frontier,
        epoch_ended_at: Instant::now(),
        up_to_date_at: Instant::now(),
        stood: None,
    };
    // Of a backlog many records at once take less than a few at a time; where rows are made of them a turn would take too long.
    let reads_at_once = if shared.rows == Rows::All { 4 } else { 16 };
    let (mut ticked, mut next_telling) = (0, Instant::now());
    while !(job.has_failed() || heard.borrow().is_over) {
        let [judged, published] = [&probes[0], &probes[1]].map(|probe| reached(probe).unwrap_or(0));
        let tick = wall_clock_ms() / TICK_MS;
        if tick != std::mem::replace(&mut ticked, tick) {
            each.tick(tick * TICK_MS, &mut reading, &mut feed, &heard.borrow(), head.as_mut());
            job.note(index, &reading, census.get(), published);
            if Instant::now() >= next_telling {
                next_telling = Instant::now() + TELL_EVERY;
                reading.publish();
            }
        }
        let mut is_idle = true;
        if each.has_ticked && !job.is_stopping() && !job.holds_back() {
            for _ in 0..reads_at_once {
                if !reading.read(judged)? {
                    break;
                }
                is_idle = false;
            }
            reading.parcels().for_each(|parcel| feed.parcels.send(parcel));
            reading.updates().for_each(|update| feed.updates.send(update));
        }
        if !(job.is_stopping() || job.holds_back()) {
            each.promise(&reading, &mut feed, &heard.borrow(), head.as_mut());
        }
        // What became of what was put down is for the first worker.
        replies.try_iter().for_each(|report| feed.reports.send(report));
        feed.flush();
        if let Some(head) = &mut head {
            each.lead(head, &mut feed, &mut arrived.borrow_mut(), published);
        }
        if is_idle {
            let until_tick = Duration::from_millis(TICK_MS - wall_clock_ms() % TICK_MS);
            worker.step_or_park(Some(NAP.min(until_tick)))
        } else {
            worker.step()
        };
    }
    // Its input must not end: every deadline to come would be taken for one that has passed.
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
    if job.has_failed() {
        return Ok(());
    }
    head.map_or(Ok(()), |head| head.drain(DRAIN_WITHIN))
}

/// What a worker needs in every turn of its loop.
struct Loop<'j> {
    worker_index: usize,
    peers: usize,
    job: &'j Arc<LiveJob>,
    has_told_stop: bool,
    has_told_full: bool,
    /// True where the last tick was a whole one. What is read is judged by its clock, which else may be of long ago.
    has_ticked: bool,
    /// The end of the last epoch, and when it was told.
    epoch_end: Time,
    epoch_ended_at: Instant,
    /// When the job was last up to date, or began.
    up_to_date_at: Instant,
    /// How far its partitions were when it last said so.
    stood: Option<Standing>,
}

impl Loop<'_> {
    fn tick(&mut self, now: Time, reading: &mut Reading, feed: &mut Feed, heard: &Heard, head: Option<&mut Head>) {
        if self.job.is_stopping() {
            if !self.has_told_stop {
                self.has_told_stop = true;
                feed.told.send(Told::Stop);
                feed.reports.send(Report::Stopped { worker: self.worker_index, promise: *feed.parcels.time() });
            }
            if let Some((time, asks_snapshot)) = head.and_then(Head::ask_last)
                // One that was told beyond it will not come.
                && (asks_snapshot || time != self.epoch_end)
            {
                self.end_epoch(feed, time, asks_snapshot);
            }
            return;
        }
        for (partition, start) in self.job.partitions_of(self.worker_index, self.peers) {
            reading.begin(&partition, start);
        }
        self.has_ticked = self.job.knows_partitions() && !self.job.holds_back();
        if !self.has_ticked {
            return;
        }
        let elsewhere = self.elsewhere(heard);
        let (trail, standing) = reading.tick(now, elsewhere);
        if !trail.is_empty() {
            feed.trails.send(trail);
        }
        let is_news = self.stood.replace(standing) != Some(standing);
        if self.peers > 1 && is_news {
            feed.told.send(Told::Standing(self.worker_index, standing));
        }
    }

    /// How far the partitions of all other workers are.
    fn elsewhere(&self, heard: &Heard) -> Standing {
        let others = heard.standings.iter().enumerate().filter(|(worker, _)| *worker != self.worker_index);
        others.map(|(_, standing)| *standing).fold(Standing::default(), Standing::and)
    }

    /// Promises what can be promised. The first worker is not ahead of what it knows that others hold back, for ends of
    /// epochs come no closer together than its promises.
    fn promise(&mut self, reading: &Reading, feed: &mut Feed, heard: &Heard, head: Option<&mut Head>) {
        let Some(head) = head else { return feed.advance_to(reading.promise()) };
        let elsewhere = self.elsewhere(heard);
        feed.advance_to(reading.promise().min(elsewhere.least.unwrap_or(Time::MAX)));
        let promised = *feed.parcels.time();
        let is_backlog = self.stood.unwrap_or_default().and(elsewhere).least.is_some();
        if !is_backlog || reading.behind_ms(promised) < BEHIND_MS {
            self.up_to_date_at = Instant::now();
        }
        let lasts = (self.up_to_date_at.elapsed() / EPOCH_SHARE).min(EPOCH_AT_MOST);
        let is_over = promised > self.epoch_end && self.epoch_ended_at.elapsed() >= lasts;
        let asks_snapshot = head.ask(promised).is_some();
        if asks_snapshot || is_over {
            self.end_epoch(feed, promised, asks_snapshot);
        }
    }

    /// Has all workers give what has changed so far, and asks them for their state where it is time for that.
    fn end_epoch(&mut self, feed: &mut Feed, time: Time, asks_snapshot: bool) {
        (self.epoch_end, self.epoch_ended_at) = (time, Instant::now());
        (0..self.peers as u64).for_each(|to| feed.parcels.send(Parcel::end_epoch(to, time, asks_snapshot)));
    }

    /// What the first worker does besides.
    fn lead(&mut self, head: &mut Head, feed: &mut Feed, arrived: &mut Arrived, published: Time) {
        arrived.trails.drain(..).for_each(|trail| head.mark(&trail));
        if !arrived.updates.is_empty() {
            head.take(std::mem::take(&mut arrived.updates));
        }
        arrived.reports.drain(..).for_each(|report| head.hear(report));
        head.advance(published);
        let is_full = head.is_full();
        self.job.hold_back(is_full);
        if std::mem::replace(&mut self.has_told_full, is_full) != is_full {
            feed.told.send(Told::Full(is_full));
            feed.flush();
        }
        if let Some(error) = head.failure() {
            self.job.fail(error);
        }
        if head.is_over() {
            feed.told.send(Told::End);
            feed.flush();
        }
    }
}

/// What process 0 found at the start, told to all.
fn agree(worker: &mut Worker, job: &Arc<LiveJob>) -> Option<Shared> {
    let shared: Rc<RefCell<Option<Shared>>> = Rc::default();
    let into = Rc::clone(&shared);
    let mut input = worker.dataflow::<Time, _, _>(|scope| {
        let (input, stream) = scope.new_input::<Vec<Shared>>();
        stream.broadcast().unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "Agree", |_, _| {
            move |input, _| input.for_each(|_, batch| *into.borrow_mut() = batch.pop())
        });
        input
    });
    if let (0, Some(shared)) = (worker.index(), job.shared()) {
        input.send(shared);
    }
    input.close();
    while shared.borrow().is_none() && !job.has_failed() {
        worker.step_or_park(Some(Duration::from_millis(10)));
    }
    shared.take()
}

/// The keeper of a worker's orders, as the checkpoint has them.
fn take_up(job: &LiveJob, shared: &Shared, snapshots: Snapshots, index: usize, peers: usize) -> JobResult<Keeper> {
    let mut keeper = Keeper::live(Rc::new(job.law.clone()), snapshots, shared.rows);
    let (topics, cut) = (&job.terms.topics, &shared.beginning.cut);
    // The first part is the publisher's.
    for bytes in job.parts(shared)?.iter().skip(1) {
        let taken = keeper.take_up(
            shared.beginning.frontier,
            bytes,
            |key| key as u64 % peers as u64 == index as u64,
            index == 0,
            |position| topics.is_before(cut, position),
        );
        taken.map_err(|damaged| JobError::job(format!("cannot read the checkpoint: {}", damaged.0)))?;
    }
    keeper.end_epochs_at(&shared.sinks_at);
    Ok(keeper)
}

fn build(
    worker: &mut Worker,
    job: &Arc<LiveJob>,
    keeper: Keeper,
    [judged, published]: &[ProbeHandle<Time>; 2],
    arrived: &Rc<RefCell<Arrived>>,
    heard: &Rc<RefCell<Heard>>,
) -> Feed {
    worker.dataflow::<Time, _, _>(|scope| {
        let (parcels, parcels_in) = scope.new_input();
        let (updates, updates_in) = scope.new_input();
        let (trails, trails_in) = scope.new_input();
        let (reports, reports_in) = scope.new_input();
        let (told, told_in) = scope.new_input();
        let of_orders = resumed(at_once(parcels_in), keeper);
        of_orders.accepted.clone().probe_with(judged);
        let all = scope.concatenate(updates_of(of_orders).into_iter().chain([updates_in]));
        let (into, trails_into, reports_into) = (Rc::clone(arrived), Rc::clone(arrived), Rc::clone(arrived));
        at_first(all, "Publish", published, move |batch| into.borrow_mut().updates.append(batch));
        at_first(at_once(trails_in), "Marks", published, move |batch| trails_into.borrow_mut().trails.append(batch));
        at_first(at_once(reports_in), "Reports", published, move |batch| {
            reports_into.borrow_mut().reports.append(batch)
        });
        let (heard, job) = (Rc::clone(heard), Arc::clone(job));
        told_in.broadcast().unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "Told", |_, _| {
            move |input, _| {
                input.for_each(|_, batch| {
                    for told in batch.drain(..) {
                        match told {
                            Told::Standing(worker, standing) => heard.borrow_mut().standings[worker] = standing,
                            // The process of the sinks knows it first.
                            Told::Full(is_full) if job.found.is_none() => job.hold_back(is_full),
                            Told::Full(_) => {}
                            Told::Stop => job.stop(),
                            Told::End => heard.borrow_mut().is_over = true,
                        }
                    }
                });
            }
        });
        Feed { parcels, updates, trails, reports, told }
    })
}

/// What an input hands to an exchange waits there until its time moves on; handed on by an operator it does not.
fn at_once<'scope, D: Clone + 'static>(stream: Stream<'scope, Time, Vec<D>>) -> Stream<'scope, Time, Vec<D>> {
    stream.unary::<CapacityContainerBuilder<Vec<D>>, _, _, _>(Pipeline, "At once", |_, _| {
        |input, output| input.for_each(|time, batch| output.session(&time).give_container(batch))
    })
}

/// Takes a stream in at the first worker.
fn at_first<'scope, D: ExchangeData>(
    stream: Stream<'scope, Time, Vec<D>>,
    name: &str,
    probe: &ProbeHandle<Time>,
    into: impl Fn(&mut Vec<D>) + 'static,
) {
    let taken = stream.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Exchange::new(|_| 0), name, move |_, _| {
        move |input, _| input.for_each(|_, batch| into(batch))
    });
    taken.probe_with(probe);
}
