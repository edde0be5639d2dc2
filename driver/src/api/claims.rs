//! Claims, each read when the kubelet asks for it: what a watch remembers may be older than what the kubelet saw.

use kube::Client;
use serde_json::Value;
use tokio::runtime::Handle;

use super::{ApiServer, GROUP, answer, failure, get};
use crate::{
    kubelet::ClaimReference,
    node::{ClaimReader, ReadError},
    publish::ApiError,
};

/// Claims of an API server.
#[derive(Clone, Debug)]
pub struct ServerClaims {
    server: ApiServer,
    runtime: Handle,
}

impl ApiServer {
    /// The claims, for threads that may block. The requests are made on `runtime`.
    pub fn claims(&self, runtime: Handle) -> ServerClaims {
        ServerClaims { server: self.clone(), runtime }
    }

    /// The claim of that namespace and name; none if there is no such object.
    pub(super) async fn claim(&self, namespace: &str, name: &str) -> Result<Option<Value>, ApiError> {
        let version = self.version().await?;
        let path = format!("/apis/{GROUP}/{}/namespaces/{namespace}/resourceclaims/{name}", version.as_str());
        match ask(&self.client, &path).await? {
            Found::Object(object) => Ok(Some(object)),
            Found::NoObject => Ok(None),
            Found::NoResource => {
                // The server was downgraded, or has dropped a version.
                self.forget();
                Err(ApiError::Unavailable(format!(
                    "the API server does not serve `{GROUP}/{}`",
                    version.as_str()
                )))
            }
        }
    }
}

enum Found {
    Object(Value),
    /// The server knows the resource, and says that there is no object of this name.
    NoObject,
    /// The server does not know the path.
    NoResource,
}

async fn ask(client: &Client, path: &str) -> Result<Found, ApiError> {
    match answer::<Value>(client, get(path)?).await? {
        Ok(object) => Ok(Found::Object(object)),
        // A path that is unknown gives 404 too, in plain text or without the name of an object. Taking that for an
        // answer about a claim would unprepare what is in use.
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let named = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
            Ok(if named { Found::NoObject } else { Found::NoResource })
        }
        Err(error) => Err(failure(&error)),
    }
}

impl ClaimReader for ServerClaims {
    fn claim(&self, claim: &ClaimReference) -> Result<Value, ReadError> {
        let found = self.runtime.block_on(self.server.claim(&claim.namespace, &claim.name));
        match found {
            Ok(Some(object)) => Ok(object),
            Ok(None) => Err(ReadError::Gone),
            Err(error) => Err(ReadError::Unavailable(error.to_string())),
        }
    }
}
