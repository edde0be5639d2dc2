//! The objects of a live cluster, as its API server has them now.
//!
//! Only reads: discovery, then one list after the other of the kinds that [`load`](crate::load()) reads, in the newest
//! version that the server has and that is read here. Objects stay plain JSON. All lists show the same moment where the
//! server can do that (`resourceVersionMatch=Exact`); where it cannot, the dump says so.

mod kinds;
mod server;

use std::path::PathBuf;

use serde_json::{Value, json};

use kinds::{Discovered, Wanted};
use server::{Answer, Server};

/// Which server, and what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The kubeconfig; by default what `KUBECONFIG` names, then `~/.kube/config`, then the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; by default its current one.
    pub context: Option<String>,
    /// Namespaces of objects that have one; all if there are none.
    pub namespaces: Vec<String>,
    /// How many objects one request asks for.
    pub page: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { kubeconfig: None, context: None, namespaces: Vec::new(), page: 500 }
    }
}

/// What a server has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dump {
    /// The objects, each with `apiVersion` and `kind`, without `managedFields`.
    pub objects: Vec<Value>,
    /// Version of the server, such as `v1.37.2`; empty if it does not say.
    pub server_version: String,
    /// Kinds with the version that was read and the number of objects.
    pub listed: Vec<Listed>,
    /// Kinds that are not in the dump.
    pub left_out: Vec<LeftOut>,
    /// Kinds whose list shows a later moment than the others.
    pub later: Vec<String>,
}

/// A kind that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The kind.
    pub kind: String,
    /// Its `apiVersion`.
    pub api_version: String,
    /// How many objects.
    pub objects: usize,
}

/// A kind that was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The kind, with its group where it has one.
    pub kind: String,
    /// Why.
    pub reason: LeftOutReason,
}

/// Why a kind was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOutReason {
    /// The server has no version of it that is read here.
    NotServed,
    /// The user may not list it; the server's words.
    Forbidden(String),
}

/// Why there is no dump.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// No kubeconfig, or one that is wrong.
    #[error("there is no way to a cluster: {message}")]
    Settings {
        /// What is wrong.
        message: String,
    },
    /// The server does not answer.
    #[error("the API server at {server} does not answer: {message}")]
    Unreachable {
        /// Its address.
        server: String,
        /// What happened.
        message: String,
    },
    /// The server does not know who asks.
    #[error("the API server at {server} does not accept the credentials (401): {message}")]
    Unauthorized {
        /// Its address.
        server: String,
        /// Its words.
        message: String,
    },
    /// Nothing may be listed.
    #[error("the API server at {server} lets this user list nothing that is needed (403): {message}")]
    Forbidden {
        /// Its address.
        server: String,
        /// Its words about the first kind.
        message: String,
    },
    /// The list of a kind expired again and again.
    #[error("the list of {kind} expired before its end, twice (410)")]
    Expired {
        /// The kind.
        kind: String,
    },
    /// The server answers with something else.
    #[error("the API server at {server} refuses `{path}` ({code}): {message}")]
    Refused {
        /// Its address.
        server: String,
        /// What was asked for.
        path: String,
        /// The HTTP status; 200 where the answer was no list.
        code: u16,
        /// Its words.
        message: String,
    },
}

/// Reads a cluster. `progress` is told how many of how many kinds were read.
///
/// Blocks until the end; runs its own I/O on the calling thread.
pub fn read(settings: &Settings, progress: &mut dyn FnMut(usize, usize)) -> Result<Dump, LiveError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| LiveError::Settings { message: error.to_string() })?;
    runtime.block_on(async {
        let server = Server::connect(settings).await?;
        let mut dump = Dump { server_version: server.version().await?, ..Dump::default() };
        let wanted = kinds::discover(&server, &mut dump.left_out).await?;
        let mut moment = None;
        for (done, kind) in wanted.iter().enumerate() {
            progress(done, wanted.len());
            Lister { server: &server, settings, kind, moment: &mut moment, dump: &mut dump }.run().await?;
        }
        if dump.listed.is_empty() {
            let forbidden = dump.left_out.iter().find_map(|left| match &left.reason {
                LeftOutReason::Forbidden(message) => Some(message.clone()),
                LeftOutReason::NotServed => None,
            });
            let message = forbidden.unwrap_or_else(|| "it serves none of the kinds".to_owned());
            return Err(LiveError::Forbidden { server: server.address().to_owned(), message });
        }
        Ok(dump)
    })
}

/// The lists of one kind.
struct Lister<'a> {
    server: &'a Server,
    settings: &'a Settings,
    kind: &'a Wanted,
    /// The resource version that all lists should show, once it is known.
    moment: &'a mut Option<String>,
    dump: &'a mut Dump,
}

