//! Header compression (RFC 7541) as far as rewriting one field needs it: a decoder with its dynamic table, and an
//! encoder that neither indexes nor compresses, so that the reader behind it needs no table of ours.

use std::collections::VecDeque;

use super::TransportError;

/// Dynamic table size that HTTP/2 starts with. We never let the server behind us announce more.
const TABLE_LIMIT: usize = 4096;
/// What RFC 7541 section 4.1 adds to the size of every entry.
const ENTRY_OVERHEAD: usize = 32;
const AUTHORITY: &[u8] = b":authority";
/// No host or socket path is longer; what is longer is replaced without a look at it.
const LONGEST_AUTHORITY: usize = 1024;

/// Names of the static table, RFC 7541 appendix A; entry 1 comes first.
const STATIC_NAMES: [&str; 61] = [
    ":authority",
    ":method",
    ":method",
    ":path",
    ":path",
    ":scheme",
    ":scheme",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    "accept-charset",
    "accept-
    encoding",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-
    language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-
    match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];

/// Code lengths of the Huffman code, RFC 7541 appendix B; the last one is the end-of-string symbol. The code is
/// canonical: codes of one length ascend with their symbols, so the lengths determine it.
const HUFFMAN_LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];
const END_OF_STRING: u16 = 256;
const LONGEST_CODE: usize = 30;

/// The canonical Huffman code: for every length the first code, the number of codes, and where their symbols start.
struct Huffman {
    first: [u32; LONGEST_CODE + 1],
    count: [u32; LONGEST_CODE + 1],
    start: [usize; LONGEST_CODE + 1],
    symbols: [u16; 257],
}

const HUFFMAN: Huffman = Huffman::new();

impl Huffman {
    const fn new() -> Self {
        let mut table = Self {
            first: [0; LONGEST_CODE + 1],
            count: [0; LONGEST_CODE + 1],
            start: [0; LONGEST_CODE + 1],
            symbols: [0; 257],
        };
        let mut code = 0_u32;
        let mut filled = 0;
        let mut length = 1;
        while length <= LONGEST_CODE {
            code <<= 1;
            table.first[length] = code;
            table.start[length] = filled;
            let mut symbol = 0_u16;
            while symbol <= END_OF_STRING {
                if HUFFMAN_LENGTHS[symbol as usize] as usize == length {
                    table.symbols[filled] = symbol;
                    filled += 1;
                    table.count[length] += 1;
                    code += 1;
                }
                symbol += 1;
            }
            length += 1;
        }
        table
    }

    /// Hands every octet that `coded` stands for to `each`. Padding has to be the start of the end-of-string code and
    /// less than an octet long.
    fn decode(&self, coded: &[u8], mut each: impl FnMut(u8)) -> Result<(), TransportError> {
        let (mut code, mut length) = (0_u32, 0_usize);
        for bit in coded.iter().flat_map(|octet| (0..8).rev().map(move |place| (octet >> place) & 1)) {
            code = (code << 1) | u32::from(bit);
            length += 1;
            if length > LONGEST_CODE {
                return Err(TransportError::Compression("an unknown Huffman code"));
            }
            let Some(offset) = code.checked_sub(self.first[length]) else { continue };
            if offset >= self.count[length] {
                continue;
            }
            let symbol = self.symbols[self.start[length] + offset as usize];
            let Ok(octet) = u8::try_from(symbol) else {
                return Err(TransportError::Compression("an end-of-string code inside a string"));
            };
            each(octet);
            (code, length) = (0, 0);
        }
        if length > 7 || code != (1 << length) - 1 {
            return Err(TransportError::Compression("wrong padding after a Huffman-coded string"));
        }
        Ok(())
    }
}

/// A string as it stands in the block. It is decoded where it is written to, so that no copy of it is held.
#[derive(Clone, Copy)]
struct Text<'b> {
    raw: &'b [u8],
    coded: bool,
    /// Length when decoded, in octets.
    length: usize,
}

impl Text<'_> {
    fn write(&self, output: &mut Vec<u8>) {
        if self.coded {
            // Decoded once before, for the length: it cannot fail here.
            let _ = HUFFMAN.decode(self.raw, |octet| output.push(octet));
        } else {
            output.extend_from_slice(self.raw);
        }
    }

    fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(self.length);
        self.write(&mut octets);
        octets
    }
}

