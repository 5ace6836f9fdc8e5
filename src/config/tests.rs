//! Layers, knobs and refusals: every key is turned in every layer, every message is spelt out.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io::Write;

use dataflows::model::{Sla, SlaRule, Within};
use dataflows::settings::Transitions;
use dataflows::time::{DAY_MS, Window};

use super::*;

/// Loads from a file's text, variables and flags.
fn load_layers(file: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> JobResult<JobConfig> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("job.toml");
    fs::write(&path, file).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let flags: Vec<Flag> =
        flags.iter().map(|(key, text)| Flag { key, flag: "--flag", text: (*text).to_owned() }).collect();
    let loaded = load(Kind::Bounded, Some(&path), variables, &flags, |_| Ok(Rules::default()));
    // The directory has another name in each run.
    loaded.map_err(|error| {
        let text = error.to_string().replace(&format!("{}/", directory.path().display()), "");
        JobError::configuration(text)
    })
}

fn refusal(file: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> String {
    load_layers(file, variables, flags).unwrap_err().to_string()
}

/// A key, another value as TOML and as plain text, and what the configuration then shows.
struct Knob {
    key: &'static str,
    toml: &'static str,
    text: &'static str,
    shows: Box<dyn Fn(&JobConfig) -> String>,
    expected: String,
}

fn knob<T: Debug + 'static>(
    key: &'static str,
    toml: &'static str,
    text: &'static str,
    shows: impl Fn(&JobConfig) -> T + 'static,
    expected: T,
) -> Knob {
    Knob {
        key,
        toml,
        text,
        shows: Box::new(move |config| format!("{:?}", shows(config))),
        expected: format!("{expected:?}"),
    }
}

fn duration_knob(key: &'static str, shows: fn(&JobConfig) -> u64) -> Knob {
    knob(key, "\"400d\"", "400d", shows, 400 * DAY_MS)
}

/// Every knob but those that need a file or a cluster, which have tests of their own.
fn knobs() -> Vec<Knob> {
    vec![
        knob("job.name", "\"shop\"", "shop", |config| config.name.clone(), "shop".to_owned()),
        knob("job.workers", "3", "3", |config| config.cluster.workers, 3),
        knob("job.transitions", "\"strict\"", "strict", |config| config.settings.transitions, Transitions::Strict),
        knob("job.plan", "\"relational\"", "relational", |config| config.plan, Plan::Relational),
        knob(
            "job.windows",
            "[\"total\", \"hour\"]",
            "total, hour",
            |config| config.settings.windows.clone(),
            vec![Window::Hour, Window::Total],
        ),
        knob("cluster.processes", "2", "2", |config| (config.cluster.processes, config.cluster.addresses.clone()), {
            (2, vec!["localhost:2101".to_owned(), "localhost:2102".to_owned()])
        }),
        knob("cluster.secret", "\"s3\"", "s3", |config| config.cluster.secret.0.clone(), "s3".to_owned()),
        knob("input.sort_memory", "\"3M\"", "3M", |config| config.sort_memory_bytes, 3 << 20),
        duration_knob("time.grace", |config| config.settings.grace_ms),
        duration_knob("time.tick", |config| config.settings.tick_ms),
        duration_knob("time.late_arrival", |config| config.late_arrival_ms),
        duration_knob("time.max_future_skew", |config| config.max_future_skew_ms),
        duration_knob("time.out_of_orderness", |config| config.out_of_orderness_ms),
        duration_knob("time.max_read_ahead", |config| config.max_read_ahead_ms),
        duration_knob("checkpoint.interval", |config| config.checkpoint_interval_ms),
        knob("orders.abandon_after", "\"36h\"", "36h", |config| config.settings.abandon_after_ms, 129_600_000),
        knob("orders.expect_payments", "false", "false", |config| config.settings.expect_payments, false),
        duration_knob("orders.retention", |config| config.settings.retention_ms),
        duration_knob("orders.max_age", |config| config.settings.max_age_ms),
        duration_knob("orders.horizon", |config| config.settings.horizon_ms),
        knob("sink.memory", "\"3M\"", "3M", |config| config.sink.memory_bytes, 3 << 20),
        knob("sink.spill", "\"3M\"", "3M", |config| config.sink.spill_bytes, 3 << 20),
        knob("sink.circuit_failures", "7", "7", |config| config.sink.circuit_failures, 7),
        knob("sink.circuit_probe_after", "\"7s\"", "7s", |config| config.sink.circuit_probe_after_ms, 7_000),
        knob(
            "sink.postgres",
            "\"postgres://u:p@h/d\"",
            "postgres://u:p@h/d",
            |config| format!("{:?}", config.outputs.postgres),
            "Some(postgresql://u@h:5432/d)".to_owned(),
        ),
        knob("sink.sqlite", "\"r\"", "r", |config| config.outputs.sqlite.clone(), Some("r".into())),
        knob("sink.kafka", "\"b:1\"", "b:1", |config| config.outputs.kafka.clone(), Some("b:1".to_owned())),
        knob("checkpoint.store", "\"kept\"", "kept", |config| config.outputs.store.clone(), Some("kept".to_owned())),
        knob("serve.address", "\"h:1\"", "h:1", |config| config.outputs.served_at.clone(), Some("h:1".to_owned())),
        knob("kafka.brokers", "\"b:1,c:2\"", "b:1,c:2", |config| config.kafka.brokers.clone(), "b:1,c:2".to_owned()),
        knob("kafka.format", "\"avro\"", "avro", |config| format!("{:?}", config.kafka.format), "Avro".to_owned()),
        knob(
            "kafka.schema_registry",
            "\"http://u:p@r:1/\"",
            "http://u:p@r:1/",
            |config| format!("{:?}", config.kafka.registry),
            "Some(http://r:1)".to_owned(),
        ),
        knob(
            "kafka.topics",
            "[\"a\", \"b\"]",
            "a, b",
            |config| config.kafka.topics.clone(),
            ["a", "b"].map(str::to_owned).into(),
        ),
        knob("watch.max_files_per_tick", "7", "7", |config| config.max_files_per_tick, 7),
        knob("validation.max_price", "\"99.5\"", "99.5", |config| config.max_price, Money(995_000)),
    ]
}

