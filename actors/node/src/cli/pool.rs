//! `tandem pool ...`: device pools, which tie devices to a group.

use super::args::{Pool, PoolFields};
use super::change::{self, Write, given, text};
use super::client::{Client, escaped};
use super::config::{show, uses};
use super::failure::Failure;
use super::output::{Out, Table, Tone, or_dash};
use serde_json::{Map, Value, json};
use tandem_model::admin::config::{ConfigRow, ConfigTable, ROWS_PER_PAGE_MAX, RowPage};

/// Does what `tandem pool` was asked.
///
/// # Errors
/// When nobody answers, it is refused, or the output cannot be written.
pub fn command(client: &Client, command: &Pool, out: &mut Out<'_>) -> Result<(), Failure> {
    let table = ConfigTable::DevicePool;
    match command {
        Pool::List => list(client, out),
        Pool::Show { name } => {
            let row = client.get::<ConfigRow>(&format!("/config/{table}/{}", escaped(name)))?;
            let uses = uses(client, table, name)?;
            if out.is_data() {
                let row = json!({ "row": row.raw, "used_by": uses.raw });
                return out.data(&row);
            }
            show(&row.body, out)?;
            out.line("")?;
            let shown = uses.body.uses.iter().map(|u| format!("{} {}", u.table, u.key));
            let more = uses.body.more;
            let all = super::output::joined(shown, ", ");
            out.line(&if more > 0 { format!("used by: {all} and {more} more") } else { format!("used by: {all}") })
        }
        Pool::Add(pool) => change::row(client, table, &pool.name, Write::Create(fields(pool)?), &pool.change, out),
        Pool::Update(pool) => change::row(client, table, &pool.name, Write::Merge(fields(pool)?), &pool.change, out),
        Pool::Delete { name, change } => change::row(client, table, name, Write::Delete, change, out),
    }
}

fn fields(pool: &PoolFields) -> Result<Map<String, Value>, Failure> {
    let mut fields = given([
        ("group", text(pool.group.as_ref())),
        ("connection_monitor", text(pool.connection_monitor.as_ref())),
        ("description", text(pool.description.as_ref())),
    ]);
    fields.extend(change::fields(ConfigTable::DevicePool, &pool.set)?);
    Ok(fields)
}

fn list(client: &Client, out: &mut Out<'_>) -> Result<(), Failure> {
    let (mut cursor, mut pools): (Option<String>, Vec<ConfigRow>) = (None, Vec::new());
    loop {
        let parameters =
            super::client::query(&[("limit", Some(ROWS_PER_PAGE_MAX.to_string())), ("cursor", cursor.clone())]);
        let page = client.get::<RowPage>(&format!("/config/{}{parameters}", ConfigTable::DevicePool))?.body;
        pools.extend(page.rows);
        if page.next.is_none() || page.next == cursor {
            break;
        }
        cursor = page.next;
    }
    if out.is_data() {
        return out.data(&json!({ "api": tandem_model::admin::API, "pools": pools }));
    }
    let mut table = Table::new(&["POOL", "GROUP", "MONITOR", "DESCRIPTION"]);
    for pool in &pools {
        let word = |field: &str| or_dash(pool.fields.get(field).and_then(Value::as_str));
        let cells = [pool.key.clone(), word("group"), word("connection_monitor"), word("description")];
        table.line(Tone::Plain, cells);
    }
    out.table(&table)
}
