//! Digest authentication of both sides: RFC 7616 as profiled for SIP by RFC 8760, with RFC 2069 answers still read
//! (RFC 3261 section 22.4 asks for that). It hashes, compares and writes; nothing else.
//!
//! Everything is taken as plain pieces of text, as they stand between the quotes on the wire, so this file knows no
//! header reader. It never allocates on the checking side, never leaves a comparison early, never prints a secret, and
//! never decides whether a nonce may be used: that is [`crate::nonce`], and it comes *before* [`verify`] in a server.

use core::fmt;
use md5::Md5;
use sha2::{Digest, Sha256};

/// The hash algorithms that are spoken (RFC 8760 section 2.1). `-sess` variants and SHA-512-256 are not: nobody who
/// registers a phone uses them, and `-sess` would need state per session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// `MD5`, 16 bytes: what every phone speaks.
    Md5,
    /// `SHA-256`, 32 bytes: preferred (RFC 8760 section 2.3).
    Sha256,
}

impl Algorithm {
    /// Reads an `algorithm` value, in any case. `None` for every other algorithm, `MD5-sess` and `SHA-256-sess` included.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Md5, Self::Sha256].into_iter().find(|a| name.eq_ignore_ascii_case(a.name().as_bytes()))
    }

    /// The name as it is written on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// Bytes of one hash: 16 or 32. As hex text it is twice as long.
    pub const fn hash_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 => 32,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `H(username ":" realm ":" password)` (RFC 7616 section 3.4.2): what a server stores instead of a password. It is a
/// secret of the same worth within its realm, so `Debug` shows the algorithm only and `==` takes constant time.
#[derive(Clone, Copy)]
pub enum Ha1 {
    /// Of the MD5 algorithm.
    Md5([u8; 16]),
    /// Of the SHA-256 algorithm.
    Sha256([u8; 32]),
}

impl Ha1 {
    /// From the plain secret.
    pub fn new(algorithm: Algorithm, username: &[u8], realm: &[u8], password: &[u8]) -> Self {
        let pieces = [username, b":", realm, b":", password];
        match algorithm {
            Algorithm::Md5 => Self::Md5(hash::<Md5, 16>(&pieces)),
            Algorithm::Sha256 => Self::Sha256(hash::<Sha256, 32>(&pieces)),
        }
    }

    /// From stored hex text, in any case: 32 digits are MD5, 64 are SHA-256; `None` for anything else.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        match text.len() {
            32 => unhex(text).map(Self::Md5),
            64 => unhex(text).map(Self::Sha256),
            _ => None,
        }
    }

    /// Which algorithm it belongs to.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Md5(_) => Algorithm::Md5,
            Self::Sha256(_) => Algorithm::Sha256,
        }
    }

    /// The raw bytes, for storage: 16 or 32.
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Md5(b) => b,
            Self::Sha256(b) => b,
        }
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ha1({}, secret)", self.algorithm())
    }
}
impl PartialEq for Ha1 {
    fn eq(&self, other: &Self) -> bool {
        same(self.as_bytes(), other.as_bytes())
    }
}
impl Eq for Ha1 {}

/// What a server knows of one user. Both empty is the unknown user: [`verify`] does the same work for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// For `algorithm=MD5`.
    pub md5: Option<Ha1>,
    /// For `algorithm=SHA-256`.
    pub sha256: Option<Ha1>,
}

impl Stored {
    /// Nobody: verifying against it costs what verifying against a real user costs, and never succeeds.
    pub const UNKNOWN: Self = Self { md5: None, sha256: None };

    /// Both hashes from a plain password.
    pub fn from_password(username: &[u8], realm: &[u8], password: &[u8]) -> Self {
        Self {
            md5: Some(Ha1::new(Algorithm::Md5, username, realm, password)),
            sha256: Some(Ha1::new(Algorithm::Sha256, username, realm, password)),
        }
    }
}

/// How the answer is protected (RFC 7616 section 3.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection<'a> {
    /// `qop=auth`: the counter as sent (eight hex digits) and the client's nonce.
    Auth {
        /// `nc-value` as sent; it is hashed as text.
        nc: &'a [u8],
        /// `cnonce` as sent.
        cnonce: &'a [u8],
    },
    /// No `qop` at all (RFC 2069): no replay counter, so the nonce alone limits reuse.
    None,
}

