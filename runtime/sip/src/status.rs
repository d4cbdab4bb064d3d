//! Status codes of responses with the reason phrases of RFC 3261 section 21 and the RFCs that added some.
//!
//! Any code from 100 to 699 may be read from a wire; the constants are the ones this cluster sends or acts upon.

use core::fmt;

/// A response's status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(pub u16);

macro_rules! statuses {
    ($($name:ident = $code:literal $phrase:literal),+ $(,)?) => {
        impl Status {
            $(#[doc = $phrase] pub const $name: Self = Self($code);)+

            /// The phrase that belongs to the code; that of the class for codes without a constant here.
            pub const fn phrase(self) -> &'static str {
                match self.0 {
                    $($code => $phrase,)+
                    100..=199 => "Progress",
                    200..=299 => "Success",
                    300..=399 => "Redirection",
                    400..=499 => "Request Failure",
                    500..=599 => "Server Failure",
                    _ => "Global Failure",
                }
            }
        }
    };
}

statuses! {
    TRYING = 100 "Trying",
    RINGING = 180 "Ringing",
    SESSION_PROGRESS = 183 "Session Progress",
    OK = 200 "OK",
    ACCEPTED = 202 "Accepted",
    NO_NOTIFICATION = 204 "No Notification",
    MULTIPLE_CHOICES = 300 "Multiple Choices",
    MOVED_PERMANENTLY = 301 "Moved Permanently",
    MOVED_TEMPORARILY = 302 "Moved Temporarily",
    USE_PROXY = 305 "Use Proxy",
    BAD_REQUEST = 400 "Bad Request",
    UNAUTHORIZED = 401 "Unauthorized",
    FORBIDDEN = 403 "Forbidden",
    NOT_FOUND = 404 "Not Found",
    METHOD_NOT_ALLOWED = 405 "Method Not Allowed",
    NOT_ACCEPTABLE = 406 "Not Acceptable",
    PROXY_AUTHENTICATION_REQUIRED = 407 "Proxy Authentication Required",
    REQUEST_TIMEOUT = 408 "Request Timeout",
    GONE = 410 "Gone",
    REQUEST_ENTITY_TOO_LARGE = 413 "Request Entity Too Large",
    REQUEST_URI_TOO_LONG = 414 "Request-URI Too Long",
    UNSUPPORTED_MEDIA_TYPE = 415 "Unsupported Media Type",
    UNSUPPORTED_URI_SCHEME = 416 "Unsupported URI Scheme",
    BAD_EXTENSION = 420 "Bad Extension",
    EXTENSION_REQUIRED = 421 "Extension Required",
    INTERVAL_TOO_BRIEF = 423 "Interval Too Brief",
    FLOW_FAILED = 430 "Flow Failed",
    FIRST_HOP_LACKS_OUTBOUND_SUPPORT = 439 "First Hop Lacks Outbound Support",
    TEMPORARILY_UNAVAILABLE = 480 "Temporarily Unavailable",
    CALL_DOES_NOT_EXIST = 481 "Call/Transaction Does Not Exist",
    LOOP_DETECTED = 482 "Loop Detected",
    TOO_MANY_HOPS = 483 "Too Many Hops",
    ADDRESS_INCOMPLETE = 484 "Address Incomplete",
    BUSY_HERE = 486 "Busy Here",
    REQUEST_TERMINATED = 487 "Request Terminated",
    NOT_ACCEPTABLE_HERE = 488 "Not Acceptable Here",
    BAD_EVENT = 489 "Bad Event",
    REQUEST_PENDING = 491 "Request Pending",
    SERVER_INTERNAL_ERROR = 500 "Server Internal Error",
    NOT_IMPLEMENTED = 501 "Not Implemented",
    BAD_GATEWAY = 502 "Bad Gateway",
    SERVICE_UNAVAILABLE = 503 "Service Unavailable",
    SERVER_TIMEOUT = 504 "Server Time-out",
    VERSION_NOT_SUPPORTED = 505 "Version Not Supported",
    MESSAGE_TOO_LARGE = 513 "Message Too Large",
    BUSY_EVERYWHERE = 600 "Busy Everywhere",
    DECLINE = 603 "Decline",
    DOES_NOT_EXIST_ANYWHERE = 604 "Does Not Exist Anywhere",
}

impl Status {
    /// 100 to 199: the transaction goes on.
    pub const fn is_provisional(self) -> bool {
        matches!(self.0, 100..=199)
    }

    /// 200 to 699.
    pub const fn is_final(self) -> bool {
        matches!(self.0, 200..=699)
    }

    /// 200 to 299.
    pub const fn is_success(self) -> bool {
        matches!(self.0, 200..=299)
    }

    /// First digit, 1 to 6: a bounded metric label.
    pub const fn class(self) -> u16 {
        self.0 / 100
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.phrase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes_have_their_phrase_and_unknown_ones_that_of_their_class() {
        assert_eq!(Status::CALL_DOES_NOT_EXIST.to_string(), "481 Call/Transaction Does Not Exist");
        assert_eq!(Status(499).phrase(), "Request Failure");
        assert_eq!(Status(699).phrase(), "Global Failure");
    }

    #[test]
    fn classes_have_the_borders_of_the_rfc() {
        assert!(Status(199).is_provisional() && !Status(199).is_final());
        assert!(Status(200).is_success() && Status(200).is_final());
        assert!(!Status(300).is_success() && Status(699).is_final() && !Status(700).is_final());
    }
}
