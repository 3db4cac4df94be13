//! Escrow agents as they are run: real daemons with mutual TLS, a real vault that is killed at every step, lost disks.

mod anew;
mod dismissed;
mod held;
mod hostile;
mod killed;
mod lost;
mod noted;
mod parties;
mod seals;
mod servers;

use std::process::Stdio;
use std::time::{Duration, Instant};

use keyforest::RootName;
use oubliette_proof::certificate::Certificate;
use oubliette_store::escrow::client::{AgentFiles, HttpsAgent};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::Value;

use crate::program::{Place, Ran};

/// A vault, its agents and its recovery key in one folder.
pub struct Rig {
    pub place: Place,
    pub agents: Vec<Daemon>,
    /// Folders that mirror the key state.
    pub mirrors: Vec<&'static str>,
}

/// An agent: its process, when it runs, and where.
pub struct Daemon {
    name: String,
    port: u16,
    child: Option<std::process::Child>,
    /// What it held when it was killed.
    left: Vec<RootName>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Rig {
    /// As many agents, all running; `shares` as in the configuration.
    pub fn new(agents: usize, shares: Option<&str>) -> Self {
        Self::with_mirrors(agents, shares, Vec::new())
    }

    /// The same with mirrors of the key state beside.
    pub fn with_mirrors(agents: usize, shares: Option<&str>, mirrors: Vec<&'static str>) -> Self {
        let place = Place::new();
        certificates(&place);
        let made = place.run(&["recovery-key", "create", "--secret-file", "secret"]).with_code(0);
        let public = made.out.lines().find(|line| line.starts_with("oubliette-recovery-1:")).unwrap().to_owned();
        let mut rig = Self { place, agents: Vec::new(), mirrors };
        for number in 0..agents {
            let daemon = Daemon { name: format!("agent-{number}"), port: free_port(), child: None, left: Vec::new() };
            let text = format!(
                "name = \"{0}\"\nlisten = \"127.0.0.1:{1}\"\nregister = \"{0}.register\"\nca_file = \"ca.pem\"\n\
                 certificate_file = \"agent.pem\"\nkey_file = \"agent.key\"\naccept_unverified_register = true\n",
                daemon.name, daemon.port
            );
            std::fs::write(rig.place.join(&format!("{}.toml", daemon.name)), text).unwrap();
            rig.agents.push(daemon);
        }
        rig.configure("oubliette.toml", "vault", &public, shares);
        for number in 0..agents {
            rig.start(number);
        }
        rig
    }

    /// Writes a vault's configuration, with all agents.
    pub fn configure(&self, file: &str, data: &str, public: &str, shares: Option<&str>) {
        self.configure_with(file, data, public, shares, &(0..self.agents.len()).collect::<Vec<_>>());
    }

    /// Writes a vault's configuration, with some of the agents.
    pub fn configure_with(&self, file: &str, data: &str, public: &str, shares: Option<&str>, agents: &[usize]) {
        let agents = agents.iter().map(|number| &self.agents[*number]);
        let agents: Vec<String> =
            agents.map(|agent| format!("\"{}=https://localhost:{}\"", agent.name, agent.port)).collect();
        let shares = shares.map_or_else(String::new, |shares| format!("shares = \"{shares}\"\n"));
        let mirrors = self.mirrors.iter();
        let mirrors: Vec<String> =
            mirrors.map(|name| format!("\"{name}=folder:{}\"", self.place.join(name).display())).collect();
        let text = format!(
            "[storage]\ndata = \"{data}\"\naccept_unverified_register = true\n[escrow]\nrecovery_key = \"{public}\"\n\
             agents = [{}]\n{shares}ca_file = \"ca.pem\"\ncertificate_file = \"vault.pem\"\nkey_file = \"vault.key\"\n\
             timeout_seconds = 2\n[mirrors]\ntimeout_seconds = 2\nplaces = [{}]\n",
            agents.join(", "),
            mirrors.join(", ")
        );
        std::fs::write(self.place.join(file), text).unwrap();
    }

    /// The public key of the configuration.
    pub fn public(&self) -> String {
        let text = std::fs::read_to_string(self.place.join("oubliette.toml")).unwrap();
        text.split('"').find(|part| part.starts_with("oubliette-recovery-1:")).unwrap().to_owned()
    }

    pub fn start(&mut self, number: usize) {
        let daemon = &mut self.agents[number];
        let log = std::fs::File::create(self.place.join(&format!("{}.log", daemon.name))).unwrap();
        let file = format!("{}.toml", daemon.name);
        let mut command = self.place.command(&["agent", "serve", "--config", &file]);
        daemon.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(60);
        while self.holds(number).is_none() {
            assert!(Instant::now() < end, "{} does not answer", self.agents[number].name);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends an agent without a chance to do anything more.
    pub fn kill(&mut self, number: usize) {
        self.agents[number].left = self.roots(number);
        let mut child = self.agents[number].child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn link(&self, number: usize) -> HttpsAgent {
        let files = AgentFiles {
            ca: self.place.join("ca.pem"),
            certificate: self.place.join("vault.pem"),
            key: self.place.join("vault.key"),
            timeout: Duration::from_secs(5),
        };
        HttpsAgent::new(&format!("https://localhost:{}", self.agents[number].port), &files).unwrap()
    }

    /// The epochs that an agent holds, in order; `None` while it does not answer.
    pub fn holds(&self, number: usize) -> Option<Vec<u64>> {
        Some(self.told(number)?.into_iter().map(|root| root.epoch).collect())
    }

    /// What an agent has, or had when it was killed.
    pub fn roots(&self, number: usize) -> Vec<RootName> {
        match &self.agents[number] {
            Daemon { child: None, left, .. } => left.clone(),
            running => self.told(number).unwrap_or_else(|| panic!("{} does not answer", running.name)),
        }
    }

    /// The number of the register that answers under an agent's name.
    pub fn told_register(&self, number: usize) -> String {
        let told = self.answered(number).unwrap_or_else(|| panic!("{} does not answer", self.agents[number].name));
        told["register"].as_str().unwrap().to_owned()
    }

    fn answered(&self, number: usize) -> Option<Value> {
        // On a thread of its own: the link blocks, and some of these tests are asynchronous.
        let ask = || self.link(number).status().ok();
        let told = std::thread::scope(|scope| scope.spawn(ask).join()).unwrap()?;
        Some(serde_json::to_value(told).unwrap())
    }

    fn told(&self, number: usize) -> Option<Vec<RootName>> {
        let told = self.answered(number)?;
        let root = |label: &Value| {
            let mut state = [0; 32];
            hex::decode_to_slice(label["state"].as_str().unwrap(), &mut state).unwrap();
            RootName { epoch: label["epoch"].as_u64().unwrap(), state }
        };
        let mut roots: Vec<RootName> = told["holds"].as_array().unwrap().iter().map(root).collect();
        roots.sort_unstable();
        Some(roots)
    }

    /// Erases a session; how many agents its certificate names, and how many of them as having confirmed.
    pub fn certified(&self, session: &str) -> (u8, u8) {
        let ran = self.run(&["erase", "--session", session, "--yes"]).with_code(0);
        let id = ran.out.lines().find_map(|line| line.strip_prefix("certificate: oubliette certificate "));
        let id = id.unwrap_or_else(|| panic!("{}", ran.out));
        let bytes = self.run(&["certificate", id]).with_code(0).out;
        let seal = Certificate::parse(bytes.as_bytes()).unwrap().seal;
        (seal.agents, seal.agents_confirmed)
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.place.run(arguments)
    }

    /// A command on the vault that is killed at a named moment.
    pub fn killed_at(&self, arguments: &[&str], point: &str) -> Ran {
        self.place.run_with(arguments, &[("OUBLIETTE_CRASH_AT", point)])
    }

    /// Loads `count` recordings with the sessions S-0, S-1 and so on.
    pub fn fill(&self, count: usize) {
        let calls = self.place.join("calls");
        std::fs::create_dir_all(&calls).unwrap();
        let sample = crate::program::repository().join("samples").join("survey.wav");
        let mut manifest = "file,session_id,customer_phone\n".to_owned();
        for number in 0..count {
            std::fs::copy(&sample, calls.join(format!("{number}.wav"))).unwrap();
            manifest += &format!("{number}.wav,S-{number},+1512555{number:04}\n");
        }
        std::fs::write(calls.join("manifest.csv"), manifest).unwrap();
        self.run(&["import", "calls"]).with_code(0);
    }

    /// Also while something is amiss.
    pub fn status(&self) -> Value {
        let ran = self.run(&["status", "--json"]);
        assert!([0, 7].contains(&ran.code), "{}{}", ran.out, ran.err);
        ran.json()
    }

    /// How many interactions a session finds.
    pub fn found(&self, config: &str, session: &str) -> u64 {
        let ran = self.run(&["erase", "--config", config, "--session", session, "--dry-run", "--json"]);
        if ran.code == 4 {
            return 0;
        }
        ran.with_code(0).json()["plan"]["interactions"].as_u64().unwrap()
    }
}

fn free_port() -> u16 {
    loop {
        let port = 10_000 + u16::from_le_bytes(*uuid::Uuid::new_v4().as_bytes().first_chunk().unwrap()) % 10_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// An authority, a certificate that agents show as servers, and one that the vault shows as a client.
fn certificates(place: &Place) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "escrow");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    std::fs::write(place.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    for (name, usage) in
        [("agent", ExtendedKeyUsagePurpose::ServerAuth), ("vault", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(place.join(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(place.join(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}
