//! Why a message is refused: a small closed set, because each value is also a metric label.

use core::fmt;

macro_rules! reasons {
    ($($name:ident $label:literal $phrase:literal $doc:literal,)+) => {
        /// Why a message is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum RefusalReason {
            $(#[doc = $doc] $name,)+
        }

        impl RefusalReason {
            /// Every reason, for metrics that start at zero.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The metric label.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }

            /// The reason phrase of the response: says to a person what was wrong.
            pub const fn phrase(self) -> &'static str {
                match self { $(Self::$name => $phrase,)+ }
            }
        }
    };
}

reasons! {
    Empty "empty" "Empty Message" "Nothing but line ends.",
    TooLarge "too_large" "Message Too Large" "More bytes than are taken: 65,535, over TCP what the settings say.",
    HeadTooLarge "head_too_large" "Header Section Too Large" "A header section over a stream that is longer than is taken.",
    StartLine "start_line" "Bad Start Line" "Neither a request line nor a status line: not SIP, or white space where none may be.",
    LineEnd "line_end" "Bad Line End" "A line ends with LF alone.",
    Truncated "truncated" "No Empty Line After The Header" "The header section is not ended by an empty line.",
    HeaderName "header_name" "Bad Header Name" "A header line without a colon, or whose name is no token.",
    Version "version" "Version Not Supported" "A SIP version other than 2.0.",
    RequestUri "request_uri" "Bad Request-URI" "A Request-URI that cannot be read.",
    UriScheme "uri_scheme" "Unsupported URI Scheme" "A Request-URI that is neither sip, sips nor tel.",
    ControlByte "control_byte" "Control Character In Header" "A control byte outside a quoted pair.",
    MissingVia "missing_via" "Missing Via" "No Via.",
    MissingFrom "missing_from" "Missing From" "No From.",
    MissingTo "missing_to" "Missing To" "No To.",
    MissingCallId "missing_call_id" "Missing Call-ID" "No Call-ID.",
    MissingCSeq "missing_cseq" "Missing CSeq" "No CSeq.",
    DuplicateHeader "duplicate_header" "Duplicate Header" "A header that may stand once stands more often.",
    Via "via" "Bad Via" "A Via that cannot be read.",
    From "from" "Bad From" "A From that cannot be read.",
    To "to" "Bad To" "A To that cannot be read.",
    CallId "call_id" "Bad Call-ID" "An empty Call-ID, or one with white space in it.",
    CSeq "cseq" "Bad CSeq" "A CSeq that cannot be read or is above 2^31-1.",
    CSeqMethod "cseq_method" "CSeq Method Mismatch" "CSeq names another method than the request line.",
    MissingContentLength "missing_content_length" "Missing Content-Length" "No Content-Length on a stream: nobody can know where the message ends.",
    ContentLength "content_length" "Bad Content-Length" "A Content-Length that is no number or more than the message has.",
    MaxForwards "max_forwards" "Bad Max-Forwards" "Max-Forwards is no number from 0 to 255.",
    TooManyHops "too_many_hops" "Too Many Hops" "Max-Forwards is 0 and the request would have to go on.",
    Contact "contact" "Bad Contact" "A Contact that cannot be read.",
    ContactStar "contact_star" "Bad Use Of Contact Star" "`Contact: *` beside others, outside REGISTER, or without `Expires: 0`.",
    Extension "extension" "Bad Extension" "Require names an option that is not supported.",
    StatusCode "status_code" "Bad Status Code" "A response whose code is not 100 to 699.",
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.phrase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn labels_are_distinct_and_fit_a_metric() {
        let labels: BTreeSet<_> = RefusalReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(labels.len(), RefusalReason::ALL.len());
        assert!(labels.iter().all(|l| l.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
