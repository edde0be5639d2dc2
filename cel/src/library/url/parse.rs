//! URLs as Go's `net/url` reads and writes them.
//!
//! Texts are kept as bytes where percent-decoding may leave something that is no UTF-8.

use std::collections::BTreeMap;

use crate::library::string_format::quoted;

/// A URL as `url.Parse` in Go gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: String,
    opaque: String,
    user: Option<User>,
    pub(super) host: Vec<u8>,
    path: Escaped,
    query: String,
    fragment: Escaped,
    force_query: bool,
    omit_host: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    name: Vec<u8>,
    password: Option<Vec<u8>>,
}

/// A decoded text, with the text it was decoded from where encoding does not give that back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Escaped {
    plain: Vec<u8>,
    raw: Option<String>,
}

/// The parts of a URL, which escape different characters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Host,
    Zone,
    User,
    Query,
    Fragment,
}

type Parsed<T> = Result<T, String>;

impl Part {
    /// Whether this byte stands for itself in this part.
    fn keeps(self, byte: u8) -> bool {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            return true;
        }
        let kept: &[u8] = match self {
            Self::Path => b"$&+,/:;=@",
            Self::Host | Self::Zone => b"!\"$&'()*+,:;<=>[]",
            Self::User => b"$&+,;=",
            Self::Query => b"",
            Self::Fragment => b"!$&()*+,/:;=?@",
        };
        kept.contains(&byte)
    }
}

fn unescape(text: &str, part: Part) -> Parsed<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' => {
                let escape = [b"%", after.get(..2).unwrap_or(after)].concat();
                let invalid = || format!("invalid URL escape {}", quoted(&String::from_utf8_lossy(&escape)));
                let (decoded, after) = hex_pair(after).ok_or_else(invalid)?;
                rest = after;
                // Hosts may escape characters that are no ASCII, and the percent sign of a zone.
                let refused = match part {
                    Part::Host => decoded < 0x80 && decoded != b'%',
                    Part::Zone => decoded != b'%' && decoded != b' ' && !Part::Host.keeps(decoded),
                    _ => false,
                };
                if refused {
                    return Err(invalid());
                }
                plain.push(decoded);
            }
            b'+' if part == Part::Query => plain.push(b' '),
            other => {
                if matches!(part, Part::Host | Part::Zone) && other < 0x80 && !part.keeps(other) {
                    return Err(format!(
                        "invalid character {:?} in host name",
                        char::from(other).to_string()
                    ));
                }
                plain.push(other);
            }
        }
    }
    Ok(plain)
}

fn hex_pair(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match text {
        [high, low, rest @ ..] => Some((digit(*high)? * 16 + digit(*low)?, rest)),
        _ => None,
    }
}

fn escape(plain: &[u8], part: Part) -> String {
    use std::fmt::Write;
    let mut escaped = String::with_capacity(plain.len());
    for byte in plain {
        if part.keeps(*byte) {
            escaped.push(char::from(*byte));
        } else if *byte == b' ' && part == Part::Query {
            escaped.push('+');
        } else {
            // Writing to a string does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

impl Escaped {
    fn new(raw: &str, part: Part) -> Parsed<Self> {
        let plain = unescape(raw, part)?;
        let raw = (escape(&plain, part) != raw).then(|| raw.to_owned());
        Ok(Self { plain, raw })
    }

    /// The text as it was, if it was properly escaped, else escaped anew.
    fn text(&self, part: Part) -> String {
        match &self.raw {
            Some(raw) if is_valid(raw, part) => raw.clone(),
            _ if self.plain == b"*" && part == Part::Path => "*".to_owned(),
            _ => escape(&self.plain, part),
        }
    }
}

/// Whether nothing in an escaped text needs an escape it does not have.
fn is_valid(raw: &str, part: Part) -> bool {
    raw.bytes().all(|byte| b"!$&'()*+,;=:@[]%".contains(&byte) || part.keeps(byte))
}

impl Url {
    /// `url.Parse`, after `url.ParseRequestURI` has accepted the same text.
    pub(super) fn parse(text: &str) -> Parsed<Self> {
        Self::parse_request(text)?;
        let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
        let url = Self::parse_part(before, false)?;
        Ok(Self { fragment: Escaped::new(fragment, Part::Fragment)?, ..url })
    }

    /// `url.ParseRequestURI`: an absolute URL or path; `#` is a character like others.
    pub(super) fn parse_request(text: &str) -> Parsed<Self> {
        Self::parse_part(text, true)
    }

    fn parse_part(text: &str, request: bool) -> Parsed<Self> {
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        if text.is_empty() && request {
            return Err("empty url".to_owned());
        }
        let mut url = Self::default();
        if text == "*" {
            url.path.plain = b"*".to_vec();
            return Ok(url);
        }
        let (scheme, rest) = split_scheme(text)?;
        url.scheme = scheme.to_ascii_lowercase();
        let mut rest = match rest.strip_suffix('?') {
            Some(before) if !before.contains('?') => {
                url.force_query = true;
                before
            }
            _ => match rest.split_once('?') {
                Some((before, query)) => {
                    query.clone_into(&mut url.query);
                    before
                }
                None => rest,
            },
        };
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                rest.clone_into(&mut url.opaque);
                return Ok(url);
            }
            if request {
                return Err("invalid URI for request".to_owned());
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        let may_have_authority = !url.scheme.is_empty() || !request && !rest.starts_with("///");
        if may_have_authority && let Some(after) = rest.strip_prefix("//") {
            let end = after.find('/').unwrap_or(after.len());
            let (authority, path) = after.split_at(end);
            rest = path;
            (url.user, url.host) = parse_authority(&url.scheme, authority)?;
        } else if !url.scheme.is_empty() && rest.starts_with('/') {
            url.omit_host = true;
        }
        url.path = Escaped::new(rest, Part::Path)?;
        Ok(url)
    }

    /// Host without port and without the brackets of an IPv6 address.
    pub(super) fn host_name(&self) -> &[u8] {
        let (host, _) = split_port(&self.host);
        host.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]")).unwrap_or(host)
    }

    pub(super) fn port(&self) -> &[u8] {
        split_port(&self.host).1
    }

    pub(super) fn escaped_path(&self) -> String {
        self.path.text(Part::Path)
    }

    /// Values of the query by key, malformed parts left out.
    pub(super) fn query_values(&self) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
        /// As many parts Go reads at most.
        const MAX_PARTS: usize = 10_000;
        let mut values: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        if self.query.bytes().filter(|byte| *byte == b'&').count() >= MAX_PARTS {
            return values;
        }
        for part in self.query.split('&').filter(|part| !part.is_empty() && !part.contains(';')) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if let (Ok(key), Ok(value)) = (unescape(key, Part::Query), unescape(value, Part::Query)) {
                values.entry(key).or_default().push(value);
            }
        }
        values
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        if !self.scheme.is_empty() {
            text.push_str(&self.scheme);
            text.push(':');
        }
        if self.opaque.is_empty() {
            let has_authority = !self.host.is_empty() || self.user.is_some();
            if has_authority || !self.scheme.is_empty() && !self.omit_host {
                if has_authority || !self.path.plain.is_empty() {
                    text.push_str("//");
                }
                if let Some(user) = &self.user {
                    text.push_str(&escape(&user.name, Part::User));
                    if let Some(password) = &user.password {
                        text.push(':');
                        text.push_str(&escape(password, Part::User));
                    }
                    text.push('@');
                }
                text.push_str(&escape(&self.host, Part::Host));
            }
            let path = self.escaped_path();
            if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
                text.push('/');
            }
            if text.is_empty() && path.split('/').next().is_some_and(|segment| segment.contains(':')) {
                text.push_str("./");
            }
            text.push_str(&path);
        } else {
            text.push_str(&self.opaque);
        }
        if self.force_query || !self.query.is_empty() {
            text.push('?');
            text.push_str(&self.query);
        }
        if !self.fragment.plain.is_empty() {
            text.push('#');
            text.push_str(&self.fragment.text(Part::Fragment));
        }
        f.write_str(&text)
    }
}

