//! The link's own thread: it accepts, dials, shakes hands, reads every connection, and writes what senders could not.
//!
//! Everything that a node is told of a peer comes from here, so nothing overtakes anything. It must never believe bytes before it knows who
//! sent them, and never keep more of them than one frame and one read.

use super::connection::Connection;
use super::hello::{HELLO_BYTES_MAX, Hello, KIND_FRAME, KIND_LATER, Word, codec};
use super::{AttachError, Ending, FRAME_BYTES_MAX, Shared, place};
use crate::link::NODES_MAX;
use bytes::{Buf, BytesMut};
use socket2::SockRef;
use std::io;
use std::os::unix::net as std_unix;
use std::sync::Arc;
use std::time::Duration;
use tandem_base::{Incarnation, NodeLife, NodeName};
use tandem_cluster::link::{DownWhy, LinkEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

/// How long a handshake may take.
const HELLO_WITHIN: Duration = Duration::from_secs(2);
/// Between two attempts to dial a peer that does not listen.
const DIAL_EVERY: Duration = Duration::from_millis(50);
/// After a refusal, or a connection that was cut.
const DIAL_PAUSE: Duration = Duration::from_secs(1);
/// Handshakes under way.
const HANDSHAKES_MAX: usize = 2 * NODES_MAX;
/// Asked from the kernel for what is written and not yet read, in bytes; it may give less.
const SOCKET_BUFFER: usize = 1 << 20;
/// Bytes of one read.
const READ_BYTES: usize = 64 << 10;
/// Pause after an accept that failed (out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Starts the thread.
pub(super) fn start(shared: &Arc<Shared>, listener: std_unix::UnixListener) -> Result<(), AttachError> {
    let name = format!("{}-link", shared.me.node);
    let path = place::socket(&shared.options.folder, &shared.me.node);
    let failed = |why: io::Error| AttachError::Socket { doing: "serve", path: path.clone(), why: why.to_string() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let listener = {
        let _entered = runtime.enter();
        UnixListener::from_std(listener).map_err(failed)?
    };
    let shared = Arc::clone(shared);
    let body = move || {
        runtime.block_on(async {
            for peer in shared.options.members.iter().filter(|name| **name > shared.me.node) {
                tokio::spawn(dial(Arc::clone(&shared), peer.clone()));
            }
            tokio::select! {
                () = shared.end.notified() => {}
                () = accept(&shared, listener) => {}
            }
        });
    };
    std::thread::Builder::new().name(name).spawn(body).map_err(failed)?;
    Ok(())
}

/// Lets peers in, for ever.
async fn accept(shared: &Arc<Shared>, listener: UnixListener) {
    let Ok(own) = UnixStream::pair().and_then(|(a, _)| a.peer_cred()) else { return };
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if stream.peer_cred().map(|c| c.uid()).ok() != Some(own.uid()) {
            shared.count(Ending::User);
            continue;
        }
        let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
            shared.count(Ending::TooMany);
            continue;
        };
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            let greeted = timeout(HELLO_WITHIN, greet(&shared, stream)).await.unwrap_or(Err(Ending::Silent));
            drop(permit);
            match greeted {
                Ok(Some((talk, life))) => _ = serve(&shared, talk, life).await,
                Ok(None) => {}
                Err(ending) => shared.count(ending),
            }
        });
    }
}

/// Dials a peer whenever there is no connection to it, for ever.
async fn dial(shared: Arc<Shared>, peer: NodeName) {
    let path = place::socket(&shared.options.folder, &peer);
    loop {
        let pause = match UnixStream::connect(&path).await {
            // It does not live, or does not listen yet.
            Err(_) => DIAL_EVERY,
            Ok(stream) => {
                let met = timeout(HELLO_WITHIN, meet(&shared, stream, &peer)).await.unwrap_or(Err(Ending::Silent));
                match met {
                    Ok((talk, life)) => serve(&shared, talk, life).await,
                    Err(ending) => {
                        shared.count(ending);
                        if ending == Ending::Closed { DIAL_EVERY } else { DIAL_PAUSE }
                    }
                }
            }
        };
        sleep(pause).await;
    }
}

/// The side that was dialled: who is it, and does it fit? `None`: it was a later life of this node, and this one has gone.
async fn greet(shared: &Arc<Shared>, stream: UnixStream) -> Result<Option<(Talk, NodeLife)>, Ending> {
    let mut talk = Talk::new(stream);
    let Word::Hello(theirs) = talk.hear().await? else { return Err(Ending::NotHello) };
    let refusal = |why, attached| Word::Refuse { why, attached };
    if let Err(why) = may_come_in(shared, &theirs) {
        let attached = if why == Ending::Older { attached(shared, &theirs) } else { Incarnation::default() };
        // It is told why if it listens; it is sent away in any case.
        let _ = talk.say(&refusal(why, attached)).await;
        return Err(why);
    }
    talk.say(&Word::Hello(shared.hello.clone())).await?;
    if theirs.life.node == shared.me.node {
        shared.count(Ending::Replaced);
        shared.close();
        return Ok(None);
    }
    match talk.hear().await? {
        Word::Ready => Ok(Some((talk, theirs.life))),
        _ => Err(Ending::NotHello),
    }
}

/// The life that stands in the way of this one.
fn attached(shared: &Shared, theirs: &Hello) -> Incarnation {
    let peer = shared.peer(&theirs.life.node).map(|c| c.life.incarnation);
    peer.unwrap_or(shared.me.incarnation)
}

