//! What commands print: tables for people, JSON for scripts.
//!
//! Text that came from a phone may hold anything, so control characters are shown as `?`: it must never steer a terminal.

use super::args::Format;
use super::failure::Failure;
use comfy_table::{CellAlignment, ContentArrangement, Table as Grid, presets};
use serde::Serialize;
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
}

impl Out<'static> {
    /// The standard output; notes go to the standard error.
    pub fn standard(format: Format) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let colour = io::stdout().is_terminal() && !no_colour;
        Self { format, colour, sink: Box::new(BufWriter::new(io::stdout())), notes: Box::new(io::stderr()) }
    }
}

impl<'a> Out<'a> {
    /// Prints to `sink` and `notes`.
    pub fn to(format: Format, colour: bool, sink: impl Write + 'a, notes: impl Write + 'a) -> Self {
        Self { format, colour, sink: Box::new(sink), notes: Box::new(notes) }
    }
    /// Whether scripts read this.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }
    /// A whole answer as JSON, indented.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn json(&mut self, answer: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer_pretty(&mut self.sink, answer).map_err(io::Error::from)?;
        self.line("")
    }
    /// JSON without a line break, as a part of something larger.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn json_object(&mut self, part: &impl Serialize) -> Result<(), Failure> {
        Ok(serde_json::to_writer(&mut self.sink, part).map_err(io::Error::from)?)
    }
    /// JSON on one line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn json_line(&mut self, answer: &impl Serialize) -> Result<(), Failure> {
        self.json_object(answer)?;
        self.line("")
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
