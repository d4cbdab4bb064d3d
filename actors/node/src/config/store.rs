//! A node's copy of the configuration database on its disk: opened at the process's start, kept on a thread of its own through all lives of the
//! node, read beside it by whoever asks.
//!
//! A damaged file is set aside by name, and the copy comes from a peer. It must never be touched by a thread that serves phones.

use super::words;
use crate::error::NodeError;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tandem_base::NodeName;
use tandem_database::{Document, Head, Reader, Store, StoreError, StoreSettings, Table, Worker, set_aside};
use tandem_host::labour::{Hand, Labour};
use tandem_model::admin::{AdminError, ErrorKind};
use tandem_model::config::rows::{RowChange, Rows};
use tandem_model::config::{Config, Problems};
use tokio::sync::oneshot;

/// Jobs that may wait for the disk; the machine has far fewer open.
const JOBS_MAX: usize = 16_384;
/// Readers that are kept open for the next question.
const READERS_KEPT: usize = 4;
/// Memory for pages of a reader, in KiB.
const READER_CACHE_KIB: u32 = 4_096;
/// How long an answer of the disk is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
pub struct NodeStore {
    node: NodeName,
    path: PathBuf,
    settings: StoreSettings,
    labour: Labour<Worker>,
    /// Opening one costs as much as several questions.
    readers: Mutex<Vec<Reader>>,
}

impl NodeStore {
    /// Opens a node's database, or makes it. What was set aside is told to `say`. Blocks: a large file is checked.
    ///
    /// # Errors
    /// [`NodeError::Store`]: a disk that fails, a file of a newer Tandem.
    pub fn open(path: &Path, node: &NodeName, say: impl FnOnce(String)) -> Result<Self, NodeError> {
        let thread = |worker| Ok(Labour::thread(&format!("{node}-config"), worker, JOBS_MAX)?);
        Self::open_with(path, StoreSettings::default(), node, say, thread)
    }
    /// The same without a thread, for the simulator: its jobs are done by the hand.
    ///
    /// # Errors
    /// As [`NodeStore::open`].
    pub fn by_hand(
        path: &Path,
        settings: StoreSettings,
        node: &NodeName,
        say: impl FnOnce(String),
    ) -> Result<(Self, Hand<Worker>), NodeError> {
        let mut kept = None;
        let labour = |worker| {
            let (labour, hand) = Labour::by_hand(worker, JOBS_MAX);
            kept = Some(hand);
            Ok(labour)
        };
        let store = Self::open_with(path, settings, node, say, labour)?;
        let hand = kept.ok_or_else(|| NodeError::Start(node.clone()))?;
        Ok((store, hand))
    }
    fn open_with(
        path: &Path,
        settings: StoreSettings,
        node: &NodeName,
        say: impl FnOnce(String),
        labour: impl FnOnce(Worker) -> Result<Labour<Worker>, NodeError>,
    ) -> Result<Self, NodeError> {
        let trouble = |why| NodeError::Store { node: node.clone(), why };
        let store = match Store::open(path, settings) {
            Err(StoreError::Damaged { path: damaged, why }) => {
                let kept = set_aside(path).map_err(trouble)?;
                say(format!(
                    "the configuration database {} is damaged ({why}): it is kept as {}, and a peer is asked for its copy",
                    damaged.display(),
                    kept.display()
                ));
                Store::open(path, settings)
            }
            opened => opened,
        };
        let worker = store.and_then(Worker::new).map_err(trouble)?;
        let labour = labour(worker)?;
        Ok(Self { node: node.clone(), path: path.to_owned(), settings, labour, readers: Mutex::default() })
    }
    /// Whose copy it is.
    pub fn node(&self) -> &NodeName {
        &self.node
    }
    /// Where its file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Gives the disk's thread something to do; `false` when too much waits.
    pub fn give(&self, job: impl FnOnce(&mut Worker) + Send + 'static) -> bool {
        self.labour.give(job)
    }
    /// The same, and waits for what comes of it.
    ///
    /// # Errors
    /// [`AdminError`] when the disk does not answer.
    pub async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Worker) -> T + Send + 'static,
    ) -> Result<T, AdminError> {
        let (tell, told) = oneshot::channel();
        let silent = || AdminError::new(ErrorKind::Unavailable, format!("the disk of {} does not answer", self.node));
        if !self.give(move |worker| drop(tell.send(job(worker)))) {
            return Err(silent());
        }
        match tokio::time::timeout(PATIENCE, told).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(silent()),
        }
    }
    /// A reader beside the writer, for one question; use it off the threads that serve phones.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::open(&self.path, StoreSettings { cache_kib: READER_CACHE_KIB, ..self.settings })
    }
    /// The file may be another one: a disk that failed came back.
    pub fn forget_readers(&self) {
        self.readers().clear();
    }
    fn readers(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Asks with a reader that is kept. After a question that failed all are opened anew: the file may not be what it was.
    fn question<T>(&self, question: impl FnOnce(&Reader) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let kept = self.readers().pop();
        let reader = kept.map_or_else(|| self.reader(), Ok)?;
        let answer = question(&reader);
        let mut readers = self.readers();
        match &answer {
            Ok(_) if readers.len() < READERS_KEPT => readers.push(reader),
            Ok(_) => {}
            Err(_) => readers.clear(),
        }
        answer
    }
    /// Reads beside the writer, on a thread for such things.
    ///
    /// # Errors
    /// As the disk has them.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || store.question(question));
        read.await.unwrap_or_else(|_| Err(StoreError::Sql("the question ended without an answer".to_owned())))
    }
}

