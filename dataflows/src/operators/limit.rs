//! How far results reach: the end of time, known beforehand or found out on the way.
//!
//! The results of a bounded replay are those as of T, the largest accepted event time, and nothing that falls due later
//! may show. T is known only when the last fact has been judged, on all workers. So operators hold back what falls due
//! after the largest accepted time they have heard of, and tell each other theirs through [`announce`].

use timely::dataflow::Stream;
use timely::dataflow::operators::vec::Broadcast;

use crate::time::Time;

/// Where results end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At this time; `Time::MAX` for a job that runs until stopped.
    Given(Time),
    /// At the largest accepted event time, wherever that will be.
    LargestAccepted,
}

impl Until {
    /// What is known of the end before anything has been read.
    pub fn known_at_start(self) -> Time {
        match self {
            Until::Given(time) => time,
            Until::LargestAccepted => 0,
        }
    }
}

/// Lets every worker hear the times that any worker accepted.
pub fn announce<'scope>(accepted: Stream<'scope, Time, Vec<Time>>) -> Stream<'scope, Time, Vec<Time>> {
    accepted.broadcast()
}
