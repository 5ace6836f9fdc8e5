//! The layout of the project as rules: what may be imported where, how files look, and that the documents are true.
//!
//! Rules are read off the text of the files, so they hold for code that no feature compiles, too. Each rule gathers every
//! violation before it fails. Limits: an import is what a line names; a macro that builds a path would escape.

#![allow(clippy::unwrap_used)] // here a panic is the report

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of code outside tests, comments and blank lines not counted (docs/decisions/0026-a-job-reads-nothing-that-it-writes.md): beyond them
/// the project has become another one, and that is a decision.
const LINES_MAX: usize = 32_880;
const LINES_OF_FILE_MAX: usize = 400;

/// Names that say nothing about what a file holds.
const BANNED_NAMES: [&str; 14] = [
    "mod", "util", "utils", "helper", "helpers", "common", "manager", "misc", "shared", "stuff", "data", "info",
    "process", "types",
];

/// Words of the domain, which generic operators do not know.
const DOMAIN_WORDS: [&str; 17] = [
    "orders",
    "orderrow",
    "order_id",
    "orderkey",
    "sla",
    "slas",
    "tenant",
    "tenants",
    "item",
    "payment",
    "payments",
    "customer",
    "breach",
    "breaches",
    "lifecycle",
    "fact",
    "facts",
];

struct SourceFile {
    path: PathBuf,
    text: String,
}

impl SourceFile {
    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn is_under(&self, directory: &str) -> bool {
        self.path.starts_with(directory)
    }

    fn is_test(&self) -> bool {
        self.is_under("tests") || self.path.file_stem().is_some_and(|stem| stem == "tests")
    }

