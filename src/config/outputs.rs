//! Where a job writes, and where it keeps and says how far it is.
//!
//! Any layer may say it: a password has no place in a command line. Invariant: no password is shown, whatever is wrong with
//! its URL. Limits: whether a place can be written to its sink, the store or the server of numbers finds out.

use std::path::PathBuf;

use super::raw::RawConfig;
use super::{Cluster, Kind, Merged};
use crate::error::JobResult;
use crate::sink::postgres::address::{Address, Url};

/// Says that nothing is to be written, kept or served there, whatever an earlier layer says.
pub(super) const NONE: &str = "none";
/// Where a live job keeps its checkpoints when nothing is said.
const LIVE_STORE: &str = "orderwatch-checkpoints";
/// The port of a live job, or of the first of its processes on one machine, when nothing is said.
const LIVE_PORT: usize = 8080;

/// Where a job writes beside its console and the directory of a replay, and where it keeps and says how far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// The database with a table for each collection.
    pub postgres: Option<Url>,
    /// The SQLite file with a table for each.
    pub sqlite: Option<PathBuf>,
    /// The brokers with a changelog topic for each; a replay writes none.
    pub kafka: Option<String>,
    /// Where checkpoints are kept.
    pub store: Option<String>,
    /// Where numbers are served, `HOST:PORT`.
    pub served_at: Option<String>,
}

impl Merged {
    /// Where nothing is said a live job keeps checkpoints and serves its numbers, a replay does neither.
    pub(super) fn outputs(&self, kind: Kind, raw: &RawConfig, cluster: &Cluster) -> JobResult<Outputs> {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let written = |text: &str| given(text).filter(|text| text != NONE);
        let of_live = |text: String| Some(text).filter(|_| kind == Kind::Live);
        // Of processes on one machine each has a port of its own.
        let hosts: Vec<&str> =
            cluster.addresses.iter().map(|at| at.rsplit_once(':').map_or(&**at, |(host, _)| host)).collect();
        let before =
            hosts.iter().take(cluster.process).filter(|host| Some(host) == hosts.get(cluster.process).as_ref()).count();
        let store = given(&raw.checkpoint.store).or_else(|| of_live(LIVE_STORE.to_owned()));
        let served_at = given(&raw.serve.address).or_else(|| of_live(format!("127.0.0.1:{}", LIVE_PORT + before)));
        Ok(Outputs {
            postgres: written(&raw.sink.postgres).map(|text| self.postgres(&text)).transpose()?,
            sqlite: written(&raw.sink.sqlite).map(PathBuf::from),
            kafka: written(&raw.sink.kafka),
            store: store.filter(|store| store != NONE),
            served_at: served_at.filter(|address| address != NONE),
        })
    }

    fn postgres(&self, text: &str) -> JobResult<Url> {
        let Ok(url) = text.parse::<Url>();
        // Certificates are for whoever connects, which not every command does.
        Address::check(&url).map_err(|error| error.at(self.origin("sink.postgres")))?;
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use dataflows::model::Rules;

    use super::*;
    use crate::config::{Flag, JobConfig, load};

    fn loaded(kind: Kind, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> JobResult<JobConfig> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let flag = |(key, text): &(&'static str, &str)| Flag { key, flag: "--flag", text: (*text).to_owned() };
        let flags: Vec<Flag> = flags.iter().map(flag).collect();
        load(kind, None, variables, &flags, |_| Ok(Rules::default()))
    }

    #[test]
    fn processes_on_one_machine_serve_at_ports_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = folder.path().join("hosts").display().to_string();
        fs::write(&hosts, "a:2101\nb:2101\n").unwrap();
        let at = |more: &[(&'static str, &str)]| {
            let second = [&[("cluster.processes", "2"), ("cluster.process", "1")][..], more].concat();
            loaded(Kind::Live, &[], &second).unwrap().outputs.served_at.unwrap_or_default()
        };
        assert_eq!(at(&[]), "127.0.0.1:8081");
        assert_eq!(at(&[("cluster.hostfile", hosts.as_str())]), "127.0.0.1:8080");
        fs::write(&hosts, "a:2101\na:2102\n").unwrap();
        assert_eq!(at(&[("cluster.hostfile", hosts.as_str())]), "127.0.0.1:8081");
        assert_eq!(at(&[("serve.address", "0.0.0.0:8080")]), "0.0.0.0:8080");
        assert_eq!(at(&[("serve.address", "none")]), "");
        let first = loaded(Kind::Live, &[], &[("cluster.processes", "2")]).unwrap().outputs;
        assert_eq!(first.served_at.as_deref(), Some("127.0.0.1:8080"));
    }

    #[test]
    fn where_nothing_is_said_a_live_job_keeps_checkpoints_and_a_replay_none() {
        let kept = |kind, variables: &[(&str, &str)]| loaded(kind, variables, &[]).unwrap().outputs.store;
        assert_eq!(loaded(Kind::Bounded, &[], &[]).unwrap().outputs, Outputs::default());
        assert_eq!(kept(Kind::Live, &[]).as_deref(), Some("orderwatch-checkpoints"));
        // Empty is as if nothing was said.
        assert_eq!(kept(Kind::Live, &[("ORDERWATCH__CHECKPOINT__STORE", "")]), kept(Kind::Live, &[]));
        assert_eq!(kept(Kind::Live, &[("ORDERWATCH__CHECKPOINT__STORE", "none")]), None);
        assert_eq!(kept(Kind::Bounded, &[("ORDERWATCH__CHECKPOINT__STORE", "x")]).as_deref(), Some("x"));
        let sinks = ["postgres", "sqlite", "kafka"].map(|sink| format!("ORDERWATCH__SINK__{}", sink.to_uppercase()));
        let none: Vec<(&str, &str)> = sinks.iter().map(|name| (name.as_str(), "none")).collect();
        assert_eq!(loaded(Kind::Bounded, &none, &[]).unwrap().outputs, Outputs::default());
    }

    #[test]
    fn where_no_kind_is_said_brokers_make_it_a_live_job() {
        let kind = |variables: &[(&str, &str)]| {
            let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            load(None::<Kind>, None, variables, &[], |_| Ok(Rules::default())).map(|config| config.kind)
        };
        for (name, brokers, told) in [
            ("KAFKA__BROKERS", "b:1", Kind::Live),
            ("KAFKA__BROKERS", "", Kind::Bounded),
            ("KAFKA__TOPICS", "orders", Kind::Bounded),
            ("SINK__KAFKA", "b:1", Kind::Live),
            ("SINK__KAFKA", "none", Kind::Bounded),
        ] {
            let variable = format!("ORDERWATCH__{name}");
            assert_eq!(kind(&[(variable.as_str(), brokers)]), Ok(told), "{variable}={brokers}");
        }
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        let with = |url| loaded(Kind::Live, &[("ORDERWATCH__SINK__POSTGRES", url)], &[]);
        let config = with("postgresql://me:hunter2@db/shop").unwrap();
        let shown = format!("{config:?}");
        assert!(shown.contains("postgresql://me@db:5432/shop") && !shown.contains("hunter2"), "{shown}");
        for url in ["me:hunter2@db", "postgresql://me:hunter2@db:x/shop", "postgresql://me@db?sslmode=hunter2"] {
            let error = with(url).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("environment variable ORDERWATCH__SINK__POSTGRES"), "{shown}");
            assert!(!shown.contains("hunter2") && error.exit_code() == 2, "{shown}");
        }
        let flag = Flag { key: "sink.postgres", flag: "--postgres", text: "hunter2".to_owned() };
        assert_eq!(format!("{flag:?}"), "--postgres");
    }
}
