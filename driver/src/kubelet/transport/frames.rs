//! The frames of one direction of an HTTP/2 connection (RFC 9113), as far as header blocks have to be found in it.

use super::{TransportError, hpack::Table};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const PRIORITY_FIELDS: usize = 5;
/// What every reader has to accept in one frame, whatever it announced.
const FRAME_PAYLOAD: usize = 16_384;
/// Frames of one header block. A peer that cuts smaller than this wants to keep us busy.
const MOST_FRAMES: usize = 64;

/// Longest header block that is read, compressed and with padding; in octets.
pub(super) const LONGEST_BLOCK: usize = 18 * 1024;
/// Longest header block that is written, not compressed; in octets.
pub(super) const LONGEST_OUTPUT: usize = 24 * 1024;

/// The header block that is being collected.
#[derive(Debug)]
struct Block {
    stream: u32,
    /// Flags of HEADERS that are neither about padding nor about its own length.
    flags: u8,
    priority: Option<[u8; PRIORITY_FIELDS]>,
    frames: usize,
    ends: bool,
    padded: bool,
    with_priority: bool,
}

#[derive(Debug)]
enum State {
    /// Octets of the connection preface seen so far.
    Preface(usize),
    FrameHeader,
    /// Octets of the payload of a frame that is none of our business.
    PassOn(usize),
    /// Octets still missing from a frame of the header block.
    Collect(usize),
    /// Not HTTP/2: the server behind us is the one to refuse it.
    Foreign,
}

/// Rewrites what a client sends: every octet is handed on as it is, except that header blocks are encoded anew with
/// an acceptable `:authority`.
///
/// It does no input or output itself. What it holds is bounded, see [`Rewriter::held`].
#[derive(Debug)]
pub struct Rewriter {
    state: State,
    header: [u8; FRAME_HEADER],
    header_filled: usize,
    /// Collected header block, and where in it the frame that is being read starts.
    collected: Vec<u8>,
    frame_start: usize,
    block: Option<Block>,
    table: Table,
}

impl Default for Rewriter {
    fn default() -> Self {
        Self {
            state: State::Preface(0),
            header: [0; FRAME_HEADER],
            header_filled: 0,
            collected: Vec::new(),
            frame_start: 0,
            block: None,
            table: Table::default(),
        }
    }
}

impl Rewriter {
    /// Octets of memory that this holds beyond its own size: at most 32 KiB.
    pub fn held(&self) -> usize {
        self.collected.capacity() + self.table.held()
    }