fn as_file(knob: &Knob) -> String {
    let (section, name) = knob.key.split_once('.').unwrap();
    format!("[{section}]\n{name} = {}\n", knob.toml)
}

fn as_variable(key: &str) -> String {
    format!("ORDERWATCH__{}", key.replace('.', "__").to_uppercase())
}

#[test]
fn every_knob_turns_in_every_layer() {
    let unturned = load_layers("", &[], &[]).unwrap();
    for knob in knobs() {
        let shown = |config: JobResult<JobConfig>| (knob.shows)(&config.unwrap());
        assert_ne!((knob.shows)(&unturned), knob.expected, "{}: the default", knob.key);
        assert_eq!(shown(load_layers(&as_file(&knob), &[], &[])), knob.expected, "{}: the file", knob.key);
        let variable = as_variable(knob.key);
        assert_eq!(shown(load_layers("", &[(&variable, knob.text)], &[])), knob.expected, "{variable}");
        assert_eq!(shown(load_layers("", &[], &[(knob.key, knob.text)])), knob.expected, "{}: the flag", knob.key);
    }
}

#[test]
fn no_key_is_without_a_test() {
    let schema = Schema::built_in(DEFAULT).unwrap();
    let keys: BTreeSet<String> = schema.0.keys().map(str::to_owned).collect();
    let mut tested: BTreeSet<String> = knobs().iter().map(|knob| knob.key.to_owned()).collect();
    tested.extend(["job.sla_rules", "cluster.process", "cluster.hostfile", "kafka.client"].map(str::to_owned));
    assert_eq!(keys, tested);
}

#[test]
fn flags_override_variables_override_the_file_overrides_the_default() {
    for (key, texts) in [
        ("job.workers", ["1", "2", "3", "4"]),
        ("time.tick", ["60s", "2s", "3s", "4s"]),
        ("orders.max_age", ["365d", "20d", "30d", "40d"]),
        ("job.windows", ["minute,hour,day,total", "day", "hour", "total,minute"]),
        ("job.name", ["orderwatch", "2", "3", "4"]),
    ] {
        let (section, name) = key.split_once('.').unwrap();
        let toml = match key {
            "job.workers" => texts[1].to_owned(),
            "job.windows" => format!("[\"{}\"]", texts[1]),
            _ => format!("\"{}\"", texts[1]),
        };
        let (file, variable) = (format!("[{section}]\n{name} = {toml}"), as_variable(key));
        let alone = |text| load_layers("", &[], &[(key, text)]).unwrap();
        let variables = [(variable.as_str(), texts[2])];
        assert_eq!(load_layers("", &[], &[]).unwrap(), alone(texts[0]), "{key}: default");
        assert_eq!(load_layers(&file, &[], &[]).unwrap(), alone(texts[1]), "{key}: file");
        assert_eq!(load_layers(&file, &variables, &[]).unwrap(), alone(texts[2]), "{key}: environment");
        assert_eq!(load_layers(&file, &variables, &[(key, texts[3])]).unwrap(), alone(texts[3]), "{key}: flag");
    }
}

