//! The merge of three scanned files: where each order's rows stand in all of them.
//!
//! Segments come in any order and are merged in that of their files, as far as they have come; what was merged is
//! forgotten. So the merge holds little where the files list their orders in the same order; where it would hold much,
//! they do not, or so unevenly that blocks would be no good.

use dataflows::time::Time;

use super::scan::{Run, Segment};
use super::{Cut, FilePlace};

/// Runs that may wait for others, 16 bytes each.
const RUNS_HELD_MAX: usize = 1 << 20;

/// The segments of one file, on their way.
struct Track {
    /// By number; none where it has not come yet or was merged.
    segments: Vec<Option<Segment>>,
    /// The segment being merged, and the run in it.
    segment: usize,
    run: usize,
    /// The line that segment starts on.
    line: u64,
    end_offset: u64,
}

/// What stands next in a file.
enum Next {
    Run(Run),
    /// A segment that has not come yet.
    Unknown,
    End,
}

impl Track {
    /// The next run. Segments that are behind are forgotten; `held` is how many runs are kept.
    #[inline]
    fn next(&mut self, held: &mut usize) -> Next {
        loop {
            let Some(slot) = self.segments.get_mut(self.segment) else { return Next::End };
            let Some(segment) = slot else { return Next::Unknown };
            if let Some(run) = segment.runs.get(self.run) {
                return Next::Run(*run);
            }
            *held -= segment.runs.len();
            self.line += segment.rows;
            *slot = None;
            self.segment += 1;
            self.run = 0;
        }
    }

    /// Where the next run starts; the end of the file after the last one.
    fn place(&self) -> FilePlace {
        let segment = self.segments.get(self.segment).and_then(Option::as_ref);
        match segment.and_then(|segment| Some((segment.offset, segment.runs.get(self.run)?))) {
            Some((offset, run)) => {
                FilePlace { offset: offset + u64::from(run.offset), line: self.line + u64::from(run.rows) }
            }
            None => FilePlace { offset: self.end_offset, line: self.line },
        }
    }
}

/// A merge under way.
pub struct Merge {
    tracks: [Track; 3],
    cuts: Vec<Cut>,
    runs_held: usize,
}

impl Merge {
    /// Nothing merged: three files with their first places, their ends, and how many segments each has.
    pub fn new(files: [(FilePlace, u64, usize); 3]) -> Merge {
        let tracks = files.map(|(start, end_offset, segments)| Track {
            segments: (0..segments).map(|_| None).collect(),
            segment: 0,
            run: 0,
            line: start.line,
            end_offset,
        });
        Merge { tracks, cuts: Vec::new(), runs_held: 0 }
    }

    /// Takes a segment in and merges what it can; false where the files are not co-ordered.
    pub fn take(&mut self, file: usize, number: usize, segment: Segment) -> bool {
        let lists_an_order_twice = file == 0 && segment.rows != segment.runs.len() as u64;
        self.runs_held += segment.runs.len();
        if lists_an_order_twice || self.runs_held > RUNS_HELD_MAX {
            return false;
        }
        self.tracks[file].segments[number] = Some(segment);
        self.merge();
        true
    }

    fn merge(&mut self) {
        let [orders, dependents @ ..] = &mut self.tracks;
        while let Next::Run(order) = orders.next(&mut self.runs_held) {
            if dependents.iter_mut().any(|dependent| matches!(dependent.next(&mut self.runs_held), Next::Unknown)) {
                return;
            }
            // A segment of orders is a block. Its cut may be there already, where its first order had to wait.
            if orders.run == 0 && self.cuts.last().is_none_or(|cut| cut.places[0] != orders.place()) {
                let earliest = orders.segments[orders.segment].as_ref().map_or(Time::MAX, |segment| segment.earliest);
                self.cuts
                    .push(Cut { places: [orders.place(), dependents[0].place(), dependents[1].place()], earliest });
            }
            for dependent in dependents.iter_mut() {
                // A run may go on in the next segment.
                loop {
                    match dependent.next(&mut self.runs_held) {
                        Next::Run(run) if run.fingerprint == order.fingerprint => dependent.run += 1,
                        Next::Unknown => return,
                        Next::Run(_) | Next::End => break,
                    }
                }
            }
            orders.run += 1;
        }
    }

    /// The cuts; none where rows were left over, or where nothing is known of the last block's times.
    pub fn finish(mut self) -> Option<Vec<Cut>> {
        let ended = self.tracks.iter_mut().all(|track| matches!(track.next(&mut self.runs_held), Next::End));
        if !ended || self.cuts.last()?.earliest == Time::MAX {
            return None;
        }
        let mut later = Time::MAX;
        for cut in self.cuts.iter_mut().rev() {
            later = later.min(cut.earliest);
            cut.earliest = later;
        }
        let [orders, items, payments] = &self.tracks;
        self.cuts.push(Cut { places: [orders.place(), items.place(), payments.place()], earliest: Time::MAX });
        Some(self.cuts)
    }
}
