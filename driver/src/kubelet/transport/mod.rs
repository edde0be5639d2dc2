//! A stream between `accept` and the gRPC server that makes the kubelet's `:authority` acceptable.
//!
//! The kubelet dials a plugin's registration socket with the path of the socket as gRPC target (every release from
//! 1.32 to 1.37), and up to 1.33 the DRA socket as well. The HTTP/2 pseudo-header `:authority` then is a path, raw or
//! percent-encoded depending on the release's grpc-go. The HTTP/2 library under tonic takes that for a protocol error
//! and resets the stream before any handler runs. [`AuthorityStream`] decodes the header blocks that the client sends
//! and encodes them again with `localhost` in the place of an authority that is not a host. Nothing else changes:
//! other frames pass octet by octet, fields keep their order, priorities and never-indexed marks stay, padding of
//! HEADERS frames is left out.
//!
//! The server must not announce a larger header table than HTTP/2 starts with (4096 octets); tonic's never does.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

mod frames;
mod hpack;
#[cfg(test)]
mod tests;

pub use frames::Rewriter;

/// What stands in the place of an authority that is not a host; newer kubelets send the same by themselves.
const AUTHORITY: &[u8] = b"localhost";
/// Octets read from the socket at once.
const CHUNK: usize = 4096;

/// A connection that cannot be understood any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// A frame where HTTP/2 does not allow it, or with a payload that is too short.
    #[error("HTTP/2 framing: {0}")]
    Frame(&'static str),
    /// A header block that RFC 7541 does not allow.
    #[error("HTTP/2 header compression: {0}")]
    Compression(&'static str),
    /// A header block over 18 KiB as sent, over 24 KiB uncompressed, or in more than 64 frames.
    #[error("HTTP/2 header block is too long")]
    HeaderTooLong,
}

/// A connection whose incoming half goes through a [`Rewriter`]. It holds at most 64 KiB.
#[derive(Debug)]
pub struct AuthorityStream<S> {
    inner: S,
    rewriter: Rewriter,
    input: Box<[u8; CHUNK]>,
    input_start: usize,
    input_end: usize,
    output: Vec<u8>,
    output_start: usize,
    ended: bool,
    failure: Option<TransportError>,
}

impl<S> AuthorityStream<S> {
    /// Puts the shim in front of `inner`, of which nothing may have been read yet.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            rewriter: Rewriter::default(),
            input: Box::new([0; CHUNK]),
            input_start: 0,
            input_end: 0,
            output: Vec::new(),
            output_start: 0,
            ended: false,
            failure: None,
        }
    }

    /// Octets of memory held now, beyond the size of this value.
    pub fn held(&self) -> usize {
        self.rewriter.held() + CHUNK + self.output.capacity()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AuthorityStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let pending = &this.output[this.output_start..];
            if !pending.is_empty() {
                let taken = pending.len().min(buffer.remaining());
                buffer.put_slice(&pending[..taken]);
                this.output_start += taken;
                if this.output_start == this.output.len() {
                    this.output_start = 0;
                    this.output.clear();
                    // Large header blocks are rare; their memory is not kept.
                    this.output.shrink_to(CHUNK);
                }
                return Poll::Ready(Ok(()));
            }
            if this.input_start < this.input_end {
                let input = &this.input[this.input_start..this.input_end];
                match this.rewriter.rewrite(input, &mut this.output) {
                    Ok(taken) => this.input_start += taken,
                    Err(error) => {
                        // What came before the fault is still read; then the error, once; then the end.
                        this.failure = Some(error);
                        this.ended = true;
                        this.input_start = this.input_end;
                    }
                }
                continue;
            }
            if let Some(error) = this.failure.take() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            let mut chunk = ReadBuf::new(&mut this.input[..]);
            match Pin::new(&mut this.inner).poll_read(context, &mut chunk) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            this.input_start = 0;
            this.input_end = chunk.filled().len();
            this.ended = this.input_end == 0;
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AuthorityStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl<S> Connected for AuthorityStream<S> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}
