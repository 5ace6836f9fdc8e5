//! Updates as a collection holds them: consolidated, by collection, row and time.

use std::collections::BTreeMap;
use std::fmt::Debug;

use dataflows::time::{Diff, Time};
use dataflows::views::measures::{Aggregate, LineMeasures, MeasureKey, Measures};
use dataflows::views::quality::QualityCounts;

use super::harness::Gathered;

/// A collection's name, an instant and a row.
pub type Place = (&'static str, Time, String);

/// Consolidated updates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updates {
    pub rows: BTreeMap<Place, Diff>,
    pub measures: BTreeMap<Place, Measures>,
    pub lines: BTreeMap<Place, LineMeasures>,
    pub quality: BTreeMap<Place, QualityCounts>,
}

impl Updates {
    /// Consolidates what was gathered.
    pub fn of(gathered: &Gathered) -> Updates {
        let mut updates = Updates::default();
        updates.add("orders", &gathered.orders);
        updates.add("order_events", &gathered.order_events);
        updates.add("violations", &gathered.violations);
        updates.add("sla_breaches", &gathered.sla_breaches);
        updates.add("stalled_orders", &gathered.stalled_orders);
        updates.add("refusals", &gathered.refused_facts);
        updates.rows.retain(|_, diff| *diff != 0);
        for (key, time, measures) in &gathered.measures {
            let name = match key.aggregate {
                Aggregate::RecordLaw => "record_law",
                _ => "aggregates",
            };
            updates.measures.entry((name, *time, in_words(key))).or_default().add(measures);
        }
        for (key, time, lines) in &gathered.lines {
            updates.lines.entry(("aggregates", *time, in_words(key))).or_default().add(lines);
        }
        updates.lines.retain(|_, lines| *lines != LineMeasures::default());
        updates.measures.retain(|_, measures| *measures != Measures::default());
        for (key, time, counts) in &gathered.quality {
            updates.quality.entry(("data_quality", *time, format!("{key:?}"))).or_default().add(counts);
        }
        updates
    }

    fn add<D: Debug>(&mut self, name: &'static str, of: &[(D, Time, Diff)]) {
        for (row, time, diff) in of {
            *self.rows.entry((name, *time, format!("{row:?}"))).or_default() += diff;
        }
    }

    /// The updates whose row or key satisfies `wanted`.
    pub fn filtered(mut self, wanted: impl Fn(&Place) -> bool) -> Updates {
        self.rows.retain(|place, _| wanted(place));
        self.measures.retain(|place, _| wanted(place));
        self.lines.retain(|place, _| wanted(place));
        self.quality.retain(|place, _| wanted(place));
        self
    }

    /// Complains of the first updates that one side alone has.
    pub fn compare(&self, actual: &Updates) -> Result<(), String> {
        let complaint = alone(&self.rows, &actual.rows, '-')
            + &alone(&actual.rows, &self.rows, '+')
            + &alone(&self.measures, &actual.measures, '-')
            + &alone(&actual.measures, &self.measures, '+')
            + &alone(&self.lines, &actual.lines, '-')
            + &alone(&actual.lines, &self.lines, '+')
            + &alone(&self.quality, &actual.quality, '-')
            + &alone(&actual.quality, &self.quality, '+');
        if complaint.is_empty() { Ok(()) } else { Err(complaint) }
    }
}

fn in_words(key: &MeasureKey) -> String {
    format!("{key:?} {} {}", key.tenant.text(), key.category.text())
}

fn alone<R: Debug + PartialEq>(these: &BTreeMap<Place, R>, those: &BTreeMap<Place, R>, sign: char) -> String {
    let alone = these.iter().filter(|(place, diff)| those.get(*place) != Some(*diff));
    alone.take(5).map(|((name, time, row), diff)| format!("\n{sign} {name} at {time}: {diff:?} {row}")).collect()
}