/// The pieces of an Authorization header, quotes removed and escapes left as they are. `realm` is not needed for the
/// computation (it is inside the stored hash) and must be compared with one's own realm by the caller.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// `algorithm` as sent; absent means MD5.
    pub algorithm: Option<&'a [u8]>,
    /// `nonce` as sent.
    pub nonce: &'a [u8],
    /// `uri` as sent. Phones differ from the Request-URI here (RFC 3261 section 22.4, point 5), so it is hashed as it is.
    pub uri: &'a [u8],
    /// `qop` as sent; absent means RFC 2069.
    pub qop: Option<&'a [u8]>,
    /// `nc` as sent; needed with `qop`.
    pub nc: Option<&'a [u8]>,
    /// `cnonce` as sent; needed with `qop`.
    pub cnonce: Option<&'a [u8]>,
    /// `response` as sent: 32 or 64 hex digits.
    pub response: &'a [u8],
}

/// What [`verify`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The client knows the secret. `nc` is the counter to hand to [`crate::nonce::NcWindow`]; `None` without `qop`.
    Right {
        /// The nonce count as a number.
        nc: Option<u32>,
    },
    /// The answer does not fit the secret, or there is no secret: unknown user, or none for this algorithm. The two
    /// are one verdict on purpose: who asks must not learn which names exist.
    Wrong,
    /// An algorithm or `qop` that was never offered (`-sess`, `auth-int`, ...): answer with a fresh challenge.
    Unsupported,
    /// The header cannot be an answer at all: `response` or `nc` is no hex of the right length, or `cnonce`/`nc` is
    /// missing although `qop` is there. 400 (RFC 7616 section 3.4, "if a directive is improper").
    Malformed,
}

/// Checks an answer against what is stored. No allocation; the time depends on lengths and algorithm, not on whether the
/// user exists or how much of the response is right.
pub fn verify(stored: &Stored, credentials: &Credentials<'_>, method: &[u8]) -> Verdict {
    verify_after(&mut LastRequest::default(), stored, credentials, method)
}

/// The same, with what was hashed for the request before.
pub fn verify_after(last: &mut LastRequest, stored: &Stored, credentials: &Credentials<'_>, method: &[u8]) -> Verdict {
    let algorithm = match credentials.algorithm {
        None => Algorithm::Md5,
        Some(name) => match Algorithm::from_name(name) {
            Some(algorithm) => algorithm,
            None => return Verdict::Unsupported,
        },
    };
    let (protection, nc) = match (credentials.qop, credentials.nc, credentials.cnonce) {
        (None, ..) => (Protection::None, None),
        (Some(qop), ..) if !qop.eq_ignore_ascii_case(b"auth") => return Verdict::Unsupported,
        (Some(_), Some(nc), Some(cnonce)) => match parse_nc(nc) {
            Some(count) => (Protection::Auth { nc, cnonce }, Some(count)),
            None => return Verdict::Malformed,
        },
        (Some(_), ..) => return Verdict::Malformed,
    };
    let work = Work { nonce: credentials.nonce, uri: credentials.uri, method, protection };
    // A missing secret is replaced by zeros and its result thrown away, so that both paths hash the same amount.
    let right = match algorithm {
        Algorithm::Md5 => {
            let (known, ha1) = match stored.md5 {
                Some(Ha1::Md5(ha1)) => (true, ha1),
                _ => (false, [0; 16]),
            };
            let Some(given) = unhex::<16>(credentials.response) else { return Verdict::Malformed };
            same(&work.hash::<Md5, 16>(algorithm, last, &ha1), &given) & known
        }
        Algorithm::Sha256 => {
            let (known, ha1) = match stored.sha256 {
                Some(Ha1::Sha256(ha1)) => (true, ha1),
                _ => (false, [0; 32]),
            };
            let Some(given) = unhex::<32>(credentials.response) else { return Verdict::Malformed };
            same(&work.hash::<Sha256, 32>(algorithm, last, &ha1), &given) & known
        }
    };
    if right { Verdict::Right { nc } } else { Verdict::Wrong }
}

