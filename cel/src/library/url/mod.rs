//! `k8s.io/apiserver/pkg/cel/library/urls.go`.

mod parse;

use std::any::Any;
use std::fmt;

use self::parse::Url;
use super::arguments::{mismatch, string};
use super::costs::{estimate_text_result, traverse_text};
use super::string_format::quoted;
use crate::declarations::{CallEstimate, Function, Overload, Window, cost_one};
use crate::error::EvaluationError;
use crate::types::{Type, names};
use crate::value::{Map, Object, Value};

type Answer = Result<Value, EvaluationError>;

const URL: Type = Type::Object(names::URL);

/// `kubernetes.URL`
#[derive(Clone, Debug)]
struct UrlValue(Url);

impl fmt::Display for UrlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Object for UrlValue {
    fn type_name(&self) -> &'static str {
        names::URL
    }

    /// Compares the texts as they would be written again.
    fn equals(&self, other: &Value) -> Result<bool, EvaluationError> {
        let other = url(std::slice::from_ref(other))?;
        Ok(self.0.to_string() == other.to_string())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(super) fn functions() -> Vec<Function> {
    let function = |name, overload| Function::new(name, Window::ALWAYS, vec![overload]);
    let part = |name, id, evaluate| {
        let overload = Overload::member(id, vec![URL], Type::String, evaluate);
        function(name, overload.costing_by_name(CallEstimate::one, cost_one))
    };
    let query = Type::map(Type::String, Type::list(Type::String));
    vec![
        function(
            "url",
            Overload::global("string_to_url", vec![Type::String], URL, from_string)
                .costing_by_name(estimate_text_result, traverse_text),
        ),
        part("getScheme", "url_get_scheme", |values| Ok(Value::string(&url(values)?.scheme))),
        part("getHost", "url_get_host", |values| Ok(text(&url(values)?.host))),
        part("getHostname", "url_get_hostname", |values| Ok(text(url(values)?.host_name()))),
        part("getPort", "url_get_port", |values| Ok(text(url(values)?.port()))),
        part("getEscapedPath", "url_get_escaped_path", |values| {
            Ok(Value::string(url(values)?.escaped_path()))
        }),
        function(
            "getQuery",
            Overload::member("url_get_query", vec![URL], query, get_query)
                .costing_by_name(CallEstimate::one, cost_one),
        ),
        function("isURL", Overload::global("is_url_string", vec![Type::String], Type::Bool, is_url)),
    ]
}

/// Why a text is no absolute URL or path, in a few words.
pub(super) fn request_error(text: &str) -> Option<String> {
    Url::parse_request(text).err().map(|reason| format!("parse {}: {reason}", quoted(text)))
}

/// CEL strings are UTF-8; what percent-decoding leaves of something else is replaced.
fn text(bytes: &[u8]) -> Value {
    Value::string(String::from_utf8_lossy(bytes))
}

fn url(values: &[Value]) -> Result<&Url, EvaluationError> {
    match values.first() {
        Some(Value::Object(object)) => match object.as_any().downcast_ref::<UrlValue>() {
            Some(url) => Ok(&url.0),
            None => Err(mismatch()),
        },
        _ => Err(mismatch()),
    }
}

fn from_string(values: &[Value]) -> Answer {
    let text = string(values, 0)?;
    Url::parse(text).map(|url| Value::object(UrlValue(url))).map_err(|reason| {
        let text = quoted(text);
        EvaluationError::other(format!(
            "URL parse error during conversion from string: parse {text}: {reason}"
        ))
    })
}

fn is_url(values: &[Value]) -> Answer {
    Ok(Value::Bool(Url::parse_request(string(values, 0)?).is_ok()))
}

fn get_query(values: &[Value]) -> Answer {
    let mut map = Map::new();
    for (key, items) in url(values)?.query_values() {
        map.insert(text(&key), Value::list(items.iter().map(|item| text(item)).collect())?)?;
    }
    Ok(Value::Map(map.into()))
}
