//! Whether the nodes' copies of each other's registrations are equal, row by row, and not only by the digests that they trust.

use crate::facts::Facts;
use crate::station::Station;
use std::collections::BTreeSet;
use std::time::Duration;
use tandem::call_manager::queries::Copy;
use tandem::locator::DeviceIndex;
use tandem_base::UnixMillis;
use tandem_rules::invariants::Broken;

/// A row younger than this may still be on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// Where copies and rows differ: (observer, device), and how.
pub type Differences = BTreeSet<(usize, usize, String)>;

/// Compares what each running node holds with the copies that every other running node has.
///
/// # Errors
/// A node that runs and does not answer.
pub fn compare(stations: &mut [Station], facts: &[Option<Facts>], unix: UnixMillis) -> Result<Differences, Broken> {
    let devices: Vec<_> = facts.iter().flatten().map(|f| f.here.len()).max().map_or(0..0, |n| 0..n).collect();
    let index = |d: &usize| DeviceIndex(u32::try_from(*d).unwrap_or(u32::MAX));
    let mut differences = Differences::new();
    for (observer, station) in stations.iter_mut().enumerate() {
        let Some(Some(mine)) = facts.get(observer) else { continue };
        let Some(copies) = station.copies(devices.iter().map(index).collect()) else {
            return Err(Broken { rule: "copies_are_equal", how: format!("{} does not answer", mine.me) });
        };
        if !mine.overview.complete {
            differences.insert((observer, usize::MAX, format!("{} has copies that are not complete", mine.me)));
        }
        for (device, copy) in copies.iter().enumerate() {
            if let Some(how) = difference(device, copy.as_ref(), observer, facts, unix) {
                differences.insert((observer, device, format!("{} {how}", mine.me)));
            }
        }
    }
    Ok(differences)
}

fn difference(
    device: usize,
    copy: Option<&Copy>,
    observer: usize,
    facts: &[Option<Facts>],
    unix: UnixMillis,
) -> Option<String> {
    let young = |stamp: tandem_base::Stamp| {
        let age = unix.0.saturating_sub(stamp.unix_millis());
        u128::from(age) < ON_ITS_WAY.as_millis()
    };
    let others = facts.iter().enumerate().filter(|(i, _)| *i != observer).filter_map(|(_, f)| f.as_ref());
    let owner = others.filter_map(|f| Some((f, (*f.here.get(device)?)?))).max_by_key(|(_, (stamp, _))| *stamp);
    match (owner, copy) {
        (Some((_, (stamp, _))), _) if young(stamp) => None,
        (Some((owner, (stamp, _))), None) => {
            Some(format!("has no copy of device {device}, which {} holds since {stamp:?}", owner.me))
        }
        (Some((owner, (stamp, _))), Some(copy)) => {
            let same = copy.owner == owner.me && copy.row.0.stamp == stamp && !copy.orphaned;
            (!same).then(|| {
                let (at, was) = (&copy.owner, copy.row.0.stamp);
                format!("has device {device} at {at} since {was:?}, and {} holds it since {stamp:?}", owner.me)
            })
        }
        (None, Some(copy)) if !copy.orphaned => {
            Some(format!("has device {device} at {}, which does not hold it", copy.owner))
        }
        (None, _) => None,
    }
}
