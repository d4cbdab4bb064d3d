//! Reads the checkout: every text file below the root, build output and version control left out.
//!
//! The one place of this crate that touches the disk.

use crate::File;
use std::io;
use std::path::{Path, PathBuf};

/// Folders that are never looked into.
const SKIPPED: &[&str] = &["target", ".git", "node_modules"];
/// Endings of the files that the rules look at.
const ENDINGS: &[&str] = &[".rs", ".toml", ".md", ".lock", ".xml", ".sh"];
/// Folders deeper than this are not followed: the repository is shallow, a link in a circle is not.
const DEPTH_MAX: usize = 12;

/// The repository's root, from this crate's folder `.ci/tidy`.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file of the checkout that a rule may look at, ordered by path.
///
/// # Errors
/// What the disk says, when a folder or file cannot be read.
pub fn read(root: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    walk(root, "", 0, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

#[expect(clippy::disallowed_methods, reason = "this crate's work is to read the checkout")]
fn walk(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<File>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < DEPTH_MAX && !SKIPPED.contains(&name.as_str()) {
            walk(&entry.path(), &path, depth + 1, files)?;
        } else if kind.is_file() && (ENDINGS.iter().any(|e| name.ends_with(e)) || path == ".ci/run") {
            let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned();
            files.push(File { path, text });
        }
    }
    Ok(())
}
