//! A broker that is away: nobody believes to be caught up, and reading goes on when it is back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use orderwatch::kafka::sender::Sender;
use orderwatch::source::kafka::{Fetcher, Record};

use crate::broker::*;
use crate::fetcher::{is_caught_up, partition, read_until};
use crate::topics::with_variables;

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
    // As long as it is there it is believed, but for a moment where this machine has other things to do.
    let (until, mut believed, mut looks) = (Instant::now() + Duration::from_secs(2), 0, 0);
    while Instant::now() < until {
        assert!(fetcher.poll().unwrap().is_none());
        (believed, looks) = (believed + u32::from(is_caught_up(&fetcher, &only, 1)), looks + 1);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(believed > looks / 2, "{believed} of {looks}");
    let mut doomed = Fetcher::start(&settings(&own.brokers, &[&topic])).unwrap();
    doomed.read(only.clone(), 0);
    read_until(&mut doomed, |fetcher, _| is_caught_up(fetcher, &only, 1)).unwrap();
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
    drop((third, doomed));
    assert!(started.elapsed() < Duration::from_secs(20), "whoever gives up waits for nobody");
    own.restart();
    let again = producer(&own.brokers, None);
    send(&again, &topic, 0, b"2");
    flush(&again);
    let read = read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, &only, 2)).unwrap();
    assert_eq!(read[&only].iter().map(|record| record.offset).collect::<Vec<_>>(), [1]);
    let read = read_until(&mut second, |fetcher, _| is_caught_up(fetcher, &only, 2)).unwrap();
    assert_eq!(read[&only].iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn whoever_is_not_let_in_is_told_and_no_secret_is_shown() {
    let Some(own) = OwnBroker::start() else { return };
    let topic = create_topic(&own.brokers, "secured", 1);
    let first = producer(&own.brokers, None);
    send(&first, &topic, 0, b"1");
    flush(&first);
    let (host, port) = own.brokers.rsplit_once(':').unwrap();
    // scripts/services says who is let in there.
    let secured = format!("{host}:{}", port.parse::<u16>().unwrap() + 2);
    let as_user = |password: &str| {
        let mut settings = settings(&secured, &[&topic]);
        for (key, value) in
            [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "PLAIN"), ("sasl.username", "orderwatch")]
        {
            settings.client.insert(key.to_owned(), value.to_owned());
        }
        settings.client.insert("sasl.password".to_owned(), password.to_owned());
        settings
    };
    let only = partition(&topic, 0);
    let mut fetcher = Fetcher::start(&as_user("correct horse")).unwrap();
    fetcher.read(only.clone(), 0);
    read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, &only, 1)).unwrap();

    let mut refused = Fetcher::start(&as_user("hunter2")).unwrap();
    refused.read(only, 0);
    let error = read_until(&mut refused, |_, _| false).unwrap_err().to_string();
    assert!(error.contains("Authentication failed") && error.contains("sasl.password in [kafka.client]"), "{error}");
    assert!(!error.contains("hunter2"));

    let variables = [
        ("ORDERWATCH__KAFKA__CLIENT__SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        ("ORDERWATCH__KAFKA__CLIENT__SASL_MECHANISM", "PLAIN"),
        ("ORDERWATCH__KAFKA__CLIENT__SASL_USERNAME", "orderwatch"),
        ("ORDERWATCH__KAFKA__CLIENT__SASL_PASSWORD", "correct horse"),
    ];
    let listed = with_variables(&["topics", "list", "--kafka", &secured], &variables);
    assert!(String::from_utf8_lossy(&listed.stdout).contains(&topic), "{}", String::from_utf8_lossy(&listed.stderr));
    let wrong = [&variables[..3], &[("ORDERWATCH__KAFKA__CLIENT__SASL_PASSWORD", "hunter2")]].concat();
    let told = with_variables(&["topics", "list", "--kafka", &secured, "-vvv"], &wrong);
    let told = String::from_utf8_lossy(&told.stderr);
    assert!(told.contains("cannot list the topics") && told.contains("Authentication failed"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    let told = with_variables(
        &["topics", "list", "--kafka", &own.brokers],
        &[("ORDERWATCH__KAFKA__CLIENT__SECURITY_PROTOCOL", "SSL")],
    );
    let told = String::from_utf8_lossy(&told.stderr);
    assert!(told.contains("connecting to a PLAINTEXT broker listener?"), "{told}");
}

#[test]
fn reading_while_the_broker_dies_gives_every_record_once_and_in_order() {
    let Some(own) = OwnBroker::start() else { return };
    let topic = create_topic(&own.brokers, "chaos", 2);
    let count = 16_000_u64;
    let sending = {
        let (settings, topic) = (settings(&own.brokers, &[&topic]), topic.clone());
        std::thread::spawn(move || {
            let sender = Sender::connect(&settings, std::slice::from_ref(&topic)).unwrap();
            for number in 0..count {
                sender.send(&topic, Some(&(number % 7).to_be_bytes()), number.to_string().as_bytes()).unwrap();
                std::thread::sleep(Duration::from_micros(if number % 100 == 0 { 50_000 } else { 0 }));
            }
            sender.finish().unwrap()[&topic].records
        })
    };
    let reading = {
        let settings = settings(&own.brokers, &[&topic]);
        std::thread::spawn(move || {
            let mut fetcher = Fetcher::start(&settings).unwrap();
            (0..2).for_each(|number| fetcher.read(partition(&topic, number), 0));
            let (mut read, mut numbers, until) = (BTreeMap::new(), 0, Instant::now() + Duration::from_secs(90));
            while numbers < count && Instant::now() < until {
                let Some(fetched) = fetcher.poll().unwrap() else {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                };
                numbers += fetched.records.len() as u64;
                read.entry(fetched.partition.number).or_insert_with(Vec::new).extend(fetched.records);
            }
            read
        })
    };
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1_500));
        own.kill();
        own.restart();
    }
    assert_eq!(sending.join().unwrap(), count);
    let read = reading.join().unwrap();
    for records in read.values() {
        assert!(records.iter().enumerate().all(|(place, record)| record.offset == place as u64));
        let number =
            |record: &Record| str::from_utf8(record.value.as_deref().unwrap()).unwrap().parse::<u64>().unwrap();
        assert!(records.iter().map(number).is_sorted(), "idempotence keeps the order");
    }
    assert_eq!(read.values().map(Vec::len).sum::<usize>() as u64, count);
}
