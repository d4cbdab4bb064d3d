//! What commands print: tables for people, JSON or YAML for scripts.
//!
//! Text that came from a phone may hold anything, so control characters are shown as `?`: it must never steer a terminal.

use super::args::Format;
use super::failure::Failure;
use super::yaml;
use comfy_table::{CellAlignment, ContentArrangement, Table as Grid, presets};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, BufWriter, IsTerminal, Write};
use tandem_base::UnixMillis;

/// How a line of a table looks on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// Something is on its way: yellow.
    Warning,
    /// Something is wrong: red.
    Bad,
}

/// A table: column names, and lines with their tone.
pub struct Table {
    columns: Vec<(&'static str, CellAlignment)>,
    lines: Vec<(Tone, Vec<String>)>,
}

impl Table {
    /// A table with columns of these names; a name that begins with `#` is a column of numbers.
    pub fn new(columns: &[&'static str]) -> Self {
        let column = |name: &&'static str| match name.strip_prefix('#') {
            Some(name) => (name, CellAlignment::Right),
            None => (*name, CellAlignment::Left),
        };
        Self { columns: columns.iter().map(column).collect(), lines: Vec::new() }
    }
    /// Adds a line.
    pub fn line(&mut self, tone: Tone, cells: impl IntoIterator<Item = String>) {
        self.lines.push((tone, cells.into_iter().map(|c| printable(&c)).collect()));
    }
    /// Whether it has no line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn render(&self, header: bool, colour: bool) -> String {
        let mut grid = Grid::new();
        grid.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if header {
            grid.set_header(self.columns.iter().map(|(name, _)| *name));
        }
        grid.add_rows(self.lines.iter().map(|(_, cells)| cells));
        for (column, (_, alignment)) in grid.column_iter_mut().zip(&self.columns) {
            column.set_padding((0, 2)).set_cell_alignment(*alignment);
        }
        let tones = header.then_some(Tone::Plain).into_iter().chain(self.lines.iter().map(|(tone, _)| *tone));
        let paint = |line: &str, tone| match tone {
            Tone::Warning if colour => format!("\x1b[33m{}\x1b[0m\n", line.trim_end()),
            Tone::Bad if colour => format!("\x1b[31m{}\x1b[0m\n", line.trim_end()),
            _ => format!("{}\n", line.trim_end()),
        };
        grid.lines().zip(tones).map(|(line, tone)| paint(&line, tone)).collect()
    }
}

/// Where a command prints to.
pub struct Out<'a> {
    format: Format,
    colour: bool,
    sink: Box<dyn Write + 'a>,
    /// Notes that are not part of the answer.
    notes: Box<dyn Write + 'a>,
    /// The list that is being printed: its name, and how many elements it has so far.
    list: (String, usize),
}

impl Out<'static> {
    /// The standard output; notes go to the standard error.
    pub fn standard(format: Format) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let colour = io::stdout().is_terminal() && !no_colour;
        Self::to(format, colour, BufWriter::new(io::stdout()), io::stderr())
    }
}

