//! One table as CSV (RFC 4180) with a header row: the column `name` is the key, the others are fields; a list has `;` between its elements.
//!
//! An empty cell says nothing about its field. Reading says everything that is wrong with the form at once, each with its line.

use super::{Faults, Lines};
use csv::{ReaderBuilder, StringRecord};
use serde_json::Map;
use tandem_model::admin::config::{ConfigOp, ConfigRow, ConfigTable, Expect, Field, RowProblem};
use tandem_model::admin::{AdminError, ErrorKind, nearest};

/// What the column of the key is called: `name`, unless that is a field of the table.
fn key_column(table: ConfigTable) -> &'static str {
    if table.field("name").is_some() { "key" } else { "name" }
}

/// What a column is.
enum Column {
    Key,
    Field(&'static Field),
}

/// Reads a file of `table`. Each row becomes one op, with its line.
pub(super) fn read(table: ConfigTable, text: &[u8], merge: bool) -> Result<Vec<ConfigOp>, Faults> {
    let mut faults = Faults::default();
    let fault =
        |line: Option<u32>, what: String| RowProblem { line, table: Some(table), what, ..RowProblem::default() };
    // A byte order mark is what spreadsheets put there.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let lines = Lines::of(text);
    // The reader counts lines from where the last record ended, not from where the next begins.
    let line_of = |at: Option<&csv::Position>| {
        let from = usize::try_from(at?.byte()).ok()?;
        let blank = text.get(from..)?.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        lines.line(&(from + blank..from + blank))
    };
    let mut reader = ReaderBuilder::new().from_reader(text);
    let columns = match reader.headers() {
        Ok(headers) => columns(table, headers, &mut faults),
        Err(error) => {
            faults.add(fault(Some(1), format!("this is not CSV: {error}")));
            Vec::new()
        }
    };
    if faults.total > 0 {
        return Err(faults);
    }
    let (mut ops, mut record) = (Vec::new(), StringRecord::new());
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) => {
                let line = line_of(record.position());
                match row(&columns, &record) {
                    Some((key, fields)) => {
                        ops.push(ConfigOp { table, key, fields: Some(fields), merge, expect: Expect::Any, line })
                    }
                    None => faults.add(fault(line, "this row has no name".to_owned())),
                }
            }
            Err(error) => {
                let at = line_of(error.position());
                let what = match error.kind() {
                    csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                        format!("this row has {len} cells, the header has {expected_len}")
                    }
                    other => format!("this row cannot be read: {other:?}"),
                };
                faults.add(fault(at, what));
            }
        }
    }
    if faults.total > 0 { Err(faults) } else { Ok(ops) }
}

fn columns(table: ConfigTable, headers: &StringRecord, faults: &mut Faults) -> Vec<Column> {
    let known = || std::iter::once(key_column(table)).chain(table.fields().iter().map(|f| f.name));
    let mut columns: Vec<Column> = Vec::new();
    for (n, header) in headers.iter().map(str::trim).enumerate() {
        let mut wrong = |what: String, expected: Option<String>| {
            let problem = RowProblem {
                line: Some(1),
                table: Some(table),
                field: Some(header.to_owned()),
                what,
                expected,
                ..RowProblem::default()
            };
            faults.add(problem);
        };
        if headers.iter().take(n).any(|h| h.trim() == header) {
            wrong(format!("the column {header:?} is there twice"), None);
        } else if header == key_column(table) {
            columns.push(Column::Key);
        } else if let Some(field) = table.field(header) {
            columns.push(Column::Field(field));
        } else {
            let near = nearest(header, known()).map_or_else(|| known().collect::<Vec<_>>().join(", "), str::to_owned);
            wrong(format!("{table} has no field {header:?}"), Some(near));
        }
    }
    if !columns.iter().any(|c| matches!(c, Column::Key)) {
        let what = format!("there is no column {:?}", key_column(table));
        faults.add(RowProblem { line: Some(1), table: Some(table), what, ..RowProblem::default() });
    }
    columns
}

