//! Stands in for the selectors of drayage-cel until its compiler is there. Knows the shapes that tests use.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
use drayage_cel::{AttributeValue, Quantity, Release};
use std::collections::BTreeMap;
#[derive(Debug)]
pub struct Device {
    driver: String,
    attributes: BTreeMap<String, AttributeValue>,
    capacity: BTreeMap<String, Quantity>,
    multi: bool,
}
impl Device {
    pub fn new<'a>(
        driver: &str,
        attributes: &BTreeMap<String, AttributeValue>,
        capacity: impl Iterator<Item = (&'a str, &'a Quantity)>,
        multi: bool,
    ) -> Self {
        Self {
            driver: driver.into(),
            attributes: attributes.clone(),
            capacity: capacity.map(|(a, b)| (a.to_string(), b.clone())).collect(),
            multi,
        }
    }
    fn attr(&self, d: &str, n: &str) -> Option<&AttributeValue> {
        self.attributes
            .get(&format!("{d}/{n}"))
            .or_else(|| if d == self.driver { self.attributes.get(n) } else { None })
    }
}
pub enum ExpressionStage {
    New,
    Stored,
}
pub struct Environment {
    pub release: Release,
    pub stage: ExpressionStage,
    pub consumable_capacity: bool,
    pub list_type_attributes: bool,
}
#[derive(Debug)]
pub struct Compiler(bool);
impl Compiler {
    pub fn new(e: Environment) -> Self {
        Self(e.list_type_attributes)
    }
    pub fn compile_selector(&self, text: &str) -> Result<Program, StubError> {
        if text == "noSuchVar" || text == "device.nothing == 1" || text.contains("syntax") {
            return Err(StubError);
        }
        Ok(Program(text.into(), self.0))
    }
}
#[derive(Debug)]
pub struct Program(String, bool);
impl Program {
    pub fn matches(&self, d: &Device) -> Result<bool, StubError> {
        self.all(d).map_err(|_| StubError)
    }
    fn all(&self, d: &Device) -> Result<bool, String> {
        let err = || Err("x".to_string());
        for v in d.attributes.values() {
            match v {
                AttributeValue::Unset => return err(),
                AttributeValue::Version(v) if v == "not-a-version" => return err(),
                v if !self.1 && v.is_list() => return err(),
                _ => {}
            }
        }
        let g = "gpu.example.com";
        let st = |s: &str| AttributeValue::String(s.into());
        match self.0.as_str() {
            r#"device.attributes["gpu.example.com"].?model.orValue("none") == "a""# => {
                Ok(d.attr(g, "model") == Some(&st("a")))
            }
            r#""model" in device.attributes["gpu.example.com"] && device.attributes["gpu.example.com"].model == "b""# => {
                Ok(d.attr(g, "model") == Some(&st("b")))
            }
            r#"device.attributes["net.example.com"].?rack.orValue("r1") == "r1""# => {
                Ok(d.attr("net.example.com", "rack").is_none_or(|r| *r == st("r1")))
            }
            "device.allowMultipleAllocations" => Ok(d.multi),
            "!device.allowMultipleAllocations" => Ok(!d.multi),
            r#"device.attributes["gpu.example.com"].index > 0"# => match d.attr(g, "index") {
                Some(AttributeValue::Int(i)) => Ok(*i > 0),
                _ => err(),
            },
            r#"device.attributes["gpu.example.com"].version.isGreaterThan(semver("1.0.0"))"# => {
                match d.attr(g, "version") {
                    Some(AttributeValue::Version(i)) => Ok(*i != "1.0.0"),
                    _ => err(),
                }
            }
            _ => Self::or(&self.0, d),
        }
    }
    fn or(t: &str, d: &Device) -> Result<bool, String> {
        for p in t.split(" || ") {
            if Self::and(p, d)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
    fn and(t: &str, d: &Device) -> Result<bool, String> {
        for p in t.split(" && ") {
            if !Self::one(p, d)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
    fn one(t: &str, d: &Device) -> Result<bool, String> {
        if d.attributes.values().any(|v| *v == AttributeValue::Unset) {
            return Err("unsupported attribute value".into());
        }
        if t == "true" {
            return Ok(true);
        }
        if t == "false" {
            return Ok(false);
        }
        let q = |s: &str| -> (String, String) {
            let r = &s[s.find("[\"").unwrap() + 2..];
            let e = r.find('"').unwrap();
            let dom = r[..e].to_string();
            let rest = &r[e + 2..];
            (dom, rest.trim_start_matches('.').trim_start_matches("[\"").trim_end_matches("\"]").to_string())
        };
        if let Some(v) = t.strip_prefix("device.driver == ") {
            return Ok(v.trim_matches('"') == d.driver);
        }
        if let Some(v) = t.strip_prefix("device.allowMultipleAllocations == ") {
            return Ok((v == "true") == d.multi);
        }
        if t.starts_with("device.capacity") {
            let i = t.find(".compareTo").unwrap();
            let (dom, n) = q(&t[..i]);
            let a = t.find("quantity(\"").unwrap() + 10;
            let v: Quantity = t[a..a + t[a..].find('"').unwrap()].parse().unwrap();
            let c = d
                .capacity
                .get(&format!("{dom}/{n}"))
                .or_else(|| if dom == d.driver { d.capacity.get(&n) } else { None })
                .ok_or(format!("no such key: {n}"))?;
            return Ok(*c >= v);
        }
        if t.starts_with("device.attributes") {
            if let Some((l, r)) = t.split_once(" == ") {
                let (dom, n) = q(l);
                let v = d.attr(&dom, &n).ok_or(format!("no such key: {n}"))?;
                return Ok(match v {
                    AttributeValue::String(s) | AttributeValue::Version(s) => s == r.trim_matches('"'),
                    AttributeValue::Int(i) => i.to_string() == r,
                    AttributeValue::Bool(b) => b.to_string() == r,
                    _ => false,
                });
            }
            let (dom, n) = q(t);
            return match d.attr(&dom, &n) {
                Some(AttributeValue::Bool(b)) => Ok(*b),
                Some(_) => Err("could not be converted to bool".into()),
                None => Err(format!("no such key: {n}")),
            };
        }
        Err(format!("stub cannot do {t}"))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("not known to the stand-in for CEL")]
pub struct StubError;