    /// Takes octets off the start of `input`, appends to `output` what the server shall read in their place, and
    /// returns how many it took: all of them, or those up to the end of a header block. `output` grows by at most the
    /// length of `input` and 25 KiB.
    ///
    /// # Errors
    ///
    /// A connection of which the rest can no longer be understood. It has to be closed.
    pub fn rewrite(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize, TransportError> {
        let mut rest = input;
        while let Some(first) = rest.first() {
            match self.state {
                State::Preface(seen) => {
                    if PREFACE.get(seen) == Some(first) {
                        output.push(*first);
                        rest = &rest[1..];
                        self.state = if seen + 1 == PREFACE.len() {
                            State::FrameHeader
                        } else {
                            State::Preface(seen + 1)
                        };
                    } else {
                        self.state = State::Foreign;
                    }
                }
                State::Foreign => {
                    output.extend_from_slice(rest);
                    rest = &[];
                }
                State::FrameHeader => {
                    let taken = rest.len().min(FRAME_HEADER - self.header_filled);
                    let (now, later) = rest.split_at(taken);
                    self.header[self.header_filled..self.header_filled + taken].copy_from_slice(now);
                    self.header_filled += taken;
                    rest = later;
                    if self.header_filled == FRAME_HEADER {
                        self.header_filled = 0;
                        self.start_frame(output)?;
                        if self.finish_frame(output)? {
                            break;
                        }
                    }
                }
                State::PassOn(missing) => {
                    let (now, later) = rest.split_at(rest.len().min(missing));
                    output.extend_from_slice(now);
                    rest = later;
                    self.state = if now.len() == missing {
                        State::FrameHeader
                    } else {
                        State::PassOn(missing - now.len())
                    };
                }
                State::Collect(missing) => {
                    let (now, later) = rest.split_at(rest.len().min(missing));
                    self.collect(now);
                    rest = later;
                    self.state = State::Collect(missing - now.len());
                    if self.finish_frame(output)? {
                        break;
                    }
                }
            }
        }
        Ok(input.len() - rest.len())
    }

    fn collect(&mut self, octets: &[u8]) {
        let needed = self.collected.len() + octets.len();
        if self.collected.capacity() < needed {
            // Doubling would go over the bound; blocks are small, so that this hardly ever runs twice.
            self.collected.reserve_exact(needed.next_multiple_of(1024) - self.collected.len());
        }
        self.collected.extend_from_slice(octets);
    }

    fn start_frame(&mut self, output: &mut Vec<u8>) -> Result<(), TransportError> {
        let [high, middle, low, kind, flags, stream @ ..] = self.header;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let stream = u32::from_be_bytes(stream);
        match (&mut self.block, kind) {
            (None, HEADERS) => {
                self.block = Some(Block {
                    stream,
                    flags: flags & !(END_HEADERS | PADDED),
                    priority: None,
                    frames: 1,
                    ends: flags & END_HEADERS != 0,
                    padded: flags & PADDED != 0,
                    with_priority: flags & PRIORITY != 0,
                });
            }
            (Some(block), CONTINUATION) if block.stream == stream => {
                block.frames += 1;
                block.ends = flags & END_HEADERS != 0;
                block.padded = false;
                block.with_priority = false;
                if block.frames > MOST_FRAMES {
                    return Err(TransportError::HeaderTooLong);
                }
            }
            (Some(_), _) => return Err(TransportError::Frame("a frame inside a header block")),
            (None, CONTINUATION) => return Err(TransportError::Frame("a continuation of no header block")),
            (None, _) => {
                output.extend_from_slice(&self.header);
                self.state = if length == 0 { State::FrameHeader } else { State::PassOn(length) };
                return Ok(());
            }
        }
        if self.collected.len() + length > LONGEST_BLOCK {
            return Err(TransportError::HeaderTooLong);
        }
        self.frame_start = self.collected.len();
        self.state = State::Collect(length);
        Ok(())
    }

    /// Ends the frame of a header block if nothing of it is missing; true if a header block has been written.
    fn finish_frame(&mut self, output: &mut Vec<u8>) -> Result<bool, TransportError> {
        let (State::Collect(0), Some(block)) = (&self.state, &mut self.block) else { return Ok(false) };
        self.state = State::FrameHeader;
        let payload = &self.collected[self.frame_start..];
        let (padding, mut start) = match (block.padded, payload.first()) {
            (false, _) => (0, 0),
            (true, Some(padding)) => (usize::from(*padding), 1),
            (true, None) => return Err(TransportError::Frame("a padded frame without a padding length")),
        };
        if block.with_priority {
            let fields =
                payload.get(start..start + PRIORITY_FIELDS).and_then(|fields| fields.try_into().ok());
            block.priority = Some(fields.ok_or(TransportError::Frame("a cut priority"))?);
            start += PRIORITY_FIELDS;
        }
        if start + padding > payload.len() {
            return Err(TransportError::Frame("more padding than frame"));
        }
        self.collected.truncate(self.collected.len() - padding);
        self.collected.drain(self.frame_start..self.frame_start + start);
        if !block.ends {
            return Ok(false);
        }
        let start = output.len();
        // Exactly what may be needed: doubling would go over the bound.
        output.reserve_exact(LONGEST_OUTPUT + 2 * FRAME_HEADER + PRIORITY_FIELDS);
        output.extend_from_slice(&[0; FRAME_HEADER]);
        output.extend_from_slice(block.priority.as_ref().map_or(&[], |fields| fields));
        let collected = std::mem::take(&mut self.collected);
        self.table
            .rewrite(&collected, LONGEST_OUTPUT, acceptable, super::AUTHORITY, output)
            .inspect_err(|_| output.truncate(start))?;
        frame(block, output, start);
        self.block = None;
        Ok(true)
    }
}

/// Whether the server behind us can read this value: the check that it does itself.
fn acceptable(authority: &[u8]) -> bool {
    !authority.is_empty() && http::uri::Authority::try_from(authority).is_ok()
}

/// Makes frames of what stands in `output` from `start`: room for a frame header, then the payload.
fn frame(block: &Block, output: &mut Vec<u8>, start: usize) {
    let (mut start, mut kind, mut flags) = (start, HEADERS, block.flags);
    loop {
        let left = output.len() - start - FRAME_HEADER;
        let length = left.min(FRAME_PAYLOAD);
        if left == length {
            flags |= END_HEADERS;
        }
        let [_, length_octets @ ..] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        output[start..start + 3].copy_from_slice(&length_octets);
        output[start + 3] = kind;
        output[start + 4] = flags;
        output[start + 5..start + FRAME_HEADER].copy_from_slice(&block.stream.to_be_bytes());
        if left == length {
            return;
        }
        start += FRAME_HEADER + length;
        output.splice(start..start, [0; FRAME_HEADER]);
        (kind, flags) = (CONTINUATION, 0);
    }
}