/// The `response` value as hex text on the stack: 32 or 64 lower-case digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Response {
    digits: [u8; 64],
    len: usize,
}

impl Response {
    /// The digits.
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(..self.len).unwrap_or_default()
    }
}
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|&b| fmt::Write::write_char(f, char::from(b)))
    }
}

/// Computes a `response` (RFC 7616 section 3.4.1, RFC 2069 section 2.1.2). About 0.5 us for MD5, 0.3 us for SHA-256.
pub fn response(ha1: &Ha1, nonce: &[u8], method: &[u8], uri: &[u8], protection: Protection<'_>) -> Response {
    let work = Work { nonce, uri, method, protection };
    let last = &mut LastRequest::default();
    let mut digits = [0; 64];
    let len = match ha1 {
        Ha1::Md5(ha1) => hex_into(&work.hash::<Md5, 16>(Algorithm::Md5, last, ha1), &mut digits),
        Ha1::Sha256(ha1) => hex_into(&work.hash::<Sha256, 32>(Algorithm::Sha256, last, ha1), &mut digits),
    };
    Response { digits, len }
}

/// Reads a nonce count: one to eight hex digits (the grammar says eight; some phones send fewer).
pub fn parse_nc(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 8 {
        return None;
    }
    text.iter().map(|&b| nibble(b)).try_fold(0u32, |n, v| (v < 16).then_some(n << 4 | u32::from(v)))
}

/// A challenge as a client received it, quotes removed and escapes left as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// `algorithm`, read by [`Algorithm::from_name`]; absent is MD5.
    pub algorithm: Algorithm,
    /// `realm` as sent.
    pub realm: &'a [u8],
    /// `nonce` as sent.
    pub nonce: &'a [u8],
    /// `opaque` as sent: it is returned unchanged.
    pub opaque: Option<&'a [u8]>,
    /// Whether `qop` contains `auth`. `false` gives an answer in the form of RFC 2069.
    pub qop_auth: bool,
}

/// How a client proves itself.
#[derive(Clone, Copy, Debug)]
pub enum Secret<'a> {
    /// The plain password.
    Password(&'a [u8]),
    /// Already hashed for this realm; its algorithm must be the challenge's.
    Ha1(&'a Ha1),
}

/// One request that is to be sent with an answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The user name as plain text; quotes and backslashes in it are escaped when written.
    pub username: &'a [u8],
    /// Password or stored hash.
    pub secret: Secret<'a>,
    /// The method of the request.
    pub method: &'a [u8],
    /// The Request-URI.
    pub uri: &'a [u8],
    /// How often this nonce has been used, this request included: 1, 2, ...
    pub nc: u32,
    /// A fresh random text without quotes.
    pub cnonce: &'a [u8],
}

/// Where text is written to: a growing buffer or a fixed one that knows how to be full.
pub trait Sink {
    /// Appends.
    fn put(&mut self, bytes: &[u8]);
}
impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Writes the value of an Authorization (or Proxy-Authorization) header: `Digest username="...", ...`, without header
/// name and line end. `false`, and nothing written, when a stored hash of the other algorithm was given.
pub fn answer<S: Sink + ?Sized>(out: &mut S, challenge: &Challenge<'_>, with: &Answer<'_>) -> bool {
    let ha1 = match with.secret {
        Secret::Password(password) => Ha1::new(challenge.algorithm, with.username, challenge.realm, password),
        Secret::Ha1(ha1) if ha1.algorithm() == challenge.algorithm => *ha1,
        Secret::Ha1(_) => return false,
    };
    let mut nc = [0; 8];
    hex_into(&with.nc.to_be_bytes(), &mut nc);
    let protection = match challenge.qop_auth {
        true => Protection::Auth { nc: &nc, cnonce: with.cnonce },
        false => Protection::None,
    };
    let response = response(&ha1, challenge.nonce, with.method, with.uri, protection);
    out.put(b"Digest username=\"");
    put_escaped(out, with.username);
    out.put(b"\"");
    for (name, value) in [("realm", challenge.realm), ("nonce", challenge.nonce), ("uri", with.uri)] {
        put_pair(out, name, value);
    }
    put_pair(out, "response", response.as_bytes());
    out.put(b", algorithm=");
    out.put(challenge.algorithm.name().as_bytes());
    if challenge.qop_auth {
        put_pair(out, "cnonce", with.cnonce);
        out.put(b", qop=auth, nc=");
        out.put(&nc);
    }
    if let Some(opaque) = challenge.opaque {
        put_pair(out, "opaque", opaque);
    }
    true
}

