//! RFC 4475 and RFC 5118 against the message layer.

#[path = "torture/set.rs"]
mod set;

use set::{Class, Message, RFC4475, RFC5118};
use sha2::{Digest, Sha256};

fn fingerprint(messages: &[Message]) -> String {
    let mut hash = Sha256::new();
    messages.iter().for_each(|m| hash.update(m.wire));
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn the_set_is_the_published_one_byte_for_byte() {
    let count = |class| RFC4475.iter().filter(|m| m.class == class).count();
    assert_eq!([Class::Valid, Class::Invalid, Class::Application].map(count), [13, 19, 17]);
    assert_eq!(fingerprint(&RFC4475), "b24878056b0a361ed187ee3649973fbc153be07370925a38cd30011786b66b48");
    assert_eq!(fingerprint(&RFC5118), "601a25632cbec8f647f0c385d90a72b5f7c46ecbca5e195d3c0e9dcf4ff8bf25");
}
