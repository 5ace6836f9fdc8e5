//! What a live worker feeds the graph with.
//!
//! Invariant: all inputs are at one time, so what was sent before a promise has been taken in once that has passed.

use dataflows::orders::parcel::Parcel;
use dataflows::time::Time;

use super::super::Feeder;
use crate::clock::partitions::{Standing, Trail};
use crate::live::archive::Report;
use crate::live::publisher::Update;

/// What one worker tells all others.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Told {
    /// How far the partitions of a worker are.
    Standing(usize, Standing),
    /// The sinks of the job cannot take more, or again.
    Full(bool),
    /// The job was asked to stop.
    Stop,
    /// All is written down: everyone may end.
    End,
}

/// The inputs of a worker; all are at one time.
pub(super) struct Feed {
    pub(super) parcels: Feeder<Parcel>,
    pub(super) updates: Feeder<Update>,
    pub(super) trails: Feeder<Trail>,
    pub(super) reports: Feeder<Report>,
    pub(super) told: Feeder<Told>,
}

impl Feed {
    pub(super) fn advance_to(&mut self, time: Time) {
        if time <= *self.parcels.time() {
            return self.flush();
        }
        self.parcels.advance_to(time);
        self.updates.advance_to(time);
        self.trails.advance_to(time);
        self.reports.advance_to(time);
        self.told.advance_to(time);
    }

    pub(super) fn flush(&mut self) {
        self.parcels.flush();
        self.updates.flush();
        self.trails.flush();
        self.reports.flush();
        self.told.flush();
    }
}
