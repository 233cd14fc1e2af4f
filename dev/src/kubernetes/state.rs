//! The files and addresses of one API server.
use std::fmt;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use serde_json::json;
use uuid::Uuid;

use super::error::{Error, Result};
use super::process::Directory;

/// Every write and nothing else, once it is answered.
const AUDIT_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: None
  verbs: [get, list, watch]
- level: Metadata
"#;

/// Below the ports that systems give to outgoing connections: a client that keeps trying to reach
/// a stopped server on such a port may end up connected to itself, and the port stays taken.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// Who makes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// May do everything.
    Admin,
    /// The operator under test: may do what RBAC grants to the user `operator`, at first nothing.
    /// A grant counts a moment after it is written.
    Operator,
    /// The controller manager, told apart from the administrator in the audit.
    ControllerManager,
}

impl User {
    const ALL: [Self; 3] = [Self::Admin, Self::Operator, Self::ControllerManager];

    /// The name that RBAC subjects and the audit use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::ControllerManager => "kube-controller-manager",
        }
    }

    /// What follows the user's identifier in a line of the token file.
    fn groups(self) -> &'static str {
        match self {
            Self::Admin | Self::ControllerManager => ",system:masters",
            Self::Operator => "",
        }
    }
}

/// A directory with keys, tokens and logs, and the ports of the servers that use it.
pub(super) struct State {
    directory: Directory,
    pub(super) etcd_port: u16,
    pub(super) apiserver_port: u16,
    ca: Vec<u8>,
    secret: Uuid,
}

impl State {
    /// Makes the directory, writes what the components read, and picks ports.
    pub(super) fn create() -> Result<Self> {
        let directory = Directory::create("devkit-kubernetes-")?;
        let ca = write_keys(directory.path())?;
        let state = Self {
            etcd_port: free_port()?,
            apiserver_port: free_port()?,
            secret: Uuid::new_v4(),
            directory,
            ca,
        };
        state.write("audit-policy.yaml", AUDIT_POLICY)?;
        state.write(
            "tokens.csv",
            User::ALL.map(|user| state.token_line(user)).concat(),
        )?;
        for user in User::ALL {
            let kubeconfig = state.render_kubeconfig(user, &state.apiserver_url());
            state.write(&kubeconfig_name(user), kubeconfig)?;
        }
        Ok(state)
    }

    /// The path of a file in the directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn audit_log(&self) -> PathBuf {
        self.file("audit.jsonl")
    }

    pub(super) fn kubectl_cache(&self) -> PathBuf {
        self.file("kubectl-cache")
    }

    pub(super) fn kubeconfig(&self, user: User) -> PathBuf {
        self.file(&kubeconfig_name(user))
    }

    pub(super) fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd_port)
    }

    pub(super) fn apiserver_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.apiserver_port)
    }

    pub(super) fn client_config(&self, user: User) -> kube::Config {
        let url = self.apiserver_url();
        let mut config = kube::Config::new(url.parse().expect("an address and a port are a URL"));
        config.root_cert = Some(vec![self.ca.clone()]);
        config.auth_info.token = Some(self.token(user).into());
        config
    }

    fn token(&self, user: User) -> String {
        format!("{}-{}", user.name(), self.secret)
    }

    fn token_line(&self, user: User) -> String {
        let name = user.name();
        format!("{},{name},{name}{}\n", self.token(user), user.groups())
    }

    /// The authority that signed the API server's certificate, in PEM.
    pub(super) fn ca_pem(&self) -> Result<Vec<u8>> {
        let path = self.file("ca.crt");
        fs::read(&path).map_err(Error::io("read", &path))
    }

    /// Writes a kubeconfig file that acts as `user` through the server at this address; returns its path.
    pub(super) fn write_kubeconfig(&self, user: User, address: SocketAddr) -> Result<PathBuf> {
        let name = format!("{}-{}.kubeconfig", user.name(), address.port());
        self.write(
            &name,
            self.render_kubeconfig(user, &format!("http://{address}")),
        )?;
        Ok(self.file(&name))
    }

    // JSON is YAML, which is what readers of kubeconfig files expect.
    fn render_kubeconfig(&self, user: User, server: &str) -> String {
        let cluster = json!({
            "server": server,
            "certificate-authority": self.file("ca.crt"),
        });
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "dev", "cluster": cluster}],
            "users": [{"name": user.name(), "user": {"token": self.token(user)}}],
            "contexts": [{"name": "dev", "context": {"cluster": "dev", "user": user.name()}}],
            "current-context": "dev",
        })
        .to_string()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        write(self.directory.path(), name, content)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("directory", &self.directory.path())
            .field("apiserver_port", &self.apiserver_port)
            .finish_non_exhaustive()
    }
}

fn kubeconfig_name(user: User) -> String {
    format!("{}.kubeconfig", user.name())
}

fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
    let path = directory.join(name);
    fs::write(&path, content).map_err(Error::io("write", &path))
}

/// Writes the API server's certificate and the service accounts' key; returns the authority that
/// signed the certificate.
fn write_keys(directory: &Path) -> Result<Vec<u8>> {
    let ca_key = KeyPair::generate()?;
    let ca_params = certificate_params("devkit", &[])?;
    let ca = ca_params.self_signed(&ca_key)?;
    let key = KeyPair::generate()?;
    let certificate = certificate_params("kube-apiserver", &["127.0.0.1", "localhost"])?
        .signed_by(&key, &Issuer::new(ca_params, ca_key))?;
    let service_accounts = KeyPair::generate()?;
    write(directory, "ca.crt", ca.pem())?;
    write(directory, "apiserver.crt", certificate.pem())?;
    write(directory, "apiserver.key", key.serialize_pem())?;
    write(
        directory,
        "service-accounts.key",
        service_accounts.serialize_pem(),
    )?;
    write(
        directory,
        "service-accounts.pub",
        service_accounts.public_key_pem(),
    )?;
    Ok(ca.der().to_vec())
}

/// For a server with these names, or for an authority when there are none.
fn certificate_params(common_name: &str, names: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let is_authority = names.is_empty();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    if is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    Ok(params)
}

pub(crate) fn free_port() -> Result<u16> {
    loop {
        let (random, _) = Uuid::new_v4().as_u64_pair();
        let offset = random % u64::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(offset).unwrap_or_default();
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(Error::io("listen on", "127.0.0.1")(error)),
        }
    }
}
