//! `tandem device ...`: list, show, explain, release, reset, and the rows of devices.
//!
//! A list of a million devices is printed page by page as it comes; it must never be held in memory as a whole.

use super::args::{Device, DeviceFields, DeviceList};
use super::change::{self, Write, given, list, text};
use super::client::{Answer, Client, Method, escaped, query};
use super::failure::Failure;
use super::output::{Out, Table, Tone, joined, moment, or_dash};
use serde_json::{Map, Value};
use tandem_model::admin::config::{ConfigTable, UserSettingsBody};
use tandem_model::admin::{
    API, DEVICES_PER_PAGE_MAX, DeviceDetail, DeviceEntry, DeviceExplanation, DevicePage, DeviceReset, DeviceState,
    InQuarantine, Released,
};

/// Does what `tandem device` was asked.
///
/// # Errors
/// When nobody answers, there is no such device, or the output cannot be written.
pub fn command(client: &Client, command: &Device, out: &mut Out<'_>) -> Result<(), Failure> {
    match command {
        Device::List(list) if out.is_data() => list_json(client, list, out),
        Device::List(list) => list_table(client, list, out),
        Device::Show { name } => {
            let answer = client.get::<DeviceDetail>(&format!("/devices/{}", escaped(name)))?;
            if out.is_data() { out.data(&answer.raw) } else { show(&answer.body, out) }
        }
        Device::Explain { name } => {
            let answer = client.get::<DeviceExplanation>(&format!("/devices/{}/explain", escaped(name)))?;
            if out.is_data() { out.data(&answer.raw) } else { explain(&answer.body, out) }
        }
        Device::Release { name } => {
            let answer = client.post::<Released>(&format!("/devices/{}/release", escaped(name)))?;
            if out.is_data() {
                return out.data(&answer.raw);
            }
            let became = if answer.body.released { "is out of quarantine" } else { "was not in quarantine" };
            out.line(&format!("{} {became}", answer.body.device))
        }
        Device::Add(device) => {
            let mut fields = fields(&device.fields)?;
            fields.insert("pool".to_owned(), device.pool.clone().into());
            change::row(client, ConfigTable::Device, &device.name, Write::Create(fields), &device.change, out)
        }
        Device::Update(device) => {
            let mut fields = fields(&device.fields)?;
            fields.extend(given([("pool", text(device.pool.as_ref()))]));
            change::row(client, ConfigTable::Device, &device.name, Write::Merge(fields), &device.change, out)
        }
        Device::Delete { name, change } => change::row(client, ConfigTable::Device, name, Write::Delete, change, out),
        Device::Reset { name } => reset(client, name, out),
        Device::Settings { name, set } => settings(client, name, set, out),
    }
}

fn fields(device: &DeviceFields) -> Result<Map<String, Value>, Failure> {
    let password = device.password_file.as_deref().map(change::secret).transpose()?;
    let mut fields = given([
        ("kind", text(device.kind.as_ref())),
        ("lines", list(&device.lines)),
        ("description", text(device.description.as_ref())),
        ("digest_user", text(device.digest_user.as_ref())),
        ("password", password.map(Value::from)),
    ]);
    fields.extend(change::fields(ConfigTable::Device, &device.set)?);
    Ok(fields)
}

fn reset(client: &Client, name: &str, out: &mut Out<'_>) -> Result<(), Failure> {
    let answer = client.post::<DeviceReset>(&format!("/devices/{}/reset", escaped(name)))?;
    if out.is_data() {
        return out.data(&answer.raw);
    }
    match answer.body.node {
        Some(node) => out.line(&format!("{name} was told by {node} to register anew")),
        None => out.line(&format!("nothing to do: no node here serves {name}")),
    }
}

