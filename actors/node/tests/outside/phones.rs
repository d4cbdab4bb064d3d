//! Phones that people really use, set up as their own manuals say: SIPp, baresip, linphone.
//!
//! Nothing here is bent towards Tandem: the files are what a person would write.

use crate::cluster::{Cluster, PASSWORD};
use crate::program::Running;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// Carrier of SIP.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    fn uri(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
    /// SIPp's option: one socket for all of its phones.
    fn sipp(self) -> &'static str {
        match self {
            Self::Udp => "u1",
            Self::Tcp => "t1",
        }
    }
}

/// SIPp: each of `devices` registers once with digest. SIPp exits 0 when every one of them got its 200.
pub(crate) fn sipp(cluster: &Cluster, node: &str, transport: Transport, devices: &[String], password: &str) -> Running {
    let folder = cluster.folder(&format!("sipp-{}", transport.uri()));
    let mut users = String::from("SEQUENTIAL\n");
    for name in devices {
        let _ = writeln!(users, "{name};[authentication username={name} password={password}];");
    }
    std::fs::write(folder.join("users.csv"), users).expect("the users' file can be written");
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outside/register.xml");
    let mut command = Command::new("sipp");
    command.current_dir(&folder).args(["-sf", scenario, "-inf", "users.csv", "-nostdin", "-i", "127.0.0.1"]);
    command.args(["-t", transport.sipp(), "-p", &cluster.free_port().to_string()]);
    command.args(["-m", &devices.len().to_string(), "-r", "50", "-timeout", "20s", "-timeout_error"]);
    // It must not add a BYE of its own where an answer was not the expected one.
    command.args(["-default_behaviors", "all,-bye"]);
    command.args(["-trace_err", "-error_file", "errors.log", &cluster.sip_address(node, transport.uri())]);
    Running::start(command, &folder.join("output.log"))
}

/// baresip with one account, its sound modules left out (a test machine has no sound card).
pub(crate) fn baresip(cluster: &Cluster, node: &str, transport: Transport, device: &str, password: &str) -> Running {
    let folder = cluster.folder(&format!("baresip-{device}"));
    let modules = module_folder().unwrap_or_else(|| panic!("baresip's modules are not where Debian puts them"));
    let config = format!(
        "poll_method epoll\nsip_listen 127.0.0.1:0\nnet_interface 127.0.0.1\nmodule_path {}\n\
         module_app account.so\nmodule_app menu.so\n",
        modules.display()
    );
    let account = format!(
        "<sip:{device}@{};transport={}>;auth_user={device};auth_pass={password};regint=60\n",
        cluster.sip_address(node, transport.uri()),
        transport.uri()
    );
    std::fs::write(folder.join("config"), config).expect("baresip's config can be written");
    std::fs::write(folder.join("accounts"), account).expect("baresip's accounts can be written");
    let mut command = Command::new("baresip");
    command.args(["-4", "-f"]).arg(&folder).env("HOME", &folder);
    Running::start(command, &folder.join("output.log"))
}

/// Debian 12 keeps them directly below `/usr/lib`, other releases in a folder per architecture.
fn module_folder() -> Option<PathBuf> {
    let folders =
        ["/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules", "/usr/local/lib/baresip/modules"];
    folders.iter().map(PathBuf::from).find(|p| p.join("account.so").is_file())
}

/// linphonec with one account in its own configuration file.
pub(crate) fn linphonec(cluster: &Cluster, node: &str, transport: Transport, device: &str) -> Running {
    let folder = cluster.folder(&format!("linphone-{device}"));
    std::fs::create_dir_all(folder.join(".local/share/linphone")).expect("linphone's data folder can be created");
    let (server, uri, port) = (cluster.sip_address(node, transport.uri()), transport.uri(), cluster.free_port());
    let config = format!(
        "[sip]\nsip_port={port}\nsip_tcp_port={port}\ndefault_proxy=0\n\n\
         [auth_info_0]\nusername={device}\npasswd={PASSWORD}\nrealm={}\n\n\
         [proxy_0]\nreg_proxy=<sip:{server};transport={uri}>\nreg_identity=<sip:{device}@{server}>\n\
         reg_expires=60\nreg_sendregister=1\n",
        crate::cluster::REALM
    );
    std::fs::write(folder.join("linphonerc"), config).expect("linphone's configuration can be written");
    let mut command = Command::new("linphonec");
    command.arg("-c").arg(folder.join("linphonerc")).env("HOME", &folder).env_remove("XDG_DATA_HOME");
    Running::start(command, &folder.join("output.log"))
}
