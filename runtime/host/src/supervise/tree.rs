//! Children in the order they were started; stopped in reverse, each one before the next, so that nobody loses what it leans on.

use super::keep::{Child, End};
use std::time::Duration;

/// The children of one parent.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    children: Vec<Child>,
}

impl Tree {
    /// Adds the child started last.
    pub fn add(&mut self, child: Child) {
        self.children.push(child);
    }
    /// The children, in the order they were started.
    pub fn children(&self) -> &[Child] {
        &self.children
    }
    /// Restarts after panics so far, all children together.
    pub fn restarts(&self) -> u32 {
        self.children.iter().map(Child::restarts).sum()
    }
    /// Stops them in reverse order, waiting for each at most `patience`. Returns their ends, last started first; `None` for one that did
    /// not end in time.
    pub async fn stop(&self, patience: Duration) -> Vec<(String, Option<End>)> {
        let mut ends = Vec::with_capacity(self.children.len());
        for child in self.children.iter().rev() {
            child.stop();
            let end = tokio::time::timeout(patience, child.ended()).await.ok();
            ends.push((child.name().to_owned(), end));
        }
        ends
    }
}
