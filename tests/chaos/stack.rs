//! Servers that rounds share, and the network between them and the processes of a job.

use std::time::{Duration, Instant};

use orderwatch::clock::partitions::Partition;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::broker::{OwnBroker, answer, delete_topic};
use crate::network::{KAFKA, Network, POSTGRES};
use crate::server::{Database, Server};
use crate::shop::Shop;

/// So many processes a job has at most.
pub const PROCESSES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Stack {
    pub network: Network,
    pub broker: OwnBroker,
    pub postgres: Server,
}

impl Stack {
    pub fn start() -> Option<Stack> {
        let network = Network::new(PROCESSES);
        Some(Stack { network, broker: OwnBroker::start()?, postgres: Server::start()? })
    }

    pub fn shop(&self) -> Shop {
        Shop::on(self.broker.brokers.clone(), Database::on(&self.postgres.url))
    }

    /// All links are whole and all servers run.
    pub fn mend(&self) {
        for process in 0..PROCESSES {
            self.network.join(process);
            let others = (0..PROCESSES).filter(|other| *other != process).map(Network::address);
            let addresses = others.chain([KAFKA, POSTGRES].map(str::to_owned));
            addresses.for_each(|address| self.network.no_longer_divert(process, &address));
        }
        self.broker.restart();
        self.postgres.restart();
    }

    /// The topics that belong to a shop.
    fn partitions(&self, shop: &Shop) -> Vec<Partition> {
        let client: BaseConsumer = self.client("read_committed");
        let found = answer(PATIENCE, || client.fetch_metadata(None, PATIENCE));
        let is_ours = |topic: &str| {
            topic.strip_prefix(&shop.job).is_some_and(|rest| rest.starts_with('.'))
                || shop.topics.split(',').any(|input| input == topic)
        };
        let topics = found.topics().iter().filter(|topic| is_ours(topic.name()));
        let partitions = topics.flat_map(|topic| {
            let name = |number: i32| Partition { topic: topic.name().to_owned(), number };
            topic.partitions().iter().map(move |partition| name(partition.id()))
        });
        partitions.collect()
    }

    fn client(&self, isolation: &str) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.broker.brokers).set("isolation.level", isolation);
        config.create().unwrap()
    }

    /// Whoever reads what is committed comes to the end of every topic, and no session of PostgreSQL is in a transaction.
    pub fn assert_no_transaction_hangs(&self, shop: &Shop) {
        let clients = ["read_committed", "read_uncommitted"].map(|isolation| self.client(isolation));
        let partitions = self.partitions(shop);
        let (mut database, asked) = (shop.database.client(), Instant::now());
        loop {
            let is_open = |Partition { topic, number }: &&Partition| {
                let end =
                    |client: &BaseConsumer| answer(PATIENCE, || client.fetch_watermarks(topic, *number, PATIENCE)).1;
                let [stable, end] = clients.each_ref().map(end);
                stable < end
            };
            let open: Vec<&Partition> = partitions.iter().filter(is_open).collect();
            let sql = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL
                       AND pid <> pg_backend_pid() UNION ALL SELECT gid FROM pg_prepared_xacts";
            let sessions: Vec<String> = database.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect();
            if open.is_empty() && sessions.is_empty() {
                return;
            }
            assert!(asked.elapsed() < PATIENCE, "transactions hang: {open:?} {sessions:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Removes what a round left on the servers.
    pub fn forget(&self, shop: &Shop) {
        let mut topics: Vec<String> = self.partitions(shop).into_iter().map(|partition| partition.topic).collect();
        topics.dedup();
        topics.iter().for_each(|topic| delete_topic(&self.broker.brokers, topic));
    }
}
