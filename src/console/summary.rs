//! The totals at the end of a replay: tables, the record law, counts of every collection, speed and memory.
//!
//! Boxes on a terminal, aligned columns elsewhere. Columns of numbers are aligned right. Control characters in cells
//! (ids and categories come from records) are shown as `\xNN`.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style as TextStyle};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use dataflows::time::Time;
use dataflows::views::collection::Column;
use serde_json::{Map, Value, json};

use super::progress::per_second;
use super::{Style, grouped};
use crate::instant::format_instant;
use crate::sink::cell;

/// Rows of a table of totals, of each collection the first.
const TOTALS_SHOWN_MAX: usize = 12;

/// What a replay says at its end.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Totals, in the order shown; those without rows say so.
    pub totals: Vec<Totals>,
    /// The window `total` is kept: without it there is nothing to sum windows up.
    pub keeps_total: bool,
    /// What became of every record and fact.
    pub law: RecordLaw,
    /// The logical time of the results; none where no fact was accepted.
    pub as_of: Option<Time>,
    /// How long the replay took.
    pub elapsed: Duration,
    /// The most memory held, in bytes, where known.
    pub peak_memory_bytes: Option<u64>,
    /// Rows of every collection.
    pub collections: Vec<(String, u64)>,
}

/// Rows of a collection that sum it up.
#[derive(Clone, Debug)]
pub struct Totals {
    /// What they show.
    pub title: &'static str,
    /// The collection's name.
    pub collection: &'static str,
    /// Its columns.
    pub columns: &'static [Column],
    /// The rows as text, in their order.
    pub rows: Vec<Vec<String>>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SummaryTable {
    /// What it shows.
    pub title: String,
    /// Names of the columns.
    pub header: Vec<String>,
    /// Cells, as many a row as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// Nothing vanishes: records read = decoded + refused; facts = accepted + duplicates + refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordLaw {
    /// Records read.
    pub read: u64,
    /// Of these, decoded.
    pub decoded: u64,
    /// Of these, refused before or while decoding.
    pub refused_records: u64,
    /// Facts the decoded records yielded.
    pub facts: u64,
    /// Of these, accepted.
    pub accepted: u64,
    /// Of these, copies of accepted ones.
    pub duplicates: u64,
    /// Of these, refused.
    pub refused_facts: u64,
}

impl RecordLaw {
    /// True where both sums come out.
    pub fn holds(&self) -> bool {
        u128::from(self.read) == total(&[self.decoded, self.refused_records])
            && u128::from(self.facts) == total(&[self.accepted, self.duplicates, self.refused_facts])
    }
}

fn total(counts: &[u64]) -> u128 {
    counts.iter().copied().map(u128::from).sum()
}

/// Writes `summary` as `style` allows.
pub fn print_summary(out: &mut impl Write, summary: &Summary, style: Style) -> io::Result<()> {
    for totals in &summary.totals {
        if !summary.keeps_total && totals.columns.iter().any(|column| column.name == "window") {
            let title = painted(totals.title, TextStyle::new().bold(), style);
            writeln!(out, "{title}\n  left out: the window `total` is not kept (--windows)\n")?;
            continue;
        }
        print_table(out, &totals.table(), style)?;
    }
    let count = |(name, rows): &(String, u64)| vec![name.clone(), grouped(*rows)];
    let collections = SummaryTable {
        title: "Collections".into(),
        header: vec!["collection".into(), "rows".into()],
        rows: summary.collections.iter().map(count).collect(),
    };
    print_table(out, &collections, style)?;
    print_law(out, &summary.law, style)?;
    let as_of =
        summary.as_of.map_or_else(|| "no fact was accepted".into(), |as_of| format!("as of {}", format_instant(as_of)));
    let speed = grouped(per_second(summary.law.read, summary.elapsed));
    write!(out, "{as_of}; {:.2} s, {speed} records/s", summary.elapsed.as_secs_f64())?;
    match summary.peak_memory_bytes {
        Some(bytes) => writeln!(out, ", peak memory {} MiB", grouped(bytes.div_ceil(1 << 20))),
        None => writeln!(out),
    }
}

/// `summary` for another program.
pub fn summary_json(summary: &Summary) -> Value {
    let law = &summary.law;
    let count = |(name, rows): &(String, u64)| (name.clone(), json!(rows));
    let totals = |totals: &Totals| (totals.collection.to_owned(), objects(totals.columns, &totals.rows));
    json!({
        "as_of": summary.as_of.map(format_instant),
        "collections": summary.collections.iter().map(count).collect::<Map<_, _>>(),
        "totals": summary.totals.iter().map(totals).collect::<Map<_, _>>(),
        "records": { "read": law.read, "decoded": law.decoded, "refused": law.refused_records },
        "facts": {
            "given": law.facts,
            "accepted": law.accepted,
            "duplicates": law.duplicates,
            "refused": law.refused_facts,
        },
        "nothing_vanished": law.holds(),
        "elapsed_seconds": summary.elapsed.as_secs_f64(),
        "records_per_second": per_second(law.read, summary.elapsed),
        "peak_memory_bytes": summary.peak_memory_bytes,
    })
}

/// Rows as an array of objects.
fn objects(columns: &[Column], rows: &[Vec<String>]) -> Value {
    let object = |row: &Vec<String>| -> Option<Value> {
        let mut json = Vec::new();
        cell::write_object(columns, row.iter(), &mut json).ok()?;
        serde_json::from_slice::<Value>(&json).ok()
    };
    rows.iter().filter_map(object).collect()
}

impl Totals {
    /// The first rows as a table; of windows it shows the total alone, which is not worth a column.
    fn table(&self) -> SummaryTable {
        let kept = |place: &usize| !matches!(self.columns[*place].name, "window" | "window_start");
        let kept: Vec<usize> = (0..self.columns.len()).filter(kept).collect();
        let row = |row: &Vec<String>| kept.iter().map(|place| row[*place].clone()).collect();
        SummaryTable {
            title: self.title.to_owned(),
            header: kept.iter().map(|place| self.columns[*place].name.to_owned()).collect(),
            rows: self.rows.iter().take(TOTALS_SHOWN_MAX).map(row).collect(),
        }
    }
}

fn print_law(out: &mut impl Write, law: &RecordLaw, style: Style) -> io::Result<()> {
    let [read, decoded, refused] = [law.read, law.decoded, law.refused_records].map(grouped);
    writeln!(out, "records: {read} read = {decoded} decoded + {refused} refused")?;
    let [facts, accepted] = [law.facts, law.accepted].map(grouped);
    let [duplicates, refused] = [law.duplicates, law.refused_facts].map(grouped);
    writeln!(out, "facts:   {facts} = {accepted} accepted + {duplicates} duplicates + {refused} refused")?;
    if !law.holds() {
        let warning = "these sums do not come out: records or facts have vanished, which is a fault of this program";
        writeln!(out, "{}", painted(warning, AnsiColor::Red.on_default().bold(), style))?;
    }
    Ok(())
}

/// Writes a table as `style` allows.
pub fn print_table(out: &mut impl Write, summary: &SummaryTable, style: Style) -> io::Result<()> {
    writeln!(out, "{}", painted(&visible(&summary.title), TextStyle::new().bold(), style))?;
    if summary.rows.is_empty() {
        return writeln!(out, "  none\n");
    }
    // A terminal that does not say how wide it is says 0.
    let width = Table::new().width().map(usize::from).filter(|width| style.terminal && *width > 0);
    for line in table_of(summary, width, style).lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out)
}

