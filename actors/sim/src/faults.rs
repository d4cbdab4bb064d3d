//! What may go wrong in a run. Data only: `misfortune` draws a whole run of faults from a seed, `world` carries each out.

use tandem_base::NodeName;

/// One thing that goes wrong or ends. Nodes by their place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies: every task is dropped, connections close, and phones learn that nobody listens.
    Crash(u16),
    /// The machine dies: nobody is told anything.
    PowerOff(u16),
    /// An operator stops a node: it tells its peers, sends its devices away and ends.
    Stop(u16),
    /// A dead node begins a new life.
    Return(u16),
    /// A node stands still; what comes waits.
    Hang(u16),
    /// It goes on and finds what has waited.
    Resume(u16),
    /// A node gets the processor only once in so many milliseconds; 0: always.
    Slow(u16, u32),
    /// A node's wall clock is so many milliseconds ahead of the true time, or behind it.
    ClockSet(u16, i64),
    /// A node's disk has no space: nothing can be written.
    DiskFull(u16),
    /// A node's disk loses power during every write.
    DiskTorn(u16),
    /// A node's disk takes so many milliseconds for every write.
    DiskSlow(u16, u32),
    /// The file in which a node keeps its run-time tables is cut off or altered.
    TablesSpoilt {
        /// Which node.
        node: u16,
        /// Where; beyond the file's end places begin again.
        place: u32,
        /// Cut off, or else one byte altered.
        cut: bool,
    },
    /// A node's disk works.
    DiskGood(u16),
    /// Two nodes do not hear each other.
    Cut(u16, u16),
    /// The second does not hear the first.
    CutOneWay(u16, u16),
    /// They hear each other again.
    Heal(u16, u16),
    /// The connection of two nodes breaks and is made again at once.
    Break(u16, u16),
    /// Frames between nodes are lost, so many of a million.
    LinkLoss(u32),
    /// Frames between nodes come twice, so many of a million.
    LinkTwice(u32),
    /// Frames between nodes come cut short, so many of a million.
    LinkShort(u32),
    /// Frames between nodes take up to so many milliseconds more.
    LinkDelay(u32),
    /// Every phone whose number leaves rest 1 of 3, 1 of 2 or 0 of 1 by `of` does not reach a node.
    Unplug {
        /// Which node.
        node: u16,
        /// One phone in so many.
        of: u8,
    },
    /// All phones reach it again.
    Plug(u16),
    /// One phone in so many is switched off: it takes its registration back.
    Off(u8),
    /// All phones are on.
    On,
    /// One phone in so many loses power: it tells nobody, and forgets everything.
    Unpowered(u8),
    /// All phones have power.
    Powered,
    /// One phone in so many gets a new address at the router in front of it, and is not reached at the old one.
    Moved(u8),
    /// Datagrams of phones are lost, so many of a million.
    SipLoss(u32),
    /// Datagrams of phones come twice, so many of a million.
    SipTwice(u32),
    /// Datagrams of phones take up to so many milliseconds more.
    SipDelay(u32),
}

impl Fault {
    /// In words.
    pub fn tell(&self, nodes: &[NodeName]) -> String {
        let name = |n: u16| nodes.get(usize::from(n)).map_or("?", |n| n.as_str());
        match *self {
            Self::Crash(n) => format!("{} crashes", name(n)),
            Self::PowerOff(n) => format!("{} loses power", name(n)),
            Self::Stop(n) => format!("{} is stopped", name(n)),
            Self::Return(n) => format!("{} returns", name(n)),
            Self::Hang(n) => format!("{} hangs", name(n)),
            Self::Resume(n) => format!("{} goes on", name(n)),
            Self::Slow(n, 0) => format!("{} has the processor for itself", name(n)),
            Self::Slow(n, ms) => format!("{} gets the processor once in {ms} ms", name(n)),
            Self::ClockSet(n, ms) => format!("the wall clock of {} is {ms} ms ahead", name(n)),
            Self::DiskFull(n) => format!("the disk of {} is full", name(n)),
            Self::DiskTorn(n) => format!("the disk of {} loses power while it writes", name(n)),
            Self::DiskSlow(n, ms) => format!("the disk of {} takes {ms} ms to write", name(n)),
            Self::TablesSpoilt { node, cut: true, .. } => {
                format!("the tables that {} has kept are cut off", name(node))
            }
            Self::TablesSpoilt { node, .. } => format!("the tables that {} has kept are altered", name(node)),
            Self::DiskGood(n) => format!("the disk of {} works", name(n)),
            Self::Cut(a, b) => format!("{} and {} are cut from each other", name(a), name(b)),
            Self::CutOneWay(a, b) => format!("{} is not heard by {}", name(a), name(b)),
            Self::Heal(a, b) => format!("{} and {} hear each other", name(a), name(b)),
            Self::Break(a, b) => format!("the connection of {} and {} breaks", name(a), name(b)),
            Self::LinkLoss(ppm) => format!("{ppm} of a million frames are lost"),
            Self::LinkTwice(ppm) => format!("{ppm} of a million frames come twice"),
            Self::LinkShort(ppm) => format!("{ppm} of a million frames are cut short"),
            Self::LinkDelay(ms) => format!("frames take up to {ms} ms more"),
            Self::Unplug { node, of } => format!("{} is out of reach of one phone in {of}", name(node)),
            Self::Plug(n) => format!("{} is in reach of all phones", name(n)),
            Self::Off(of) => format!("one phone in {of} is switched off"),
            Self::On => "all phones are switched on".to_owned(),
            Self::Unpowered(of) => format!("one phone in {of} loses power"),
            Self::Powered => "all phones have power".to_owned(),
            Self::Moved(of) => format!("one phone in {of} has a new address"),
            Self::SipLoss(ppm) => format!("{ppm} of a million datagrams are lost"),
            Self::SipTwice(ppm) => format!("{ppm} of a million datagrams come twice"),
            Self::SipDelay(ms) => format!("datagrams take up to {ms} ms more"),
        }
    }
    /// How many moves of one device it may cause: away, and home again. Faults between nodes alone move nobody.
    pub fn moves(&self) -> u32 {
        match self {
            Self::Crash(_)
            | Self::PowerOff(_)
            | Self::Stop(_)
            | Self::Hang(_)
            | Self::Slow(..)
            | Self::Unplug { .. } => 2,
            Self::Return(_) | Self::Resume(_) | Self::Plug(_) => 1,
            Self::Off(_) | Self::Unpowered(_) | Self::Moved(_) => 2,
            Self::On | Self::Powered | Self::SipLoss(_) | Self::SipDelay(_) => 2,
            _ => 0,
        }
    }
}
