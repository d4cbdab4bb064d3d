//! A phone of a few lines over real sockets: it writes its requests as text and reads answers by splitting lines, so that it shares no
//! parser with what it tests. Only the digest's arithmetic is the program's own.

use crate::cluster::{PASSWORD, PATIENCE, REALM};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use tandem_sip::digest::{Algorithm, Ha1, Protection, response};

/// A number that nobody had before, for branches and Call-IDs.
pub(crate) fn unique() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        // Damaged requests are quoted back as they came.
        let text = String::from_utf8_lossy(bytes).into_owned();
        let status = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok());
        Self { status: status.unwrap_or_else(|| panic!("no answer: {text}")), text }
    }
    /// All values of a header, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.text.split("\r\n").skip(1).filter_map(|l| l.split_once(':'));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }
    /// The only value of a header.
    pub(crate) fn header(&self, name: &str) -> &str {
        match self.all(name)[..] {
            [value] => value,
            ref other => panic!("{name}: {other:?} in\n{}", self.text),
        }
    }
    pub(crate) fn number(&self, name: &str) -> u32 {
        self.header(name).parse().unwrap_or_else(|_| panic!("{name} in\n{}", self.text))
    }
    /// Seconds granted to the one contact.
    pub(crate) fn granted(&self) -> u32 {
        let seconds = self.header("Contact").split_once(";expires=").map(|(_, s)| s);
        seconds.and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("expires in\n{}", self.text))
    }
}

/// How a phone is connected.
pub(crate) enum Line {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
}

impl Line {
    pub(crate) fn udp(server: SocketAddr) -> Self {
        let any = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(any).expect("a socket");
        socket.connect(server).expect("an address");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self::Udp(socket)
    }
    pub(crate) fn tcp(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self::Tcp(stream, Vec::new())
    }
    pub(crate) fn local(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp(stream, _) => stream.local_addr(),
        }
        .expect("an address")
    }
    pub(crate) fn transport(&self) -> &'static str {
        if matches!(self, Self::Udp(_)) { "UDP" } else { "TCP" }
    }
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Udp(socket) => drop(socket.send(bytes).expect("sent")),
            Self::Tcp(stream, _) => stream.write_all(bytes).expect("sent"),
        }
    }
    /// Sends unless the connection has ended; whether it was sent.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Udp(socket) => socket.send(bytes).is_ok(),
            Self::Tcp(stream, _) => stream.write_all(bytes).is_ok(),
        }
    }
    /// The next message, or `None` when the connection has ended.
    pub(crate) fn next(&mut self) -> Option<Answer> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = [0; 65_536];
                let length = socket.recv(&mut buffer).expect("an answer in time");
                Some(Answer::read(&buffer[..length]))
            }
            Self::Tcp(stream, buffer) => loop {
                if let Some(length) = whole(buffer) {
                    return Some(Answer::read(&buffer.drain(..length).collect::<Vec<_>>()));
                }
                if more(stream, buffer) == 0 {
                    assert!(buffer.is_empty(), "half an answer: {}", String::from_utf8_lossy(buffer));
                    return None;
                }
            },
        }
    }
    pub(crate) fn receive(&mut self) -> Answer {
        self.next().expect("an answer, not the end of the connection")
    }
    /// The next bytes of a connection, whatever they are.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let Self::Tcp(stream, buffer) = self else { panic!("a datagram socket") };
        while buffer.len() < count && more(stream, buffer) > 0 {}
        let count = count.min(buffer.len());
        buffer.drain(..count).collect()
    }
    /// Whether the server still answers here: OPTIONS, and what came before its answer.
    pub(crate) fn ping(&mut self) -> Vec<Answer> {
        let (local, transport) = (self.local(), self.transport());
        let n = unique();
        let call = format!("ping-{n}");
        self.send(
            format!(
                "OPTIONS sip:{REALM} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch=z9hG4bKping{n};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:ping@{REALM}>;tag=p{n}\r\nTo: <sip:{REALM}>\r\nCall-ID: {call}\r\n\
                 CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            )
            .as_bytes(),
        );
        let mut before = Vec::new();
        loop {
            let answer = self.receive();
            if answer.all("Call-ID") == [call.as_str()] {
                assert_eq!(answer.status, 200, "{}", answer.text);
                return before;
            }
            before.push(answer);
        }
    }
}

fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> usize {
    let mut piece = [0; 4_096];
    match stream.read(&mut piece) {
        Ok(length) => {
            buffer.extend_from_slice(&piece[..length]);
            length
        }
        // Closed with bytes unread: as good as an end.
        Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => 0,
        Err(e) => panic!("no answer in time: {e}"),
    }
}

/// Length of the first whole message.
fn whole(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let body = Answer::read(&buffer[..head]).number("Content-Length") as usize;
    (buffer.len() >= head + body).then_some(head + body)
}

/// A nonce and how often it was used.
#[derive(Clone, Debug)]
pub(crate) struct Nonce {
    pub(crate) value: String,
    pub(crate) count: u32,
}

/// One phone.
pub(crate) struct Phone {
    pub(crate) line: Line,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) nonce: Option<Nonce>,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    pub(crate) contact: String,
    /// Whom its requests other than REGISTER are for; itself unless set.
    pub(crate) target: Option<String>,
    /// The last request, for retransmissions and replays.
    pub(crate) last: Vec<u8>,
}