/// A table for a terminal of this width, if that is known: one too wide for it is turned on its side, and wrapped where
/// that does not help.
fn table_of(summary: &SummaryTable, width: Option<usize>, style: Style) -> Table {
    let fits = |table: &SummaryTable| width.is_none_or(|width| natural_width(table) <= width);
    let turned = Some(summary).filter(|table| !fits(table)).map(turned).filter(fits);
    let shown = turned.as_ref().unwrap_or(summary);
    let mut table = Table::new();
    table.set_header(shown.header.iter().map(|name| visible(name)));
    for row in &shown.rows {
        table.add_row(row.iter().map(|cell| visible(cell)));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        let all_numbers = shown.rows.iter().filter_map(|row| row.get(index)).all(|cell| is_number(cell));
        if all_numbers || turned.is_some() && index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.load_preset(if style.terminal { presets::UTF8_FULL_CONDENSED } else { presets::NOTHING });
    match width.filter(|_| !fits(shown)).and_then(|width| u16::try_from(width).ok()) {
        Some(width) => table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table
}

/// How wide a table is in its box when nothing is wrapped.
fn natural_width(table: &SummaryTable) -> usize {
    let rows = || std::iter::once(&table.header).chain(&table.rows);
    let cells = |column: usize| rows().filter_map(move |row: &Vec<String>| row.get(column));
    let of_column = |column: usize| cells(column).map(|cell| visible(cell).chars().count() + 3).max().unwrap_or(0);
    (0..table.header.len()).map(of_column).sum::<usize>() + 1
}

/// The table with columns as rows: the first one becomes the header.
fn turned(table: &SummaryTable) -> SummaryTable {
    let column = |place: usize| -> Vec<String> {
        let rows = std::iter::once(&table.header).chain(&table.rows);
        rows.map(|row| row.get(place).cloned().unwrap_or_default()).collect()
    };
    let title = table.title.clone();
    SummaryTable { title, header: column(0), rows: (1..table.header.len()).map(column).collect() }
}

/// A number, an amount, a rate, or nothing.
fn is_number(cell: &str) -> bool {
    cell.bytes().all(|byte| byte.is_ascii_digit() || b".,-%".contains(&byte))
}

fn painted(text: &str, paint: TextStyle, style: Style) -> String {
    if style.color { format!("{paint}{text}{paint:#}") } else { text.into() }
}

/// The text with control characters as `\xNN`.
pub fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                visible += &format!("\\x{byte:02X}");
            }
        } else {
            visible.push(character);
        }
    }
    visible
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::views::collection::ColumnType;

    const COLUMNS: [Column; 5] = [
        column("window", ColumnType::Text),
        column("window_start", ColumnType::Time),
        column("tenant", ColumnType::Text),
        column("orders", ColumnType::Integer),
        column("rate", ColumnType::Hundredths),
    ];

    const fn column(name: &'static str, column_type: ColumnType) -> Column {
        Column { name, is_key: false, is_optional: false, is_indexed: false, column_type, doc: "" }
    }

    fn summary() -> Summary {
        let rows = [["total", "", "*", "1200", "98.50"], ["total", "", "acme\u{1b}[2J", "3", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec()).to_vec();
        let totals = |title, collection, columns, rows| Totals { title, collection, columns, rows };
        Summary {
            totals: vec![
                totals("Funnel", "funnel", &COLUMNS, rows),
                totals("Drop-off", "drop_off", &COLUMNS[2..], Vec::new()),
            ],
            keeps_total: true,
            law: RecordLaw {
                read: 10,
                decoded: 9,
                refused_records: 1,
                facts: 1_200,
                accepted: 1_190,
                duplicates: 7,
                refused_facts: 3,
            },
            as_of: Some(1_514_808_000_000),
            elapsed: Duration::from_millis(500),
            peak_memory_bytes: Some(50 << 20),
            collections: vec![("orders".into(), 1_200), ("sla_breaches".into(), 0)],
        }
    }

    fn printed(summary: &Summary, style: Style) -> String {
        let mut out = Vec::new();
        print_summary(&mut out, summary, style).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_lines_where_there_is_no_terminal() {
        let expected = "\
Funnel
 tenant       orders   rate
 *              1200  98.50
 acme\\x1B[2J       3

Drop-off
  none

Collections
 collection     rows
 orders        1,200
 sla_breaches      0

records: 10 read = 9 decoded + 1 refused
facts:   1,200 = 1,190 accepted + 7 duplicates + 3 refused
as of 2018-01-01T12:00:00.000Z; 0.50 s, 20 records/s, peak memory 50 MiB
";
        assert_eq!(printed(&summary(), Style::PLAIN), expected);
    }

    #[test]
    fn totals_that_are_not_kept_are_not_said_to_be_none() {
        let mut hours = summary();
        (hours.keeps_total, hours.totals[0].rows) = (false, Vec::new());
        let says = "Funnel\n  left out: the window `total` is not kept (--windows)\n\nDrop-off\n  none\n\n";
        assert!(printed(&hours, Style::PLAIN).starts_with(says));
    }

    #[test]
    fn the_same_for_another_program() {
        let json = summary_json(&summary());
        assert_eq!(json["as_of"], "2018-01-01T12:00:00.000Z");
        assert_eq!(json["collections"], json!({ "orders": 1_200, "sla_breaches": 0 }));
        let funnel = &json["totals"]["funnel"];
        assert_eq!(
            funnel[0],
            json!({ "window": "total", "window_start": null, "tenant": "*", "orders": 1_200, "rate": "98.50" })
        );
        assert_eq!(funnel[1]["rate"], Value::Null);
        assert_eq!(json["totals"]["drop_off"], json!([]));
        assert_eq!(json["records"], json!({ "read": 10, "decoded": 9, "refused": 1 }));
        assert_eq!((&json["records_per_second"], &json["peak_memory_bytes"]), (&json!(20), &json!(50 << 20)));
        assert_eq!(json["nothing_vanished"], true);
        assert_eq!(summary_json(&Summary::default())["as_of"], Value::Null);
    }

    #[test]
    fn boxes_on_a_terminal_and_colour_where_wanted() {
        let boxed = printed(&summary(), Style { terminal: true, color: false });
        assert!(boxed.contains('│') && !boxed.contains('\u{1b}'), "{boxed}");
        assert!(printed(&summary(), Style { terminal: true, color: true }).contains("\u{1b}[1mFunnel\u{1b}[0m"));
    }

    #[test]
    fn a_table_too_wide_is_turned_on_its_side() {
        let words = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (title, header) = (String::new(), words("tenant orders_with_items orders_with_payment delivered"));
        let table = SummaryTable { title, header, rows: vec![words("* 1 2 3"), words("acme 4 5 6")] };
        let size = |width| {
            let shown: Vec<String> = table_of(&table, width, Style { terminal: true, color: false }).lines().collect();
            (shown.len(), shown.iter().map(|line| line.chars().count()).max().unwrap())
        };
        let wide = natural_width(&table);
        assert_eq!((size(Some(wide)), size(None)), ((6, wide), (6, wide)));
        let (lines, narrower) = size(Some(wide - 1));
        assert!(lines == 7 && narrower < wide, "a line a column: {lines}, {narrower}");
        assert!(size(Some(narrower - 1)).1 < narrower, "wrapped where turning does not help");
    }

    #[test]
    fn a_broken_law_is_said_aloud() {
        let mut broken = summary();
        assert!(broken.law.holds() && !printed(&broken, Style::PLAIN).contains("vanished"));
        broken.law.accepted -= 1;
        assert!(!broken.law.holds() && printed(&broken, Style::PLAIN).contains("vanished"));
        broken = Summary::default();
        assert!(printed(&broken, Style::PLAIN).ends_with("no fact was accepted; 0.00 s, 0 records/s\n"));
    }
}