/// Reads the representations of one header block.
struct Reader<'b> {
    block: &'b [u8],
}

impl<'b> Reader<'b> {
    fn octet(&mut self) -> Result<u8, TransportError> {
        let (first, rest) = self.block.split_first().ok_or(TransportError::Compression("a cut field"))?;
        self.block = rest;
        Ok(*first)
    }

    /// An integer whose first octet, already read, has `bits` bits for it (RFC 7541 section 5.1).
    fn integer(&mut self, first: u8, bits: u32) -> Result<usize, TransportError> {
        let mask = (1_u8 << (bits - 1)) | ((1_u8 << (bits - 1)) - 1);
        let mut value = usize::from(first & mask);
        if first & mask < mask {
            return Ok(value);
        }
        // Four more octets reach 2^28, more than any length or index that fits into our limits.
        for place in 0..4 {
            let octet = self.octet()?;
            value += usize::from(octet & 0x7f) << (7 * place);
            if octet & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(TransportError::Compression("an integer out of range"))
    }

    fn string(&mut self) -> Result<Text<'b>, TransportError> {
        let first = self.octet()?;
        let length = self.integer(first, 7)?;
        if length > self.block.len() {
            return Err(TransportError::Compression("a cut string"));
        }
        let (raw, rest) = self.block.split_at(length);
        self.block = rest;
        let coded = first & 0x80 != 0;
        let mut length = raw.len();
        if coded {
            length = 0;
            HUFFMAN.decode(raw, |_| length += 1)?;
        }
        Ok(Text { raw, coded, length })
    }
}

/// The name of a field: static entries stay numbers, which keeps the table and the output small.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Static(usize),
    Literal(Vec<u8>),
}

impl Name {
    fn octets(&self) -> &[u8] {
        match self {
            // Only indices of the table become `Static`.
            Self::Static(index) => STATIC_NAMES.get(index - 1).map_or(&[], |name| name.as_bytes()),
            Self::Literal(name) => name,
        }
    }
}

/// The dynamic table of the peer's encoder, newest entry first.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<(Name, Vec<u8>)>,
    size: usize,
    limit: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, limit: TABLE_LIMIT }
    }
}

impl Table {
    /// Octets of memory that the table holds.
    pub(super) fn held(&self) -> usize {
        let strings: usize = self
            .entries
            .iter()
            .map(|(name, value)| {
                value.capacity() + if let Name::Literal(name) = name { name.capacity() } else { 0 }
            })
            .sum();
        strings + self.entries.capacity() * size_of::<(Name, Vec<u8>)>()
    }

    fn evict(&mut self, limit: usize) {
        while self.size > limit {
            let Some((name, value)) = self.entries.pop_back() else { break };
            self.size -= name.octets().len() + value.len() + ENTRY_OVERHEAD;
        }
    }

    fn insert(&mut self, name: Field<'_>, value: Text<'_>) {
        let size = name.length() + value.length + ENTRY_OVERHEAD;
        self.evict(self.limit.saturating_sub(size));
        if size > self.limit {
            // RFC 7541 section 4.4: an entry that does not fit empties the table and is no error.
            return;
        }
        let name = match name {
            Field::Text(text) => Name::Literal(text.octets()),
            Field::Known(name) => name,
        };
        self.size += size;
        self.entries.push_front((name, value.octets()));
    }

    fn name(&self, index: usize) -> Result<Name, TransportError> {
        if index <= STATIC_NAMES.len() {
            return Ok(Name::Static(index));
        }
        let (name, _) = self.dynamic(index)?;
        Ok(name.clone())
    }

    fn dynamic(&self, index: usize) -> Result<&(Name, Vec<u8>), TransportError> {
        index
            .checked_sub(STATIC_NAMES.len() + 1)
            .and_then(|place| self.entries.get(place))
            .ok_or(TransportError::Compression("an index beyond the table"))
    }

