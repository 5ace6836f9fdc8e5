//! TLS: each `sslmode` against a server with a certificate of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::outcome::Place;
use super::run::{lacks, replay, run};
use super::server::{Database, Server};

/// Makes an authority and a certificate for 127.0.0.1 in `folder`; false where openssl is missing.
fn certificates(folder: &Path) -> bool {
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    fs::write(folder.join("host"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    let key = ["-newkey", "rsa:2048", "-nodes", "-days", "2"];
    openssl(
        &[&["req", "-new", "-x509"], &key[..], &["-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt"]]
            .concat(),
    ) && openssl(&[&["req", "-new"], &key[..3], &["-subj", "/CN=db", "-keyout", "db.key", "-out", "db.csr"]].concat())
        && openssl(&[
            "x509",
            "-req",
            "-in",
            "db.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-extfile",
            "host",
            "-days",
            "2",
            "-out",
            "db.crt",
        ])
}

#[test]
fn a_server_is_believed_as_far_as_sslmode_says() {
    let place = Place::new();
    if !certificates(place.folder.path()) {
        lacks("openssl");
        return;
    }
    let Some(server) = Server::start() else { return };
    let data = server.data();
    for name in ["db.key", "db.crt"] {
        fs::copy(place.path(name), data.join(name)).unwrap();
        let owned = Command::new("chown").arg("--reference").arg(&data).arg(data.join(name)).status().unwrap();
        assert!(owned.success());
        assert!(Command::new("chmod").arg("600").arg(data.join(name)).status().unwrap().success());
    }
    let mut settings = fs::read_to_string(data.join("postgresql.conf")).unwrap();
    settings += "\nssl = on\nssl_cert_file = 'db.crt'\nssl_key_file = 'db.key'\n";
    fs::write(data.join("postgresql.conf"), settings).unwrap();
    fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\nhost postgres all 127.0.0.1/32 trust\n")
        .unwrap();
    server.kill();
    server.restart();
    let database = Database::on(&server.url);
    place.write(
        "x.jsonl",
        "{\"order_id\":\"a\",\"event_type\":\"ORDER_PLACED\",\"timestamp\":\"2024-03-01T00:00:00Z\"}\n",
    );
    let ca = place.path("ca.crt").display().to_string();
    let by_name = database.url.replace("127.0.0.1", "localhost");
    for (url, parameters, refused) in [
        (&database.url, "sslmode=disable".to_owned(), Some("no encryption")),
        (&database.url, "sslmode=prefer".to_owned(), None),
        (&database.url, "sslmode=require".to_owned(), None),
        (&database.url, "sslmode=verify-full".to_owned(), Some("UnknownIssuer")),
        (&database.url, "sslmode=verify-ca".to_owned(), Some("UnknownIssuer")),
        (&database.url, format!("sslmode=require&sslrootcert={ca}"), None),
        (&database.url, format!("sslmode=verify-full&sslrootcert={ca}"), None),
        // The certificate is for the number alone.
        (&by_name, format!("sslmode=verify-ca&sslrootcert={ca}"), None),
        (&by_name, format!("sslmode=verify-full&sslrootcert={ca}"), Some("not valid for name")),
    ] {
        let url = format!("{url}?{parameters}");
        let ended = run(replay(&["x.jsonl", "--no-console", "--postgres", &url]).current_dir(place.folder.path()));
        assert_eq!(ended.code, Some(refused.map_or(0, |_| 1)), "{url}: {}", ended.stderr);
        assert!(refused.is_none_or(|says| ended.stderr.contains(says)), "{url}: {}", ended.stderr);
    }
}
