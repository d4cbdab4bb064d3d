//! From a SIP message to what the registrar understands: whose address of record, which binding, for how long.
//!
//! Reads only; nothing here answers or decides who may.

use crate::device::Traits;
use crate::registrar::What;
use tandem_model::config::{MultipleContacts, Settings};
use tandem_model::row::{CONTACT_MAX, PATH_MAX};
use tandem_sip::headers::refer_to::ReferTo;
use tandem_sip::headers::tokens::has_option;
use tandem_sip::transaction::key::Legacy;
use tandem_sip::uri::Unescaped;
use tandem_sip::{Binding, Contact, Contacts, Facts, Header, Message, Method};

/// Why a REGISTER is no wish for the registrar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoWish {
    /// A Cisco-style heartbeat to a standby: binds nothing, removes nothing.
    HeartBeat,
    /// More contacts than one registration may have.
    ManyContacts,
    /// A contact that nobody could reach, or that is too long.
    BadContact,
}

/// The pieces that name a transaction of RFC 2543, which has no branch to go by.
pub(super) fn legacy<'a>(message: &Message<'a>, facts: &Facts<'a>) -> Legacy<'a> {
    Legacy {
        request_uri: message.request_uri(),
        from_tag: facts.from.tag.unwrap_or_default(),
        to_tag: facts.to.tag.unwrap_or_default(),
        call_id: message.call_id(),
        cseq: facts.cseq.number,
        via: message.header(Header::Via).unwrap_or_default(),
    }
}

/// The user of the address of record: To for REGISTER, From for all others. Empty when there is none, or when it is longer than any here.
pub(super) fn aor<'r>(message: &Message<'r>, facts: &Facts<'r>, room: &'r mut [u8; 128]) -> &'r [u8] {
    let party = if message.method() == Method::Register { &facts.to } else { &facts.from };
    let user = party.user.unwrap_or_default();
    if user.contains(&b'%') { unescape(user, room).unwrap_or_default() } else { user }
}

/// A user with its escapes resolved; `None` when there is no room for it.
fn unescape<'r>(user: &[u8], room: &'r mut [u8; 128]) -> Option<&'r [u8]> {
    let mut len = 0;
    for b in Unescaped::new(user) {
        *room.get_mut(len)? = b;
        len += 1;
    }
    room.get(..len)
}

/// Whether a REFER asks for the token that lets a phone come home.
pub(super) fn asks_for_token(message: &Message<'_>) -> bool {
    message.header(Header::ReferTo).and_then(ReferTo::read).is_some_and(|r| r.is_token_registration())
}

/// Whether a message carries the injected fault (tests only).
pub(super) fn is_poison(message: &Message<'_>) -> bool {
    message.other("X-Tandem-Fault") == Some(b"panic")
}

/// What a REGISTER wants (RFC 3261 section 10.3). `path` is room for the Path values joined into one.
pub(super) fn wish<'a>(
    message: &Message<'a>,
    contacts: &Contacts<'a>,
    settings: &Settings,
    path: &'a mut String,
) -> Result<What<'a>, NoWish> {
    let Some(first) = contacts.first else { return Ok(What::Query) };
    let first = match first {
        Contact::Star => return Ok(What::Remove { contact: None }),
        Contact::Binding(binding) => binding,
    };
    let header = message.expires();
    let asked = |b: &Binding<'_>| b.expires.or(header);
    if first.keep_alive && asked(&first) == Some(0) {
        return Err(NoWish::HeartBeat);
    }
    let mut chosen = first;
    // Nearly all phones send one contact, which is read already.
    let others = (contacts.count > 1).then(|| message.contacts().skip(1));
    for contact in others.into_iter().flatten() {
        let Contact::Binding(other) = contact else { return Err(NoWish::BadContact) };
        // Contacts that are to go do not count: a device has one registration, what else it names is not bound.
        if asked(&other) == Some(0) {
            continue;
        }
        if asked(&chosen) == Some(0) {
            chosen = other;
            continue;
        }
        match settings.multiple_contacts {
            MultipleContacts::Refuse => return Err(NoWish::ManyContacts),
            MultipleContacts::Replace => {
                if other.q.unwrap_or(1_000) >= chosen.q.unwrap_or(1_000) {
                    chosen = other;
                }
            }
        }
    }
    let uri = chosen.uri();
    let contact = std::str::from_utf8(uri).ok().filter(|c| !c.is_empty() && c.len() <= CONTACT_MAX);
    let contact = contact.ok_or(NoWish::BadContact)?;
    match asked(&chosen) {
        Some(0) => Ok(What::Remove { contact: Some(contact) }),
        expires => {
            let path = join_path(message, path)?;
            Ok(What::Bind { contact, path, expires, traits: traits(message, &chosen) })
        }
    }
}

/// Outbound (RFC 5626 section 6): the phone asked for it, and it speaks to this node without a proxy between.
fn traits(message: &Message<'_>, binding: &Binding<'_>) -> Traits {
    let wanted = binding.reg_id.is_some() && binding.instance.is_some();
    let direct = || message.headers(Header::Via).nth(1).is_none() && message.header(Header::Path).is_none();
    let outbound = wanted && direct() && has_option(message, Header::Supported, "outbound");
    Traits { outbound, ..Traits::default() }
}

/// All Path values as one (RFC 3327 section 5.3).
fn join_path<'a>(message: &Message<'_>, room: &'a mut String) -> Result<Option<&'a str>, NoWish> {
    if message.header(Header::Path).is_none() {
        return Ok(None);
    }
    for value in message.headers(Header::Path) {
        let value = std::str::from_utf8(value).map_err(|_| NoWish::BadContact)?;
        if !room.is_empty() {
            room.push_str(", ");
        }
        room.push_str(value);
        if room.len() > PATH_MAX {
            return Err(NoWish::BadContact);
        }
    }
    Ok(Some(room))
}
