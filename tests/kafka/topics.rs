//! `orderwatch topics` against a real broker, and against none.

use std::process::{Command, Output};

use serde_json::Value;

use crate::broker::*;

/// Runs `orderwatch` with these arguments and nothing of the environment.
pub fn orderwatch(arguments: &[&str]) -> Output {
    with_variables(arguments, &[])
}

/// The same with these variables.
pub fn with_variables(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("orderwatch"));
    command.env_clear().envs(variables.iter().copied()).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn topics_are_created_once_and_shown() {
    let Some(brokers) = broker() else { return };
    let (first, second) = (unique("a"), unique("b"));
    let topics = format!("{first},{second}");
    let create = |partitions: &str| {
        let arguments =
            ["--partitions", partitions, "--retention", "unlimited", "--compression", "zstd", "--output", "json"];
        orderwatch(&[&["topics", "create", "--kafka", &brokers, "--topics", &topics][..], &arguments].concat())
    };
    let created = json(&create("6"));
    assert_eq!(created[0]["state"], "created");
    assert_eq!(json(&create("6"))[1]["state"], "exists");
    let refused = create("3");
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("exists with 6 partitions, not 3"), "{}", said(&refused));

    let producer = producer(&brokers, None);
    (0..7).for_each(|number| send(&producer, &first, number % 6, b"1"));
    flush(&producer);
    let listed = json(&orderwatch(&["topics", "list", "--kafka", &brokers, "--topics", &topics, "--output", "json"]));
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let shown = &listed[0];
    assert_eq!(
        (shown["topic"].as_str(), shown["partitions"].as_u64(), shown["records"].as_u64()),
        (Some(&*first), Some(6), Some(7))
    );
    assert_eq!((shown["retention"].as_str(), shown["compression"].as_str()), (Some("unlimited"), Some("zstd")));
    let table = orderwatch(&["topics", "list", "--kafka", &brokers]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains(&first) && table.contains("unlimited") && !table.contains("__"), "{table}");
    let missing = orderwatch(&["topics", "list", "--kafka", &brokers, "--topics", "no-such-topic"]);
    assert!(missing.status.code() == Some(1) && said(&missing).contains("there is no topic `no-such-topic`"));
}

#[test]
fn what_goes_wrong_is_said() {
    let nobody = orderwatch(&["topics", "list", "--kafka", "127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(1));
    let told = said(&nobody);
    assert!(
        told.contains("cannot list the topics") && told.contains("refused") && told.contains("127.0.0.1:1"),
        "{told}"
    );
    assert!(told.contains("do: "), "{told}");
    let none = orderwatch(&["topics", "list"]);
    assert!(none.status.code() == Some(2) && said(&none).contains("no Kafka broker is named"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.toml");
    std::fs::write(&file, "[kafka]\nbrokers = \"127.0.0.1:1\"\n[kafka.client]\n\"sasl.passwort\" = \"hunter2\"\n")
        .unwrap();
    let slip = orderwatch(&["topics", "list", "-c", file.to_str().unwrap(), "-vvv"]);
    assert_eq!(slip.status.code(), Some(2));
    assert!(said(&slip).contains("librdkafka has no setting `sasl.passwort`") && !said(&slip).contains("hunter2"));
}
