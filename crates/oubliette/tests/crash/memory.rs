//! What a running process still holds in its memory of what it erased, and of the keys it destroyed.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use oubliette_store::remnants::{Marker, Scanner};

use crate::clients::{Clients, Outcome};
use crate::load::now;
use crate::program::Program;
use crate::rig::{Process, Workspace, figure, has_loop_devices};

/// Looks through the memory of a process.
struct Memory<'p> {
    process: &'p Process,
    scanned: usize,
}

impl Memory<'_> {
    /// How often each marker stands in it, in any form, but for its stacks.
    fn count(&mut self, markers: &[Marker]) -> Vec<usize> {
        let scanner = Scanner::new(markers).unwrap();
        let memory = File::open(format!("/proc/{}/mem", self.process.id())).expect("root reads any process");
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.process.id())).unwrap();
        let (mut counts, mut buffer) = (vec![0; markers.len()], Vec::new());
        let stacks = self.stack_pointers();
        self.scanned = 0;
        for line in maps.lines() {
            let mut fields = line.split_whitespace();
            let (range, mode) = (fields.next().unwrap(), fields.next().unwrap());
            let (from, to) = range.split_once('-').unwrap();
            let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
            let stack = stacks.iter().any(|pointer| (from..to).contains(pointer));
            if !mode.starts_with('r') || stack || line.ends_with("[vvar]") || line.ends_with("[vsyscall]") {
                continue;
            }
            let mut bytes = vec![0; (to - from) as usize];
            // What lies behind the end of a mapped file, or is gone meanwhile, cannot be read.
            if memory.read_exact_at(&mut bytes, from).is_ok() {
                self.scanned += bytes.len();
                scanner.scan_reader(&bytes[..], &mut buffer, |_, marker, _| counts[marker] += 1, |_| ()).unwrap();
            }
        }
        counts
    }

    /// Where its threads' stacks are. What lies there is not claimed: the digits of a number, short enough to be passed by
    /// value, stay on one until a later call writes over them.
    fn stack_pointers(&self) -> Vec<u64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap().flatten();
        let pointer = |task: fs::DirEntry| {
            let call = fs::read_to_string(task.path().join("syscall")).ok()?;
            let pointer = call.split_whitespace().rev().nth(1)?;
            u64::from_str_radix(pointer.strip_prefix("0x")?, 16).ok()
        };
        tasks.filter_map(pointer).collect()
    }

    /// Waits until none of the markers is found; which still are when that does not come.
    fn until_none(&mut self, markers: &[Marker]) -> Vec<usize> {
        let begun = Instant::now();
        loop {
            let counts = self.count(markers);
            if counts.iter().all(|count| *count == 0) || begun.elapsed() > Duration::from_secs(20) {
                return counts;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// The root keys in a register: of each slot that holds one, by the layout that `keyforest::root` gives.
fn root_keys(register: &Path) -> Vec<Marker> {
    let bytes = fs::read(register.join("register")).unwrap();
    let slots = bytes.chunks(4096).filter(|slot| slot.starts_with(b"KFSLOT01"));
    slots.map(|slot| Marker::Bytes(slot[16..48].to_vec())).collect()
}

/// A request whose head stops in its midst: the program must hold what it was sent.
fn stalled(program: &Program<'_>, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(program.base().trim_start_matches("http://")).unwrap();
    stream.write_all(&[b"GET /readyz HTTP/1.1\r\nhost: vault\r\nx-control: ", bytes].concat()).unwrap();
    stream
}

/// Stores a call whose every text holds the word; its id.
async fn store(clients: &Clients, word: &str, phone: &str) -> String {
    let Outcome::Done(id) = clients.native_create(&format!("{word}-session"), phone, &now()).await else {
        panic!("the call is stored")
    };
    let words = word.repeat(20_000);
    let put = clients.native_put(&id, "transcript", "application/json", words.as_bytes()).await;
    assert!(matches!(put, Outcome::Done(())), "{put:?}");
    id
}

#[tokio::test]
async fn a_running_process_holds_nothing_of_what_it_erased_and_no_root_key() {
    let test = "memory";
    if !has_loop_devices(test) {
        return;
    }
    let workspace = Workspace::new(test);
    let register = workspace.path("register");
    let program = Program::create(&workspace, &workspace.path("data"), &register).await;
    let mut running = program.start().await;
    let kept = store(&running.clients, "zqkeptvx", "+17375550001").await;
    let erased = store(&running.clients, "zqerasedvx", "+17375550002").await;
    let mut keys = root_keys(&register);
    assert!(!keys.is_empty(), "the register holds a root");

    // Control: what the program holds is found, words and bytes, and goes with the connection.
    let control = [&b"zqcontrolvx"[..], &[0x9d; 16], &[0x3e; 16]].concat();
    let markers = [Marker::Text("zqcontrolvx".to_owned()), Marker::Bytes(control[11..].to_vec())];
    let stream = stalled(&program, &control);
    let mut memory = Memory { process: &running.process, scanned: 0 };
    let begun = Instant::now();
    while memory.count(&markers).contains(&0) {
        assert!(begun.elapsed() < Duration::from_secs(20), "control: a stalled request is not found in memory");
    }
    drop(stream);
    assert_eq!(memory.until_none(&markers), [0, 0], "of a request that broke off");

    // Used in every way, then erased. A new client has new connections: the buffers of the old ones go with them.
    for id in [&kept, &erased] {
        assert_eq!(running.clients.native_content(id, "transcript").await.unwrap().status, 200);
        assert_eq!(running.clients.native_interaction(id).await.unwrap().status, 200);
    }
    assert!(matches!(running.clients.native_delete(&erased).await, Outcome::Done(())));
    assert_eq!(running.clients.native_interaction(&erased).await.unwrap().status, 410);
    running.clients = Clients::new(program.base(), program.keys());
    let mut memory = Memory { process: &running.process, scanned: 0 };
    keys.extend(root_keys(&register));
    let markers =
        [Marker::Text("zqerasedvx".to_owned()), Marker::Bytes(b"7375550002".to_vec())].into_iter().chain(keys);
    let markers: Vec<_> = markers.collect();
    let found = memory.until_none(&markers);
    assert!(
        found.iter().all(|count| *count == 0),
        "texts, number and root keys (old and new) in the memory of the process: {found:?}"
    );
    figure(test, &format!("{} MiB of a process's memory hold nothing of what it erased", memory.scanned >> 20));
}
