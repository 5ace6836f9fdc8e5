//! A broker that is away: nobody believes to be caught up, and reading goes on when it is back.

use std::time::{Duration, Instant};

use orderwatch::source::kafka::Fetcher;

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
