//! The worker loop: the order of the stages, and the only file of the job that names timely beside the cluster's sockets.
//!
//! Read a stretch, give it to the graph, promise the graph that nothing earlier comes, let the graph work. A worker
//! reads ahead of the graph by a bounded number of stretches, so a quick reader does not fill the memory. Rows are gathered
//! for the sinks where they are made, sums at worker 0. A paced replay has a second graph of the same orders, the watch
//! (`worker/watch.rs`), to tell breaches when they are due.

pub mod live;
mod watch;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dataflows::graph::{self, Plan};
use dataflows::model::{Position, Text};
use dataflows::operators::limit::Until;
use dataflows::orders::outlook::Law;
use dataflows::orders::parcel::Parcel;
use dataflows::orders::{Detail, Updates};
use dataflows::time::{Diff, Time};
use dataflows::views::dead_letters::{RefusedFact, RefusedRecord};
use dataflows::views::measures::{MeasureKey, Measures};
use dataflows::views::quality::{QualityCounts, QualityKey};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::InputHandle;
use timely::dataflow::ProbeHandle;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Concat, Input, Operator, Probe};
use timely::worker::Worker;

use crate::clock::{Lateness, ReplayClock};
use crate::error::{JobError, JobResult};
use crate::gathered::{Due, Gathered, Refused, STANDING};
use crate::interrupt;
use crate::source::inputs::Inputs;
use crate::source::intake::{Intake, Selection};
use crate::source::supply::{Supplied, Supply};
use crate::validate::Limits;

/// What every worker of a process shares.
pub struct Job {
    /// The inputs, opened.
    pub inputs: Inputs,
    /// Which facts take part.
    pub selection: Selection,
    /// What validation needs to know.
    pub limits: Limits,
    /// What is late.
    pub lateness: Lateness,
    /// Settings, rules and sources of the graph.
    pub law: Law,
    /// How orders are computed.
    pub plan: Plan,
    /// How row collections are wanted.
    pub detail: Detail,
    /// What paces the replay; none: nothing does.
    pub clock: Option<Arc<ReplayClock>>,
    /// Worker threads of this process.
    pub local_workers: usize,
    /// Records read by this process.
    pub records_read: AtomicU64,
    /// The largest event time read by this process; 0 before there is one.
    pub event_time_read: AtomicU64,
    /// The first error; a worker that sees one stops.
    pub error: Mutex<Option<JobError>>,
    /// True once there is an error.
    pub failed: AtomicBool,
    /// Memory of a process in which rows wait to be written, in bytes.
    pub rows_memory_bytes: usize,
    /// Bytes of rows written into temporary files by this process.
    pub spilled_bytes: Arc<AtomicU64>,
}

/// Stretches a worker may be ahead of the graph.
const READ_AHEAD: usize = 4;
/// How long a paced worker sleeps at most, for it to see in time that its clock has moved.
const PACE_STEP: Duration = Duration::from_millis(5);

impl Job {
    /// Notes an error; every worker of the process stops.
    pub fn fail(&self, error: JobError) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.failed.store(true, Ordering::Release);
    }

    /// True once some worker could not go on.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

type Feeder<D> = InputHandle<Time, CapacityContainerBuilder<Vec<D>>>;

/// The handles through which a worker feeds its graph.
struct Feed {
    parcels: Feeder<Parcel>,
    law: Feeder<(MeasureKey, Time, Measures)>,
    quality: Feeder<(QualityKey, Time, QualityCounts)>,
    refused_records: Feeder<(RefusedRecord, Time, Diff)>,
    refused_facts: Feeder<(RefusedFact, Time, Diff)>,
    /// What the watch gets; none where there is no watch, or no more for it.
    ahead: Option<Feeder<Parcel>>,
}

/// Tells every worker of the cluster that this process was asked to stop. It outlives the feed: a worker that has read
/// its share waits for the others, and has to be heard still.
struct Stop {
    workers: Feeder<u64>,
    has_told: bool,
}

