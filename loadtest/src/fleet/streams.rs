//! TCP phones: one stream per phone and CallManager, opened when the phone asks, read and written by one task each.
//!
//! Both directions are bounded: a CallManager that does not read makes messages drop, one that sends without end is cut off.

use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;
use tandem_host::clock::Clock;
use tandem_sip::{Frame, FrameError, Framer, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::Shared;
use super::core::STREAM_QUEUE;
use crate::PhoneInput;
use crate::plan::{STREAMS_PER_PHONE, may_talk_to};

/// A stream that is not there by then counts as refused.
const CONNECT_WAIT: Duration = Duration::from_secs(4);
/// A peer that does not take a message within this time is gone.
const WRITE_WAIT: Duration = Duration::from_secs(5);

/// Bytes read from a stream at once.
const READ_MAX: usize = 4_096;

/// Starts a task for every stream asked for, within the bound per phone.
pub(super) fn open(core: &Shared, wanted: Vec<(u32, SocketAddr)>, clock: Clock) {
    for (phone, to) in wanted {
        let (writer, queue) = mpsc::channel(STREAM_QUEUE);
        let source = {
            let mut core = core.borrow_mut();
            let held = core.streams.range((phone, lowest())..).take_while(|((p, _), _)| *p == phone).count();
            let source = core.source(phone).filter(|_| held < STREAMS_PER_PHONE && may_talk_to(to.ip()));
            match source {
                // A new stream to the same CallManager replaces the old one, whose task ends with its queue.
                Some(_) => drop(core.streams.insert((phone, to), writer)),
                None => core.step(clock.now(), phone, PhoneInput::Broken { to }),
            }
            source
        };
        if let Some(source) = source {
            tokio::task::spawn_local(serve(core.clone(), phone, SocketAddr::new(source, 0), to, queue, clock));
        }
    }
}

fn lowest() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}

async fn serve(
    core: Shared,
    phone: u32,
    source: SocketAddr,
    to: SocketAddr,
    mut queue: mpsc::Receiver<Bytes>,
    clock: Clock,
) {
    let stream = tokio::time::timeout(CONNECT_WAIT, connect(source, to)).await;
    if let Ok(Ok((stream, local))) = stream {
        core.borrow_mut().step(clock.now(), phone, PhoneInput::Opened { to, local });
        carry(&core, phone, to, stream, &mut queue, clock).await;
    }
    queue.close();
    let mut core = core.borrow_mut();
    // Unless a newer stream has taken the place.
    if core.streams.get(&(phone, to)).is_some_and(mpsc::Sender::is_closed) {
        core.streams.remove(&(phone, to));
        core.step(clock.now(), phone, PhoneInput::Broken { to });
    }
}

async fn connect(source: SocketAddr, to: SocketAddr) -> std::io::Result<(TcpStream, SocketAddr)> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(source)?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    Ok((stream, local))
}

/// Until either side has had enough.
async fn carry(
    core: &Shared,
    phone: u32,
    to: SocketAddr,
    stream: TcpStream,
    queue: &mut mpsc::Receiver<Bytes>,
    clock: Clock,
) {
    let (mut reader, mut writer) = stream.into_split();
    let mut framer = Framer::new(Side::Client);
    let mut buffer = vec![0; READ_MAX];
    loop {
        tokio::select! {
            message = queue.recv() => {
                let Some(message) = message else { return };
                let written = tokio::time::timeout(WRITE_WAIT, writer.write_all(&message)).await;
                if !matches!(written, Ok(Ok(()))) {
                    return;
                }
            }
            read = reader.read(&mut buffer) => {
                let Ok(length @ 1..) = read else { return };
                let cut = cut(&mut framer, buffer.get(..length).unwrap_or_default(), |message| {
                    core.borrow_mut().arrived(clock.now(), Some(phone), to, message);
                });
                if cut.is_err() {
                    return;
                }
            }
        }
    }
}

/// Hands out every whole message. An error means that the stream cannot be read any further.
fn cut(framer: &mut Framer, mut bytes: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), FrameError> {
    while !bytes.is_empty() {
        let taken = framer.push(bytes);
        bytes = bytes.get(taken..).unwrap_or_default();
        while let Some(frame) = framer.poll()? {
            if let Frame::Message(message) = frame {
                each(message);
            }
        }
    }
    Ok(())
}
