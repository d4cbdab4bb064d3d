//! Tests of the report as a whole: every form of the same summaries.

mod documents;
pub(super) mod fixture;
mod forms;
mod pages;

use std::path::PathBuf;
use tandem_host::disk::{Access, Disk, RealDisk};

/// A committed file that is generated: `TANDEM_BLESS=1` writes it anew, otherwise it must be as generated.
fn golden(name: &str, generated: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("report").join(name);
    if std::env::var_os("TANDEM_BLESS").is_some() {
        RealDisk.write(&path, generated.as_bytes(), Access::Shared).unwrap();
    }
    let found = RealDisk.read(&path, super::document::BYTES_MAX).unwrap();
    let found = String::from_utf8(found).unwrap();
    let first = found.lines().zip(generated.lines()).position(|(a, b)| a != b);
    assert!(
        found == generated,
        "loadtest/report/{name} is not what the code makes (line {:?}): TANDEM_BLESS=1 cargo test -p tandem-loadtest",
        first.map(|n| n + 1)
    );
}
