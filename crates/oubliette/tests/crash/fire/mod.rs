//! Three nodes of one vault on PostgreSQL with standbys, SeaweedFS and OpenBao, while all of them are killed, paused,
//! restarted and cut off from each other.

mod certificates;
mod net;
mod nodes;
mod patroni;
mod postgres;
mod stores;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use self::certificates::Authority;
use self::net::{NODES, Net};
use self::nodes::Nodes;
use self::postgres::{Postgres, SERVERS};
use self::stores::{Bao, Weed};
use crate::check::hold;
use crate::clients::Clients;
use crate::load::{World, work};
use crate::random::Random;
use crate::rig::{Workspace, count, figure, has_commands, has_namespaces, must};

/// Clients at work.
const CLIENTS: usize = 6;
/// Until nodes are ready once everything is there.
const HEALS: Duration = Duration::from_secs(120);
/// Longer than the lease, shorter than what lets another node take over from a silent one; and longer than that.
const PAUSES_MS: [u64; 2] = [5_000, 14_000];

fn engine(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run through ./test.sh, or see scripts/engines.sh"))
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    NodeKilled,
    NodePaused,
    NodeStopped,
    DatabaseRestarted,
    DatabaseFailedOver,
    BucketGone,
    RootStoreGone,
    LinkCut,
}

const FAULTS: [Fault; 8] = [
    Fault::NodeKilled,
    Fault::NodePaused,
    Fault::NodeStopped,
    Fault::DatabaseRestarted,
    Fault::DatabaseFailedOver,
    Fault::BucketGone,
    Fault::RootStoreGone,
    Fault::LinkCut,
];

/// All that runs.
struct Place<'w> {
    net: &'w Net,
    postgres: Postgres<'w>,
    weed: Weed<'w>,
    bao: Bao<'w>,
    nodes: Nodes<'w>,
}

