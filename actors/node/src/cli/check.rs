//! `tandem check` and `tandem config schema`: about the configuration file, without a running process.

use super::failure::{Exit, Failure};
use super::output::Out;
use std::path::Path;
use tandem_model::config::{Config, json_schema};

/// Reads a configuration file and says what is wrong with it.
///
/// # Errors
/// When it cannot be read, or with everything that is wrong in it.
pub fn check(file: &Path, out: &mut Out<'_>) -> Result<(), Failure> {
    load(file)?;
    out.line(&format!("{}: good", file.display()))
}

/// Reads and checks a configuration file.
///
/// # Errors
/// When it cannot be read, or with everything that is wrong in it.
pub fn load(file: &Path) -> Result<Config, Failure> {
    let remedy = "`tandem config schema` describes what stands in a configuration file";
    let text = super::state::read_config(file).map_err(|e| e.remedy(remedy))?;
    Config::parse(&file.to_string_lossy(), &text).map_err(|problems| Failure::new(Exit::Failed, problems.to_string()))
}

/// Prints the JSON Schema of the configuration file.
///
/// # Errors
/// When it cannot be written.
pub fn schema(out: &mut Out<'_>) -> Result<(), Failure> {
    out.json(&json_schema())
}
