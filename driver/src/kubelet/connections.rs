//! Connections of one socket, each behind the stream that makes its authority acceptable.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    net::{UnixListener, UnixStream},
    sync::oneshot,
    time::{Sleep, sleep},
};
use tonic::codegen::tokio_stream::Stream;

use super::{sockets::Socket, transport::AuthorityStream};

/// Nothing is accepted for this long where the system lacks something, such as file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// `EBADF`, `EINVAL`, `ENOTSOCK`, `EOPNOTSUPP`: with this listener it will never be otherwise.
const FINAL: [i32; 4] = [9, 22, 88, 95];

/// The stream of connections that tonic serves. tonic passes over an error and asks again at once, for ever and without a
/// word. So errors never get there: this waits while something is short, and ends when the listener is broken.
#[derive(Debug)]
pub(super) struct Connections {
    listener: UnixListener,
    pause: Option<Pin<Box<Sleep>>>,
    failed: Option<oneshot::Sender<io::Error>>,
}

impl Connections {
    /// Connections to `socket`, which stays the owner of the file, and why they ended, if they end by themselves. Needs a
    /// runtime.
    pub(super) fn of(socket: &Socket) -> io::Result<(Self, oneshot::Receiver<io::Error>)> {
        let listener = UnixListener::from_std(socket.listener()?)?;
        let (failed, failure) = oneshot::channel();
        Ok((Self { listener, pause: None, failed: Some(failed) }, failure))
    }
}

impl Stream for Connections {
    type Item = io::Result<AuthorityStream<UnixStream>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(context)) {
                Ok((stream, _)) => return Poll::Ready(Some(Ok(AuthorityStream::new(stream)))),
                Err(error) if error.raw_os_error().is_some_and(|code| FINAL.contains(&code)) => {
                    if let Some(failed) = self.failed.take() {
                        let _ = failed.send(error);
                    }
                    return Poll::Ready(None);
                }
                Err(_) => self.pause = Some(Box::pin(sleep(PAUSE))),
            }
        }
    }
}
