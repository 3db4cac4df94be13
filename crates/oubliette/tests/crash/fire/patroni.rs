//! A cluster that Patroni and etcd keep: the leader's machine dies, and nobody but they decides who is next.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::net::Net;
use super::nodes::Nodes;
use super::stores::{Bao, Weed};
use super::{HEALS, Load, config};
use crate::check::hold;
use crate::clients::Clients;
use crate::load::World;
use crate::random::Random;
use crate::rig::{Process, Workspace, figure, has_commands, has_namespaces, must, run};

const PORT: u16 = 5432;
const MEMBERS: usize = 3;

/// The cluster.
struct Cluster<'w> {
    workspace: &'w Workspace,
    folder: PathBuf,
    addresses: Vec<String>,
    members: Vec<Option<Process>>,
    _etcd: Process,
}

impl<'w> Cluster<'w> {
    fn start(workspace: &'w Workspace, folder: &Path, addresses: Vec<String>, etcd: &str) -> Self {
        let (client, peer) = (format!("http://{etcd}:2379"), format!("http://{etcd}:2380"));
        let data = folder.join("etcd");
        let arguments = [
            "--name=only",
            &format!("--data-dir={}", data.display()),
            &format!("--listen-client-urls={client}"),
            &format!("--advertise-client-urls={client}"),
            &format!("--listen-peer-urls={peer}"),
            &format!("--initial-advertise-peer-urls={peer}"),
            &format!("--initial-cluster=only={peer}"),
        ];
        let log = workspace.path("etcd.log");
        let etcd_process = Process::start(workspace, Path::new("etcd"), &arguments, &[], &log);
        let members = (0..MEMBERS).map(|_| None).collect();
        let mut cluster = Self { workspace, folder: folder.to_owned(), addresses, members, _etcd: etcd_process };
        for member in 0..MEMBERS {
            cluster.configure(member, etcd);
            cluster.run(member);
            if member == 0 {
                cluster.until(1);
            }
        }
        cluster.until(MEMBERS);
        cluster
    }

    fn configure(&self, member: usize, etcd: &str) {
        let address = &self.addresses[member];
        let text = format!(
            "scope: vault\nname: pg{member}\nrestapi: {{listen: '{address}:8008', connect_address: '{address}:8008'}}\n\
             etcd3: {{hosts: ['{etcd}:2379']}}\nbootstrap:\n  dcs: {{ttl: 20, loop_wait: 2, retry_timeout: 5, \
             synchronous_mode: true, postgresql: {{use_pg_rewind: true, parameters: {{max_connections: 200, \
             shared_buffers: 64MB, wal_level: replica, hot_standby: 'on', max_wal_senders: 8, max_replication_slots: 8}}}}}}\n  \
             initdb: [{{encoding: UTF8}}, {{locale: C.UTF-8}}, data-checksums, {{auth-host: trust}}, {{auth-local: trust}}]\n  \
             pg_hba: ['host replication all 10.0.0.0/8 trust', 'host all all 10.0.0.0/8 trust']\npostgresql:\n  \
             listen: '{address}:{PORT}'\n  connect_address: '{address}:{PORT}'\n  data_dir: {folder}/p{member}\n  pgpass: {folder}/pass{member}\n  \
             bin_dir: /usr/lib/postgresql/15/bin\n  authentication: {{superuser: {{username: postgres, password: x}}, \
             replication: {{username: repl, password: x}}, rewind: {{username: rew, password: x}}}}\n  \
             parameters: {{unix_socket_directories: '{folder}'}}\n",
            folder = self.folder.display(),
        );
        std::fs::write(self.folder.join(format!("p{member}.yml")), text).unwrap();
    }

    /// Patroni and the PostgreSQL that it starts, in a namespace of processes: when one dies all do, as a machine's.
    fn run(&mut self, member: usize) {
        let file = self.folder.join(format!("p{member}.yml"));
        let arguments = [
            "--pid",
            "--mount-proc",
            "--fork",
            "--kill-child=KILL",
            "--",
            "setpriv",
            "--reuid=postgres",
            "--regid=postgres",
            "--init-groups",
            "--pdeathsig",
            "KILL",
            "--",
            "patroni",
            file.to_str().unwrap(),
        ];
        let log = self.workspace.path(&format!("p{member}.log"));
        self.members[member] = Some(Process::start(self.workspace, Path::new("unshare"), &arguments, &[], &log));
    }

