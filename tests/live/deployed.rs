//! What `deploy/` has for Prometheus and Grafana: rules that promtool tries, and queries that a real Prometheus answers.

use std::path::Path;
use std::process::Command;

use super::metrics::{Prometheus, Watched, wait_until};
use super::run::lacks;

fn deployed(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name).display().to_string()
}

#[test]
fn promtool_finds_nothing_in_what_is_deployed() {
    let (config, tests) = (deployed("prometheus/prometheus.yml"), deployed("prometheus/alerts_test.yml"));
    for arguments in [["check", "config", &config], ["test", "rules", &tests]] {
        let Ok(said) = Command::new("promtool").args(arguments).output() else {
            lacks("promtool (Debian, Ubuntu: apt-get install prometheus)");
            return;
        };
        let complaints = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{arguments:?}: {complaints}");
    }
}

/// The expressions of the dashboard and of the alerts.
fn expressions() -> Vec<String> {
    let dashboard = std::fs::read(deployed("grafana/provisioning/dashboards/orderwatch.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_slice(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let mut expressions: Vec<String> =
        panels.map(|panel| panel["targets"][0]["expr"].as_str().unwrap().to_owned()).collect();
    let alerts = std::fs::read_to_string(deployed("prometheus/alerts.yml")).unwrap();
    for line in alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ")) {
        // What they compare with would leave out what is well.
        let compared = line.split_once(" == ").or_else(|| line.split_once(" > ")).unwrap();
        expressions.push(compared.0.to_owned());
    }
    expressions
}

#[test]
fn every_query_of_the_dashboard_and_the_alerts_has_an_answer() {
    let watched = Watched::start();
    let Some(prometheus) = Prometheus::scraping(&watched.address) else { return };
    // A rate needs two scrapes.
    wait_until("it has scraped twice", || {
        prometheus
            .values("count_over_time(up[1m])")
            .filter(|values| values.iter().all(|scrapes| *scrapes >= 2.0) && !values.is_empty())
    });
    for expression in expressions() {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let values = prometheus.values(&encoded).unwrap_or_else(|| panic!("{expression}: no answer"));
        assert!(!values.is_empty(), "{expression}: nothing");
    }
}