impl Stop {
    fn tell_if_requested(&mut self, worker: usize) {
        if interrupt::is_requested() && !self.has_told {
            self.has_told = true;
            self.workers.send(worker as u64);
            self.workers.flush();
        }
    }
}

impl Feed {
    fn give(&mut self, intake: &mut Intake) {
        intake.parcels().for_each(|parcel| self.parcels.send(parcel));
        intake.law().into_iter().for_each(|count| self.law.send(count));
        intake.quality().for_each(|count| self.quality.send(count));
        for (record, time) in intake.refused_records() {
            self.refused_records.send((record, time, 1));
        }
        for (fact, time) in intake.refused_facts() {
            self.refused_facts.send((fact, time, 1));
        }
    }

    fn advance_to(&mut self, time: Time) {
        self.parcels.advance_to(time);
        self.law.advance_to(time);
        self.quality.advance_to(time);
        self.refused_records.advance_to(time);
        self.refused_facts.advance_to(time);
    }
}

/// Runs one worker to its end; what it gathered. `progress` is called now and then with
/// the time up to which the graph has come and all is told, and the breaches that have come due (worker 0 of a paced replay).
pub fn run(worker: &mut Worker, job: &Arc<Job>, mut progress: impl FnMut(Option<Time>, &[Due])) -> Gathered {
    let (index, peers) = (worker.index(), worker.peers());
    let [probe, judged, watched] = [ProbeHandle::new(), ProbeHandle::new(), ProbeHandle::new()];
    let gathered = Gathered::new(job.rows_memory_bytes / job.local_workers, Arc::clone(&job.spilled_bytes));
    let gathered = Rc::new(RefCell::new(gathered));
    let (mut feed, mut stop) = build(worker, job, [&probe, &judged, &watched], &gathered);
    let settings = &job.law.settings;
    let sources = Arc::new(job.law.sources.clone());
    let intake = Intake::new(job.limits, job.selection.clone(), job.lateness, sources, peers, settings.tick_ms);
    let readers = job.inputs.readers(index, peers, job.local_workers);
    let mut supply = Supply::new(readers, intake, &job.selection, job.clock.clone());
    let mut ahead: VecDeque<Time> = VecDeque::new();
    let mut progress = |judged: &ProbeHandle<Time>| {
        let told = watch::told_before(reached(judged), reached(&watched), &gathered.borrow());
        let due = told.map_or(Vec::new(), |told| gathered.borrow_mut().take_due(told));
        progress(told, &due);
    };

    while !job.has_failed() {
        stop.tell_if_requested(index);
        let supplied = supply.poll(reached(&judged));
        job.records_read.fetch_add(supply.intake.take_records_read(), Ordering::Relaxed);
        job.event_time_read.fetch_max(supply.intake.event_time_read(), Ordering::Relaxed);
        feed.give(&mut supply.intake);
        watch::show(&mut feed.ahead, &mut supply, reached(&watched));
        let promise = supply.promise();
        feed.advance_to(promise);
        supply.intake.advance(promise);
        match supplied {
            Ok(Supplied::Ended) => break,
            Ok(Supplied::Read) => worker.step(),
            Ok(Supplied::Waits) => worker.step_or_park(Some(PACE_STEP)),
            Err(error) => {
                job.fail(error);
                break;
            }
        };
        progress(&judged);
        if ahead.back() < Some(&promise) && job.clock.as_ref().is_none_or(|clock| clock.holds_nothing_back()) {
            ahead.push_back(promise);
        }
        // The graph is at most so many stretches behind. It waits for the slowest worker of all: a promise that this
        // worker repeats says nothing new, so it waits only for what it has promised since.
        while ahead.len() > READ_AHEAD {
            let Some(behind) = ahead.pop_front() else { break };
            while judged.less_than(&behind) && !job.has_failed() {
                stop.tell_if_requested(index);
                worker.step_or_park(Some(Duration::from_millis(50)));
                progress(&judged);
            }
        }
    }
    if !supply.is_cut() && job.selection.until < Time::MAX {
        // Only of an input that was read whole it is known what stands at the end that was asked for.
        feed.parcels.send(Parcel::input_end(job.selection.until, peers as u64));
    }
    drop(feed);
    while !(job.has_failed() || probe.done() && watched.done()) {
        stop.tell_if_requested(index);
        supply.follow(reached(&judged));
        worker.step_or_park(Some(if job.clock.is_some() { PACE_STEP } else { Duration::from_millis(100) }));
        progress(&judged);
    }
    if job.has_failed() {
        // Operators hold capabilities: without their input's end they would wait for ever.
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
        // Without this the connections would tell the other processes that we have ended well, and those would wait
        // for ever for what we were to do: they learn it from sockets that close without a word.
        std::mem::forget(worker.clone());
    }
    let mut gathered = gathered.take();
    gathered.sort();
    gathered
}