/// What a copy says.
pub struct Loaded {
    /// Where it stands.
    pub head: Head,
    /// The configuration; none while the copy is empty.
    pub config: Option<Result<Config, Problems>>,
}

/// Reads a whole copy.
///
/// # Errors
/// As the disk has them.
pub fn load(reader: &Reader) -> Result<Loaded, StoreError> {
    let head = reader.head()?;
    if head.revision == 0 {
        return Ok(Loaded { head, config: None });
    }
    let rows = rows_with(reader, &BTreeMap::new(), Map::clone)?;
    let publisher = head.epoch.as_ref().map(|e| e.publisher.as_str().to_owned());
    Ok(Loaded { config: Some(rows.finish(publisher.as_deref())), head })
}

/// The rows of a copy, those of people left out, with some as they would be: `None` when it is gone, else what `shown` makes of it.
///
/// # Errors
/// As the disk has them.
pub(super) fn rows_with<T>(
    reader: &Reader,
    changed: &BTreeMap<(Table, &str), Option<&T>>,
    shown: impl Fn(&T) -> Map<String, Value>,
) -> Result<Rows, StoreError> {
    let mut rows = Rows::default();
    for table in Table::ALL.into_iter().filter(|t| !matches!(t, Table::User | Table::Token)) {
        let word = words::config_table(table);
        let mut put = |key: &str, fields: Option<Map<String, Value>>| {
            fields.iter().for_each(|fields| rows.add(word, key, fields));
        };
        // Rows come in the order of their keys, and new ones stand between them.
        let mut ours = changed.range((table, "")..).take_while(|((t, _), _)| *t == table).peekable();
        reader.each(table, |key, document| {
            while let Some(((_, new), after)) = ours.next_if(|((_, k), _)| *k < key) {
                put(new, after.map(&shown));
            }
            match ours.next_if(|((_, k), _)| *k == key) {
                Some((_, after)) => put(key, after.map(&shown)),
                None => put(key, Some(fields(document))),
            }
        })?;
        ours.for_each(|((_, new), after)| put(new, after.map(&shown)));
    }
    Ok(rows)
}

/// The configuration that a copy would be with these rows changed.
///
/// # Errors
/// As the disk has them.
pub fn load_with(reader: &Reader, changes: &[RowChange]) -> Result<Result<Config, Problems>, StoreError> {
    let changed = changes.iter().map(|c| ((words::table(c.table), c.key.as_str()), c.after.as_ref())).collect();
    let rows = rows_with(reader, &changed, Map::clone)?;
    let publisher = reader.head()?.epoch.as_ref().map(|e| e.publisher.as_str().to_owned());
    Ok(rows.finish(publisher.as_deref()))
}

/// A document's fields as the model has them.
pub fn fields(document: Document) -> Map<String, Value> {
    document.into_json()
}
