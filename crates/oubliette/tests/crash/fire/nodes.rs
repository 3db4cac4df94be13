//! The nodes, started again when they end, as a service manager does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::net::{NODES, Net};
use crate::clients::{Clients, Keys};
use crate::load::World;
use crate::program::binary;
use crate::rig::{Process, Workspace, must, run};

/// Where each node listens.
const PORT: u16 = 8080;
/// Before a node that ended is started again.
const PAUSE: Duration = Duration::from_millis(500);
/// How often the nodes are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A node that was passed over, as the manual has it.
const PASSED_OVER: i32 = 75;
/// A start that failed, since a server was not there.
const FAILED: i32 = 1;

/// The nodes of one vault.
pub struct Nodes<'w> {
    workspace: &'w Workspace,
    net: &'w Net,
    processes: Vec<Option<Process>>,
    /// When a node is to be started that ended; never for one that was not started yet.
    due: Vec<Option<Instant>>,
    /// How often nodes ended by themselves, by exit code.
    pub ends: BTreeMap<String, usize>,
}

impl<'w> Nodes<'w> {
    /// With this configuration for each; none is started yet.
    pub fn configured(workspace: &'w Workspace, net: &'w Net, config: impl Fn(usize) -> String) -> Self {
        for node in 0..NODES {
            let folder = workspace.path(&format!("node{node}"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("oubliette.toml"), config(node)).unwrap();
        }
        let (processes, due) = ((0..NODES).map(|_| None).collect(), vec![None; NODES]);
        Self { workspace, net, processes, due, ends: BTreeMap::new() }
    }

    /// Where a node is asked.
    pub fn base(&self, node: usize) -> String {
        format!("http://{}:{PORT}", self.net.node(node))
    }

    /// Clients of every node.
    pub fn clients(&self, keys: &Keys) -> Vec<Clients> {
        (0..NODES).map(|node| Clients::new(&self.base(node), keys)).collect()
    }

    fn config(&self, node: usize) -> String {
        self.workspace.path(&format!("node{node}/oubliette.toml")).to_str().unwrap().to_owned()
    }

    /// What a node logged.
    pub fn log(&self, node: usize) -> PathBuf {
        self.workspace.path(&format!("node{node}.log"))
    }

    /// Starts a node.
    pub fn start(&mut self, node: usize) {
        let (config, listen) = (self.config(node), format!("{}:{PORT}", self.net.node(node)));
        let (space, program) = (self.net.entry(node), binary().to_str().unwrap());
        let arguments = [&space, program, "serve", "--config", &config, "--listen", &listen];
        let log = self.log(node);
        self.processes[node] =
            Some(Process::start(self.workspace, std::path::Path::new("nsenter"), &arguments, &[], &log));
    }

    /// Credentials, made through a running node.
    pub fn credentials(&self, node: usize) -> Keys {
        let (config, space) = (self.config(node), self.net.entry(node));
        let command = [&space, binary().to_str().unwrap(), "token", "create", "--config", &config];
        Keys::make(|more| must("nsenter", command.iter().chain(more)))
    }

    /// Lets time pass, and starts what ended.
    pub async fn tend(&mut self, world: &World, span: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < span {
            for node in 0..NODES {
                match self.processes[node].as_mut().map(Process::ended) {
                    Some(Some(status)) => self.ended(world, node, status),
                    None if self.due[node].is_some_and(|due| due <= Instant::now()) => self.start(node),
                    _ => {}
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn ended(&mut self, world: &World, node: usize, status: ExitStatus) {
        *self.ends.entry(status.to_string()).or_default() += 1;
        if !matches!(status.code(), Some(PASSED_OVER | FAILED)) {
            let log = run("tail", ["-n", "20", self.log(node).to_str().unwrap()]).unwrap_or_default();
            world.complain(format!("node {node} ended with {status}\n{log}"));
        }
        self.down(node);
    }

    fn down(&mut self, node: usize) {
        self.processes[node] = None;
        self.due[node] = Some(Instant::now() + PAUSE);
    }

    /// Kills a node.
    pub fn kill(&mut self, node: usize) {
        self.down(node);
    }

    /// Asks a node to stop and waits for that; how it ended.
    pub async fn stop(&mut self, node: usize) -> Option<ExitStatus> {
        let mut process = self.processes[node].take()?;
        process.terminate();
        let ended = tokio::task::spawn_blocking(move || process.wait(Duration::from_secs(60))).await.unwrap();
        self.down(node);
        ended
    }

    /// Stops a node where it stands.
    pub fn freeze(&self, node: usize) {
        if let Some(process) = &self.processes[node] {
            process.freeze();
        }
    }

    /// Lets it go on.
    pub fn thaw(&self, node: usize) {
        if let Some(process) = &self.processes[node] {
            process.thaw();
        }
    }

    /// Waits until the node behind these clients is ready.
    pub async fn ready_one(&mut self, world: &World, clients: &Clients, limit: Duration) {
        self.ready(world, std::slice::from_ref(clients), 1, limit).await;
    }

    /// Waits until as many nodes are ready; the clients that they answer.
    pub async fn ready(
        &mut self,
        world: &World,
        clients: &[Clients],
        at_least: usize,
        limit: Duration,
    ) -> Vec<Clients> {
        let begun = Instant::now();
        loop {
            let mut ready = Vec::new();
            for clients in clients {
                if clients.get("/readyz").await.is_some_and(|reply| reply.status == 200) {
                    ready.push(clients.clone());
                }
            }
            if ready.len() >= at_least {
                return ready;
            }
            if begun.elapsed() > limit {
                let tails = (0..NODES).map(|node| run("tail", ["-n", "12", self.log(node).to_str().unwrap()]));
                let tails: Vec<_> = tails.map(Result::unwrap_or_default).collect();
                panic!("{} of {at_least} nodes are ready after {limit:?}\n{}", ready.len(), tails.join("\n---\n"));
            }
            self.tend(world, LOOK).await;
        }
    }
}