#[test]
fn settings_of_clients_are_passed_through_and_never_shown() {
    let file = "[job]\nname = \"shop\"\n[kafka.client]\n\"linger.ms\" = 5\n\"sasl.password\" = \"old\"\n\"enable.idempotence\" = true\n";
    let variables = [("ORDERWATCH__KAFKA__CLIENT__SASL_PASSWORD", "hunter2"), ("ORDERWATCH__KAFKA__CLIENT__ACKS", "1")];
    let config = load_layers(file, &variables, &[]).unwrap();
    let client = config.kafka.client.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
    assert_eq!(client, "acks=1 enable.idempotence=true group.id=shop linger.ms=5 sasl.password=hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    let wrong = refusal("[kafka.client]\n\"sasl.password\" = [\"hunter2\"]", &[], &[]);
    assert!(wrong.contains("sasl.password") && !wrong.contains("hunter2"), "{wrong}");
    let wrong = refusal("[kafka]\nschema_registry = \"shop:hunter2@registry\"", &[], &[]);
    assert!(wrong.contains("no address of a schema registry") && !wrong.contains("hunter2"), "{wrong}");
    let wrong = refusal("[kafka]\ntopics = [\"a b\"]", &[], &[]);
    assert!(wrong.starts_with("kafka.topics is [\"a b\"]: `a b` is no name of a topic"), "{wrong}");
}

#[test]
fn other_variables_are_none_of_ours() {
    let variables = [("ORDERWATCH_TIME_TICK", "1"), ("PATH", "/bin"), ("orderwatch__time__tick", "1")];
    assert_eq!(load_layers("", &variables, &[]).unwrap(), load_layers("", &[], &[]).unwrap());
}

#[test]
fn unknown_keys_are_refused_with_the_nearest() {
    for (file, message) in [
        (
            "# ours\n[time]\ngrace = \"1s\"\ntickk = \"1s\"",
            "unknown configuration key `time.tickk`\n  where: job.toml:4\n  do: did you mean `tick` in section [time]?",
        ),
        (
            "[job]\nretention = \"1d\"",
            "unknown configuration key `job.retention`\n  where: job.toml:2\n  do: did you mean `retention` in section [orders]?",
        ),
        (
            "workers = 2",
            "unknown configuration key `workers`\n  where: job.toml:1\n  do: did you mean `workers` in section [job]?",
        ),
        (
            "time = 5",
            "unknown configuration key `time`\n  where: job.toml:1\n  do: `time` is a section: set one of its keys, as in `grace` in section [time]",
        ),
        (
            "\"time.tick\" = \"1m\"",
            "unknown configuration key `time.tick`\n  where: job.toml:1\n  do: write it as section `time` with the key `tick`",
        ),
        ("[oders]", "unknown configuration key `oders`\n  where: job.toml:1\n  do: did you mean the section [orders]?"),
        (
            "[pulsar]\nurl = \"b\"",
            "unknown configuration key `pulsar.url`\n  where: job.toml:2\n  do: remove it; config/default.toml names every key",
        ),
    ] {
        assert_eq!(refusal(file, &[], &[]), message);
    }
    assert_eq!(
        refusal("", &[("ORDERWATCH__TIME__TIK", "1s")], &[]),
        "unknown configuration key `time.tik`\n  where: environment variable ORDERWATCH__TIME__TIK\n  do: did you mean ORDERWATCH__TIME__TICK?"
    );
    assert_eq!(
        refusal("", &[("ORDERWATCH__TIME", "5")], &[]),
        "unknown configuration key `time`\n  where: environment variable ORDERWATCH__TIME\n  do: `time` is a section: set one of its keys, as in ORDERWATCH__TIME__GRACE"
    );
}

