//! One API server, of which everything is asked with GET.

use std::fmt::Write as _;
use std::time::Duration;

use http::Request;
// kube leaves it to us to choose the release of its types. None of them is used.
use k8s_openapi as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;

use super::{LiveError, Settings};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_mins(1);

/// A server.
pub(super) struct Server {
    client: Client,
    address: String,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer<T = Value> {
    Found(T),
    Forbidden(String),
    NotFound,
    /// 410
    Expired,
    /// Any other status.
    Refused {
        code: u16,
        message: String,
    },
}

impl Server {
    /// Finds out where the server is, and asks it nothing yet.
    pub(super) async fn connect(settings: &Settings) -> Result<Self, LiveError> {
        let options = KubeConfigOptions { context: settings.context.clone(), ..KubeConfigOptions::default() };
        let wrong = |error: &dyn std::error::Error| LiveError::Settings { message: with_causes(error) };
        let mut config = match (&settings.kubeconfig, &settings.context) {
            (Some(path), _) => {
                let read = Kubeconfig::read_from(path).map_err(|error| wrong(&error))?;
                Config::from_custom_kubeconfig(read, &options).await.map_err(|error| wrong(&error))?
            }
            (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(|error| wrong(&error))?,
            (None, None) => Config::infer().await.map_err(|error| wrong(&error))?,
        };
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(ANSWER);
        config.default_retry = false;
        let agent = concat!("dray/", env!("CARGO_PKG_VERSION"));
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
        let address = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).map_err(|error| wrong(&error))?;
        Ok(Self { client, address })
    }

    /// Where it is.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Its version; empty where it does not say.
    pub(super) async fn version(&self) -> Result<String, LiveError> {
        Ok(match self.get("/version").await? {
            Answer::Found(about) => about["gitVersion"].as_str().unwrap_or_default().to_owned(),
            _ => String::new(),
        })
    }

    /// Asks for a path; the only way in which anything is asked.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, LiveError> {
        let unreachable = |message: String| LiveError::Unreachable { server: self.address.clone(), message };
        let request = Request::get(path).header(http::header::ACCEPT, "application/json").body(Vec::new());
        let request = request.map_err(|error| unreachable(format!("`{path}`: {error}")))?;
        match self.client.request::<Value>(request).await {
            Ok(found) => Ok(Answer::Found(found)),
            Err(kube::Error::Api(status)) => match status.code {
                401 => {
                    let message = status.message.clone();
                    Err(LiveError::Unauthorized { server: self.address.clone(), message })
                }
                403 => Ok(Answer::Forbidden(status.message.clone())),
                404 => Ok(Answer::NotFound),
                410 => Ok(Answer::Expired),
                code => Ok(Answer::Refused { code, message: status.message.clone() }),
            },
            Err(error) => Err(unreachable(with_causes(&error))),
        }
    }

    pub(super) fn refused(&self, path: &str, code: u16, message: String) -> LiveError {
        LiveError::Refused { server: self.address.clone(), path: path.to_owned(), code, message }
    }
}

/// An error with what is behind it; many repeat what they come from.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            let _ = write!(text, ": {more}");
        }
        cause = error.source();
    }
    text
}

/// Text in a query or a path.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn tokens_of_any_form_pass_through_a_query() {
        assert_eq!(escaped("aZ0-._~"), "aZ0-._~");
        assert_eq!(escaped("a=b&c/ä"), "a%3Db%26c%2F%C3%A4");
    }
}
