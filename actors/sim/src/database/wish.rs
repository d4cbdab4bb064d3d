//! What the administrator and the users may want of a cluster: drawn from the dice and from what a copy says, as people look before they change.
//!
//! It only draws. Every draft is one that a copy like the one looked at would take.

use tandem_database::{Document, DraftOp, Reader, StoreError, Table, UserField};
use tandem_host::random::Random;

/// Devices that the administrator adds have names of their own: there are no phones for them.
const NEW: &str = "NEW";
/// Most devices that he adds.
const NEW_MAX: u64 = 12;
/// Directory numbers of devices that he adds begin here.
const NEW_LINES: u64 = 7_000;

/// Groups and pools from this number on are the administrator's: where the devices of the others belong does not change in a run, so that the rules
/// about places can be asked of their phones.
const MOVABLE_FROM: u32 = 3;

/// Whether the administrator may change what devices of a group or pool of this name are.
pub fn is_movable(name: &str) -> bool {
    let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.parse::<u32>().is_ok_and(|number| number >= MOVABLE_FROM)
}

/// A change as somebody wants it.
pub struct Wish {
    /// What is to be so.
    pub ops: Vec<DraftOp>,
    /// The same for the log.
    pub text: String,
}

type Rows = Vec<(String, Document)>;

fn rows(reader: &Reader, table: Table) -> Result<Rows, StoreError> {
    let mut all = Vec::new();
    reader.each(table, |key, document| all.push((key.to_owned(), document)))?;
    Ok(all)
}

/// Those whose place may change: groups and pools by their names, devices by that of their pools.
fn movable(reader: &Reader, table: Table) -> Result<Rows, StoreError> {
    let mut all = rows(reader, table)?;
    all.retain(|(key, row)| is_movable(row.text("pool").unwrap_or(key)));
    Ok(all)
}

fn pick<'a, T>(dice: &mut Random, of: &'a [T]) -> Option<&'a T> {
    of.get(usize::try_from(dice.below(of.len() as u64)).unwrap_or(0))
}

fn put(table: Table, key: &str, document: Document, text: String) -> Wish {
    Wish { ops: vec![DraftOp::update(table, key, document)], text }
}

/// A change of the configuration; none while the copy is empty. `serial` makes each one different from all before.
///
/// # Errors
/// As the disk has them.
pub fn change(dice: &mut Random, reader: &Reader, serial: u32) -> Result<Option<Wish>, StoreError> {
    Ok(match dice.below(16) {
        0..3 => describe(dice, reader, Table::Device, serial)?,
        3 => describe(dice, reader, Table::DevicePool, serial)?,
        4..8 => move_device(dice, reader)?,
        8..10 => reorder_group(dice, reader)?,
        10..12 => delete_device(dice, reader)?,
        12 => move_pool(dice, reader)?,
        _ => add_device(dice, reader)?,
    })
}

/// A row of this table gets another description.
///
/// # Errors
/// As the disk has them.
pub fn describe(dice: &mut Random, reader: &Reader, table: Table, serial: u32) -> Result<Option<Wish>, StoreError> {
    let all = rows(reader, table)?;
    Ok(pick(dice, &all).map(|(key, row)| {
        let text = format!("{table} {key} is described anew");
        put(table, key, row.clone().with("description", format!("as of change {serial}")), text)
    }))
}

fn move_device(dice: &mut Random, reader: &Reader) -> Result<Option<Wish>, StoreError> {
    let (devices, pools) = (movable(reader, Table::Device)?, movable(reader, Table::DevicePool)?);
    let found = pick(dice, &devices).zip(pick(dice, &pools));
    Ok(found.map(|((key, row), (pool, _))| {
        put(Table::Device, key, row.clone().with("pool", pool.as_str()), format!("{key} goes to {pool}"))
    }))
}

fn reorder_group(dice: &mut Random, reader: &Reader) -> Result<Option<Wish>, StoreError> {
    let groups = movable(reader, Table::Group)?;
    Ok(pick(dice, &groups).map(|(key, row)| {
        let mut members: Vec<String> = row.list("members").map(str::to_owned).collect();
        let by = usize::try_from(dice.below(members.len() as u64)).unwrap_or(0);
        members.rotate_left(by);
        if dice.below(2) == 0 && members.len() > 1 {
            members.swap(0, 1);
        }
        let text = format!("{key} has the members {}", members.join(", "));
        put(Table::Group, key, row.clone().with("members", members), text)
    }))
}

fn move_pool(dice: &mut Random, reader: &Reader) -> Result<Option<Wish>, StoreError> {
    let (pools, groups) = (movable(reader, Table::DevicePool)?, movable(reader, Table::Group)?);
    let found = pick(dice, &pools).zip(pick(dice, &groups));
    Ok(found.map(|((key, row), (group, _))| {
        put(Table::DevicePool, key, row.clone().with("group", group.as_str()), format!("{key} gets {group}"))
    }))
}

fn delete_device(dice: &mut Random, reader: &Reader) -> Result<Option<Wish>, StoreError> {
    let devices = movable(reader, Table::Device)?;
    let found = pick(dice, &devices).map(|(key, _)| key);
    Ok(found
        .map(|key| Wish { ops: vec![DraftOp::delete(Table::Device, key.as_str())], text: format!("{key} is deleted") }))
}

/// A new one, or one that was deleted: its phone is still there and goes on trying.
fn add_device(dice: &mut Random, reader: &Reader) -> Result<Option<Wish>, StoreError> {
    let (devices, pools) = (rows(reader, Table::Device)?, movable(reader, Table::DevicePool)?);
    let Some((pool, _)) = pick(dice, &pools) else { return Ok(None) };
    let has = |name: &str| devices.iter().any(|(key, _)| key == name);
    let gone: Vec<String> = (1..=devices.len()).map(phone).filter(|name| !has(name)).collect();
    let number = dice.below(NEW_MAX);
    let (name, line) = match pick(dice, &gone) {
        Some(name) => (name.clone(), None),
        None => (format!("{NEW}{number:04}"), Some((NEW_LINES + number).to_string())),
    };
    let mut row = Document::new().with("pool", pool.as_str()).with("password", "secret");
    if let Some(line) = line {
        row = row.with("lines", vec![line]);
    }
    let text = format!("{name} is added to {pool}");
    let op = if has(&name) { DraftOp::update } else { DraftOp::create };
    Ok(Some(Wish { ops: vec![op(Table::Device, name, row)], text }))
}

/// A phone's device by its number in the configuration of a small run.
fn phone(number: usize) -> String {
    format!("SEP{number:04}")
}

/// What a user sets: of which device, which setting, to what.
///
/// # Errors
/// As the disk has them.
pub fn setting(
    dice: &mut Random,
    reader: &Reader,
    serial: u32,
) -> Result<Option<(String, UserField, Option<String>)>, StoreError> {
    let devices = rows(reader, Table::Device)?;
    // Few, so that many set the same.
    let some = devices.get(..devices.len().min(4)).unwrap_or_default();
    let (device, field) = (pick(dice, some), pick(dice, &UserField::ALL));
    let value = (dice.below(4) > 0).then(|| format!("8{serial:05}"));
    Ok(device.zip(field).map(|((device, _), field)| (device.clone(), *field, value)))
}