#[test]
fn wrong_values_are_refused_by_name_place_and_remedy() {
    let duration = "write a whole number and a unit, as in 500ms, 90s, 15m, 36h or 7d";
    for (key, text, message) in [
        ("time.tick", "0s", "time.tick is \"0s\": aggregates need a grid to change on\n  where: flag --flag\n  do: give at least 1ms".to_owned()),
        ("checkpoint.interval", "0s", "checkpoint.interval is \"0s\": nothing but checkpoints would be written\n  where: flag --flag\n  do: give at least 1ms".into()),
        ("time.grace", "5x", format!("time.grace is \"5x\": no duration\n  where: flag --flag\n  do: {duration}")),
        ("orders.horizon", "36526d", "orders.horizon is \"36526d\": longer than a century\n  where: flag --flag\n  do: give at most 36525d".into()),
        ("input.sort_memory", "1023K", "input.sort_memory is \"1023K\": too little memory\n  where: flag --flag\n  do: give at least 1M".into()),
        ("sink.spill", "512K", "sink.spill is \"512K\": too little memory\n  where: flag --flag\n  do: give at least 1M".into()),
        ("sink.circuit_failures", "0", "sink.circuit_failures is 0: a sink would never be tried in between\n  where: flag --flag\n  do: give at least 1, or 1ms".into()),
        ("input.sort_memory", "1 GB", "input.sort_memory is \"1 GB\": no size\n  where: flag --flag\n  do: write a whole number and a unit of bytes, as in 256M or 2G".into()),
        ("job.workers", "0", "job.workers is 0: not a number of worker threads\n  where: flag --flag\n  do: give 1 to 1024 threads (-w), or leave it out for one".into()),
        ("job.workers", "two", "job.workers is \"two\": not a whole number from 0 up\n  where: flag --flag\n  do: write it like its default, workers = 1".into()),
        ("job.transitions", "lax", "job.transitions is \"lax\": not one of lenient, strict\n  where: flag --flag\n  do: write it like its default, transitions = \"lenient\"".into()),
        ("job.windows", "hour,dayly", "job.windows is [\"hour\", \"dayly\"]: `dayly` is no window\n  where: flag --flag\n  do: choose of minute, hour, day, total; did you mean day?".into()),
        ("job.windows", "hour,hour", "job.windows is [\"hour\", \"hour\"]: `hour` is named twice\n  where: flag --flag\n  do: name each window once".into()),
        ("job.windows", "", "job.windows is []: no window is kept\n  where: flag --flag\n  do: name at least one of minute, hour, day, total".into()),
        ("job.name", "my job", "job.name is \"my job\": no name for a job\n  where: flag --flag\n  do: use 1 to 64 of A-Z a-z 0-9 . _ -".into()),
        ("job.name", "..", "job.name is \"..\": a directory, no name for a job\n  where: flag --flag\n  do: use a letter or a digit, too".into()),
        ("cluster.processes", "0", "cluster.processes is 0: not a number of processes\n  where: flag --flag\n  do: give 1 to 1024 processes (-n), or leave it out for one".into()),
        ("cluster.process", "1", "cluster.process is 1: there is no such process, of 1 in all\n  where: flag --flag\n  do: say with -n how many processes there are, or leave -p out".into()),
        ("orders.max_age", "3d", "orders.max_age is \"3d\": shorter than the longest SLA, 7d, which then could never come due\n  where: flag --flag\n  do: raise it (--max-age) to at least 7d, or shorten the longest SLA".into()),
        ("orders.abandon_after", "366d", "orders.max_age is \"365d\": shorter than orders.abandon_after, 366d, which then could never come due\n  where: built-in default\n  do: raise it (--max-age) to at least 366d, or shorten orders.abandon_after".into()),
    ] {
        assert_eq!(refusal("", &[], &[(key, text)]), message);
    }
    assert_eq!(load_layers("", &[], &[("sink.spill", "0")]).unwrap().sink.spill_bytes, 0, "nothing goes into files");
    for price in ["0", "-1", "1.23456", "100000000000", "1e3", ".5", "5.", ""] {
        let message = refusal("", &[], &[("validation.max_price", price)]);
        assert!(message.starts_with(&format!("validation.max_price is \"{price}\": no price\n")), "{message}");
    }
    assert_eq!(
        refusal("[time]\ngrace = \"0s\"\ntick = 60", &[], &[]),
        "time.tick is 60: not a string\n  where: job.toml:3\n  do: write it like its default, tick = \"1m\""
    );
    assert!(refusal("", &[("ORDERWATCH__ORDERS__EXPECT_PAYMENTS", "maybe")], &[]).starts_with(
        "orders.expect_payments is \"maybe\": not a boolean\n  where: environment variable ORDERWATCH__ORDERS__EXPECT_PAYMENTS\n"
    ));
}

