//! A broker that is away: nobody believes to be caught up, and reading goes on when it is back.

use std::time::{Duration, Instant};

use orderwatch::source::kafka::Fetcher;

use crate::broker::*;
use crate::fetcher::{is_caught_up, partition, read_until};

#[test]
fn nobody_is_caught_up_with_a_broker_that_is_gone() {
    let Some(own) = OwnBroker::start() else { return };
    let topic = create_topic(&own.brokers, "away", 1);
    let only = partition(&topic, 0);
    let first = producer(&own.brokers, None);
    send(&first, &topic, 0, b"1");
    flush(&first);
    let mut fetcher = Fetcher::start(&settings(&own.brokers, &[&topic])).unwrap();
    fetcher.read(only.clone(), 0);
    read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, &only, 1)).unwrap();
    // As long as it is there it is believed at every moment.
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        assert!(fetcher.poll().unwrap().is_none() && is_caught_up(&fetcher, &only, 1));
        std::thread::sleep(Duration::from_millis(5));
    }
    own.kill();
    std::thread::sleep(Duration::from_millis(1_050));
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert!(fetcher.poll().unwrap().is_none() && !is_caught_up(&fetcher, &only, 1), "a second is the most");
        std::thread::sleep(Duration::from_millis(5));
    }
    // One that starts now waits as well, and both go on where they are.
    let mut second = Fetcher::start(&settings(&own.brokers, &[&topic])).unwrap();
    second.read(only.clone(), 0);
    assert!(second.poll().unwrap().is_none());
    let third = Fetcher::start(&settings(&own.brokers, &[&topic])).map(|mut third| {
        third.read(only.clone(), 0);
        third.poll().map(|_| third)
    });
    let started = Instant::now();
    drop(third);
    assert!(started.elapsed() < Duration::from_secs(5), "whoever gives up waits for nobody");
    own.restart();
    let again = producer(&own.brokers, None);
    send(&again, &topic, 0, b"2");
    flush(&again);
    let read = read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, &only, 2)).unwrap();
    assert_eq!(read[&only].iter().map(|record| record.offset).collect::<Vec<_>>(), [1]);
    let read = read_until(&mut second, |fetcher, _| is_caught_up(fetcher, &only, 2)).unwrap();
    assert_eq!(read[&only].iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 1]);
}
