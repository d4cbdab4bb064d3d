//! The torture messages of RFC 4475 and RFC 5118 with what each must lead to, as read by hand in the RFCs and the bytes.
//!
//! Data only, without a dependency, so that another crate's tests can take it in with `#[path]`. It says what a parser and
//! its validation must find; what a running element answers may be more (401 before anything else, say).

#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use Class::{Application, Invalid, Valid};
use Outcome::{Accepted, Dropped, Refused, Tolerable};

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Its name in the RFC, also the file's.
    pub name: &'static str,
    /// The section that describes it.
    pub section: &'static str,
    /// How the RFC sorts it.
    pub class: Class,
    /// The bytes, as one datagram.
    pub wire: &'static [u8],
    /// What must come of it as a datagram.
    pub outcome: Outcome,
    /// What must be read from it, where it may be accepted.
    pub facts: Option<Facts>,
}

/// The RFC's chapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 3.1.1: well-formed, however odd.
    Valid,
    /// 3.1.2: not well-formed.
    Invalid,
    /// 3.2 to 3.4: well-formed enough for a parser; transactions and users may object.
    Application,
}

/// What must come of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It parses and nothing is objected.
    Accepted,
    /// A request that must be answered with one of these.
    Refused(&'static [u16]),
    /// A request that may be accepted or answered with one of these.
    Tolerable(&'static [u16]),
    /// A response that must be dropped silently.
    Dropped,
}

/// What must be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The tag of From.
    pub from_tag: Option<&'static str>,
    /// The tag of To.
    pub to_tag: Option<&'static str>,
    /// Number and method of CSeq.
    pub cseq: (u32, &'static str),
    /// The branch of the topmost Via.
    pub branch: Option<&'static str>,
    /// How many Via values there are, over all lines.
    pub vias: usize,
    /// Bytes of the body.
    pub body: usize,
}

const fn facts(
    from_tag: Option<&'static str>,
    to_tag: Option<&'static str>,
    number: u32,
    method: &'static str,
    branch: Option<&'static str>,
    vias: usize,
    body: usize,
) -> Option<Facts> {
    Some(Facts { from_tag, to_tag, cseq: (number, method), branch, vias, body })
}

/// RFC 4475, in its order: 13 valid, 19 invalid, 17 of the layers above.
pub const RFC4475: [Message; 49] = [
    Message {
        name: "wsinv",
        section: "3.1.1.1",
        class: Valid,
        wire: include_bytes!("rfc4475/wsinv.dat"),
        outcome: Accepted,
        facts: facts(Some("98asjd8"), Some("1918181833n"), 9, "INVITE", Some("390skdjuw"), 3, 150),
    },
    Message {
        name: "intmeth",
        section: "3.1.1.2",
        class: Valid,
        wire: include_bytes!("rfc4475/intmeth.dat"),
        outcome: Accepted,
        facts: facts(
            Some("_token~1'+`*%!-."),
            None,
            139122385,
            "!interesting-Method0123456789_*+`.%indeed'~",
            Some("z9hG4bK-.!%66*_+`'~"),
            1,
            0,
        ),
    },
    Message {
        name: "esc01",
        section: "3.1.1.3",
        class: Valid,
        wire: include_bytes!("rfc4475/esc01.dat"),
        outcome: Accepted,
        facts: facts(Some("938"), None, 234234, "INVITE", Some("z9hG4bKkdjuw"), 1, 150),
    },
    Message {
        name: "escnull",
        section: "3.1.1.4",
        class: Valid,
        wire: include_bytes!("rfc4475/escnull.dat"),
        outcome: Accepted,
        facts: facts(Some("839923423"), None, 14398234, "REGISTER", Some("z9hG4bKkdjuw"), 1, 0),
    },
    Message {
        name: "esc02",
        section: "3.1.1.5",
        class: Valid,
        wire: include_bytes!("rfc4475/esc02.dat"),
        outcome: Accepted,
        facts: facts(Some("f232jadfj23"), None, 29344, "RE%47IST%45R", Some("z9hG4bK209%fzsnel234"), 1, 0),
    },
    Message {
        name: "lwsdisp",
        section: "3.1.1.6",
        class: Valid,
        wire: include_bytes!("rfc4475/lwsdisp.dat"),
        outcome: Accepted,
        facts: facts(Some("323"), None, 60, "OPTIONS", Some("z9hG4bKkdjuw"), 1, 0),
    },
    Message {
        name: "longreq",
        section: "3.1.1.7",
        class: Valid,
        wire: include_bytes!("rfc4475/longreq.dat"),
        outcome: Accepted,
        facts: facts(
            Some(
                "12982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982424",
            ),
            None,
            3882340,
            "INVITE",
            None,
            34,
            150,
        ),
    },
    Message {
        name: "dblreq",
        section: "3.1.1.8",
        class: Valid,
        wire: include_bytes!("rfc4475/dblreq.dat"),
        outcome: Accepted,
        facts: facts(Some("43251j3j324"), None, 8, "REGISTER", Some("z9hG4bKkdjuw23492"), 1, 0),
    },
    Message {
        name: "semiuri",
        section: "3.1.1.9",
        class: Valid,
        wire: include_bytes!("rfc4475/semiuri.dat"),
        outcome: Accepted,
        facts: facts(Some("33242"), None, 8, "OPTIONS", Some("z9hG4bKkdjuw"), 1, 0),
    },
    Message {
        name: "transports",
        section: "3.1.1.10",
        class: Valid,
        wire: include_bytes!("rfc4475/transports.dat"),
        outcome: Accepted,
        facts: facts(Some("323"), None, 60, "OPTIONS", Some("z9hG4bKkdjuw"), 5, 0),
    },
    Message {
        name: "mpart01",
        section: "3.1.1.11",
        class: Valid,
        wire: include_bytes!("rfc4475/mpart01.dat"),
        outcome: Accepted,
        facts: facts(Some("2fb0dcc9"), None, 1, "MESSAGE", Some("z9hG4bK-d87543-4dade06d0bdb11ee-1--d87543-"), 1, 553),
    },
    Message {
        name: "unreason",
        section: "3.1.1.12",
        class: Valid,
        wire: include_bytes!("rfc4475/unreason.dat"),
        outcome: Accepted,
        facts: facts(Some("11141343"), Some("2229"), 35, "INVITE", Some("z9hG4bK1324923"), 1, 154),
    },
    Message {
        name: "noreason",
        section: "3.1.1.13",
        class: Valid,
        wire: include_bytes!("rfc4475/noreason.dat"),
        outcome: Accepted,
        facts: facts(Some("39ansfi3"), Some("902jndnke3"), 35, "INVITE", Some("z9hG4bK2398ndaoe"), 1, 0),
    },
    Message {
        name: "badinv01",
        section: "3.1.2.1",
        class: Invalid,
        wire: include_bytes!("rfc4475/badinv01.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "clerr",
        section: "3.1.2.2",
        class: Invalid,
        wire: include_bytes!("rfc4475/clerr.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "ncl",
        section: "3.1.2.3",
        class: Invalid,
        wire: include_bytes!("rfc4475/ncl.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "scalar02",
        section: "3.1.2.4",
        class: Invalid,
        wire: include_bytes!("rfc4475/scalar02.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "scalarlg",
        section: "3.1.2.5",
        class: Invalid,
        wire: include_bytes!("rfc4475/scalarlg.dat"),
        outcome: Dropped,
        facts: None,
    },
    Message {
        name: "quotbal",
        section: "3.1.2.6",
        class: Invalid,
        wire: include_bytes!("rfc4475/quotbal.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "ltgtruri",
        section: "3.1.2.7",
        class: Invalid,
        wire: include_bytes!("rfc4475/ltgtruri.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "lwsruri",
        section: "3.1.2.8",
        class: Invalid,
        wire: include_bytes!("rfc4475/lwsruri.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "lwsstart",
        section: "3.1.2.9",
        class: Invalid,
        wire: include_bytes!("rfc4475/lwsstart.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "trws",
        section: "3.1.2.10",
        class: Invalid,
        wire: include_bytes!("rfc4475/trws.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "escruri",
        section: "3.1.2.11",
        class: Invalid,
        wire: include_bytes!("rfc4475/escruri.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "baddate",
        section: "3.1.2.12",
        class: Invalid,
        wire: include_bytes!("rfc4475/baddate.dat"),
        outcome: Tolerable(&[400]),
        facts: facts(Some("2234923"), None, 1392934, "INVITE", Some("z9hG4bKkdjuw"), 1, 150),
    },
    Message {
        name: "regbadct",
        section: "3.1.2.13",
        class: Invalid,
        wire: include_bytes!("rfc4475/regbadct.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "badaspec",
        section: "3.1.2.14",
        class: Invalid,
        wire: include_bytes!("rfc4475/badaspec.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "baddn",
        section: "3.1.2.15",
        class: Invalid,
        wire: include_bytes!("rfc4475/baddn.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "badvers",
        section: "3.1.2.16",
        class: Invalid,
        wire: include_bytes!("rfc4475/badvers.dat"),
        outcome: Refused(&[505]),
        facts: None,
    },
    Message {
        name: "mismatch01",
        section: "3.1.2.17",
        class: Invalid,
        wire: include_bytes!("rfc4475/mismatch01.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "mismatch02",
        section: "3.1.2.18",
        class: Invalid,
        wire: include_bytes!("rfc4475/mismatch02.dat"),
        outcome: Refused(&[400, 501]),
        facts: None,
    },
    Message {
        name: "bigcode",
        section: "3.1.2.19",
        class: Invalid,
        wire: include_bytes!("rfc4475/bigcode.dat"),
        outcome: Dropped,
        facts: None,
    },
    Message {
        name: "badbranch",
        section: "3.2.1",
        class: Application,
        wire: include_bytes!("rfc4475/badbranch.dat"),
        outcome: Tolerable(&[400]),
        facts: facts(Some("33242"), None, 8, "OPTIONS", Some("z9hG4bK"), 1, 0),
    },
    Message {
        name: "insuf",
        section: "3.3.1",
        class: Application,
        wire: include_bytes!("rfc4475/insuf.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "unkscm",
        section: "3.3.2",
        class: Application,
        wire: include_bytes!("rfc4475/unkscm.dat"),
        outcome: Tolerable(&[416]),
        facts: facts(Some("384"), None, 3923423, "OPTIONS", Some("z9hG4bKkdjuw39234"), 1, 0),
    },
    Message {
        name: "novelsc",
        section: "3.3.3",
        class: Application,
        wire: include_bytes!("rfc4475/novelsc.dat"),
        outcome: Tolerable(&[416]),
        facts: facts(Some("384"), None, 3923423, "OPTIONS", Some("z9hG4bKkdjuw39234"), 1, 0),
    },
    Message {
        name: "unksm2",
        section: "3.3.4",
        class: Application,
        wire: include_bytes!("rfc4475/unksm2.dat"),
        outcome: Tolerable(&[400]),
        facts: facts(Some("3234233"), None, 234902, "REGISTER", Some("z9hG4bKkdjuw"), 1, 0),
    },
    Message {
        name: "bext01",
        section: "3.3.5",
        class: Application,
        wire: include_bytes!("rfc4475/bext01.dat"),
        outcome: Tolerable(&[420]),
        facts: facts(Some("242etr"), None, 8, "OPTIONS", Some("z9hG4bKkdjuw"), 1, 0),
    },
    Message {
        name: "invut",
        section: "3.3.6",
        class: Application,
        wire: include_bytes!("rfc4475/invut.dat"),
        outcome: Tolerable(&[415]),
        facts: facts(Some("8392034"), None, 235448, "INVITE", Some("z9hG4bKkdjuw"), 1, 40),
    },
    Message {
        name: "regaut01",
        section: "3.3.7",
        class: Application,
        wire: include_bytes!("rfc4475/regaut01.dat"),
        outcome: Tolerable(&[401]),
        facts: facts(Some("87321hj23128"), None, 9338, "REGISTER", Some("z9hG4bKkdjuw"), 1, 0),
    },
    Message {
        name: "multi01",
        section: "3.3.8",
        class: Application,
        wire: include_bytes!("rfc4475/multi01.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "mcl01",
        section: "3.3.9",
        class: Application,
        wire: include_bytes!("rfc4475/mcl01.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "bcast",
        section: "3.3.10",
        class: Application,
        wire: include_bytes!("rfc4475/bcast.dat"),
        outcome: Accepted,
        facts: facts(Some("11141343"), Some("2229"), 35, "INVITE", Some("z9hG4bK1324923"), 2, 154),
    },
    Message {
        name: "zeromf",
        section: "3.3.11",
        class: Application,
        wire: include_bytes!("rfc4475/zeromf.dat"),
        outcome: Tolerable(&[483]),
        facts: facts(Some("3ghsd41"), None, 39234321, "OPTIONS", Some("z9hG4bKkdjuw2349i"), 1, 0),
    },
    Message {
        name: "cparam01",
        section: "3.3.12",
        class: Application,
        wire: include_bytes!("rfc4475/cparam01.dat"),
        outcome: Accepted,
        facts: facts(Some("DkfVgjkrtMwaerKKpe"), None, 2, "REGISTER", Some("z9hG4bKkdjuw"), 1, 0),
    },
    Message {
        name: "cparam02",
        section: "3.3.13",
        class: Application,
        wire: include_bytes!("rfc4475/cparam02.dat"),
        outcome: Accepted,
        facts: facts(Some("838293"), None, 3, "REGISTER", Some("z9hG4bKkdjuw"), 1, 0),
    },
    Message {
        name: "regescrt",
        section: "3.3.14",
        class: Application,
        wire: include_bytes!("rfc4475/regescrt.dat"),
        outcome: Accepted,
        facts: facts(Some("8"), None, 14398234, "REGISTER", Some("z9hG4bKkdjuw"), 1, 0),
    },
    Message {
        name: "sdp01",
        section: "3.3.15",
        class: Application,
        wire: include_bytes!("rfc4475/sdp01.dat"),
        outcome: Tolerable(&[406]),
        facts: facts(Some("234"), None, 8, "INVITE", Some("z9hG4bKkdjuw"), 1, 150),
    },
    Message {
        name: "inv2543",
        section: "3.4.1",
        class: Application,
        wire: include_bytes!("rfc4475/inv2543.dat"),
        outcome: Accepted,
        facts: facts(None, None, 56, "INVITE", None, 1, 105),
    },
];

/// RFC 5118 (IPv6), in its order. All but section 4.2 are to be understood.
pub const RFC5118: [Message; 12] = [
    Message {
        name: "ipv6-good",
        section: "4.1",
        class: Valid,
        wire: include_bytes!("rfc5118/ipv6-good.dat"),
        outcome: Accepted,
        facts: facts(Some("81x2"), None, 98176, "REGISTER", Some("z9hG4bKas3-111"), 1, 0),
    },
    Message {
        name: "ipv6-bad",
        section: "4.2",
        class: Invalid,
        wire: include_bytes!("rfc5118/ipv6-bad.dat"),
        outcome: Refused(&[400]),
        facts: None,
    },
    Message {
        name: "port-ambiguous",
        section: "4.3",
        class: Valid,
        wire: include_bytes!("rfc5118/port-ambiguous.dat"),
        outcome: Accepted,
        facts: facts(Some("81x2"), None, 98176, "REGISTER", Some("z9hG4bKas3-111"), 1, 0),
    },
    Message {
        name: "port-unambiguous",
        section: "4.4",
        class: Valid,
        wire: include_bytes!("rfc5118/port-unambiguous.dat"),
        outcome: Accepted,
        facts: facts(Some("81x2"), None, 98176, "REGISTER", Some("z9hG4bKas3-111"), 1, 0),
    },
    Message {
        name: "via-received-param-with-delim",
        section: "4.5",
        class: Valid,
        wire: include_bytes!("rfc5118/via-received-param-with-delim.dat"),
        outcome: Accepted,
        facts: facts(Some("81x2"), Some("bd76ya"), 321, "BYE", Some("z9hG4bKas3-111"), 1, 0),
    },
    Message {
        name: "via-received-param-no-delim",
        section: "4.5",
        class: Valid,
        wire: include_bytes!("rfc5118/via-received-param-no-delim.dat"),
        outcome: Accepted,
        facts: facts(Some("81x2"), None, 921, "OPTIONS", Some("z9hG4bKas3"), 1, 0),
    },
    Message {
        name: "ipv6-in-sdp",
        section: "4.6",
        class: Valid,
        wire: include_bytes!("rfc5118/ipv6-in-sdp.dat"),
        outcome: Accepted,
        facts: facts(Some("81x2"), None, 8612, "INVITE", Some("z9hG4bKas3-111"), 1, 251),
    },
    Message {
        name: "mult-ip-in-header",
        section: "4.7",
        class: Valid,
        wire: include_bytes!("rfc5118/mult-ip-in-header.dat"),
        outcome: Accepted,
        facts: facts(Some("81x2"), Some("9817--94"), 89187, "BYE", Some("z9hG4bKas3-111"), 3, 0),
    },
    Message {
        name: "mult-ip-in-sdp",
        section: "4.8",
        class: Valid,
        wire: include_bytes!("rfc5118/mult-ip-in-sdp.dat"),
        outcome: Accepted,
        facts: facts(Some("81x2"), None, 8912, "INVITE", Some("z9hG4bKas3-111"), 1, 189),
    },
    Message {
        name: "ipv4-mapped-ipv6",
        section: "4.9",
        class: Valid,
        wire: include_bytes!("rfc5118/ipv4-mapped-ipv6.dat"),
        outcome: Accepted,
        facts: facts(Some("81x2"), None, 612, "INVITE", Some("z9hG4bKbh19"), 2, 245),
    },
    Message {
        name: "ipv6-bug-abnf-3-colons",
        section: "4.10",
        class: Valid,
        wire: include_bytes!("rfc5118/ipv6-bug-abnf-3-colons.dat"),
        outcome: Tolerable(&[400]),
        facts: facts(Some("810x2"), None, 689, "OPTIONS", Some("z9hG4bKas3-111"), 1, 0),
    },
    Message {
        name: "ipv6-correct-abnf-2-colons",
        section: "4.10",
        class: Valid,
        wire: include_bytes!("rfc5118/ipv6-correct-abnf-2-colons.dat"),
        outcome: Accepted,
        facts: facts(Some("810x2"), None, 689, "OPTIONS", Some("z9hG4bKas3-111"), 1, 0),
    },
];