/// Which header a server's challenge goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// 401: `WWW-Authenticate`.
    Server,
    /// 407: `Proxy-Authenticate`.
    Proxy,
}

/// The challenge lines of one realm, written but for the nonce: one per algorithm, in the order given, each with its line end (RFC 8760
/// section 2.3: the most preferred first, so `[Sha256, Md5]`; a phone that reads only the first line and knows only MD5 needs the other
/// order). `opaque` is left out: the nonce says all there is to say. The realm is configuration and is escaped.
#[derive(Clone, Debug)]
pub struct Challenges(Vec<[Vec<u8>; 2]>);

impl Challenges {
    /// What stands in front of and behind the nonce of each line.
    pub fn new(asker: Asker, algorithms: &[Algorithm], realm: &[u8]) -> Self {
        let line = |algorithm: &Algorithm| {
            let mut front = Vec::new();
            Sink::put(
                &mut front,
                match asker {
                    Asker::Server => b"WWW-Authenticate: Digest realm=\"",
                    Asker::Proxy => b"Proxy-Authenticate: Digest realm=\"",
                },
            );
            put_escaped(&mut front, realm);
            Sink::put(&mut front, b"\", nonce=\"");
            [front, [b", algorithm=", algorithm.name().as_bytes(), b", qop=\"auth\"\r\n"].concat()]
        };
        Self(algorithms.iter().map(line).collect())
    }
    /// Writes the lines with this nonce.
    pub fn write<S: Sink + ?Sized>(&self, out: &mut S, nonce: &[u8], stale: bool) {
        for [front, end] in &self.0 {
            out.put(front);
            out.put(nonce);
            out.put(if stale { b"\", stale=true" } else { b"\", stale=false" });
            out.put(end);
        }
    }
}

/// Compares without leaving early; lengths are public, contents are not. `black_box` makes the whole difference needed, so
/// that the optimiser cannot turn the loop into a comparison that stops.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y));
    a.len() == b.len() && core::hint::black_box(difference) == 0
}

/// Exactly `2 * N` hex digits of any case to bytes.
pub(crate) fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (mut bytes, mut all) = ([0; N], 0);
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        let (high, low) = (nibble(high), nibble(low));
        all |= high | low;
        *byte = high << 4 | low & 15;
    }
    (all < 16).then_some(bytes)
}

/// Bytes to lower-case hex digits at the front of `out`; the number of digits written. Without a branch or a table, so
/// that a secret takes the time of any other bytes.
pub(crate) fn hex_into(bytes: &[u8], out: &mut [u8]) -> usize {
    // Above 9 the subtraction wraps and its top bit is set.
    let digit = |n: u8| b'0' + n + (9u8.wrapping_sub(n) >> 7) * (b'a' - b'9' - 1);
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        if let [high, low] = pair {
            (*high, *low) = (digit(byte >> 4), digit(byte & 15));
        }
    }
    (bytes.len() * 2).min(out.len())
}

/// The value of a hex digit of any case, 255 for everything else. A table, because the branches of a comparison cost more
/// than the hash they feed.
fn nibble(digit: u8) -> u8 {
    #[expect(clippy::indexing_slicing, reason = "computed by the compiler, where a wrong index stops the build")]
    const VALUES: [u8; 256] = {
        let mut values = [u8::MAX; 256];
        let mut n = 0;
        while n < 16 {
            values[b"0123456789abcdef"[n] as usize] = n as u8;
            values[b"0123456789ABCDEF"[n] as usize] = n as u8;
            n += 1;
        }
        values
    };
    VALUES.get(usize::from(digit)).copied().unwrap_or(u8::MAX)
}

/// Texts up to this length are hashed in one piece: what is fed bit by bit is copied bit by bit too, at twice the price.
const ONE_PIECE: usize = 256;

