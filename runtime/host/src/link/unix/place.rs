//! A node's place in the folder: its hold on its name, and the path of its socket. What a dead process left behind is cleared away; a living
//! life of the node is asked to go when it is older.
//!
//! It must never remove a socket whose node lives: the hold, which the kernel lets go of with the process, says who does.

use super::AttachError;
use super::hello::{HELLO_BYTES_MAX, Hello, Word};
use crate::disk::{Disk, RealDisk};
use crate::hold::Hold;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tandem_base::{Incarnation, NodeLife, NodeName};

/// Longest path of a Unix socket on Linux, in bytes (unix(7): 108 with the zero at its end).
pub(super) const PATH_BYTES_MAX: usize = 107;
/// How long a life that has the place may take to answer, and to go.
const PATIENCE: Duration = Duration::from_secs(2);
/// Looks at a place that is being given up, and the pause between two.
const LOOKS: u32 = 200;
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// See the module. Dropping it gives the place up.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    _hold: Hold,
}

/// Where a node listens.
pub(super) fn socket(folder: &Path, node: &NodeName) -> PathBuf {
    folder.join(format!("{node}.sock"))
}

fn failed(doing: &'static str, path: &Path, why: &impl ToString) -> AttachError {
    AttachError::Socket { doing, path: path.to_owned(), why: why.to_string() }
}

impl Place {
    /// Takes the place of a node.
    ///
    /// # Errors
    /// [`AttachError`].
    pub(super) fn take(folder: &Path, me: &NodeLife, hello: &Hello) -> Result<Self, AttachError> {
        let path = socket(folder, &me.node);
        let length = path.as_os_str().len();
        if length > PATH_BYTES_MAX {
            return Err(AttachError::PathTooLong { path, length, bound: PATH_BYTES_MAX });
        }
        RealDisk.create_dir(folder).map_err(|e| failed("use", folder, &e))?;
        // One that was there may let others in; only its owner can change that.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
            .map_err(|e| failed("keep others out of", folder, &e))?;
        let hold = folder.join(format!("{}.hold", me.node));
        let taken = || Hold::take(&hold).map_err(|e| failed("hold", &hold, &e));
        let held = match taken()? {
            Some(held) => held,
            None => {
                ask_to_go(&path, me, hello)?;
                let mut looks = 0;
                loop {
                    if let Some(held) = taken()? {
                        break held;
                    }
                    if looks == LOOKS {
                        return Err(AttachError::Held { life: me.clone(), path });
                    }
                    looks += 1;
                    std::thread::sleep(LOOK_PAUSE);
                }
            }
        };
        Ok(Self { path, _hold: held })
    }

    /// Listens there. The socket of a process that died is in the way and goes.
    ///
    /// # Errors
    /// [`AttachError::Socket`].
    pub(super) fn listen(&self) -> Result<UnixListener, AttachError> {
        let clear = RealDisk.remove(&self.path);
        clear.map_err(|e| failed("clear away", &self.path, &e))?;
        let listener = UnixListener::bind(&self.path).map_err(|e| failed("listen on", &self.path, &e))?;
        listener.set_nonblocking(true).map_err(|e| failed("listen on", &self.path, &e))?;
        Ok(listener)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // While the hold is ours nobody else has bound it. One that cannot be removed is cleared away by the next life.
        let _ = fs::remove_file(&self.path);
    }
}

/// Another life has the place. It goes when it is older; then this is `Ok`.
fn ask_to_go(path: &Path, me: &NodeLife, hello: &Hello) -> Result<(), AttachError> {
    match ask(path, hello) {
        Ok(Word::Hello(_)) => Ok(()),
        Ok(Word::Refuse { attached, .. }) if attached != Incarnation::default() => {
            Err(AttachError::NotNewer { life: me.clone(), attached })
        }
        // It lives, and does not listen: it is only just beginning or ending, or it stands still. Who waits will see.
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused || e.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => Err(AttachError::Held { life: me.clone(), path: path.to_owned() }),
    }
}

fn ask(path: &Path, hello: &Hello) -> io::Result<Word> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&Word::Hello(hello.clone()).bytes())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > HELLO_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Word::read(&body).map_err(|_| io::ErrorKind::InvalidData.into())
}
