//! The directory that is in force, for whoever looks at it now and then. What is hot is told of a new one instead and keeps it.

use crate::directory::Directory;
use std::sync::{Arc, PoisonError, RwLock};

/// See the module. A node has one, and so has a process.
pub struct Current(RwLock<Arc<Directory>>);

impl Current {
    /// This one is in force.
    pub fn new(directory: Arc<Directory>) -> Self {
        Self(RwLock::new(directory))
    }
    /// The one in force.
    pub fn get(&self) -> Arc<Directory> {
        // Nothing can be half written: one pointer is replaced by another.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
    /// From now on it is this one.
    pub fn set(&self, directory: Arc<Directory>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = directory;
    }
}
