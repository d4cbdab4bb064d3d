//! Digest answers of the phone (RFC 7616, RFC 8760): it keeps the last challenge of each CallManager and uses its nonce for every
//! further request there, counting up. A registration at one that never challenged it goes with the newest nonce it has.
//!
//! It must never answer twice with a secret that was just refused: a second challenge is answered only when it says
//! that the nonce was stale, and that once.

use tandem_base::Time;
use tandem_sip::digest::{Algorithm, Answer, Challenge, Ha1, Secret, answer};

use super::Phone;
use super::reply::Reply;
use super::transaction::{Past, Transaction};

/// Longest realm, nonce and opaque taken together that a phone keeps, in bytes.
const CHALLENGE_MAX: usize = 1_024;

/// A challenge and how often its nonce was used.
#[derive(Debug)]
pub(super) struct Proof {
    /// Whose challenge it was: a place in the phone's list.
    server: u8,
    /// Realm, nonce and opaque one after another.
    text: Box<[u8]>,
    realm_len: u16,
    nonce_len: u16,
    has_opaque: bool,
    qop_auth: bool,
    /// 407 asked: the answer goes into Proxy-Authorization.
    proxy: bool,
    nc: u32,
    ha1: Ha1,
}

impl Proof {
    fn new(server: u8, challenge: &Challenge<'_>, proxy: bool, user: &str, password: &str) -> Option<Self> {
        let text = [challenge.realm, challenge.nonce, challenge.opaque.unwrap_or_default()].concat();
        if text.len() > CHALLENGE_MAX {
            return None;
        }
        Some(Self {
            server,
            text: text.into_boxed_slice(),
            realm_len: u16::try_from(challenge.realm.len()).ok()?,
            nonce_len: u16::try_from(challenge.nonce.len()).ok()?,
            has_opaque: challenge.opaque.is_some(),
            qop_auth: challenge.qop_auth,
            proxy,
            nc: 0,
            ha1: Ha1::new(challenge.algorithm, user.as_bytes(), challenge.realm, password.as_bytes()),
        })
    }

    fn challenge(&self) -> Option<Challenge<'_>> {
        let (realm, rest) = self.text.split_at_checked(self.realm_len.into())?;
        let (nonce, opaque) = rest.split_at_checked(self.nonce_len.into())?;
        Some(Challenge {
            algorithm: self.ha1.algorithm(),
            realm,
            nonce,
            opaque: self.has_opaque.then_some(opaque),
            qop_auth: self.qop_auth,
        })
    }

    /// Bytes held beside the struct.
    pub(super) fn memory(&self) -> usize {
        self.text.len()
    }
}

impl Phone {
    /// Answers a 401 or 407 by sending the request again with proof. `false` when that makes no sense.
    pub(super) fn challenged(&mut self, now: Time, request: &Transaction, reply: &Reply<'_>) -> bool {
        let sha256 = self.settings().sha256;
        // RFC 8760 section 2.4: the topmost challenge that the phone can answer.
        let Some((challenge, stale)) = reply.challenges().find(|(c, _)| sha256 || c.algorithm == Algorithm::Md5) else {
            return false;
        };
        // A nonce sent unasked may have grown old without the server saying so: the first challenge is always answered.
        if request.past.challenged && (request.past.stale || !stale) {
            return false;
        }
        let proxy = reply.status == 407;
        let proof = Proof::new(request.server, &challenge, proxy, self.digest_user(), self.password());
        let Some(proof) = proof else { return false };
        // At most one for each place in the list; the newest stands last.
        self.proofs.retain(|p| p.server != request.server);
        self.proofs.reserve_exact(1);
        self.proofs.push(proof);
        self.counters.challenges = self.counters.challenges.saturating_add(1);
        let past = Past { challenged: true, stale: request.past.stale | stale, ..request.past };
        self.launch_again(now, request.kind, request.server, past);
        true
    }

    /// Appends the Authorization line when there is a challenge to answer. `binds`: the request registers the phone.
    pub(super) fn write_proof(&mut self, out: &mut Vec<u8>, method: &str, uri: &str, at: (u8, bool, u32)) {
        let (server, binds, salt) = at;
        let known = self.proofs.iter().position(|p| p.server == server);
        let place = known.or_else(|| self.proofs.len().checked_sub(1).filter(|_| binds));
        let Some(mut proof) = place.map(|place| self.proofs.remove(place)) else { return };
        let cnonce = format!("{salt:08x}");
        proof.nc = proof.nc.wrapping_add(1);
        if let Some(challenge) = proof.challenge() {
            let with = Answer {
                username: self.digest_user().as_bytes(),
                secret: Secret::Ha1(&proof.ha1),
                method: method.as_bytes(),
                uri: uri.as_bytes(),
                nc: proof.nc,
                cnonce: cnonce.as_bytes(),
            };
            out.extend_from_slice(if proof.proxy { b"Proxy-Authorization: " } else { b"Authorization: " });
            answer(out, &challenge, &with);
            out.extend_from_slice(b"\r\n");
        }
        // Back to its place: the order is that of the challenges.
        self.proofs.insert(place.unwrap_or_default().min(self.proofs.len()), proof);
    }
}
