//! Connections of one socket, each behind the stream that makes its authority acceptable.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::net::{UnixListener, UnixStream};
use tonic::codegen::tokio_stream::Stream;

use super::{sockets::Socket, transport::AuthorityStream};

/// The stream of connections that tonic serves.
#[derive(Debug)]
pub(super) struct Connections(UnixListener);

impl Connections {
    /// Connections to `socket`, which stays the owner of the file. Needs a runtime.
    pub(super) fn of(socket: &Socket) -> io::Result<Self> {
        UnixListener::from_std(socket.listener()?).map(Self)
    }
}

impl Stream for Connections {
    type Item = io::Result<AuthorityStream<UnixStream>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0
            .poll_accept(context)
            .map(|accepted| Some(accepted.map(|(stream, _)| AuthorityStream::new(stream))))
    }
}
