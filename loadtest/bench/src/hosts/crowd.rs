//! The phones' process as seen from the scenarios: started in its namespace, asked over its standard input.

use super::network::Network;
use super::nodes;
use super::phones::{Census, Count, Order, Plan};
use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tandem_host::clock::Clock;

/// A phone refreshes so often, notices a dead node after so long without an answer, and registers for so long.
pub(super) const KEEPALIVE_MS: u64 = 15_000;
pub(super) const PATIENCE_MS: u64 = 4_000;
const EXPIRES: u32 = 120;
/// Phones switched on per second.
const PER_SECOND: u32 = 2_000;

/// See the module. The phones end with it.
pub(super) struct Crowd {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Crowd {
    /// Starts the phones; they begin to register.
    ///
    /// # Errors
    /// The process does not start, or says why it cannot.
    pub(super) fn start(network: &Network, devices: u32) -> Result<Self, Error> {
        let me = std::env::current_exe().map_err(Error::io("cannot find this very program"))?;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &network.phones()]).arg(me).arg("phones").process_group(0);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(Error::io("cannot run ip"))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Worthless("the phones have no ends to talk by".to_owned()));
        };
        let mut crowd = Self { child, to, from: BufReader::new(from) };
        let plan = Plan {
            domain: nodes::CLUSTER.to_owned(),
            password: nodes::PASSWORD.to_owned(),
            from: Network::phones_address(),
            groups: nodes::groups(devices),
            per_second: PER_SECOND,
            run: Clock::system().unix_millis().0,
            expires: EXPIRES,
            keepalive_ms: KEEPALIVE_MS,
            patience_ms: PATIENCE_MS,
        };
        crowd.ask::<Count>(&plan)?;
        Ok(crowd)
    }

    fn ask<T: for<'a> Deserialize<'a>>(&mut self, what: &impl Serialize) -> Result<T, Error> {
        let broken = |why: String| Error::Worthless(format!("the phones' process: {why}"));
        let mut line = serde_json::to_vec(what).map_err(|e| broken(e.to_string()))?;
        line.push(b'\n');
        self.to.write_all(&line).and_then(|()| self.to.flush()).map_err(|e| broken(e.to_string()))?;
        let mut answer = String::new();
        self.from.read_line(&mut answer).map_err(|e| broken(e.to_string()))?;
        serde_json::from_str(&answer).map_err(|e| broken(format!("{answer:?}: {e}")))
    }

    /// How many are registered where, and how they have moved since the last mark.
    ///
    /// # Errors
    /// The phones' process has ended.
    pub(super) fn count(&mut self) -> Result<Count, Error> {
        self.ask(&Order::Count)
    }
    /// From now on moves count anew.
    ///
    /// # Errors
    /// As [`Crowd::count`].
    pub(super) fn mark(&mut self) -> Result<Count, Error> {
        self.ask(&Order::Mark)
    }
    /// Where each phone is.
    ///
    /// # Errors
    /// As [`Crowd::count`].
    pub(super) fn census(&mut self) -> Result<Census, Error> {
        self.ask(&Order::Census)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