    /// Members that follow or lead, as one that runs tells.
    fn running(&self) -> usize {
        let told = (0..MEMBERS).filter(|member| self.members[*member].is_some()).find_map(|member| {
            run("curl", ["-sf", "-m", "2", &format!("http://{}:8008/cluster", self.addresses[member])]).ok()
        });
        let told: serde_json::Value = serde_json::from_str(&told.unwrap_or_default()).unwrap_or_default();
        let members = told["members"].as_array().cloned().unwrap_or_default();
        members.iter().filter(|member| matches!(member["state"].as_str(), Some("running" | "streaming"))).count()
    }

    fn until(&self, count: usize) {
        let begun = Instant::now();
        while self.running() < count || self.leader().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(120), "{} of {count} members run", self.running());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn leader(&self) -> Option<usize> {
        (0..MEMBERS).filter(|member| self.members[*member].is_some()).find(|member| {
            run("curl", ["-sf", "-m", "2", &format!("http://{}:8008/leader", self.addresses[*member])]).is_ok()
        })
    }

    fn authority(&self) -> String {
        self.addresses.iter().map(|address| format!("{address}:{PORT}")).collect::<Vec<_>>().join(",")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fail_over_that_patroni_decides_loses_nothing_that_was_answered() {
    let test = "patroni";
    if !has_commands(test, &["ip", "nsenter", "psql", "curl", "setpriv", "unshare", "patroni", "etcd"])
        || !has_namespaces(test)
    {
        return;
    }
    let mut random = Random::new(test);
    let workspace = Workspace::new(test);
    let folder = tempfile::Builder::new().prefix("oubliette-fire-").tempdir().unwrap();
    must("chown", ["postgres:", folder.path().to_str().unwrap()]);
    let net = Net::make(MEMBERS + 3);
    let weed = Weed::start(&workspace, net.server(MEMBERS), "vault").await;
    let bao = Bao::start(&workspace, net.server(MEMBERS + 1)).await;
    let addresses = (0..MEMBERS).map(|member| net.server(member)).collect();
    let mut cluster = Cluster::start(&workspace, folder.path(), addresses, &net.server(MEMBERS + 2));
    let leader = cluster.leader().unwrap();
    let url = format!("postgres://postgres@{}:{PORT}/postgres", cluster.addresses[leader]);
    must("psql", ["-qAt", "-c", "CREATE DATABASE vault", &url]);

    let mut nodes = Nodes::configured(&workspace, &net, |_| config(&workspace, &cluster.authority(), &weed, &bao));
    let world: Arc<World> = World::new(&mut random);
    nodes.start(0);
    let first = Clients::new(&nodes.base(0), &Default::default());
    nodes.ready_one(&world, &first, HEALS).await;
    let keys = nodes.credentials(0);
    let clients = [Clients::new(&nodes.base(0), &keys)];
    let load = Load::begin(&world, &clients, &mut random);
    nodes.tend(&world, Duration::from_secs(5)).await;

    let answered = world.answered.load(std::sync::atomic::Ordering::Relaxed);
    assert!(answered > 0, "clients are at work");
    // Nothing tells Patroni: its lock runs out.
    cluster.members[leader] = None;
    let begun = Instant::now();
    let successor = loop {
        match cluster.leader() {
            Some(successor) if successor != leader => break successor,
            _ => assert!(begun.elapsed() < Duration::from_secs(90), "nobody takes over"),
        }
        nodes.tend(&world, Duration::from_millis(200)).await;
    };
    let took = begun.elapsed();
    let seen = world.answered.load(std::sync::atomic::Ordering::Relaxed);
    cluster.run(leader);
    let begun = Instant::now();
    while world.answered.load(std::sync::atomic::Ordering::Relaxed) < seen + 50 {
        assert!(begun.elapsed() < HEALS, "the vault serves again");
        nodes.tend(&world, Duration::from_millis(200)).await;
    }
    let (gap, _) = load.end().await;
    nodes.ready_one(&world, &clients[0], HEALS).await;
    hold(&world, &clients[0], &mut random, true).await;
    world.settle("after the fail-over");
    let tally = world.ledger.tally();
    figure(
        test,
        &format!(
            "member {successor} took over from {leader} after {:.1} s; {} changes answered, longest time without one {:.1} s; {} \
             live and {} erased items held; nodes that ended by themselves: {:?}",
            took.as_secs_f64(),
            world.answered.load(std::sync::atomic::Ordering::Relaxed),
            gap.as_secs_f64(),
            tally.live,
            tally.deleted,
            nodes.ends,
        ),
    );
}
