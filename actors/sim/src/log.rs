//! What happened in a run, in order, and the hash of all of it: two runs of one seed agree in every line and in the hash.
//!
//! Events are lines; datagrams and frames are only hashed unless they are traced. It must never depend on anything but what it is told.

use std::fmt::Write as _;
use tandem_base::Time;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// FNV-1a: small, stable on every machine, good enough to tell two histories apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub u64);

impl Default for Hash {
    fn default() -> Self {
        Self(FNV_OFFSET)
    }
}
impl Hash {
    /// Takes bytes in.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct Log {
    lines: Vec<String>,
    hash: Hash,
    traced: bool,
    packets: u64,
}

impl Log {
    /// An empty log; with `traced` every datagram and frame is a line as well. The hash is the same either way.
    pub fn new(traced: bool) -> Self {
        Self { traced, ..Self::default() }
    }
    /// Something happened.
    pub fn event(&mut self, at: Time, text: &str) {
        self.hash.add(&at.as_micros().to_be_bytes());
        self.hash.add(text.as_bytes());
        self.lines.push(format!("{at} {text}"));
    }
    /// A datagram or frame arrived: `what` says from where to where.
    pub fn packet(&mut self, at: Time, what: std::fmt::Arguments<'_>, bytes: &[u8]) {
        let mut own = Hash::default();
        own.add(bytes);
        self.packets += 1;
        self.hash.add(&at.as_micros().to_be_bytes());
        self.hash.add(&own.0.to_be_bytes());
        if self.traced {
            let mut line = format!("{at} {what} {} bytes {:016x}", bytes.len(), own.0);
            if let Some(first) =
                bytes.split(|b| *b == b'\r').next().filter(|_| bytes.first().is_some_and(u8::is_ascii_uppercase))
            {
                let _ = write!(line, " {}", String::from_utf8_lossy(first));
            }
            self.lines.push(line);
        }
    }
    /// All lines so far.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
    /// The hash of everything so far.
    pub fn hash(&self) -> Hash {
        self.hash
    }
    /// Datagrams and frames so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracing_adds_lines_and_leaves_the_hash() {
        let logs = [false, true].map(|traced| {
            let mut log = Log::new(traced);
            log.event(Time::from_millis(1), "CCM1 crashes");
            log.packet(Time::from_millis(2), format_args!("a > b"), b"SIP/2.0 200 OK\r\n");
            log
        });
        assert_eq!(logs[0].hash(), logs[1].hash());
        assert_eq!((logs[0].lines().len(), logs[1].lines().len()), (1, 2));
        assert!(logs[1].lines()[1].ends_with("SIP/2.0 200 OK"), "{:?}", logs[1].lines());
    }

    #[test]
    fn a_different_byte_or_moment_is_a_different_hash() {
        let of = |at: u64, byte: u8| {
            let mut log = Log::default();
            log.packet(Time::from_millis(at), format_args!("a > b"), &[byte]);
            log.hash()
        };
        assert_eq!(of(1, 1), of(1, 1));
        assert_ne!(of(1, 1), of(2, 1));
        assert_ne!(of(1, 1), of(1, 2));
    }
}
