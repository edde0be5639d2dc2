//! `k8s.io/apiserver/pkg/cel/library/ip.go` and `cidr.go`, from 1.30: addresses and prefixes without zones,
//! and without IPv4 addresses mapped into IPv6.

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::arguments::{mismatch, object, string};
use super::costs::{
    actual_size, estimate_text, estimate_text_twice, size, traverse_text, traverse_text_twice,
};
use crate::declarations::{
    CallEstimate, CostEstimate, Function, Operand, Overload, STRING_TRAVERSAL, SizeEstimate, Window,
    cost_one, scale,
};
use crate::error::EvaluationError;
use crate::types::{Type, names};
use crate::value::{Object, Value};

type Answer = Result<Value, EvaluationError>;

/// `net.IP`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ip(IpAddr);

/// `net.CIDR`. Bits behind the prefix are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cidr {
    address: IpAddr,
    length: u8,
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

fn equals<T: Object + PartialEq>(this: &T, other: &Value) -> Result<bool, EvaluationError> {
    Ok(this == object::<T>(std::slice::from_ref(other), 0)?)
}

impl Object for Ip {
    fn type_name(&self) -> &'static str {
        names::IP
    }

    fn equals(&self, other: &Value) -> Result<bool, EvaluationError> {
        equals(self, other)
    }

    /// Bytes of the address.
    fn size(&self) -> Option<u64> {
        Some(u64::from(bits(self.0) / 8))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Object for Cidr {
    fn type_name(&self) -> &'static str {
        names::CIDR
    }

    fn equals(&self, other: &Value) -> Result<bool, EvaluationError> {
        equals(self, other)
    }

    /// Bytes of the prefix.
    fn size(&self) -> Option<u64> {
        Some(u64::from(self.length.div_ceil(8)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

const IP: Type = Type::Opaque(names::IP);
const CIDR: Type = Type::Opaque(names::CIDR);

pub(super) fn functions() -> Vec<Function> {
    let mut all = ip_functions();
    all.extend(cidr_functions());
    all
}

fn ip_functions() -> Vec<Function> {
    let function = |name, overload| Function::new(name, Window::since(30), vec![overload]);
    let text = |overload: Overload| overload.costing_by_name(estimate_text, traverse_text);
    let one = |overload: Overload| overload.costing_by_name(CallEstimate::one, cost_one);
    let question = |name, id, answer| function(name, one(Overload::member(id, vec![IP], Type::Bool, answer)));
    vec![
        function("ip", text(Overload::global("string_to_ip", vec![Type::String], IP, ip))),
        function("family", one(Overload::member("ip_family", vec![IP], Type::Int, family))),
        function(
            "ip.isCanonical",
            Overload::global("ip_is_canonical", vec![Type::String], Type::Bool, is_canonical)
                .costing_by_name(estimate_text_twice, traverse_text_twice),
        ),
        question("isUnspecified", "ip_is_unspecified", |values| answer(values, |ip| ip.is_unspecified())),
        question("isLoopback", "ip_is_loopback", |values| answer(values, |ip| ip.is_loopback())),
        question("isLinkLocalMulticast", "ip_is_link_local_multicast", |values| {
            answer(values, is_link_local_multicast)
        }),
        question("isLinkLocalUnicast", "ip_is_link_local_unicast", |values| answer(values, is_link_local)),
        question("isGlobalUnicast", "ip_is_global_unicast", |values| answer(values, is_global_unicast)),
        function("isIP", text(Overload::global("is_ip", vec![Type::String], Type::Bool, is_ip))),
        function("string", Overload::global("ip_to_string", vec![IP], Type::String, ip_to_string)),
    ]
}

fn cidr_functions() -> Vec<Function> {
    let function = |name, overloads| Function::new(name, Window::since(30), overloads);
    let text = |overload: Overload| overload.costing_by_name(estimate_text, traverse_text);
    let one = |overload: Overload| overload.costing_by_name(CallEstimate::one, cost_one);
    vec![
        function("cidr", vec![text(Overload::global("string_to_cidr", vec![Type::String], CIDR, cidr))]),
        function(
            "containsIP",
            vec![
                Overload {
                    cost_by_name: Some(cost_of_contains_ip),
                    ..Overload::member(
                        "cidr_contains_ip_string",
                        vec![CIDR, Type::String],
                        Type::Bool,
                        contains_ip,
                    )
                    .costing(estimate_contains_ip_text, cost_of_contains_ip_text)
                },
                Overload::member("cidr_contains_ip_ip", vec![CIDR, IP], Type::Bool, contains_ip)
                    .costing_by_name(estimate_contains_ip, cost_of_contains_ip),
            ],
        ),
        function(
            "containsCIDR",
            vec![
                Overload {
                    cost_by_name: Some(cost_of_contains_cidr),
                    ..Overload::member(
                        "cidr_contains_cidr_string",
                        vec![CIDR, Type::String],
                        Type::Bool,
                        contains_cidr,
                    )
                    .costing(estimate_contains_cidr_text, cost_of_contains_cidr_text)
                },
                Overload::member("cidr_contains_cidr", vec![CIDR, CIDR], Type::Bool, contains_cidr)
                    .costing_by_name(estimate_contains_cidr, cost_of_contains_cidr),
            ],
        ),
        function(
            "ip",
            vec![Overload {
                cost_by_name: Some(traverse_text),
                ..Overload::member("cidr_ip", vec![CIDR], IP, cidr_to_ip)
            }],
        ),
        function(
            "prefixLength",
            vec![one(Overload::member("cidr_prefix_length", vec![CIDR], Type::Int, length))],
        ),
        function("masked", vec![one(Overload::member("cidr_masked", vec![CIDR], CIDR, masked))]),
        function("isCIDR", vec![text(Overload::global("is_cidr", vec![Type::String], Type::Bool, is_cidr))]),
        function(
            "string",
            vec![Overload::global("cidr_to_string", vec![CIDR], Type::String, cidr_to_string)],
        ),
    ]
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn parse_ip(text: &str) -> Result<Ip, EvaluationError> {
    let error = |what: &str| EvaluationError::other(format!("IP address {text:?} {what}"));
    match text.parse() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            Err(error("is an IPv4 address mapped into IPv6, which is not allowed"))
        }
        Ok(address) => Ok(Ip(address)),
        Err(_) if text.contains('%') => Err(error("has a zone, which is not allowed")),
        Err(_) => Err(error("cannot be parsed")),
    }
}

fn parse_cidr(text: &str) -> Result<Cidr, EvaluationError> {
    let error = || EvaluationError::other(format!("network address {text:?} cannot be parsed"));
    let (address, digits) = text.rsplit_once('/').ok_or_else(error)?;
    let Ip(address) = parse_ip(address)?;
    if digits.is_empty()
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
        || digits.len() > 1 && digits.starts_with('0')
    {
        return Err(error());
    }
    let length = digits.parse().ok().filter(|length| *length <= bits(address)).ok_or_else(error)?;
    Ok(Cidr { address, length })
}

fn ip(values: &[Value]) -> Answer {
    parse_ip(string(values, 0)?).map(Value::object)
}

fn is_ip(values: &[Value]) -> Answer {
    Ok(Value::Bool(parse_ip(string(values, 0)?).is_ok()))
}

fn is_canonical(values: &[Value]) -> Answer {
    let text = string(values, 0)?;
    Ok(Value::Bool(parse_ip(text)?.to_string() == text))
}

fn ip_to_string(values: &[Value]) -> Answer {
    Ok(Value::string(object::<Ip>(values, 0)?.to_string()))
}

fn family(values: &[Value]) -> Answer {
    Ok(Value::Int(if object::<Ip>(values, 0)?.0.is_ipv4() { 4 } else { 6 }))
}

fn answer(values: &[Value], question: fn(IpAddr) -> bool) -> Answer {
    Ok(Value::Bool(question(object::<Ip>(values, 0)?.0)))
}

fn is_link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets(), [224, 0, 0, _]),
        // Any flags, scope link-local.
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Everything that is not special in another way, private addresses included, as in Go.
fn is_global_unicast(address: IpAddr) -> bool {
    address != IpAddr::V4(Ipv4Addr::BROADCAST)
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !is_link_local(address)
}

fn cidr(values: &[Value]) -> Answer {
    parse_cidr(string(values, 0)?).map(Value::object)
}

fn is_cidr(values: &[Value]) -> Answer {
    Ok(Value::Bool(parse_cidr(string(values, 0)?).is_ok()))
}

fn cidr_to_string(values: &[Value]) -> Answer {
    Ok(Value::string(object::<Cidr>(values, 0)?.to_string()))
}

fn cidr_to_ip(values: &[Value]) -> Answer {
    Ok(Value::object(Ip(object::<Cidr>(values, 0)?.address)))
}

fn length(values: &[Value]) -> Answer {
    Ok(Value::Int(object::<Cidr>(values, 0)?.length.into()))
}

/// The address with the bits behind the prefix cleared.
fn mask(address: IpAddr, length: u8) -> IpAddr {
    let length = u32::from(length);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or(0);
            std::net::Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

fn masked(values: &[Value]) -> Answer {
    let cidr = object::<Cidr>(values, 0)?;
    Ok(Value::object(Cidr { address: mask(cidr.address, cidr.length), length: cidr.length }))
}

impl Cidr {
    fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && mask(self.address, self.length) == mask(address, self.length)
    }
}

fn contains_ip(values: &[Value]) -> Answer {
    let cidr = object::<Cidr>(values, 0)?;
    let address = match values.get(1) {
        // A text that is no address is "no such overload" upstream.
        Some(Value::String(text)) => parse_ip(text).map_err(|_| mismatch())?.0,
        _ => object::<Ip>(values, 1)?.0,
    };
    Ok(Value::Bool(cidr.contains(address)))
}

fn contains_cidr(values: &[Value]) -> Answer {
    let cidr = object::<Cidr>(values, 0)?;
    let other = match values.get(1) {
        Some(Value::String(text)) => parse_cidr(text)?,
        _ => *object::<Cidr>(values, 1)?,
    };
    Ok(Value::Bool(cidr.length <= other.length && cidr.contains(other.address)))
}

/// Addresses have 4 or 16 bytes.
const ADDRESS: SizeEstimate = SizeEstimate { min: 4, max: 16 };

fn estimate_contains_ip(_: &[Operand<'_>]) -> CallEstimate {
    CallEstimate::of(ADDRESS.plus(ADDRESS).scaled(STRING_TRAVERSAL))
}

fn estimate_contains_ip_text(operands: &[Operand<'_>]) -> CallEstimate {
    let text = size(operands, 1).scaled(STRING_TRAVERSAL);
    CallEstimate::of(estimate_contains_ip(operands).cost.plus(text))
}

fn estimate_contains_cidr(operands: &[Operand<'_>]) -> CallEstimate {
    let mask = ADDRESS.scaled(STRING_TRAVERSAL).plus(CostEstimate::fixed(1));
    CallEstimate::of(estimate_contains_ip(operands).cost.plus(mask))
}

fn estimate_contains_cidr_text(operands: &[Operand<'_>]) -> CallEstimate {
    let text = size(operands, 1).scaled(STRING_TRAVERSAL);
    CallEstimate::of(estimate_contains_cidr(operands).cost.plus(text))
}

fn cost_of_contains_ip(values: &[Value], _: &Value) -> u64 {
    scale(actual_size(values, 0).saturating_mul(2), STRING_TRAVERSAL)
}

fn cost_of_text(values: &[Value]) -> u64 {
    scale(actual_size(values, 1), STRING_TRAVERSAL)
}

fn cost_of_contains_ip_text(values: &[Value], result: &Value) -> u64 {
    cost_of_contains_ip(values, result).saturating_add(cost_of_text(values))
}

fn cost_of_contains_cidr(values: &[Value], result: &Value) -> u64 {
    let mask = scale(actual_size(values, 0), STRING_TRAVERSAL).saturating_add(1);
    cost_of_contains_ip(values, result).saturating_add(mask)
}

fn cost_of_contains_cidr_text(values: &[Value], result: &Value) -> u64 {
    cost_of_contains_cidr(values, result).saturating_add(cost_of_text(values))
}
