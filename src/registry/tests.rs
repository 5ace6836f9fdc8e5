//! What is asked of a registry and made of its answers, played by a server of the test.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

/// A server that gives these answers, one a connection; what it was asked.
fn server(answers: &'static [(&str, &str)]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = move |(status, body): &(&str, &str)| {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut asked, mut bytes) = (String::new(), [0; 4096]);
        while !asked.contains("\r\n\r\n") || asked.starts_with("POST") && !asked.ends_with('}') {
            let read = stream.read(&mut bytes).unwrap();
            asked += std::str::from_utf8(&bytes[..read]).unwrap();
        }
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").unwrap();
        asked
    };
    (address, std::thread::spawn(move || answers.iter().map(serve).collect()))
}

#[test]
fn no_password_is_shown() {
    let address = RegistryAddress::parse("https://shop:p%40ss@registry:8081/apis/ccompat/v7/").unwrap();
    assert_eq!(address.authorization.as_deref(), Some("Basic c2hvcDpwQHNz"));
    let shown = format!("{address:?} {:?}", Registry::new(&address));
    assert!(shown.starts_with("https://registry:8081/apis/ccompat/v7 ") && !shown.contains("c2hvc"), "{shown}");
    for wrong in ["registry:8081", "ftp://registry", "http://", "http://a b", ""] {
        assert!(RegistryAddress::parse(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn a_registry_that_is_busy_is_asked_again_and_schemas_come_with_those_they_build_on() {
    let (address, asked) = server(&[
        ("503 Service Unavailable", ""),
        ("429 Too Many Requests", r#"{"error_code":42901,"message":"later"}"#),
        ("200 OK", r#"{"schema":"A","references":[{"name":"B","subject":"b/b","version":2}],"schemaType":"AVRO"}"#),
        ("200 OK", r#"{"subject":"b","id":3,"version":2,"schema":"B"}"#),
    ]);
    let address = RegistryAddress::parse(&format!("http://shop:secret@{address}/v7")).unwrap();
    let found = Registry::new(&address).ask(|registry| registry.schema(7), || true).unwrap().unwrap();
    assert_eq!((found.schema, found.others), ("A".to_owned(), vec!["B".to_owned()]));
    let asked = asked.join().unwrap();
    let lines: Vec<&str> = asked.iter().filter_map(|asked| asked.lines().next()).collect();
    assert_eq!(lines[2..], ["GET /v7/schemas/ids/7 HTTP/1.1", "GET /v7/subjects/b%2Fb/versions/2 HTTP/1.1"]);
    assert!(asked.iter().all(|asked| asked.contains("authorization: Basic c2hvcDpzZWNyZXQ=")), "{asked:?}");
}

#[test]
fn what_a_registry_refuses_is_told_and_what_it_lacks_is_none() {
    let (address, asked) = server(&[
        ("404 Not Found", r#"{"error_code":40403,"message":"Schema not found"}"#),
        ("404 Not Found", ""),
        ("401 Unauthorized", "who?"),
        ("409 Conflict", r#"{"error_code":409,"message":"incompatible"}"#),
        ("200 OK", r#"{"id":258}"#),
    ]);
    let registry = Registry::new(&RegistryAddress::parse(&format!("http://{address}")).unwrap());
    assert!(registry.ask(|registry| registry.schema(1), || true).unwrap().is_none());
    for why in ["404 Not Found", "401 Unauthorized"] {
        let error = registry.ask(|registry| registry.schema(1), || true).unwrap_err();
        assert_eq!(error.what(), format!("the schema registry gives no answer: {why}"));
    }
    assert_eq!(registry.register("orders", "{}").unwrap_err().why, "409 Conflict incompatible");
    assert_eq!(registry.register("orders", "{}").unwrap(), 258);
    let last = asked.join().unwrap().pop().unwrap();
    assert!(
        last.starts_with("POST /subjects/orders-value/versions ") && last.ends_with(r#"{"schema":"{}"}"#),
        "{last}"
    );
}
