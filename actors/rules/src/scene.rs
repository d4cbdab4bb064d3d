//! Small views for the unit tests of these rules: who is up, down, joining.

use tandem_base::{DeviceName, DevicePoolName, GroupName, Incarnation, NodeLife, NodeName, Time};
use tandem_model::view::{ClusterView, Service, Sight};

pub(crate) fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}
pub(crate) fn nodes(names: &[&str]) -> Vec<NodeName> {
    names.iter().map(|n| node(n)).collect()
}
pub(crate) fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}
pub(crate) fn pool(name: &str) -> DevicePoolName {
    DevicePoolName::new(name).unwrap()
}
pub(crate) fn device(name: &str) -> DeviceName {
    DeviceName::new(name).unwrap()
}
/// Every node of a scene is in its first life unless said otherwise.
pub(crate) fn life(name: &str) -> NodeLife {
    NodeLife { node: node(name), incarnation: Incarnation(1) }
}

/// The view of `me` at time zero. `A` is up and in service, `A?` suspect, `A-` down, `A+` joining, `A!` draining.
pub(crate) fn view(me: &str, states: &[&str]) -> ClusterView {
    let bare = |state: &str| state.trim_end_matches(['?', '-', '+', '!']).to_owned();
    let mut view = ClusterView::first(&life(me), states.iter().map(|s| node(&bare(s))), Time::ZERO);
    for state in states {
        let name = node(&bare(state));
        view.sees(Time::ZERO, &name, Incarnation(1), Sight::Up);
        view.says(Time::ZERO, &name, Service::InService);
        match state.chars().last() {
            Some('?') => view.sees(Time::ZERO, &name, Incarnation(1), Sight::Suspect),
            Some('-') => view.sees(Time::ZERO, &name, Incarnation(1), Sight::Down),
            Some('+') => view.says(Time::ZERO, &name, Service::Joining),
            Some('!') => view.says(Time::ZERO, &name, Service::Draining),
            _ => {}
        }
    }
    view
}
