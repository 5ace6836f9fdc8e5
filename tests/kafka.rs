//! Kafka as an input, against a real broker (`scripts/services up kafka`); without one these tests say so and pass.

// A test that cannot set up its case must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "kafka/avro.rs"]
mod avro;
#[path = "kafka/away.rs"]
mod away;
#[path = "support/broker.rs"]
mod broker;
#[path = "kafka/discovery.rs"]
mod discovery;
#[path = "kafka/fetcher.rs"]
mod fetcher;
#[path = "goldens/inputs.rs"]
#[allow(dead_code)] // shared with goldens.rs
mod inputs;
#[path = "support/network.rs"]
mod network;
#[path = "kafka/round_trip.rs"]
mod round_trip;
#[path = "support/run.rs"]
#[allow(dead_code)] // shared with bad_input.rs
mod run;
#[path = "kafka/sent.rs"]
mod sent;
#[path = "kafka/topics.rs"]
mod topics;
#[path = "kafka/unreachable.rs"]
mod unreachable;