impl Place<'_> {
    /// Does it, and undoes it after a while.
    async fn suffer(&mut self, fault: Fault, world: &World, random: &mut Random) {
        let node = random.below(NODES as u64) as usize;
        let moment = Duration::from_millis(500 + random.below(4_000));
        match fault {
            Fault::NodeKilled => self.nodes.kill(node),
            Fault::NodeStopped => {
                let ended = self.nodes.stop(node).await;
                // One that was passed over while it was asked to stop says so.
                if !ended.is_none_or(|status| matches!(status.code(), Some(0 | 75 | 1))) {
                    world.complain(format!("node {node} was asked to stop and ended with {ended:?}"));
                }
            }
            Fault::NodePaused => {
                self.nodes.freeze(node);
                let pause = PAUSES_MS[usize::from(random.once_in(4))];
                self.nodes.tend(world, Duration::from_millis(pause)).await;
                self.nodes.thaw(node);
            }
            Fault::DatabaseRestarted => self.postgres.restart(moment).await,
            Fault::DatabaseFailedOver => self.postgres.fail_over(moment).await,
            Fault::BucketGone => self.weed.restart(moment).await,
            Fault::RootStoreGone => self.bao.restart(moment).await,
            Fault::LinkCut => {
                let targets = [self.postgres.primary(), self.weed.address(), self.bao.address()];
                let mut cut: Vec<String> = targets.map(str::to_owned).into();
                cut.extend((0..NODES).filter(|other| *other != node).map(|other| self.net.node(other)));
                if !random.once_in(3) {
                    cut = vec![cut.swap_remove(random.below(cut.len() as u64) as usize)];
                }
                cut.iter().for_each(|address| self.net.cut(node, address));
                self.nodes.tend(world, moment + Duration::from_secs(2)).await;
                cut.iter().for_each(|address| self.net.mend(node, address));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_under_fire_lose_nothing_that_lives_and_serve_nothing_that_is_erased() {
    let test = "fire";
    if !has_commands(test, &["ip", "nsenter", "psql", "curl", "setpriv"]) || !has_namespaces(test) {
        return;
    }
    let span = Duration::from_secs(count("FIRE_SECONDS", 180, 1_800) as u64);
    let mut random = Random::new(test);
    let workspace = Workspace::new(test);
    // PostgreSQL's user must be able to enter it.
    let folder = tempfile::Builder::new().prefix("oubliette-fire-").tempdir().unwrap();
    must("chown", ["postgres:", folder.path().to_str().unwrap()]);
    let net = Net::make(SERVERS + 2);
    let servers: Vec<String> = (0..SERVERS).map(|server| net.server(server)).collect();
    let postgres = Postgres::start(&workspace, folder.path(), servers);
    postgres.sql("postgres", "CREATE DATABASE vault");
    let weed = Weed::start(&workspace, net.server(SERVERS), "vault").await;
    let bao = Bao::start(&workspace, net.server(SERVERS + 1)).await;
    let authority = Authority::new(&workspace);
    let nodes = Nodes::configured(&workspace, &net, |node| {
        config(&workspace, &postgres.authority(), &weed, &bao) + &authority.node(&workspace, node, &net.node(node))
    });
    let mut place = Place { net: &net, postgres, weed, bao, nodes };

    let world: Arc<World> = World::new(&mut random);
    place.nodes.start(0);
    let first = Clients::new(&place.nodes.base(0), &Default::default());
    // The others wait until there is a vault.
    place.nodes.ready_one(&world, &first, HEALS).await;
    let keys = place.nodes.credentials(0);
    let clients = place.nodes.clients(&keys);
    (1..NODES).for_each(|node| place.nodes.start(node));

    let load = Load::begin(&world, &clients, &mut random);
    let (begun, mut faults) = (Instant::now(), BTreeMap::<Fault, usize>::new());
    // Each at least once, as far as time allows, and then at random.
    let mut due = FAULTS.to_vec();
    while begun.elapsed() < span {
        let rest = Duration::from_millis(2_000 + random.below(4_000));
        place.nodes.tend(&world, rest).await;
        let fault = match due.len() {
            0 => FAULTS[random.below(FAULTS.len() as u64) as usize],
            left => due.swap_remove(random.below(left as u64) as usize),
        };
        eprintln!("{:>6.1} s {fault:?}", begun.elapsed().as_secs_f64());
        *faults.entry(fault).or_default() += 1;
        place.suffer(fault, &world, &mut random).await;
        place.nodes.ready(&world, &clients, 1, HEALS).await;
        assert_quiet(&world);
    }
    let (gap, looks) = load.end().await;
    let ready = place.nodes.ready(&world, &clients, NODES, HEALS).await;
    for (number, clients) in ready.iter().enumerate() {
        // All of it at one node; the others are asked for all that lives, and for some of what is gone.
        hold(&world, clients, &mut random, number == 0).await;
    }
    world.settle("at the end");
    let tally = world.ledger.tally();
    figure(
        test,
        &format!(
            "{:.0} s of load on {NODES} nodes through {faults:?}: {} changes answered, longest time without one {:.1} s; \
             {looks} looks at what was erased found nothing; at the end {} live and {} erased items held by {} nodes; \
             nodes that ended by themselves: {:?}",
            begun.elapsed().as_secs_f64(),
            world.answered.load(Ordering::Relaxed),
            gap.as_secs_f64(),
            tally.live,
            tally.deleted,
            ready.len(),
            place.nodes.ends,
        ),
    );
}

/// What must never happen ends the test when it does.
#[track_caller]
fn assert_quiet(world: &World) {
    world.settle("under fire");
}

fn config(workspace: &Workspace, postgres: &str, weed: &Weed<'_>, bao: &Bao<'_>) -> String {
    let path = |name: &str| workspace.path(name).to_str().unwrap().to_owned();
    let keys = format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", Weed::KEY, Weed::SECRET);
    std::fs::write(path("keys"), keys).unwrap();
    std::fs::write(path("token"), &bao.token).unwrap();
    format!(
        "[server]\naccept_plain_http = true\n[log]\nlevel = \"info\"\n\
         [storage]\ndata = \"vault\"\nmetadata = \"postgres://postgres@{}/vault?sslmode=disable\"\n\
         blobs = \"s3://vault/contents\"\naccept_unverified_register = true\n\
         [s3]\nendpoint = \"{}\"\nallow_http = true\ncredentials = \"file\"\ncredentials_file = \"{}\"\n\
         [root]\nclass = \"openbao\"\n[openbao]\naddress = \"{}\"\ntoken_file = \"{}\"\nca_file = \"{}\"\n",
        postgres,
        weed.url(),
        path("keys"),
        bao.url(),
        path("token"),
        path("ca.pem"),
    )
}

/// Clients at work on all nodes, and one that looks for what was erased.
struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
    watch: tokio::task::JoinHandle<Duration>,
    ghosts: tokio::task::JoinHandle<u64>,
}

impl Load {
    fn begin(world: &Arc<World>, nodes: &[Clients], random: &mut Random) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(roam(Arc::clone(world), nodes.to_vec(), random.fork(), Arc::clone(&stop)));
        }
        let watch = tokio::spawn(longest_silence(Arc::clone(world), Arc::clone(&stop)));
        let ghosts = tokio::spawn(look_for_ghosts(Arc::clone(world), nodes.to_vec(), random.fork(), Arc::clone(&stop)));
        Self { stop, clients, watch, ghosts }
    }

    /// The longest time without an answered change, and how often something erased was looked for.
    async fn end(mut self) -> (Duration, u64) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client does not panic");
        }
        (self.watch.await.unwrap(), self.ghosts.await.unwrap())
    }
}

/// A client that goes to another node when one is silent.
async fn roam(world: Arc<World>, nodes: Vec<Clients>, mut random: Random, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let node = &nodes[random.below(nodes.len() as u64) as usize];
        // Nobody there at all is not worth a declaration in doubt.
        if node.get("/healthz").await.is_some() {
            work(Arc::clone(&world), node.clone(), random.fork(), Arc::clone(&stop)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whatever was answered as erased is asked for on every node, all the time.
async fn look_for_ghosts(world: Arc<World>, nodes: Vec<Clients>, mut random: Random, stop: Arc<AtomicBool>) -> u64 {
    let mut looks = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(item) = world.ledger.erased(random.next()) else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        for (number, node) in nodes.iter().enumerate() {
            for content in &item.contents {
                let reply = match random.below(2) {
                    0 => node.native_content(item.id(), &content.key).await,
                    _ => node.vonage_content(item.id(), &content.key).await,
                };
                looks += u64::from(reply.is_some());
                if reply.is_some_and(|reply| reply.status.is_success()) {
                    world.complain(format!("node {number} serves {} of the erased {}", content.key, item.id()));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    looks
}

async fn longest_silence(world: Arc<World>, stop: Arc<AtomicBool>) -> Duration {
    let (mut longest, mut since, mut seen) = (Duration::ZERO, Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let now = world.answered.load(Ordering::Relaxed);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        longest = longest.max(since.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    longest
}