    /// Lines that are neither comment nor part of the tests at the file's end, numbered from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = if self.is_test() { "" } else { without_tests(&self.text) };
        let lines = code.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// The text before the module of tests that ends a file.
fn without_tests(text: &str) -> &str {
    match text.find("\n#[cfg(test)]\nmod tests {") {
        Some(end) => &text[..end],
        None => text,
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the project with this ending, by its path from the root.
fn files(ending: &str) -> Vec<SourceFile> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(root().join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (directory.join(entry.file_name()), entry.file_name());
            let hidden = name.to_string_lossy().starts_with('.');
            if entry.file_type().unwrap().is_dir() {
                if !hidden && name != "target" {
                    open.push(path);
                }
            } else if !hidden && path.extension().is_some_and(|extension| extension == ending) {
                let text = fs::read_to_string(root().join(&path)).unwrap();
                found.push(SourceFile { path, text });
            }
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    assert!(!found.is_empty(), "no .{ending} file found");
    found
}

/// The words of a line: letters, digits and underscores.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

#[track_caller]
fn assert_none(rule: &str, violations: Vec<String>) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}

/// Lines of code that `is_wrong`, of files that are `concerned`.
fn lines_where(concerned: impl Fn(&SourceFile) -> bool, is_wrong: impl Fn(&SourceFile, &str) -> bool) -> Vec<String> {
    let mut violations = Vec::new();
    for file in files("rs").iter().filter(|file| concerned(file)) {
        for (number, line) in file.code().filter(|(_, line)| is_wrong(file, line)) {
            violations.push(format!("{}:{number}: {}", file.shown(), line.trim()));
        }
    }
    violations
}

#[test]
fn the_graph_touches_nothing_of_the_outside_world() {
    const BANNED: [&str; 12] = [
        "orderwatch::",
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "std::io",
        "Instant",
        "SystemTime",
        "tokio",
        "async fn",
        "rand::",
    ];
    let in_graph = |file: &SourceFile| file.is_under("dataflows/src");
    let wrong = |_: &SourceFile, line: &str| {
        BANNED.iter().any(|banned| line.contains(banned))
            || words(line).any(|word| word == "await" || word == "println")
    };
    assert_none(
        "dataflows/ has no I/O, no clock, no async, no randomness and nothing of src/",
        lines_where(in_graph, wrong),
    );

    let manifest = fs::read_to_string(root().join("dataflows/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let allowed = [
        "timely",
        "differential-dataflow",
        "serde",
        "serde_bytes",
        "serde_json",
        "postcard",
        "xxhash-rust",
        "hashbrown",
    ];
    let names =
        dependencies.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|name| !name.is_empty());
    let others = names.filter(|name| !name.starts_with('#') && !allowed.contains(name)).map(str::to_owned).collect();
    assert_none("dataflows/ depends on the engine and on encodings alone", others);
}

#[test]
fn only_the_worker_and_the_cluster_name_timely() {
    let engines = [
        "src/worker.rs",
        "src/worker/live.rs",
        "src/worker/live/feed.rs",
        "src/worker/live/updates.rs",
        "src/cluster.rs",
    ]
    .map(Path::new);
    let others = |file: &SourceFile| file.is_under("src") && !engines.contains(&file.path.as_path());
    let names_engine =
        |_: &SourceFile, line: &str| words(line).any(|word| word == "timely" || word == "differential_dataflow");
    assert_none(
        "in src/ only worker.rs, worker/live.rs, worker/live/updates.rs and cluster.rs name timely",
        lines_where(others, names_engine),
    );
}

#[test]
fn operators_know_no_word_of_the_domain() {
    let operators = |file: &SourceFile| file.is_under("dataflows/src/operators");
    let names_domain = |_: &SourceFile, line: &str| {
        line.contains("crate::model")
            || line.contains("crate::orders")
            || line.contains("crate::views")
            || words(line).any(|word| DOMAIN_WORDS.contains(&word.to_ascii_lowercase().as_str()))
    };
    // `Item` is also what an iterator gives.
    let domain_only =
        |file: &SourceFile, line: &str| names_domain(file, &line.replace("Item =", "").replace("item", ""));
    assert_none("dataflows/src/operators/ is generic", lines_where(operators, domain_only));
}

#[test]
fn sources_and_sinks_do_not_know_each_other() {
    let ends = |file: &SourceFile| file.is_under("src/source") || file.is_under("src/sink");
    let crosses = |file: &SourceFile, line: &str| match file.is_under("src/source") {
        true => line.contains("crate::sink"),
        false => line.contains("crate::source"),
    };
    assert_none("a source knows no sink, a sink no source", lines_where(ends, crosses));

    let kinds = [
        ("src/sink", &["console", "files", "kafka", "postgres", "sqlite"][..]),
        ("src/source", &["jsonl", "kafka", "olist"]),
    ];
    for (directory, kinds) in kinds {
        for &kind in kinds {
            let of_kind = |file: &SourceFile| {
                file.path == Path::new(&format!("{directory}/{kind}.rs"))
                    || file.is_under(&format!("{directory}/{kind}"))
            };
            let names_other = |_: &SourceFile, line: &str| {
                kinds.iter().filter(|other| **other != kind).any(|other| {
                    line.contains(&format!("super::{other}::"))
                        || line.contains(&format!("{}::{other}::", &directory[4..]))
                })
            };
            assert_none("one kind knows nothing of another", lines_where(of_kind, names_other));
        }
    }
}

#[test]
fn decoding_and_validation_do_not_know_the_graph_or_the_ends() {
    let pure = |file: &SourceFile| ["src/decode", "src/validate", "src/rules"].iter().any(|stage| file.is_under(stage));
    let knows = |_: &SourceFile, line: &str| {
        ["dataflows::graph", "dataflows::operators", "crate::source", "crate::sink", "crate::worker", "crate::replay"]
            .iter()
            .any(|other| line.contains(other))
    };
    assert_none("stages do not import each other's logic", lines_where(pure, knows));
}

#[test]
fn only_the_clock_reads_the_wall_clock() {
    // Elapsed time for the console and for waiting on peers is no event time: `Instant` is free outside the graph.
    let others = |file: &SourceFile| file.is_under("src") && file.path != Path::new("src/clock.rs");
    let reads = |_: &SourceFile, line: &str| {
        line.contains("SystemTime") || line.contains("Utc::now") || line.contains("Local::now")
    };
    assert_none("src/clock.rs alone reads the wall clock", lines_where(others, reads));
}

#[test]
fn every_file_opens_with_its_purpose_and_is_short() {
    let mut violations = Vec::new();
    for file in files("rs") {
        if !file.text.starts_with("//! ") {
            violations.push(format!("{}: opens without `//!`", file.shown()));
        }
        let lines = file.text.lines().count();
        if lines > LINES_OF_FILE_MAX {
            violations.push(format!("{}: {lines} lines, {LINES_OF_FILE_MAX} at most", file.shown()));
        }
        let stem = file.path.file_stem().unwrap().to_string_lossy().to_lowercase();
        if BANNED_NAMES.contains(&stem.as_str()) {
            violations.push(format!("{}: the name says nothing", file.shown()));
        }
    }
    assert_none("every Rust file opens with `//!`, has at most 400 lines and a name that says what it is", violations);
}

#[test]
fn the_project_stays_small() {
    let sources = files("rs");
    let is_written_on = |(_, line): &(usize, &str)| !line.trim().is_empty();
    let lines: usize = sources.iter().map(|file| file.code().filter(is_written_on).count()).sum();
    assert!(lines > 0 && lines <= LINES_MAX, "{lines} lines of code outside tests, {LINES_MAX} at most");
}

/// Targets of Markdown links and, in backticks, paths from the root; each with the line it stands on.
fn references(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_fence = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            in_fence = !in_fence;
        }
        if in_fence {
            continue;
        }
        let links = line.match_indices("](").filter_map(|(start, _)| line[start + 2..].split(')').next());
        let links = links.filter(|link| !link.contains("://") && !link.starts_with('#'));
        found.extend(links.map(|link| (index + 1, link.split('#').next().unwrap_or_default().to_owned())));
        for quoted in line.split('`').skip(1).step_by(2) {
            let directory = quoted.split('/').next().unwrap_or_default();
            let is_ours =
                ["src", "dataflows", "tests", "benches", "scripts", "config", "docs", ".ci"].contains(&directory);
            if is_ours && quoted.contains('/') && !quoted.contains(['*', ' ', '<', '{', '…']) {
                found.push((index + 1, format!("/{quoted}")));
            }
        }
    }
    found
}

