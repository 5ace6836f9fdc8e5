//! The settings of a client that reads: how much it holds, and what it may not do by itself.

/// Bytes that wait in the queues of all partitions. What is on its way when a queue is full comes on top, at most as much
/// again; and librdkafka takes some 350 bytes a record for itself.
const QUEUED_BYTES: usize = 4 << 20;
/// A queue is not made smaller than this.
const QUEUE_BYTES_MIN: usize = 64 << 10;
/// Records of this size and more fill a queue before there are too many of them.
const SMALL_RECORD_BYTES: usize = 128;

/// How much a client holds of each partition.
pub struct QueueSizes {
    kilobytes: String,
    bytes: String,
    records: String,
}

impl QueueSizes {
    /// What is right for a client that reads so many partitions.
    pub fn of(partitions: usize) -> QueueSizes {
        let bytes = (QUEUED_BYTES / partitions.max(1)).max(QUEUE_BYTES_MIN);
        QueueSizes {
            kilobytes: (bytes >> 10).to_string(),
            bytes: bytes.to_string(),
            records: (bytes / SMALL_RECORD_BYTES).to_string(),
        }
    }
}

/// What the user's settings may change.
pub const DEFAULTS: [(&str, &str); 3] = [
    // A broker that comes back is found soon, by default after up to ten seconds.
    ("reconnect.backoff.max.ms", "1000"),
    ("topic.metadata.refresh.interval.ms", "10000"),
    // While the queues of all others are full, a partition without more is asked for alone, and nothing else is until
    // the broker has answered: by default after half a second.
    ("fetch.wait.max.ms", "10"),
];

/// What reading rests on, whatever the user's settings say.
pub fn own_settings(sizes: &QueueSizes) -> [(&'static str, &str); 10] {
    [
        ("isolation.level", "read_committed"),
        // Ends are asked for: an event says that there was one once, not that it still is.
        ("enable.partition.eof", "false"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("allow.auto.create.topics", "false"),
        ("queued.max.messages.kbytes", &sizes.kilobytes),
        ("queued.min.messages", &sizes.records),
        ("fetch.message.max.bytes", &sizes.bytes),
        // A queue that was full is filled again as soon as there is room: by default only after a second.
        ("fetch.queue.backoff.ms", "2"),
    ]
}