fn may_come_in(shared: &Shared, theirs: &Hello) -> Result<(), Ending> {
    shared.hello.fits(theirs)?;
    let life = &theirs.life;
    if life.node == shared.me.node {
        return if life.incarnation > shared.me.incarnation { Ok(()) } else { Err(Ending::Older) };
    }
    // Of a pair the lower name dials: two connections of one pair could never agree which of them counts.
    if life.node > shared.me.node || !shared.options.members.contains(&life.node) {
        return Err(Ending::Stranger);
    }
    let newer = shared.peer(&life.node).is_some_and(|c| c.life.incarnation > life.incarnation);
    if newer { Err(Ending::Older) } else { Ok(()) }
}

/// The side that dials.
async fn meet(shared: &Shared, stream: UnixStream, peer: &NodeName) -> Result<(Talk, NodeLife), Ending> {
    let mut talk = Talk::new(stream);
    talk.say(&Word::Hello(shared.hello.clone())).await?;
    let theirs = match talk.hear().await? {
        Word::Hello(theirs) => theirs,
        Word::Refuse { why, .. } => return Err(why),
        Word::Ready => return Err(Ending::NotHello),
    };
    shared.hello.fits(&theirs)?;
    if theirs.life.node != *peer {
        return Err(Ending::Stranger);
    }
    talk.say(&Word::Ready).await?;
    Ok((talk, theirs.life))
}

/// A connection that is up, until it ends. Returns how long the next attempt should wait.
async fn serve(shared: &Arc<Shared>, talk: Talk, life: NodeLife) -> Duration {
    let Ok((connection, read, write, buffer)) = talk.settle(life) else {
        shared.count(Ending::Broken);
        return DIAL_PAUSE;
    };
    let connection = Arc::new(connection);
    if let Err(ending) = shared.up(&connection) {
        shared.count(ending);
        return DIAL_PAUSE;
    }
    let ending = tokio::select! {
        ending = read_all(shared, &connection, read, buffer) => ending,
        ending = write_all(&connection, &write, shared.options.stall) => ending,
        () = connection.over.notified() => Ending::Replaced,
    };
    shared.ended(&connection, ending);
    if ending.down() == DownWhy::Closed { DIAL_EVERY } else { DIAL_PAUSE }
}

/// Hands every frame to the node, until the connection ends.
async fn read_all(shared: &Shared, connection: &Connection, mut read: OwnedReadHalf, mut buffer: BytesMut) -> Ending {
    // One byte more for the kind.
    let mut codec = codec(FRAME_BYTES_MAX + 1);
    loop {
        loop {
            match codec.decode(&mut buffer) {
                Ok(None) => break,
                Err(_) => return Ending::TooLong,
                Ok(Some(mut frame)) => match frame.first().copied() {
                    Some(KIND_FRAME) => {
                        frame.advance(1);
                        let from = connection.life.node.clone();
                        shared.tell(LinkEvent::Message { from, bytes: frame.freeze() });
                    }
                    Some(later) if later >= KIND_LATER => {}
                    _ => return Ending::BadFrame,
                },
            }
        }
        buffer.reserve(READ_BYTES);
        match read.read_buf(&mut buffer).await {
            Ok(0) if is_between_frames(&codec, &buffer) => return Ending::Closed,
            Ok(0) => return Ending::CutShort,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ending::Closed,
            Err(_) => return Ending::Broken,
        }
    }
}

/// The codec takes a frame's length out of the buffer before the frame is there; at the end it says so itself.
fn is_between_frames(codec: &LengthDelimitedCodec, buffer: &BytesMut) -> bool {
    matches!(codec.clone().decode_eof(&mut buffer.clone()), Ok(None))
}

/// Writes what senders could not, until the connection ends.
async fn write_all(connection: &Connection, write: &OwnedWriteHalf, stall: Duration) -> Ending {
    loop {
        connection.to_write.notified().await;
        loop {
            match timeout(stall, write.writable()).await {
                Err(_) => return Ending::Stalled,
                Ok(Err(_)) => return Ending::Broken,
                Ok(Ok(())) => {}
            }
            match write.as_ref().try_io(Interest::WRITABLE, || connection.flush()) {
                Ok(()) => break,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Ending::Broken,
            }
        }
    }
}

/// A connection before it is up.
struct Talk {
    stream: UnixStream,
    buffer: BytesMut,
    codec: LengthDelimitedCodec,
}

impl Talk {
    fn new(stream: UnixStream) -> Self {
        Self { stream, buffer: BytesMut::new(), codec: codec(HELLO_BYTES_MAX) }
    }
    async fn say(&mut self, word: &Word) -> Result<(), Ending> {
        self.stream.write_all(&word.bytes()).await.map_err(|_| Ending::Closed)
    }
    async fn hear(&mut self) -> Result<Word, Ending> {
        loop {
            if let Some(frame) = self.codec.decode(&mut self.buffer).map_err(|_| Ending::NotHello)? {
                return Word::read(&frame).map_err(|_| Ending::NotHello);
            }
            self.buffer.reserve(HELLO_BYTES_MAX);
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) if is_between_frames(&self.codec, &self.buffer) => return Err(Ending::Closed),
                Ok(0) => return Err(Ending::CutShort),
                Ok(_) => {}
                Err(_) => return Err(Ending::Closed),
            }
        }
    }
    /// As it is used from now on. A second handle on the same socket is for the senders.
    fn settle(self, life: NodeLife) -> io::Result<(Connection, OwnedReadHalf, OwnedWriteHalf, BytesMut)> {
        // A smaller buffer than asked for only makes frames wait earlier.
        let _ = SockRef::from(&self.stream).set_send_buffer_size(SOCKET_BUFFER);
        let stream = self.stream.into_std()?;
        let senders = stream.try_clone()?;
        let (read, write) = UnixStream::from_std(stream)?.into_split();
        Ok((Connection::new(life, senders), read, write, self.buffer))
    }
}