/// How a list came out.
enum Listing {
    Whole(Vec<Value>),
    Forbidden(String),
    /// The server does not serve it after all.
    Gone,
}

impl Lister<'_> {
    async fn run(mut self) -> Result<(), LiveError> {
        let Discovered { base, plural, namespaced } = &self.kind.found;
        let namespaces: Vec<Option<&str>> = match self.settings.namespaces.as_slice() {
            [_, ..] if *namespaced => {
                self.settings.namespaces.iter().map(|name| Some(name.as_str())).collect()
            }
            _ => vec![None],
        };
        let mut objects = Vec::new();
        for namespace in namespaces {
            let path = match namespace {
                None => format!("{base}/{plural}"),
                Some(namespace) => format!("{base}/namespaces/{}/{plural}", server::escaped(namespace)),
            };
            let reason = match self.list(&path).await? {
                Listing::Whole(found) => {
                    objects.extend(found);
                    continue;
                }
                Listing::Forbidden(message) => LeftOutReason::Forbidden(message),
                Listing::Gone => LeftOutReason::NotServed,
            };
            self.dump.left_out.push(LeftOut { kind: self.kind.name(), reason });
            return Ok(());
        }
        let (kind, api_version) = (self.kind.kind.to_owned(), self.kind.api_version());
        self.dump.listed.push(Listed { kind, api_version, objects: objects.len() });
        self.dump.objects.extend(objects);
        Ok(())
    }

    /// All objects of a path, page by page: as of the moment of the lists before, else as they are now.
    async fn list(&mut self, path: &str) -> Result<Listing, LiveError> {
        if let Some(moment) = self.moment.clone() {
            let exact = format!("&resourceVersion={}&resourceVersionMatch=Exact", server::escaped(&moment));
            if let Some(listing) = self.pages(path, &exact, self.settings.page).await? {
                return Ok(listing);
            }
            // That moment is gone, or the server keeps this kind elsewhere.
            let kind = self.kind.name();
            if !self.dump.later.contains(&kind) {
                self.dump.later.push(kind);
            }
        }
        // A list that expires between two pages is read whole, as Kubernetes' own clients do.
        for limit in [self.settings.page, 0] {
            if let Some(listing) = self.pages(path, "", limit).await? {
                return Ok(listing);
            }
        }
        Err(LiveError::Expired { kind: self.kind.name() })
    }

    /// The pages of one list; `None` where the server has not, or no longer, what was asked for.
    async fn pages(&mut self, path: &str, exact: &str, limit: u32) -> Result<Option<Listing>, LiveError> {
        let mut objects = Vec::new();
        let mut token = String::new();
        loop {
            // A token has the moment in itself, and the server takes it alone.
            let query = match token.as_str() {
                "" => format!("{path}?limit={limit}{exact}"),
                token => format!("{path}?limit={limit}&continue={}", server::escaped(token)),
            };
            let mut page = match self.server.get(&query).await? {
                Answer::Found(page) => page,
                Answer::Forbidden(message) => return Ok(Some(Listing::Forbidden(message))),
                Answer::NotFound => return Ok(Some(Listing::Gone)),
                Answer::Expired => return Ok(None),
                Answer::Refused { .. } if !exact.is_empty() => return Ok(None),
                Answer::Refused { code, message } => return Err(self.server.refused(path, code, message)),
            };
            let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) else {
                // An empty list of Go may be null.
                if page.get("metadata").is_some() {
                    return Ok(Some(Listing::Whole(objects)));
                }
                return Err(self.server.refused(path, 200, "the answer is no list".to_owned()));
            };
            let api_version = self.kind.api_version();
            objects.extend(items.into_iter().map(|item| complete(item, self.kind.kind, &api_version)));
            let text = |field: &str| page.pointer(field).and_then(Value::as_str).unwrap_or_default();
            if self.moment.is_none() && !text("/metadata/resourceVersion").is_empty() {
                *self.moment = Some(text("/metadata/resourceVersion").to_owned());
            }
            text("/metadata/continue").clone_into(&mut token);
            if token.is_empty() {
                return Ok(Some(Listing::Whole(objects)));
            }
        }
    }
}

/// Elements of a list leave out what they are; who wrote which field is of no use.
fn complete(mut item: Value, kind: &str, api_version: &str) -> Value {
    if let Value::Object(fields) = &mut item {
        fields.insert("apiVersion".to_owned(), json!(api_version));
        fields.insert("kind".to_owned(), json!(kind));
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            metadata.remove("managedFields");
        }
    }
    item
}