fn settings(client: &Client, name: &str, set: &[(String, String)], out: &mut Out<'_>) -> Result<(), Failure> {
    let path = format!("/devices/{}/settings", escaped(name));
    let answer = if set.is_empty() {
        client.get::<UserSettingsBody>(&path)?
    } else {
        let truth = |word: &str| word.parse::<bool>().map_or_else(|_| Value::from(word), Value::from);
        let value = |word: &str| if word.is_empty() { Value::Null } else { truth(word) };
        let body: Map<String, Value> = set.iter().map(|(field, word)| (field.clone(), value(word))).collect();
        client.send::<UserSettingsBody>(Method::PUT, &path, &[], Some(&body.into()))?
    };
    if out.is_data() {
        return out.data(&answer.raw);
    }
    if answer.body.settings.is_empty() {
        return out.note("nothing is set");
    }
    let mut table = Table::new(&["SETTING", "VALUE"]);
    for (field, value) in &answer.body.settings {
        table.line(Tone::Plain, [field.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
    }
    out.more(&table)
}

/// Pages of a list, asked for one after the other.
struct Pages<'a> {
    client: &'a Client,
    list: &'a DeviceList,
    /// Devices still wanted; `None` is all.
    wanted: Option<u64>,
    /// After which device the next page begins.
    cursor: Option<String>,
    ended: bool,
}

impl<'a> Pages<'a> {
    fn new(client: &'a Client, list: &'a DeviceList) -> Self {
        let wanted = (!list.all).then_some(list.limit);
        Self { client, list, wanted, cursor: list.cursor.clone(), ended: false }
    }
    /// The next page; `None` after the last or when enough were seen.
    fn next(&mut self) -> Result<Option<Answer<DevicePage>>, Failure> {
        let page_max = u64::try_from(DEVICES_PER_PAGE_MAX).unwrap_or(u64::MAX);
        let limit = self.wanted.unwrap_or(page_max).min(page_max);
        if self.ended || limit == 0 {
            return Ok(None);
        }
        let list = self.list;
        let parameters = query(&[
            ("group", list.group.clone()),
            ("pool", list.pool.clone()),
            ("node", list.node.clone()),
            ("state", list.in_state.map(|s| s.word().to_owned())),
            ("search", list.search.clone()),
            ("cursor", self.cursor.clone()),
            ("limit", Some(limit.to_string())),
        ]);
        let page = self.client.get::<DevicePage>(&format!("/devices{parameters}"))?;
        let seen = u64::try_from(page.body.devices.len()).unwrap_or(u64::MAX);
        self.wanted = self.wanted.map(|w| w.saturating_sub(seen));
        let next = page.body.next.as_ref().map(ToString::to_string);
        // A cursor that does not move would ask for the same page for ever.
        self.ended = next.is_none() || next == self.cursor;
        self.cursor = next;
        Ok(Some(page))
    }
}

fn list_table(client: &Client, list: &DeviceList, out: &mut Out<'_>) -> Result<(), Failure> {
    let mut pages = Pages::new(client, list);
    let mut first = true;
    while let Some(page) = pages.next()? {
        let mut table =
            Table::new(&["DEVICE", "KIND", "GROUP", "POOL", "LINES", "STATE", "NODE", "#RANK", "SINCE", "CONTACT"]);
        page.body.devices.iter().for_each(|d| table.line(tone(d), line(d)));
        match (first, table.is_empty()) {
            (true, true) => out.note("no device matches")?,
            (true, false) => out.table(&table)?,
            (false, _) => out.more(&table)?,
        }
        first = false;
    }
    match pages.cursor {
        Some(cursor) => {
            out.note(&format!("there are more: --all shows every device, --cursor {cursor} goes on from here"))
        }
        None => Ok(()),
    }
}

/// One object, `devices` filled page by page; `next` is there when `--limit` ended the list.
fn list_json(client: &Client, list: &DeviceList, out: &mut Out<'_>) -> Result<(), Failure> {
    let mut pages = Pages::new(client, list);
    // The first page is asked for before anything is printed, so that a refusal leaves no half of an object.
    let mut page = pages.next()?;
    out.list(&[("api", API.into())], "devices")?;
    while let Some(answer) = page {
        for device in answer.raw.get("devices").and_then(|d| d.as_array()).into_iter().flatten() {
            out.element(device)?;
        }
        page = pages.next()?;
    }
    out.list_end(&[("next", pages.cursor.into())])
}

fn line(device: &DeviceEntry) -> Vec<String> {
    let d = device;
    let place = [or_dash(d.node.as_ref()), or_dash(d.rank), moment(d.since), or_dash(d.contact.as_ref())];
    let names = [d.name.to_string(), d.kind.clone(), d.group.to_string(), d.pool.to_string()];
    names.into_iter().chain([joined(&d.lines, ","), d.state.to_string()]).chain(place).collect()
}

fn tone(device: &DeviceEntry) -> Tone {
    match device.state {
        DeviceState::Registered if device.rank.is_none_or(|r| r == tandem_base::Rank::HOME) => Tone::Plain,
        DeviceState::Registered | DeviceState::Orphaned => Tone::Warning,
        DeviceState::Unregistered | DeviceState::Quarantined => Tone::Bad,
    }
}

fn show(detail: &DeviceDetail, out: &mut Out<'_>) -> Result<(), Failure> {
    let device = &detail.entry;
    let mut table = Table::new(&["FIELD", "VALUE"]);
    for (field, value) in [
        ("device", device.name.to_string()),
        ("kind", device.kind.clone()),
        ("pool", device.pool.to_string()),
        ("group", format!("{} ({})", device.group, joined(&detail.members, " > "))),
        ("lines", joined(&device.lines, ", ")),
        ("state", device.state.to_string()),
        ("node", or_dash(device.node.as_ref())),
        ("rank", or_dash(device.rank)),
        ("since", moment(device.since)),
        ("expires", moment(detail.expires)),
        ("contact", or_dash(device.contact.as_ref())),
        ("transport", or_dash(detail.transport.as_ref())),
        ("source", or_dash(detail.source.as_ref())),
        ("last reason", or_dash(detail.last_reason.as_ref())),
    ] {
        table.line(Tone::Plain, [field.to_owned(), value]);
    }
    if let Some(InQuarantine { node, since }) = &detail.quarantine {
        let value =
            format!("since {}, after a panic at {node}; let it out: tandem device release", moment(Some(*since)));
        table.line(Tone::Bad, ["quarantine".to_owned(), format!("{value} {}", device.name)]);
    }
    out.more(&table)
}

fn explain(explanation: &DeviceExplanation, out: &mut Out<'_>) -> Result<(), Failure> {
    out.line(&explanation.sentence)?;
    out.line("")?;
    let mut table = Table::new(&["FIELD", "VALUE"]);
    for (field, value) in [
        ("should be at", or_dash(explanation.desired_node.as_ref())),
        ("is at", or_dash(explanation.actual_node.as_ref())),
        ("rank", or_dash(explanation.rank)),
        ("since", moment(explanation.since)),
        ("last reason", or_dash(explanation.last_reason.as_ref())),
    ] {
        table.line(Tone::Plain, [field.to_owned(), value]);
    }
    out.more(&table)?;
    if !explanation.history.is_empty() {
        out.line("")?;
    }
    explanation.history.iter().try_for_each(|event| out.line(&super::events::line(event)))
}