fn row(columns: &[Column], record: &StringRecord) -> Option<(String, Map<String, serde_json::Value>)> {
    let (mut key, mut fields) = (None, Map::new());
    for (column, cell) in columns.iter().zip(record).filter(|(_, cell)| !cell.is_empty()) {
        match column {
            Column::Key => key = Some(cell.trim().to_owned()).filter(|k| !k.is_empty()),
            Column::Field(field) => drop(fields.insert(field.name.to_owned(), field.value(cell))),
        }
    }
    Some((key?, fields))
}

/// Puts rows of one table into a file.
pub(super) struct Writer {
    table: ConfigTable,
    out: csv::Writer<Vec<u8>>,
    bytes: usize,
}
impl Writer {
    pub(super) fn begin(table: ConfigTable) -> Result<Self, AdminError> {
        let mut writer = Self { table, out: csv::Writer::from_writer(Vec::new()), bytes: 0 };
        let header = std::iter::once(key_column(table)).chain(table.fields().iter().map(|f| f.name));
        writer.record(header.map(str::to_owned).collect())?;
        Ok(writer)
    }
    pub(super) fn row(&mut self, row: &ConfigRow) -> Result<(), AdminError> {
        let cell = |field: &Field| row.fields.get(field.name).map(|v| field.text(v)).unwrap_or_default();
        let cells = std::iter::once(row.key.clone()).chain(self.table.fields().iter().map(cell));
        self.record(cells.collect())
    }
    fn record(&mut self, cells: Vec<String>) -> Result<(), AdminError> {
        self.bytes += cells.iter().map(|c| c.len() + 1).sum::<usize>();
        self.out.write_record(cells).map_err(|e| broken(&e.to_string()))
    }
    pub(super) fn len(&self) -> usize {
        self.bytes
    }
    pub(super) fn finish(self) -> Result<String, AdminError> {
        let bytes = self.out.into_inner().map_err(|e| broken(&e.to_string()))?;
        String::from_utf8(bytes).map_err(|e| broken(&e.to_string()))
    }
}
fn broken(why: &str) -> AdminError {
    AdminError::new(ErrorKind::Internal, format!("the file cannot be written: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_with_a_header_becomes_rows_with_their_lines() {
        let text = "\u{feff}name,pool,lines,description\r\nSEP1,DP1,1001;1002,\"a, \"\"b\"\"\nc\"\r\nSEP2,DP1,,\r\n";
        let ops = read(ConfigTable::Device, text.as_bytes(), true).unwrap();
        assert_eq!(ops.len(), 2);
        assert_eq!(
            json!(ops[0].fields),
            json!({"pool": "DP1", "lines": ["1001", "1002"], "description": "a, \"b\"\nc"})
        );
        assert_eq!((ops[0].key.as_str(), ops[0].line), ("SEP1", Some(2)));
        assert_eq!((json!(ops[1].fields), ops[1].line), (json!({"pool": "DP1"}), Some(4)), "a cell took two lines");
    }

    #[test]
    fn everything_that_is_wrong_with_the_form_is_told_with_its_line() {
        let told = |text: &str| read(ConfigTable::Device, text.as_bytes(), true).unwrap_err().told;
        let header = told("name,pol,pool,pool\n");
        assert_eq!((header.len(), header[0].expected.as_deref()), (2, Some("pool")), "{header:?}");
        assert!(told("pool\nDP1\n")[0].what.contains("no column \"name\""));
        let rows = told("name,pool\nSEP1,DP1,x\n,DP1\nSEP2\nSEP3,DP1\n");
        let lines: Vec<_> = rows.iter().map(|p| p.line.unwrap()).collect();
        assert_eq!(lines, [2, 3, 4], "{rows:?}");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let fields = json!({"pool": "DP1", "lines": ["1", "2"], "description": "x;y,\"z\""});
        let row = ConfigRow {
            table: ConfigTable::Device,
            key: "SEP1".to_owned(),
            etag: String::new(),
            fields: fields.as_object().unwrap().clone(),
        };
        let mut writer = Writer::begin(ConfigTable::Device).unwrap();
        writer.row(&row).unwrap();
        let text = writer.finish().unwrap();
        let ops = read(ConfigTable::Device, text.as_bytes(), false).unwrap();
        assert_eq!((ops[0].key.as_str(), json!(ops[0].fields)), ("SEP1", fields), "{text}");
    }
}