fn hash<D: Digest, const N: usize>(pieces: &[&[u8]]) -> [u8; N] {
    let mut digest = D::new();
    let (mut text, mut len) = ([0u8; ONE_PIECE], 0);
    if pieces.iter().map(|p| p.len()).sum::<usize>() <= ONE_PIECE {
        for piece in pieces {
            if let Some(place) = text.get_mut(len..len + piece.len()) {
                place.copy_from_slice(piece);
                len += piece.len();
            }
        }
        digest.update(text.get(..len).unwrap_or_default());
    } else {
        pieces.iter().for_each(|p| digest.update(p));
    }
    let mut bytes = [0; N];
    bytes.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
    bytes
}

/// The hash of a request (`A2` of RFC 7616 section 3.4.3) as it was last computed: the phones of a cluster ask for the same, so one of
/// the four blocks of an MD5 answer need not be hashed again. It depends on method and URI alone, which are no secret.
#[derive(Clone, Debug)]
pub struct LastRequest {
    asked: [u8; LAST_REQUEST],
    /// Bytes of the method in `asked`, and of both.
    method: usize,
    len: usize,
    algorithm: Algorithm,
    hex: [u8; 64],
}

/// Longest method and URI that are kept.
const LAST_REQUEST: usize = 128;

impl Default for LastRequest {
    fn default() -> Self {
        Self { asked: [0; LAST_REQUEST], method: 0, len: 0, algorithm: Algorithm::Md5, hex: [0; 64] }
    }
}

impl LastRequest {
    /// The hash of these pieces as hex text.
    fn hex<D: Digest, const N: usize>(&mut self, algorithm: Algorithm, method: &[u8], uri: &[u8]) -> [u8; 64] {
        let kept = self.asked.get(..self.len).and_then(|asked| asked.split_at_checked(self.method));
        if self.algorithm == algorithm && self.len > 0 && kept == Some((method, uri)) {
            return self.hex;
        }
        let mut hex = [0; 64];
        hex_into(&hash::<D, N>(&[method, b":", uri]), &mut hex);
        if let Some(place) = self.asked.get_mut(..method.len() + uri.len()) {
            let (front, back) = place.split_at_mut(method.len());
            front.copy_from_slice(method);
            back.copy_from_slice(uri);
            (self.method, self.len) = (method.len(), method.len() + uri.len());
            (self.algorithm, self.hex) = (algorithm, hex);
        }
        hex
    }
}

/// What is hashed besides the secret.
struct Work<'a> {
    nonce: &'a [u8],
    uri: &'a [u8],
    method: &'a [u8],
    protection: Protection<'a>,
}

impl Work<'_> {
    fn hash<D: Digest, const N: usize>(&self, algorithm: Algorithm, last: &mut LastRequest, ha1: &[u8; N]) -> [u8; N] {
        let mut secret = [0; 64];
        let len = hex_into(ha1, &mut secret);
        let request = last.hex::<D, N>(algorithm, self.method, self.uri);
        let secret = secret.get(..len).unwrap_or_default();
        let request = request.get(..len).unwrap_or_default();
        match self.protection {
            Protection::Auth { nc, cnonce } => {
                hash::<D, N>(&[secret, b":", self.nonce, b":", nc, b":", cnonce, b":auth:", request])
            }
            Protection::None => hash::<D, N>(&[secret, b":", self.nonce, b":", request]),
        }
    }
}

fn put_pair<S: Sink + ?Sized>(out: &mut S, name: &str, value: &[u8]) {
    out.put(b", ");
    out.put(name.as_bytes());
    out.put(b"=\"");
    out.put(value);
    out.put(b"\"");
}

/// Quoted-string content (RFC 3261 section 25.1). Control characters, which could end the line, are dropped.
fn put_escaped<S: Sink + ?Sized>(out: &mut S, text: &[u8]) {
    for piece in text.split_inclusive(|b| matches!(b, b'"' | b'\\') || b.is_ascii_control()) {
        match piece.split_last() {
            Some((b'"', before)) => {
                out.put(before);
                out.put(b"\\\"");
            }
            Some((b'\\', before)) => {
                out.put(before);
                out.put(b"\\\\");
            }
            Some((last, before)) if last.is_ascii_control() => out.put(before),
            _ => out.put(piece),
        }
    }
}

#[cfg(test)]
mod tests;