/// Scheme without its colon, and what follows.
fn split_scheme(text: &str) -> Parsed<(&str, &str)> {
    for (position, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if position > 0 => {}
            b':' if position == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..position], &text[position + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn parse_authority(scheme: &str, authority: &str) -> Parsed<(Option<User>, Vec<u8>)> {
    let Some((user, host)) = authority.rsplit_once('@') else {
        return Ok((None, parse_host(scheme, authority)?));
    };
    let host = parse_host(scheme, host)?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(valid) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    let (name, password) = match user.split_once(':') {
        Some((name, password)) => (name, Some(unescape(password, Part::User)?)),
        None => (user, None),
    };
    Ok((Some(User { name: unescape(name, Part::User)?, password }), host))
}

fn parse_host(scheme: &str, host: &str) -> Parsed<Vec<u8>> {
    let invalid_port = |port: &str| format!("invalid port {} after host", quoted(port));
    match host.rfind('[') {
        Some(0) => {
            let close = host.rfind(']').ok_or_else(|| "missing ']' in host".to_owned())?;
            let port = &host[close + 1..];
            if !is_optional_port(port.as_bytes()) {
                return Err(invalid_port(port));
            }
            let name = &host[1..close];
            let plain = match name.find("%25") {
                Some(zone) => {
                    let mut plain = unescape(&name[..zone], Part::Host)?;
                    plain.extend(unescape(&name[zone..], Part::Zone)?);
                    plain
                }
                None => unescape(name, Part::Host)?,
            };
            if !is_ipv6(&plain) {
                return Err("invalid IP-literal".to_owned());
            }
            Ok([b"[", plain.as_slice(), b"]", port.as_bytes()].concat())
        }
        Some(_) => Err("invalid IP-literal".to_owned()),
        None => {
            if let Some(first) = host.find(':') {
                // Schemes other than these two may have colons before that of the port.
                let strict = scheme == "http" || scheme == "https";
                let start = if strict { first } else { host.rfind(':').unwrap_or(first) };
                if !is_optional_port(&host.as_bytes()[start..]) {
                    return Err(invalid_port(&host[start..]));
                }
            }
            unescape(host, Part::Host)
        }
    }
}

/// An IPv6 address, with or without a zone.
fn is_ipv6(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        // Only a zone may hold anything.
        let end = text.iter().position(|byte| *byte == b'%').unwrap_or(text.len());
        return end + 1 < text.len() && std::str::from_utf8(&text[..end]).is_ok_and(is_ipv6_address);
    };
    match text.split_once('%') {
        Some((address, zone)) => !zone.is_empty() && is_ipv6_address(address),
        None => is_ipv6_address(text),
    }
}

fn is_ipv6_address(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

fn is_optional_port(port: &[u8]) -> bool {
    match port.split_first() {
        None => true,
        Some((b':', digits)) => digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    }
}

/// Host and port; the host keeps its brackets.
fn split_port(host: &[u8]) -> (&[u8], &[u8]) {
    match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if is_optional_port(&host[colon..]) => (&host[..colon], &host[colon + 1..]),
        _ => (host, b""),
    }
}