fn reached(probe: &ProbeHandle<Time>) -> Option<Time> {
    probe.with_frontier(|frontier| frontier.first().copied())
}

/// Builds the graph and connects it to the worker's feed and to what it gathers.
fn build(
    worker: &mut Worker,
    job: &Arc<Job>,
    [probe, judged, watched]: [&ProbeHandle<Time>; 3],
    gathered: &Rc<RefCell<Gathered>>,
) -> (Feed, Stop) {
    worker.dataflow::<Time, _, _>(|scope| {
        let (parcels, parcels_in) = scope.new_input();
        let (law, record_counts) = scope.new_input();
        let (quality, quality_in) = scope.new_input();
        let (refused_records, refused_records_in) = scope.new_input();
        let (refused_facts, refused_facts_in) = scope.new_input();
        let (workers, stops) = scope.new_input();
        act_on(stops);
        let ahead = job.clock.as_ref().map(|_| {
            let (ahead, ahead_in) = scope.new_input();
            watch::watch(ahead_in, job, watched, gathered);
            ahead
        });
        let inputs = graph::Inputs {
            parcels: parcels_in,
            record_counts,
            quality: quality_in,
            refused_records: refused_records_in,
        };
        let outputs = graph::build(inputs, Rc::new(job.law.clone()), job.plan, Until::LargestAccepted, job.detail);
        let orders = outputs.orders;
        gather_largest(orders.accepted.clone(), probe, gathered);
        orders.accepted.probe_with(judged);
        let refused = orders.refused.concat(refused_facts_in);
        gather("orders", orders.orders, job, probe, gathered, Gathered::take_rows);
        gather("order_events", orders.order_events, job, probe, gathered, Gathered::take_rows);
        gather("violations", orders.violations, job, probe, gathered, Gathered::take_rows);
        gather("sla_breaches", orders.sla_breaches, job, probe, gathered, Gathered::take_rows);
        gather("stalled_orders", orders.stalled_orders, job, probe, gathered, Gathered::take_rows);
        gather(STANDING, orders.standing, job, probe, gathered, Gathered::take_standing);
        gather_refused("refused facts", refused, job, probe, gathered, |fact: RefusedFact| {
            (fact.position, Refused::Fact(fact))
        });
        gather_refused("refused records", outputs.refused_records, job, probe, gathered, |record: RefusedRecord| {
            (record.position, Refused::Record(record))
        });
        if job.detail == Detail::Changes {
            let windows = Rc::new(job.law.settings.windows.clone());
            let of_lines = Rc::clone(&windows);
            gather("measures", orders.measures.clone(), job, probe, gathered, move |all, batch| {
                all.take_measures(batch, &windows)
            });
            gather("lines", orders.lines.clone(), job, probe, gathered, move |all, batch| {
                all.take_lines(batch, &of_lines)
            });
            gather("quality", orders.quality.clone(), job, probe, gathered, |all, batch| all.take_quality(batch));
        }
        let settled =
            graph::settle(orders.measures, orders.lines, orders.quality, &job.law.settings.windows, job.detail);
        at_first_worker("measures", settled.measures, probe, gathered, |all, bundles| {
            bundles.drain(..).for_each(|bundle| all.measures.merge(bundle));
        });
        at_first_worker("lines", settled.lines, probe, gathered, |all, bundles| {
            bundles.drain(..).for_each(|bundle| all.lines.merge(bundle));
        });
        at_first_worker("quality", settled.quality, probe, gathered, |all, bundles| {
            bundles.drain(..).for_each(|bundle| all.quality.merge(bundle));
        });
        let feed = Feed { parcels, law, quality, refused_records, refused_facts, ahead };
        (feed, Stop { workers, has_told: false })
    })
}