    /// Decodes `block` and appends it to `output` encoded anew, field by field in the same order, with `authority`
    /// in the place of every `:authority` that `acceptable` does not accept. What is appended has at most `limit`
    /// octets and refers to nothing but the static table.
    pub(super) fn rewrite(
        &mut self,
        block: &[u8],
        limit: usize,
        acceptable: impl Fn(&[u8]) -> bool,
        authority: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), TransportError> {
        let start = output.len();
        let mut reader = Reader { block };
        let mut fields = 0_usize;
        while let Some(first) = reader.block.first().copied() {
            reader.octet()?;
            if first & 0xe0 == 0x20 {
                let size = reader.integer(first, 5)?;
                if fields > 0 {
                    return Err(TransportError::Compression("a change of the table's size after a field"));
                }
                if size > TABLE_LIMIT {
                    return Err(TransportError::Compression("a table larger than was agreed"));
                }
                self.limit = size;
                self.evict(size);
                continue;
            }
            fields += 1;
            if first & 0x80 != 0 {
                let index = reader.integer(first, 7)?;
                if index == 0 {
                    return Err(TransportError::Compression("index 0"));
                }
                // Entry 1 is `:authority` with an empty value, which no reader accepts.
                if index == 1 {
                    let value = if acceptable(b"") { b"" } else { authority };
                    encode_name(output, 0, &Name::Static(1));
                    encode_value(output, value);
                } else if index <= STATIC_NAMES.len() {
                    encode_integer(output, 0x80, 7, index);
                } else {
                    let (name, value) = self.dynamic(index)?;
                    let value =
                        if name.octets() == AUTHORITY && !acceptable(value) { authority } else { value };
                    // Checked before it is written: one octet can stand for 4 KiB.
                    if output.len() - start + name.octets().len() + value.len() > limit {
                        return Err(TransportError::HeaderTooLong);
                    }
                    encode_name(output, 0, name);
                    encode_value(output, value);
                }
            } else {
                let (bits, indexed) = if first & 0x40 != 0 { (6, true) } else { (4, false) };
                let name = match reader.integer(first, bits)? {
                    0 => Field::Text(reader.string()?),
                    index => Field::Known(self.name(index)?),
                };
                let value = reader.string()?;
                if output.len() - start + name.length() + value.length > limit {
                    return Err(TransportError::HeaderTooLong);
                }
                // "Never indexed" is a promise about secrets that has to be handed on.
                let kind = if indexed { 0 } else { first & 0x10 };
                match &name {
                    Field::Text(text) => {
                        output.push(kind);
                        encode_integer(output, 0, 7, text.length);
                        text.write(output);
                    }
                    Field::Known(name) => encode_name(output, kind, name),
                }
                if name.is_authority() && !(value.length <= LONGEST_AUTHORITY && acceptable(&value.octets()))
                {
                    encode_value(output, authority);
                } else {
                    encode_integer(output, 0, 7, value.length);
                    value.write(output);
                }
                if indexed {
                    self.insert(name, value);
                }
            }
            if output.len() - start > limit {
                return Err(TransportError::HeaderTooLong);
            }
        }
        Ok(())
    }
}

/// A name as the block gives it: text, or one that either table knows.
enum Field<'b> {
    Text(Text<'b>),
    Known(Name),
}

impl Field<'_> {
    fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.length,
            Self::Known(name) => name.octets().len(),
        }
    }

    fn is_authority(&self) -> bool {
        match self {
            Self::Text(text) => text.length == AUTHORITY.len() && text.octets() == AUTHORITY,
            Self::Known(name) => name.octets() == AUTHORITY,
        }
    }
}

/// A literal field without indexing (`kind` 0) or never indexed (`kind` 0x10).
fn encode_name(output: &mut Vec<u8>, kind: u8, name: &Name) {
    match name {
        Name::Static(index) => encode_integer(output, kind, 4, *index),
        Name::Literal(name) => {
            output.push(kind);
            encode_value(output, name);
        }
    }
}

fn encode_value(output: &mut Vec<u8>, value: &[u8]) {
    encode_integer(output, 0, 7, value.len());
    output.extend_from_slice(value);
}

fn encode_integer(output: &mut Vec<u8>, pattern: u8, bits: u32, value: usize) {
    let mask = (1_usize << bits) - 1;
    let low = |value: usize| u8::try_from(value & 0xff).unwrap_or(u8::MAX);
    if value < mask {
        output.push(pattern | low(value));
        return;
    }
    output.push(pattern | low(mask));
    let mut rest = value - mask;
    while rest >= 0x80 {
        output.push(0x80 | low(rest & 0x7f));
        rest >>= 7;
    }
    output.push(low(rest));
}
