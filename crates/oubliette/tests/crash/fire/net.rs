//! A network of its own: a bridge on this machine, an address for each server, a namespace for each node.
//!
//! A link between a node and a server is cut by a route that swallows what the node sends there: connections that are open
//! stall, as they do when a switch dies, and new ones find nobody.

use std::process;

use crate::rig::{must, run};

/// Nodes in it.
pub const NODES: usize = 3;

/// The network; gone when dropped.
pub struct Net {
    bridge: String,
    subnet: String,
}

impl Net {
    /// Makes it, with addresses for `servers` servers.
    pub fn make(servers: usize) -> Self {
        let pid = process::id();
        // Of the addresses for private use, and apart from what another run on this machine takes.
        let subnet = format!("10.{}.{}", 180 + pid % 60, pid / 60 % 250);
        let net = Self { bridge: format!("obf{pid}"), subnet };
        let bridge = net.bridge.as_str();
        must("ip", ["link", "add", bridge, "type", "bridge"]);
        must("ip", ["addr", "add", &format!("{}.1/24", net.subnet), "dev", bridge]);
        for server in 0..servers {
            must("ip", ["addr", "add", &format!("{}/24", net.server(server)), "dev", bridge]);
        }
        must("ip", ["link", "set", bridge, "up"]);
        for node in 0..NODES {
            let (name, near, far) = (net.namespace(node), format!("{bridge}n{node}"), format!("{bridge}f{node}"));
            must("ip", ["netns", "add", &name]);
            must("ip", ["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &name]);
            must("ip", ["link", "set", &near, "master", bridge, "up"]);
            must("ip", ["-n", &name, "addr", "add", &format!("{}/24", net.node(node)), "dev", &far]);
            must("ip", ["-n", &name, "link", "set", &far, "up"]);
            must("ip", ["-n", &name, "link", "set", "lo", "up"]);
        }
        net
    }

    /// The address of a server.
    pub fn server(&self, number: usize) -> String {
        format!("{}.{}", self.subnet, 11 + number)
    }

    /// The address of a node.
    pub fn node(&self, number: usize) -> String {
        format!("{}.{}", self.subnet, 101 + number)
    }

    /// The name of a node's namespace.
    pub fn namespace(&self, node: usize) -> String {
        format!("{}x{node}", self.bridge)
    }

    /// How `nsenter` is told to enter it. `ip netns exec` would copy all mounts of this moment as well, and keep the disks of
    /// other rigs alive that are being taken away.
    pub fn entry(&self, node: usize) -> String {
        format!("--net=/run/netns/{}", self.namespace(node))
    }

    /// From now on nothing that the node sends reaches this address.
    pub fn cut(&self, node: usize, address: &str) {
        must("ip", ["-n", &self.namespace(node), "route", "add", "blackhole", &format!("{address}/32")]);
    }

    /// Mends [`Net::cut`].
    pub fn mend(&self, node: usize, address: &str) {
        let _ = run("ip", ["-n", &self.namespace(node), "route", "del", "blackhole", &format!("{address}/32")]);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for node in 0..NODES {
            let _ = run("ip", ["netns", "del", &self.namespace(node)]);
        }
        let _ = run("ip", ["link", "del", &self.bridge]);
    }
}
