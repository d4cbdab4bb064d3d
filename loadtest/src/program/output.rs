//! What goes to stdout. A reader that went away is no failure; a disk that took nothing is one, and is said.

use std::io::{IsTerminal as _, Write as _};

use crate::report::TextStyle;

/// With colours on a terminal, unless `NO_COLOR` says otherwise.
pub(super) fn style() -> TextStyle {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    TextStyle { colour: std::io::stdout().is_terminal() && wanted, width: None }
}

/// Writes to stdout.
///
/// # Errors
/// Why it did not take the text, unless the reader had gone.
pub(super) fn write(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("standard output did not take the text: {error}"))
        }
        _ => Ok(()),
    }
}