#[test]
fn broken_text_is_refused_by_place_without_what_stands_there() {
    for (file, wrong, place) in [
        ("[time", "unclosed table, expected `]`", "line 1, column 6"),
        ("[cluster]\nsecret = \"geheim\n", "invalid basic string, expected `\"`", "line 2, column 17"),
        ("# ä\n[cluster]\nö.secret = geheim\n", "invalid unquoted key", "line 3, column 1"),
        ("[cluster]\nsecret = geheim\n", "string values must be quoted, expected literal string", "line 2, column 10"),
    ] {
        let message = refusal(file, &[], &[]);
        assert!(message.starts_with(&format!("the configuration file is no TOML: {wrong}")), "{message}");
        assert!(message.contains(&format!("\n  where: job.toml, {place}\n  do: mend the line; ")), "{message}");
        assert!(!message.contains("geheim"), "{message}");
    }
}

#[test]
fn values_that_may_hold_passwords_are_not_shown() {
    for (file, message) in [
        ("[cluster]\nsecret = [\"geheim\"]", "cluster.secret is not shown: not a string\n  where: job.toml:2\n"),
        ("[kafka]\nclient = \"geheim\"", "kafka.client is not shown: not a map\n  where: job.toml:2\n"),
        (
            "[kafka]\nschema_registry = [\"http://u:geheim@h\"]",
            "kafka.schema_registry is not shown: not a string\n  where: job.toml:2\n",
        ),
        (
            "[sink]\npostgres = [\"postgresql://u:geheim@h\"]",
            "sink.postgres is not shown: not a string\n  where: job.toml:2\n",
        ),
    ] {
        let shown = refusal(file, &[], &[]);
        assert!(shown.starts_with(message) && !shown.contains("geheim"), "{shown}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Kind::Bounded, Some(Path::new("no/such.toml")), [], &[], |_| Ok(Rules::default())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the configuration file: No such file or directory (os error 2)\n  where: no/such.toml\n  do: name a TOML or YAML file with -c, or leave -c out"
    );
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn rules_are_read_and_bound_the_age_of_orders() {
    let rule = SlaRule {
        sla: Sla::Delivery,
        within: Within::Allowed(400 * DAY_MS),
        tenant: None,
        category: None,
        valid_from: None,
        applies_to_open: false,
    };
    let flags = |max_age: &str| {
        let flag = |key, flag, text: &str| Flag { key, flag, text: text.to_owned() };
        vec![flag("job.sla_rules", "--sla-rules", "rules.toml"), flag("orders.max_age", "--max-age", max_age)]
    };
    let read = |path: &Path| {
        assert_eq!(path, Path::new("rules.toml"));
        Ok(Rules::with([rule.clone()]))
    };
    let config = load(Kind::Bounded, None, [], &flags("400d"), read).unwrap();
    assert_eq!(config.rules, Rules::with([rule.clone()]));
    let error = load(Kind::Bounded, None, [], &flags("399d"), read).unwrap_err();
    assert!(error.to_string().starts_with("orders.max_age is \"399d\": shorter than the longest SLA, 400d"), "{error}");
}

#[test]
fn a_hostfile_names_every_process_once() {
    let with = |text: &str, processes: &'static str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let path = file.path().display().to_string();
        let flags = [("cluster.processes", processes), ("cluster.process", "0"), ("cluster.hostfile", path.as_str())];
        let loaded = load_layers("", &[], &flags);
        loaded.map(|config| config.cluster.addresses).map_err(|error| error.to_string().replace(&path, "HOSTS"))
    };
    assert_eq!(with("a:1\n\n b:2 \n", "2"), Ok(vec!["a:1".to_owned(), "b:2".to_owned()]));
    for (text, processes, message) in [
        (
            "a:1",
            "2",
            "cluster.hostfile is \"HOSTS\": it has 1 addresses, there are 2 processes\n  where: flag --flag\n  do: write one host:port a line for each process, or mend -n",
        ),
        (
            "a:1\na:1",
            "2",
            "`a:1` is the address of two processes\n  where: HOSTS:2\n  do: give each process an address of its own",
        ),
        ("a:1\nb:x", "2", "`b:x` is no address\n  where: HOSTS:2\n  do: write host:port, as in localhost:2101"),
        (
            "a:1",
            "1",
            "cluster.hostfile is \"HOSTS\": one process alone has no cluster\n  where: flag --flag\n  do: say with -n how many processes there are, or leave the hostfile out",
        ),
    ] {
        assert_eq!(with(text, processes), Err(message.to_owned()));
    }
    let second = load_layers("", &[], &[("cluster.processes", "3"), ("cluster.process", "2")]).unwrap();
    assert_eq!((second.cluster.process, second.cluster.addresses.len()), (2, 3));
}
