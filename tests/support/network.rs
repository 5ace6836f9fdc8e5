//! A network of a test's own: processes in namespaces on one bridge, whose links can be cut without a word.
//!
//! A test is run once more in namespaces of its own, for network, mounts and processes: whatever becomes of it, nothing
//! stays behind and nobody else is disturbed. That takes root and Linux; where it cannot be had it is said by name.

#![allow(dead_code)] // every test takes what it needs

use std::process::{Command, Stdio};

use crate::run::lacks;

const INSIDE: &str = "ORDERWATCH_TEST_NAMESPACE";
const SCOPE: [&str; 7] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];
/// Where nobody is.
const NOBODY: &str = "02:00:00:00:00:99";
/// Where servers listen.
pub const KAFKA: &str = "10.77.0.1";
pub const POSTGRES: &str = "10.77.0.254";

/// True in the namespaces of the test of this name. Outside, the test is run there, and this is false.
pub fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let probe = ["sh", "-c", "ip link add name probe type bridge && ip netns list"];
    if !Command::new("unshare").args(SCOPE).args(probe).output().is_ok_and(|ended| ended.status.success()) {
        lacks("namespaces (they take root, util-linux and iproute2)");
        return false;
    }
    let mut command = Command::new("unshare");
    // The shell is there to bury those whose parents are gone, as the first process of a machine does.
    command.args(SCOPE).args(["sh", "-c", "\"$@\"; exit $?", "sh"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command.env(INSIDE, "1").env("ORDERWATCH_KAFKA_HOST", KAFKA).env("ORDERWATCH_POSTGRES_HOST", POSTGRES);
    assert!(command.stdin(Stdio::null()).status().unwrap().success(), "{test} failed");
    false
}

pub struct Network;

impl Network {
    /// Of so many processes.
    pub fn new(processes: usize) -> Network {
        sh(
            "mkdir -p /run/netns && mount -t tmpfs none /run/netns && ip link set lo up && ip link add name bridge type bridge",
        );
        sh(&format!(
            "ip addr add {KAFKA}/24 dev bridge && ip addr add {POSTGRES}/24 dev bridge && ip link set bridge up"
        ));
        for number in 0..processes {
            let address = Network::address(number);
            sh(&format!("ip netns add p{number} && ip link add v{number} type veth peer name eth0 netns p{number}"));
            sh(&format!("ip link set v{number} master bridge up && ip -n p{number} addr add {address}/24 dev eth0"));
            sh(&format!("ip -n p{number} link set lo up && ip -n p{number} link set eth0 up"));
        }
        Network
    }

    pub fn address(process: usize) -> String {
        format!("10.77.0.{}", process + 2)
    }

    /// The same command, on the machine of a process.
    pub fn at(&self, process: usize, command: &Command) -> Command {
        let mut moved = Command::new("nsenter");
        moved.arg(format!("--net=/run/netns/p{process}")).arg(command.get_program()).args(command.get_args());
        moved.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).stdin(Stdio::null());
        moved.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        moved
    }

    /// What is sent from or to this process is lost, until it is joined again.
    pub fn cut(&self, process: usize) {
        sh(&format!("ip link set v{process} nomaster"));
    }

    pub fn join(&self, process: usize) {
        sh(&format!("ip link set v{process} master bridge"));
    }

    /// What a process sends to an address is lost.
    pub fn divert(&self, process: usize, address: &str) {
        sh(&format!("ip -n p{process} neigh replace {address} lladdr {NOBODY} dev eth0 nud permanent"));
    }

    pub fn no_longer_divert(&self, process: usize, address: &str) {
        sh(&format!("ip -n p{process} neigh del {address} dev eth0 2>/dev/null; true"));
    }
}

pub fn sh(script: &str) {
    let ended = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).output().unwrap();
    assert!(ended.status.success(), "{script}: {}", String::from_utf8_lossy(&ended.stderr));
}
