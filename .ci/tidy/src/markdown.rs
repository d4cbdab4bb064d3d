//! The little that the rules need to know of Markdown: tables, code spans, links, headings.
//!
//! Not a Markdown reader: it knows the plain shapes that our own documents use.

use crate::File;

/// One row of a table: its line (from 1) and its cells, trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Line in the file, counted from 1.
    pub line: usize,
    /// The cells, trimmed.
    pub cells: Vec<String>,
}

impl Row {
    /// Cell number `i` (from 0), or nothing.
    pub fn cell(&self, i: usize) -> &str {
        self.cells.get(i).map_or("", String::as_str)
    }
}

/// The rows of the first table below the heading `heading` (header and ruler left out).
pub fn table(file: &File, heading: &str) -> Vec<Row> {
    file.lines()
        .skip_while(|(_, line)| *line != heading)
        .skip(1)
        .take_while(|(_, line)| !is_heading(line))
        .skip_while(|(_, line)| !line.starts_with('|'))
        .take_while(|(_, line)| line.starts_with('|'))
        .skip(2)
        .map(|(line, text)| Row {
            line,
            cells: text.trim().trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect(),
        })
        .collect()
}

/// The texts between single backticks of one line.
pub fn code_spans(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// The targets of the `[text](target)` links of one line.
pub fn links(line: &str) -> Vec<&str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target)).collect()
}

/// Lines that are not inside a fenced code block, numbered from 1.
pub fn prose(file: &File) -> Vec<(usize, &str)> {
    let mut fenced = false;
    file.lines()
        .filter(|(_, line)| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
        .collect()
}

/// Lines of fenced code blocks, numbered from 1, without a leading `$ `.
pub fn code_lines(file: &File) -> Vec<(usize, &str)> {
    let outside: Vec<usize> = prose(file).iter().map(|(n, _)| *n).collect();
    file.lines()
        .filter(|(n, line)| !outside.contains(n) && !line.trim_start().starts_with("```"))
        .map(|(n, line)| (n, line.trim().trim_start_matches("$ ")))
        .collect()
}

/// What a heading is called in a link: lower case, spaces to `-`, punctuation gone.
pub fn anchor(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').trim().to_lowercase();
    plain
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

/// Is this line a heading?
pub fn is_heading(line: &str) -> bool {
    line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_ends_where_its_lines_end() {
        let file =
            File::new("a.md", "## A\n\n| x | y |\n|---|---|\n| 1 | `2` |\n\ntext\n\n## B\n| z |\n|---|\n| 3 |\n");
        let rows = table(&file, "## A");
        assert_eq!(rows, vec![Row { line: 5, cells: vec!["1".into(), "`2`".into()] }]);
        assert_eq!(table(&file, "## B").len(), 1);
        assert!(table(&file, "## C").is_empty());
    }

    #[test]
    fn code_and_prose_are_told_apart() {
        let file = File::new("a.md", "one\n```sh\n$ two\n```\nthree");
        assert_eq!(prose(&file), vec![(1, "one"), (5, "three")]);
        assert_eq!(code_lines(&file), vec![(3, "two")]);
    }

    #[test]
    fn spans_links_and_anchors_are_found() {
        assert_eq!(code_spans("a `b` c `d e`"), vec!["b", "d e"]);
        assert_eq!(links("see [x](a.md#b) and [y](c.md)"), vec!["a.md#b", "c.md"]);
        assert_eq!(anchor("## Arrows: who may use whom"), "arrows-who-may-use-whom");
    }
}
