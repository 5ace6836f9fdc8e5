//! What can go wrong, one kind a round.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::inputs::Chance;
use crate::job::Job;
use crate::network::{KAFKA, Network, POSTGRES, sh};
use crate::shop::Shop;
use crate::stack::Stack;

/// So long a moment is waited for that is to be hit.
const PATIENCE: Duration = Duration::from_secs(20);
/// A lost peer is noticed within ten seconds, and a machine may stand still meanwhile; those that are cut off say so by
/// ending.
const NOTICED_WITHIN: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    JobKilled,
    OneOfThreeKilled,
    PostgresKilled,
    KafkaKilled,
    LinkBetweenProcesses,
    LinkToKafka,
    LinkToPostgres,
    DiskFull,
    KilledInCheckpoint,
    KilledInCommit,
    CheckpointDamaged,
}

use Kind::*;

impl Kind {
    pub const ALL: [Kind; 11] = [
        CheckpointDamaged,
        JobKilled,
        LinkBetweenProcesses,
        KilledInCommit,
        KafkaKilled,
        DiskFull,
        OneOfThreeKilled,
        LinkToKafka,
        PostgresKilled,
        KilledInCheckpoint,
        LinkToPostgres,
    ];

    pub fn name(self) -> String {
        format!("{self:?}")
    }

    pub fn wants_three(self) -> bool {
        matches!(self, OneOfThreeKilled | LinkBetweenProcesses)
    }

    /// Does it, and mends it where that is not the job's to do.
    pub fn strike(self, stack: &Stack, shop: &Shop, job: &mut Job<'_>, chance: &mut Chance) {
        let while_ = Duration::from_millis(100 + chance.below(3_000) as u64);
        match self {
            // As often as not it is killed again while it takes up its checkpoint.
            JobKilled => {
                job.kill_all(chance);
                if chance.below(2) == 0 {
                    job.pass(Duration::from_millis(100 + chance.below(500) as u64));
                    job.kill_all(chance);
                }
            }
            OneOfThreeKilled => job.kill(chance.below(3)),
            PostgresKilled => {
                stack.postgres.kill();
                outage(job, while_, chance);
                stack.postgres.restart();
            }
            KafkaKilled => {
                stack.broker.kill();
                outage(job, while_, chance);
                stack.broker.restart();
            }
            LinkBetweenProcesses => {
                let one = chance.below(3);
                let other = (one + 1 + chance.below(2)) % 3;
                // Before they are connected there is nothing to be lost.
                job.until("the job works", PATIENCE, |_| shop.frontier() > 0);
                let starts = job.starts;
                stack.network.divert(one, &Network::address(other));
                stack.network.divert(other, &Network::address(one));
                job.until("the cut is noticed", NOTICED_WITHIN, |job| {
                    [one, other].iter().all(|process| job.starts[*process] > starts[*process])
                });
                stack.network.no_longer_divert(one, &Network::address(other));
                stack.network.no_longer_divert(other, &Network::address(one));
            }
            LinkToKafka | LinkToPostgres => {
                let process = if self == LinkToKafka { chance.below(job.processes()) } else { 0 };
                let address = if self == LinkToKafka { KAFKA } else { POSTGRES };
                // Long enough for a connection to be given up, now and then.
                let while_ = while_ * if chance.below(4) == 0 { 5 } else { 1 };
                stack.network.divert(process, address);
                outage(job, while_, chance);
                stack.network.no_longer_divert(process, address);
            }
            DiskFull => {
                let disk = shop.checkpoints();
                let rest = disk.join("rest");
                sh(&format!("dd if=/dev/zero of={} bs=4k status=none 2>/dev/null; true", rest.display()));
                outage(job, while_, chance);
                fs::remove_file(rest).unwrap();
            }
            KilledInCheckpoint => {
                // What has parts but no manifest is being written, or is to be removed.
                job.until("a checkpoint is written", PATIENCE, |_| {
                    let names = |folder: &str| -> Vec<String> {
                        let entries = fs::read_dir(shop.checkpoints().join(&shop.job).join(folder));
                        entries
                            .into_iter()
                            .flatten()
                            .flatten()
                            .map(|entry| entry.file_name().display().to_string())
                            .collect()
                    };
                    let (parts, manifests) = (names("parts"), names("manifests"));
                    parts.last().is_some() && parts.iter().any(|part| !manifests.contains(&format!("{part}.json")))
                });
                job.kill_all(chance);
            }
            KilledInCommit => {
                let mut database = shop.database.client();
                let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND
                           pid <> pg_backend_pid() AND xact_start IS NOT NULL AND (query LIKE 'COPY%' OR query LIKE '%INSERT%'
                           OR query LIKE 'COMMIT%' OR query LIKE 'UPDATE%' OR query LIKE 'WITH%')";
                let is_committing =
                    |database: &mut postgres::Client| database.query_one(sql, &[]).unwrap().get::<_, i64>(0) > 0;
                job.until("a sink commits", PATIENCE, |_| is_committing(&mut database));
                std::thread::sleep(Duration::from_millis(chance.below(8) as u64));
                job.kill_all(chance);
            }
            CheckpointDamaged => damage(shop, job, chance),
        }
    }
}

/// Lets time go by; one time in three the job is killed in between, and has to find its way while something is away.
fn outage(job: &mut Job<'_>, while_: Duration, chance: &mut Chance) {
    job.pass(while_ / 2);
    if chance.below(3) == 0 {
        job.kill_all(chance);
    }
    job.pass(while_ / 2);
}

/// Kills the job and damages its newest checkpoint, of at least two.
fn damage(shop: &Shop, job: &mut Job<'_>, chance: &mut Chance) {
    let store = shop.checkpoints().join(&shop.job);
    let sorted = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        // What is still being written has another name.
        paths.retain(|path| !path.display().to_string().contains('#'));
        paths.sort();
        paths
    };
    let manifests = || sorted(store.join("manifests"));
    job.until("there are checkpoints", PATIENCE, |_| manifests().len() > 1);
    job.kill_all(chance);
    let killed = Instant::now();
    let newest = manifests().pop().unwrap();
    let parts = sorted(store.join("parts").join(newest.file_stem().unwrap()));
    let victim = if chance.below(2) == 0 { newest } else { parts[chance.below(parts.len())].clone() };
    let mut bytes = fs::read(&victim).unwrap();
    match chance.below(3) {
        0 => drop(fs::remove_file(&victim)),
        1 => fs::write(&victim, &bytes[..chance.below(bytes.len())]).unwrap(),
        _ => {
            let place = chance.below(bytes.len());
            bytes[place] ^= 1 << chance.below(8);
            fs::write(&victim, bytes).unwrap();
        }
    }
    assert!(killed.elapsed() < Duration::from_secs(5));
}
