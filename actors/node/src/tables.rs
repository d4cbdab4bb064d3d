//! The file with a node's run-time tables: its bytes, sealed by a hash, and the thread that writes them (DESIGN section 2, run-time data).
//!
//! ```text
//! CCM1.tables   in the state folder: rows of all owners as CCM1 had them, a hash behind them
//! ```
//! What is in it is judged by the cluster machine. It must never be read or written while phones wait.

use crate::directory::Directory;
use crate::journal::{Fact, Journal};
use crate::registration::Entry;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tandem_base::NodeName;
use tandem_cluster::{Saved, read_tables};
use tandem_host::clock::Clock;
use tandem_host::disk::Disk;
use tandem_host::error::HostError;
use tandem_host::saver::{Failed, Saver, Saves};
use tandem_model::row::{LastNonce, TableRow};
use xxhash_rust::xxh3::xxh3_64;

/// Longest file that is read, in bytes.
const FILE_MAX: u64 = 4 << 30;

/// Where the file is.
#[derive(Clone)]
pub struct Place {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The file.
    pub path: PathBuf,
}

/// What a CallManager does with it.
pub struct TableFile {
    /// What an earlier life left.
    pub found: Vec<Saved<Entry>>,
    saver: Saver,
}

impl TableFile {
    /// That of a node, and how often it is to be written. Trouble goes to the journal; `saver` makes what writes.
    ///
    /// # Errors
    /// [`HostError`] of `saver`.
    pub fn of_node(
        place: Place,
        directory: &Directory,
        node: &NodeName,
        (journal, clock): (&Arc<Journal>, Clock),
        saver: impl FnOnce(Arc<dyn Disk>, PathBuf, Failed) -> Result<Saver, HostError>,
    ) -> Result<(Self, Duration), HostError> {
        let (journal, index) = (Arc::clone(journal), directory.node_index(node).unwrap_or_default());
        let trouble = move |text| {
            let fact = Fact::cluster("tables_not_kept", None, "disk".to_owned(), text);
            journal.push(clock.unix_millis(), index, fact);
        };
        Ok((Self::open(place, &directory.cluster, clock, trouble, saver)?, directory.settings.tables_every.0))
    }

    /// Reads what is there and gets ready to write. What could not be read is said to `trouble`, as is later what could not be written.
    fn open(
        place: Place,
        cluster: &str,
        clock: Clock,
        trouble: impl Fn(String) + Send + 'static,
        saver: impl FnOnce(Arc<dyn Disk>, PathBuf, Failed) -> Result<Saver, HostError>,
    ) -> Result<Self, HostError> {
        let Place { disk, path } = place;
        let mut found: Vec<Saved<Entry>> = match disk.read(&path, FILE_MAX) {
            Ok(bytes) => match opened(&bytes).map(|b| read_tables(b, cluster, clock.unix_millis().0, clock.now())) {
                Some(Ok((found, 0))) => found,
                Some(Ok((found, unread))) => {
                    trouble(format!("{}: {unread} rows cannot be read and are left out", path.display()));
                    found
                }
                Some(Err(why)) => {
                    trouble(format!("{} cannot be used: {why}; registrations begin anew", path.display()));
                    Vec::new()
                }
                None => {
                    trouble(format!("{} is damaged or cut off; registrations begin anew", path.display()));
                    Vec::new()
                }
            },
            Err(why) if why.is_not_found() => Vec::new(),
            Err(why) => {
                trouble(format!("{why}; registrations begin anew"));
                Vec::new()
            }
        };
        // Counts that were used after the file was written are not in it: whoever overheard them could use them again (docs/decisions/0007).
        for Entry(row) in found.iter_mut().flat_map(|set| &mut set.rows) {
            if let TableRow::Registration(row) = row {
                row.nonce = LastNonce::default();
            }
        }
        let failed = move |why: HostError| trouble(format!("run-time tables are not kept: {why}"));
        let saver = saver(disk, path, Box::new(failed))?;
        Ok(Self { found, saver })
    }
    /// Writes it, unless the disk is still busy with two earlier ones.
    pub fn save(&self, bytes: Vec<u8>) -> bool {
        self.saver.save(sealed(bytes))
    }
    /// What has become of it.
    pub fn saves(&self) -> Arc<Saves> {
        self.saver.saves()
    }
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let seal = xxh3_64(&bytes);
    bytes.extend_from_slice(&seal.to_le_bytes());
    bytes
}

/// `None` when the seal is broken.
fn opened(bytes: &[u8]) -> Option<&[u8]> {
    let (body, seal) = bytes.split_last_chunk::<8>()?;
    (xxh3_64(body) == u64::from_le_bytes(*seal)).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_cut_or_altered_is_noticed() {
        let whole = sealed(b"some rows".to_vec());
        assert_eq!(opened(&whole), Some(&b"some rows"[..]));
        for end in 0..whole.len() {
            assert_eq!(opened(whole.get(..end).unwrap()), None, "{end}");
        }
        for place in 0..whole.len() {
            let mut altered = whole.clone();
            altered[place] ^= 1;
            assert_eq!(opened(&altered), None, "{place}");
        }
    }
}
