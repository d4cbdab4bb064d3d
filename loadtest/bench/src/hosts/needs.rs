//! What the hosts need of the machine, looked at before anything is made.

use super::command::run;
use crate::error::Error;
use std::path::{Path, PathBuf};

/// Programs, with the package that has them.
const PROGRAMS: [(&str, &str); 2] =
    [("ip", "install it (Debian: apt-get install iproute2)"), ("nft", "install it (Debian: apt-get install nftables)")];

/// Whether network namespaces can be made here, and the program can link hosts.
///
/// # Errors
/// What is missing, and what would help.
pub(super) fn look(tandem: &Path) -> Result<(), Error> {
    if !rustix::process::geteuid().is_root() {
        let what = "network namespaces are for root only: run it with sudo, or in a container with --privileged";
        return Err(Error::Worthless(what.to_owned()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (program, remedy) in PROGRAMS {
        if !folders.iter().any(|f| f.join(program).is_file()) {
            return Err(Error::Missing { program: program.to_owned(), remedy });
        }
    }
    if !tandem.exists() {
        let remedy = "build it (cargo build --release --features zenoh) or give --tandem PATH";
        return Err(Error::Missing { program: tandem.display().to_string(), remedy });
    }
    try_namespace()
}

/// Makes a namespace with what the hosts have in theirs, and takes it down.
fn try_namespace() -> Result<(), Error> {
    let name = format!("tandem-hosts-{}-try", std::process::id());
    let no = |e: Error| {
        Error::Worthless(format!(
            "no network namespaces here: {e}; it needs CAP_SYS_ADMIN and CAP_NET_ADMIN and a kernel with veth, bridge and nf_tables"
        ))
    };
    run("ip", &["netns", "add", &name]).map_err(no)?;
    let tried = run("ip", &["-n", &name, "link", "add", "name", "a", "type", "veth", "peer", "name", "b"])
        .and_then(|_| run("ip", &["-n", &name, "link", "add", "name", "c", "type", "bridge"]))
        .and_then(|_| run("ip", &["netns", "exec", &name, "nft", "add table ip try_it"]));
    let _ = run("ip", &["netns", "delete", &name]);
    tried.map(drop).map_err(no)
}