impl<'a> Out<'a> {
    /// Prints to `sink` and `notes`.
    pub fn to(format: Format, colour: bool, sink: impl Write + 'a, notes: impl Write + 'a) -> Self {
        Self { format, colour, sink: Box::new(sink), notes: Box::new(notes), list: (String::new(), 0) }
    }
    /// The form of the output.
    pub fn format(&self) -> Format {
        self.format
    }
    /// Whether scripts read this.
    pub fn is_data(&self) -> bool {
        self.format != Format::Table
    }
    /// A whole answer for scripts.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn data(&mut self, answer: &impl Serialize) -> Result<(), Failure> {
        if self.format == Format::Yaml {
            return self.text(&yaml::document(&serde_json::to_value(answer).unwrap_or_default()));
        }
        serde_json::to_writer_pretty(&mut self.sink, answer).map_err(io::Error::from)?;
        self.line("")
    }
    /// One of several answers for scripts: JSON on one line, or a YAML document of its own.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn data_line(&mut self, answer: &impl Serialize) -> Result<(), Failure> {
        if self.format == Format::Yaml {
            self.text("---\n")?;
            return self.data(answer);
        }
        serde_json::to_writer(&mut self.sink, answer).map_err(io::Error::from)?;
        self.line("")
    }
    /// Begins an answer for scripts that has a list in it, which is printed as it comes: `head` stands before it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn list(&mut self, head: &[(&str, Value)], name: &str) -> Result<(), Failure> {
        self.list = (name.to_owned(), 0);
        let fields: Vec<String> = head.iter().map(|(k, v)| format!("\"{k}\":{v},")).collect();
        match self.format {
            Format::Yaml => {
                head.iter().try_for_each(|(k, v)| self.text(&yaml::document(&serde_json::json!({ *k: v }))))
            }
            _ => self.text(&format!("{{{}\"{name}\":[", fields.concat())),
        }
    }
    /// An element of that list.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn element(&mut self, element: &impl Serialize) -> Result<(), Failure> {
        let first = self.list.1 == 0;
        self.list.1 += 1;
        if self.format == Format::Yaml {
            let name = if first { format!("{}:\n", self.list.0) } else { String::new() };
            return self.text(&(name + &yaml::element(&serde_json::to_value(element).unwrap_or_default())));
        }
        self.text(if first { "\n" } else { ",\n" })?;
        Ok(serde_json::to_writer(&mut self.sink, element).map_err(io::Error::from)?)
    }
    /// Ends that list and the answer: `tail` stands behind it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn list_end(&mut self, tail: &[(&str, Value)]) -> Result<(), Failure> {
        if self.format == Format::Yaml {
            if self.list.1 == 0 {
                self.text(&format!("{}: []\n", self.list.0))?;
            }
            return tail.iter().try_for_each(|(k, v)| self.text(&yaml::document(&serde_json::json!({ *k: v }))));
        }
        let fields: Vec<String> = tail.iter().map(|(k, v)| format!(",\"{k}\":{v}")).collect();
        self.text(&format!("\n]{}}}\n", fields.concat()))
    }
    /// A line of text; control characters are shown as `?`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(self.sink, "{}", printable(text))?)
    }
    /// Text as it is, several lines perhaps.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        Ok(self.sink.write_all(text.as_bytes())?)
    }
    /// A table with its header.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn table(&mut self, table: &Table) -> Result<(), Failure> {
        self.text(&table.render(true, self.colour))
    }
    /// More lines of a table whose header is printed already.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn more(&mut self, table: &Table) -> Result<(), Failure> {
        self.text(&table.render(false, self.colour))
    }
    /// A note to the person that is not part of the answer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&mut self, text: &str) -> Result<(), Failure> {
        self.flush()?;
        Ok(writeln!(self.notes, "{}", printable(text))?)
    }
    /// Makes sure that everything so far is out.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.sink.flush()?)
    }
}

/// `text` without anything that a terminal would obey.
pub fn printable(text: &str) -> String {
    // Bidirectional overrides are no control characters by category, and reorder what stands after them.
    let steers = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if steers(c) { '?' } else { c }).collect()
}

/// What is not there, in a table.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}
/// A moment in UTC.
pub fn moment(at: Option<UnixMillis>) -> String {
    or_dash(at.map(UnixMillis::civil))
}
/// Names with a separator; `-` when there is none.
pub fn joined<T: ToString>(values: impl IntoIterator<Item = T>, separator: &str) -> String {
    let all: Vec<_> = values.into_iter().map(|v| v.to_string()).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(separator) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(colour: bool) -> String {
        let mut table = Table::new(&["NAME", "#COUNT", "STATE"]);
        table.line(Tone::Plain, ["CCM1", "5", "in_service"].map(str::to_owned));
        table.line(Tone::Bad, ["CCM22", "1000", "down"].map(str::to_owned));
        table.render(true, colour)
    }

    #[test]
    fn a_table_is_aligned_and_has_no_trailing_space() {
        assert_eq!(
            rendered(false),
            "NAME   COUNT  STATE\n\
             CCM1       5  in_service\n\
             CCM22   1000  down\n"
        );
    }

    #[test]
    fn colour_is_around_a_line_and_changes_no_column() {
        let coloured = rendered(true);
        assert!(coloured.contains("\x1b[31mCCM22   1000  down\x1b[0m\n"), "{coloured:?}");
        assert_eq!(coloured.replace("\x1b[31m", "").replace("\x1b[0m", ""), rendered(false));
    }

    #[test]
    fn text_from_a_phone_cannot_steer_a_terminal() {
        assert_eq!(printable("sip:a\x1b[2J\r\n\u{9b}b\u{202e}é"), "sip:a?[2J????b?é".replacen("????", "???", 1));
    }
}
