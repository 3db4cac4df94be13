//! The script that makes OpenBao ready, against a server of its own with the shipped configuration.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{deploy, succeeds, text};

/// A server; killed when dropped.
struct Bao {
    child: Child,
    program: String,
    address: String,
    authority: String,
}

impl Bao {
    fn start(program: &str, folder: &Path, port: u16) -> Self {
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let child = Command::new(program)
            .args(["server", "-config"])
            .arg(folder.join("openbao.hcl"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let authority = folder.join("authority.pem").to_str().unwrap().to_owned();
        let bao = Self { child, program: program.to_owned(), address: format!("https://127.0.0.1:{port}"), authority };
        let begun = Instant::now();
        // 2: it answers, and is sealed.
        while bao.ask(&["status"], "").status.code() != Some(2) {
            let said = std::fs::read_to_string(folder.join("log")).unwrap();
            assert!(begun.elapsed() < Duration::from_secs(60), "OpenBao does not answer: {said}");
            std::thread::sleep(Duration::from_millis(100));
        }
        bao
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("BAO_ADDR", &self.address).env("BAO_CACERT", &self.authority).env("BAO_TOKEN", "");
        command.stdin(Stdio::null());
        command
    }

    fn ask(&self, arguments: &[&str], token: &str) -> std::process::Output {
        self.command(&self.program).args(arguments).env("BAO_TOKEN", token).output().unwrap()
    }

    #[track_caller]
    fn script(&self, action: &str, folder: &Path) {
        let mut script = self.command(deploy("compose/openbao.sh").to_str().unwrap());
        succeeds({
            script.arg(action).env("BAO", &self.program).env("SECRETS", folder);
            script
        });
    }

    fn stop(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody listens on now, and neither on the next one.
fn free_ports() -> u16 {
    let mut port = 10_000 + (std::process::id() % 9_000) as u16;
    loop {
        let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free(port) && free(port + 1) {
            return port;
        }
        port = 10_000 + (port + 7) % 9_000;
    }
}

#[test]
fn openbao_is_made_ready_by_the_script_and_opened_again_after_a_restart() {
    let program = std::env::var("OUBLIETTE_TEST_OPENBAO_PROGRAM")
        .expect("OUBLIETTE_TEST_OPENBAO_PROGRAM is not set: run through ./test.sh, or see scripts/engines.sh");
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut prepare = Command::new(deploy("compose/prepare.sh"));
    prepare.arg(here);
    succeeds(prepare);
    let port = free_ports();
    std::fs::create_dir(here.join("data")).unwrap();
    let config = text("compose/openbao/openbao.hcl")
        .replace("/run/secrets", here.to_str().unwrap())
        .replace("/openbao/file", here.join("data").to_str().unwrap())
        .replace("0.0.0.0:8200", &format!("127.0.0.1:{port}"))
        .replace("openbao:8200", &format!("127.0.0.1:{port}"))
        .replace("openbao:8201", &format!("127.0.0.1:{}", port + 1));
    std::fs::write(here.join("openbao.hcl"), config).unwrap();

    let bao = Bao::start(&program, here, port);
    bao.script("init", here);
    let kept = std::fs::read_to_string(here.join("openbao.init")).unwrap();
    assert!(kept.contains("Unseal Key 3: ") && !kept.contains("Root Token"), "the root token was used up");
    let role = std::fs::read_to_string(here.join("openbao.role")).unwrap();
    let role = role.trim().strip_prefix("OUBLIETTE__OPENBAO__ROLE_ID=").unwrap().to_owned();
    let secret = std::fs::read_to_string(here.join("openbao.secret")).unwrap();
    let login = |bao: &Bao| {
        let (role, secret) = (format!("role_id={role}"), format!("secret_id={}", secret.trim()));
        let told = bao.ask(&["write", "-field=token", "auth/approle/login", &role, &secret], "");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8(told.stdout).unwrap().trim().to_owned()
    };
    let token = login(&bao);
    // It may do what a root store does, and nothing that would keep an old root.
    assert!(bao.ask(&["write", "-f", "oubliette/keys/one", "type=aes256-gcm96"], &token).status.success());
    for refused in [
        &["write", "-f", "oubliette/keys/two", "exportable=true"][..],
        &["read", "oubliette/backup/one"],
        &["read", "sys/mounts"],
    ] {
        assert!(!bao.ask(refused, &token).status.success(), "{refused:?} was allowed");
    }
    bao.stop();

    let bao = Bao::start(&program, here, port);
    bao.script("unseal", here);
    let begun = Instant::now();
    while bao.ask(&["status"], "").status.code() != Some(0) {
        assert!(begun.elapsed() < Duration::from_secs(30), "OpenBao stays sealed");
        std::thread::sleep(Duration::from_millis(100));
    }
    // The same log-in is good again: a node that starts anew needs nothing from anybody.
    std::thread::sleep(Duration::from_secs(1));
    let token = login(&bao);
    assert!(bao.ask(&["read", "oubliette/keys/one"], &token).status.success());
}
