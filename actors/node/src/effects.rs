//! Carries out the plan that `rules::failover` draws up at a node's death: the one place where its consequences become acts.
//!
//! The cost does not grow with the number of devices: rows are orphaned in place, routing follows from the view, devices come by
//! themselves.

use crate::call_manager::CallManager;
use crate::journal::Fact;
use tandem_base::{GroupName, NodeLife, NodeName};
use tandem_rules::failover::{Death, GroupAtDeath, plan_death};

impl CallManager {
    /// A node is dead.
    pub(crate) fn effects_of_death(&mut self, dead: &NodeLife, cause: &'static str) {
        let Some(node) = self.directory.node_index(&dead.node) else { return };
        let Some(publisher) = self.directory.node(self.directory.publisher).cloned() else { return };
        let mut groups: Vec<(GroupName, Vec<NodeName>, u64)> = Vec::new();
        for (index, group) in self.directory.live_groups() {
            let pools = self.directory.pools_of(index);
            let devices = pools.map(|(pool, _)| self.counts.of_pool(node, pool)).sum();
            groups.push((group.name.clone(), self.directory.members(index), devices));
        }
        let at_death: Vec<_> =
            groups.iter().map(|(name, members, devices)| GroupAtDeath { name, members, devices: *devices }).collect();
        let plan = plan_death(&Death { view: &self.view, dead, cause, publisher: &publisher, groups: &at_death });
        for event in plan.events {
            let group = event.group.and_then(|g| self.directory.group_index(&g));
            let (cause, text) = (event.cause.to_owned(), event.text);
            self.journal.push(self.clock.unix_millis(), self.index, Fact::cluster(event.kind, group, cause, text));
        }
        // Its devices are served by nobody until they register again.
        self.counts.clear_node(node);
    }
}
