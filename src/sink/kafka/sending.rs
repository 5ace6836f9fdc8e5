//! Records on their way to brokers: room in the producer's queue, and the end of their transaction.
//!
//! Invariant: however much a transaction holds, it is waited for as long as some of it arrives. Limits: a coordinator gives
//! one up that is open for longer than [`TIMEOUTS`] say.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::{TRANSACTION_TIMEOUT, WAIT};
use crate::kafka::{KafkaSettings, Listener};

/// What of the end of a transaction is left after the records were waited for is no less than this.
const WAIT_AT_LEAST: Duration = Duration::from_secs(1);
/// How long to wait at a time for records that are on their way.
const WAIT_IN_FLIGHT: Duration = Duration::from_millis(1);
const TRANSACTION: &str = "transaction.timeout.ms";
/// A transaction may be open for as long as brokers allow that are not told otherwise: all that stands, which a new sink is
/// given at once, takes its time. As long the library would wait for a silent broker, were it not told its own default.
const TIMEOUTS: [(&str, &str); 2] = [(TRANSACTION, "900000"), ("socket.timeout.ms", "60000")];

/// These settings with ours for transactions, unless the user's say how long one may be open.
pub fn with_timeouts(settings: &KafkaSettings) -> KafkaSettings {
    match settings.client.contains_key(TRANSACTION) {
        true => settings.clone(),
        false => settings.with_defaults(&TIMEOUTS),
    }
}

/// Puts a record into the producer's queue; waits for room. What becomes of it the end of the transaction says.
pub fn send(producer: &BaseProducer<Listener>, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<(), KafkaError> {
    let started = Instant::now();
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                if started.elapsed() < TRANSACTION_TIMEOUT =>
            {
                producer.poll(WAIT);
                record = back;
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// Ends a transaction, once all of it has arrived.
pub fn commit(producer: &BaseProducer<Listener>) -> Result<(), KafkaError> {
    let (mut fewest, mut since) = (i32::MAX, Instant::now());
    // The library waits for what is on its way by tenths of a second, whole ones.
    loop {
        let on_their_way = producer.in_flight_count();
        if on_their_way < fewest {
            (fewest, since) = (on_their_way, Instant::now());
        }
        let is_over = since.elapsed() >= TRANSACTION_TIMEOUT || producer.client().fatal_error().is_some();
        if on_their_way == 0 || is_over {
            break;
        }
        producer.poll(Duration::ZERO);
        std::thread::sleep(WAIT_IN_FLIGHT);
    }
    producer.commit_transaction(TRANSACTION_TIMEOUT.saturating_sub(since.elapsed()).max(WAIT_AT_LEAST))
}