#[test]
fn documents_name_files_that_exist() {
    let mut violations = Vec::new();
    for document in files("md") {
        for (line, target) in references(&document.text) {
            let path = match target.strip_prefix('/') {
                Some(from_root) => root().join(from_root),
                None => root().join(&document.path).parent().unwrap().join(&target),
            };
            if !target.is_empty() && !path.exists() {
                violations.push(format!("{}:{line}: there is no {target}", document.shown()));
            }
        }
    }
    assert_none("links and paths in documents lead somewhere", violations);
}

#[test]
fn the_glossary_has_a_file_for_every_word() {
    let glossary = fs::read_to_string(root().join("GLOSSARY.md")).unwrap();
    let rows = glossary.lines().enumerate().filter(|(_, line)| line.starts_with("| ") && !line.starts_with("| word"));
    let mut entries = 0;
    let mut violations = Vec::new();
    for (index, row) in rows {
        entries += 1;
        let file = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim().trim_matches('`');
        if !root().join(file).is_file() {
            violations.push(format!("GLOSSARY.md:{}: `{file}` is no file", index + 1));
        }
    }
    assert!(entries > 80, "only {entries} words");
    assert_none("every word of the glossary names the file it lives in", violations);
}

#[test]
fn every_error_is_in_the_operations_guide() {
    let guide = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let mut violations = Vec::new();
    for file in files("rs").iter().filter(|file| file.is_under("src") && !file.is_test()) {
        let code: Vec<&str> = file.code().map(|(_, line)| line).collect();
        let code = code.join("\n");
        for made_by in ["JobError::job(", "JobError::configuration("] {
            for (start, _) in code.match_indices(made_by) {
                let argument = code[start + made_by.len()..].trim_start();
                let argument = argument.strip_prefix("format!(").unwrap_or(argument).trim_start();
                let Some(text) = argument.strip_prefix('"').and_then(|text| text.split('"').next()) else { continue };
                // What stands before the first value, or between the first two.
                let fixed = text
                    .split(['{', '}', '\\'])
                    .step_by(2)
                    .map(|part| part.trim_matches([' ', '`']))
                    .max_by_key(|part| part.len());
                let fixed = fixed.unwrap_or_default().trim_end_matches(':');
                if fixed.len() > 3 && !guide.contains(fixed) {
                    violations.push(format!("{}: \"{text}\": the guide lacks `{fixed}`", file.shown()));
                }
            }
        }
    }
    assert_none("docs/operations.md explains every error", violations);
}