impl Phone {
    pub(crate) fn new(user: &str, line: Line) -> Self {
        let contact = format!("sip:{user}@{}", line.local());
        Self {
            line,
            user: user.to_owned(),
            password: PASSWORD.to_owned(),
            algorithm: Algorithm::Md5,
            nonce: None,
            call_id: format!("call-{}", unique()),
            cseq: 0,
            contact,
            target: None,
            last: Vec::new(),
        }
    }
    pub(crate) fn udp(user: &str, server: SocketAddr) -> Self {
        Self::new(user, Line::udp(server))
    }
    pub(crate) fn tcp(user: &str, server: SocketAddr) -> Self {
        Self::new(user, Line::tcp(server))
    }
    /// The same phone, with all it knows, at another server.
    pub(crate) fn moved(mut self, server: SocketAddr) -> Self {
        self.line = match self.line {
            Line::Udp(_) => Line::udp(server),
            Line::Tcp(..) => Line::tcp(server),
        };
        self
    }

    /// The next request; `more` are header lines with their ends.
    pub(crate) fn build(&mut self, method: &str, more: &str) -> Vec<u8> {
        self.cseq += 1;
        let target = self.target.as_ref().unwrap_or(&self.user);
        let uri = if method == "REGISTER" { format!("sip:{REALM}") } else { format!("sip:{target}@{REALM}") };
        let authorization = self.authorization(method, &uri);
        let (n, user, call, cseq) = (unique(), &self.user, &self.call_id, self.cseq);
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{} {};branch=z9hG4bK{n};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{REALM}>;tag=f{n}\r\nTo: <sip:{user}@{REALM}>\r\nCall-ID: {call}\r\nCSeq: {cseq} {method}\r\n\
             {authorization}{more}Content-Length: 0\r\n\r\n",
            self.line.transport(),
            self.line.local(),
        );
        text.into_bytes()
    }
    fn authorization(&mut self, method: &str, uri: &str) -> String {
        let Some(nonce) = &mut self.nonce else { return String::new() };
        nonce.count += 1;
        let count = format!("{:08x}", nonce.count);
        let ha1 = Ha1::new(self.algorithm, self.user.as_bytes(), REALM.as_bytes(), self.password.as_bytes());
        let protection = Protection::Auth { nc: count.as_bytes(), cnonce: b"c0ffee" };
        let proof = response(&ha1, nonce.value.as_bytes(), method.as_bytes(), uri.as_bytes(), protection);
        format!(
            "Authorization: Digest username=\"{}\", realm=\"{REALM}\", nonce=\"{}\", uri=\"{uri}\", response=\"{proof}\", \
             algorithm={}, qop=auth, nc={count}, cnonce=\"c0ffee\"\r\n",
            self.user,
            nonce.value,
            self.algorithm.name(),
        )
    }
    /// Sends bytes and waits for the answer.
    pub(crate) fn exchange(&mut self, bytes: &[u8]) -> Answer {
        self.last = bytes.to_vec();
        self.line.send(bytes);
        self.line.receive()
    }
    /// One request, one answer.
    pub(crate) fn once(&mut self, method: &str, more: &str) -> Answer {
        let bytes = self.build(method, more);
        self.exchange(&bytes)
    }
    /// A request, and again with an answer to the challenge if there is one.
    ///
    /// Of two nonces that two nodes gave in one second the later may turn out the older: then it is told `stale=true` and repeats.
    pub(crate) fn ask(&mut self, method: &str, more: &str) -> Answer {
        let mut answer = self.once(method, more);
        for _ in 0..2 {
            let again = answer.status == 401 && (self.nonce.is_none() || answer.text.contains("stale=true"));
            if !again {
                break;
            }
            self.learn(&answer);
            answer = self.once(method, more);
        }
        answer
    }
    /// Takes the nonce of a challenge in the phone's algorithm.
    pub(crate) fn learn(&mut self, challenge: &Answer) {
        let wanted = format!("algorithm={}", self.algorithm.name());
        let all = challenge.all("WWW-Authenticate");
        let ours = all.iter().find(|c| c.contains(&wanted)).unwrap_or_else(|| panic!("{wanted} in {all:?}"));
        self.nonce = Some(Nonce { value: quoted(ours, "nonce").to_owned(), count: 0 });
    }
    /// A request for somebody.
    pub(crate) fn towards(&mut self, method: &str, target: &str) -> Answer {
        self.target = Some(target.to_owned());
        let answer = self.ask(method, "");
        self.target = None;
        answer
    }
    /// Header lines that bind the phone's contact.
    pub(crate) fn binding(&self, seconds: u32) -> String {
        format!("Contact: <{}>\r\nExpires: {seconds}\r\n", self.contact)
    }
    pub(crate) fn register(&mut self, seconds: u32) -> Answer {
        let more = self.binding(seconds);
        self.ask("REGISTER", &more)
    }
    /// Registers, which must work.
    pub(crate) fn registered(mut self) -> Self {
        let answer = self.register(600);
        assert_eq!(answer.status, 200, "{}", answer.text);
        self
    }
    /// What is bound.
    pub(crate) fn query(&mut self) -> Answer {
        let answer = self.ask("REGISTER", "");
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer
    }
    /// Whether this phone's contact is bound.
    pub(crate) fn is_bound(&mut self) -> bool {
        let wanted = format!("<{}>", self.contact);
        self.query().all("Contact").iter().any(|c| c.starts_with(&wanted))
    }
}

/// The value of a quoted parameter.
pub(crate) fn quoted<'a>(text: &'a str, name: &str) -> &'a str {
    let from = text.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("{name} in {text}")).1;
    from.split_once('"').unwrap_or_else(|| panic!("{name} in {text}")).0
}
