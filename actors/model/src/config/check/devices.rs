//! Checks of `[[device]]` and `[[device_series]]`, each row by itself; what must be unique among all is in `identity`.

use super::{Checker, Names, rows_with_name};
use crate::config::device::{DEVICES_MAX, DIGITS_MAX, LINES_MAX};
use crate::config::read::{Place, Tables};
use crate::config::{Algorithm, Device, DeviceSeries, Secret, Settings};
use tandem_base::{DeviceName, DevicePoolName, DigestUser};

/// The pool of each device and then of each series.
pub(super) fn devices(checker: &mut Checker<'_, '_, '_>, tables: &Tables) -> Vec<u16> {
    let document = checker.document;
    let pools = Names(rows_with_name(document, "device_pool").map(|(i, n)| (n, i)).collect());
    let mut pool_of_row = Vec::with_capacity(tables.devices.len() + tables.series.len());
    for (index, device) in &tables.devices {
        let row = Place::row("device", *index);
        pool_of_row.push(pool(checker, row, &device.pool, &pools));
        credentials(checker, row, device, &tables.settings);
        lines(checker, row, device);
    }
    for (index, series) in &tables.series {
        let row = Place::row("device_series", *index);
        pool_of_row.push(pool(checker, row, &series.pool, &pools));
        if tables.settings.digest && series.password.is_none() {
            no_credential(checker, row);
        }
        empty_password(checker, row, series.password.as_ref());
        numbers(checker, row, series);
    }
    pool_of_row
}

fn pool(checker: &mut Checker<'_, '_, '_>, row: Place, name: &DevicePoolName, pools: &Names<'_>) -> u16 {
    let pool = pools.0.get(name.as_str());
    if pool.is_none() {
        checker.unknown(row.field("pool"), "device pool", name.as_str(), pools);
    }
    pool.and_then(|p| u16::try_from(*p).ok()).unwrap_or(u16::MAX)
}

fn no_credential(checker: &mut Checker<'_, '_, '_>, row: Place) {
    let what = "it has no password, and devices must prove who they are".to_owned();
    checker.wrong(row, what, "a `password`, or `digest = false` in [settings]".to_owned());
}

fn empty_password(checker: &mut Checker<'_, '_, '_>, row: Place, password: Option<&Secret>) {
    if password.is_some_and(|p| p.reveal().is_empty()) {
        checker.wrong(row.field("password"), "the password is empty".to_owned(), "at least one character".to_owned());
    }
}

fn credentials(checker: &mut Checker<'_, '_, '_>, row: Place, device: &Device, settings: &Settings) {
    empty_password(checker, row, device.password.as_ref());
    let hashes =
        [("ha1_md5", &device.ha1_md5, 32, Algorithm::Md5), ("ha1_sha256", &device.ha1_sha256, 64, Algorithm::Sha256)];
    let any_hash = hashes.iter().any(|(_, hash, ..)| hash.is_some());
    if settings.digest && device.password.is_none() && !any_hash {
        no_credential(checker, row);
    }
    for (field, hash, digits, algorithm) in hashes {
        let hash = hash.as_ref().map(Secret::reveal);
        if let Some(hash) = hash {
            if device.password.is_some() {
                let expected = "either a password or hashes".to_owned();
                checker.wrong(row.field(field), "it has a password and a hash".to_owned(), expected);
            } else if hash.len() != digits || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
                let what = format!("not a hash by {algorithm}");
                checker.wrong(
                    row.field(field),
                    what,
                    format!("{digits} hex digits: {algorithm} of user:realm:password"),
                );
            }
        } else if any_hash && device.password.is_none() && settings.digest && settings.algorithms.contains(&algorithm) {
            let what = format!("it has no hash by {algorithm}, which the cluster offers");
            checker.wrong(row, what, format!("`{field}` as well, or a `password`"));
        }
    }
}

fn lines(checker: &mut Checker<'_, '_, '_>, row: Place, device: &Device) {
    let place = row.field("lines");
    if device.lines.len() > LINES_MAX {
        checker.wrong(place, format!("it has {} lines", device.lines.len()), format!("at most {LINES_MAX}"));
    }
    for (n, line) in device.lines.iter().enumerate().take(LINES_MAX) {
        if device.lines.iter().take(n).any(|other| other == line) {
            checker.wrong(place.element(n), format!("line {line} stands twice on it"), "each line once".to_owned());
        }
    }
}

fn numbers(checker: &mut Checker<'_, '_, '_>, row: Place, series: &DeviceSeries) {
    if series.count == 0 || series.count > DEVICES_MAX {
        let what = format!("a series of {} devices", series.count);
        return checker.wrong(row.field("count"), what, format!("1 to {DEVICES_MAX}"));
    }
    let last = series.count - 1;
    if let Some(first) = &series.first_line
        && series.line(last).is_none()
    {
        let what = format!("{first} cannot be counted up {last} times");
        checker.wrong(
            row.field("first_line"),
            what,
            "a number that ends in enough digits, such as \"2001\"".to_owned(),
        );
    }
    if !(1..=DIGITS_MAX).contains(&series.digits) {
        let what = format!("numbers of {} digits", series.digits);
        return checker.wrong(row.field("digits"), what, format!("1 to {DIGITS_MAX}"));
    }
    let number = series.first.saturating_add(last);
    if number >= 10u64.pow(u32::from(series.digits)) {
        let what = format!("the last number would be {number}, which has more than {} digits", series.digits);
        checker.wrong(row.field("digits"), what, "more digits, or fewer devices".to_owned());
    }
    let name = series.name(last);
    if DeviceName::new(&name).is_err() {
        let what = format!("{name:?} would not be a device name");
        checker.wrong(row.field("prefix"), what, format!("{} altogether", DeviceName::EXPECTED));
    }
    let user = series.user(last);
    if series.digest_user_prefix.is_some() && DigestUser::new(&user).is_err() {
        let what = format!("{user:?} would not be a digest user");
        checker.wrong(row.field("digest_user_prefix"), what, format!("{} altogether", DigestUser::EXPECTED));
    }
}