/// What one worker was asked for, all of them do.
fn act_on<'scope>(stops: Stream<'scope, Time, Vec<u64>>) {
    stops.broadcast().unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "Stop", |_, _| {
        |input, _| input.for_each(|_, _| interrupt::request())
    });
}

/// Gathers updates where they are made, or at a worker of the process that writes.
fn gather<'scope, D: ExchangeData>(
    name: &str,
    updates: Stream<'scope, Time, Vec<D>>,
    job: &Arc<Job>,
    probe: &ProbeHandle<Time>,
    gathered: &Rc<RefCell<Gathered>>,
    take: impl Fn(&mut Gathered, &mut Vec<D>) -> JobResult<()> + 'static,
) {
    let job = Arc::clone(job);
    let writer = updates.scope().index() % job.local_workers;
    at_worker(name, writer as u64, updates, probe, gathered, move |all, batch| {
        take(all, batch).unwrap_or_else(|error| job.fail(error));
    });
}

/// Gathers what was refused.
fn gather_refused<'scope, D: ExchangeData>(
    name: &str,
    updates: Updates<'scope, D>,
    job: &Arc<Job>,
    probe: &ProbeHandle<Time>,
    gathered: &Rc<RefCell<Gathered>>,
    refused: impl Fn(D) -> (Position, Refused) + 'static,
) {
    let inputs = Arc::clone(job);
    gather(name, updates, job, probe, gathered, move |all, batch| {
        let place = |position| <[Text; 2]>::from(inputs.inputs.place(position)).map(|text| text.to_string());
        all.take_refused(batch, &refused, place)
    });
}

/// Gathers the largest event time accepted, by any worker, at worker 0.
fn gather_largest<'scope>(
    accepted: Stream<'scope, Time, Vec<Time>>,
    probe: &ProbeHandle<Time>,
    gathered: &Rc<RefCell<Gathered>>,
) {
    at_first_worker("accepted", accepted, probe, gathered, |all, times| {
        all.largest_accepted = times.drain(..).max().max(all.largest_accepted);
    });
}

/// Sends a stream to the first worker of all.
fn at_first_worker<'scope, D: ExchangeData>(
    name: &str,
    stream: Stream<'scope, Time, Vec<D>>,
    probe: &ProbeHandle<Time>,
    gathered: &Rc<RefCell<Gathered>>,
    into: impl Fn(&mut Gathered, &mut Vec<D>) + 'static,
) {
    at_worker(name, 0, stream, probe, gathered, into);
}

/// Sends a stream to a worker, which takes each batch `into` what it has gathered.
fn at_worker<'scope, D: ExchangeData>(
    name: &str,
    number: u64,
    stream: Stream<'scope, Time, Vec<D>>,
    probe: &ProbeHandle<Time>,
    gathered: &Rc<RefCell<Gathered>>,
    into: impl Fn(&mut Gathered, &mut Vec<D>) + 'static,
) {
    let gathered = Rc::clone(gathered);
    let sent = stream.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(
        Exchange::new(move |_| number),
        &format!("Gather: {name}"),
        move |_, _| {
            move |input, _| {
                input.for_each(|_, batch| into(&mut gathered.borrow_mut(), batch));
            }
        },
    );
    sent.probe_with(probe);
}
