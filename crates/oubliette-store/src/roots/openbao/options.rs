//! How OpenBao is reached.

use std::path::PathBuf;
use std::time::Duration;

use super::OpenBaoError;

/// Where the vault's token comes from. Never the token itself: a configuration is printed and copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// A file with nothing but a token, read again whenever the token in use is refused.
    TokenFile(PathBuf),
    /// An environment variable with a token.
    TokenVariable(String),
    /// The AppRole method: a role's id, and a file with nothing but its secret id.
    AppRole {
        /// The role.
        role_id: String,
        /// File with the secret id, which must be valid for many logins.
        secret_id_file: PathBuf,
        /// Path of the method, usually `approle`.
        mount: String,
    },
}

/// One OpenBao and the transit engine in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenBaoOptions {
    /// `https://host:port`. Plain HTTP is refused unless the host is this machine.
    pub address: String,
    /// Path of the transit engine. Give the vault one of its own: a policy can then be narrow.
    pub mount: String,
    /// Namespace, if any.
    pub namespace: Option<String>,
    /// Who we are.
    pub login: Login,
    /// PEM file with the certificate authorities to believe instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The longest a single request may take.
    pub timeout: Duration,
}

impl OpenBaoOptions {
    /// With the usual mount and timeout.
    pub fn new(address: impl Into<String>, login: Login) -> Self {
        Self {
            address: address.into(),
            mount: "transit".to_owned(),
            namespace: None,
            login,
            ca_file: None,
            timeout: Duration::from_secs(10),
        }
    }

    /// The address every path is appended to.
    pub(super) fn base(&self) -> Result<reqwest::Url, OpenBaoError> {
        let refuse = |reason| OpenBaoError::Options { reason };
        let mut url = reqwest::Url::parse(&self.address).map_err(|_| refuse("the address is no URL"))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("the address has parts that do not belong there"));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_here(url.host_str().unwrap_or_default()) => {}
            "http" => return Err(refuse("plain HTTP to another machine would show every root to the network")),
            _ => return Err(refuse("the address must begin with https://")),
        }
        let plain = |path: &str| {
            let part = |part: &str| {
                !part.is_empty()
                    && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
                    && !part.bytes().all(|byte| byte == b'.')
            };
            path.split('/').all(part)
        };
        if !plain(&self.mount) {
            return Err(refuse("the mount is not a plain path"));
        }
        if let Login::AppRole { mount, .. } = &self.login
            && !plain(mount)
        {
            return Err(refuse("the path of the AppRole method is not plain"));
        }
        let path = format!("{}/v1/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(url)
    }
}

fn is_here(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(address: &str, mount: &str) -> Option<String> {
        let login = Login::TokenVariable("X".to_owned());
        let options = OpenBaoOptions { mount: mount.to_owned(), ..OpenBaoOptions::new(address, login) };
        options.base().ok().map(|url| url.to_string())
    }

    #[test]
    fn roots_do_not_cross_a_network_in_clear() {
        assert_eq!(base("https://bao.example:8200", "transit").unwrap(), "https://bao.example:8200/v1/");
        assert_eq!(base("https://bao.example/behind/", "a/b").unwrap(), "https://bao.example/behind/v1/");
        for here in ["http://127.0.0.1:8200", "http://localhost:8200", "http://[::1]:8200"] {
            assert!(base(here, "transit").is_some(), "{here}");
        }
        for refused in ["http://bao.example:8200", "http://127.0.0.1.example", "ftp://127.0.0.1", "nonsense"] {
            assert!(base(refused, "transit").is_none(), "{refused}");
        }
    }

    #[test]
    fn an_address_or_mount_cannot_reach_elsewhere() {
        for address in ["https://u:p@bao.example", "https://bao.example/?x=1", "https://bao.example/#x"] {
            assert!(base(address, "transit").is_none(), "{address}");
        }
        for mount in ["", "/", "a//b", "../sys", "a/../b", "a?b", "a b", "a/"] {
            assert!(base("https://bao.example", mount).is_none(), "{mount}");
        }
    }
}
