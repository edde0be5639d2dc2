//! A gRPC client that dials as kubelets do, byte by byte: libraries refuse to send a path as authority.
//!
//! The header compression has a dynamic table, so that the second call of a connection arrives as indices into what the
//! first one sent.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex as Lock, MutexGuard, PoisonError},
    time::Duration,
};

use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{Mutex, mpsc, watch},
    time::timeout,
};

/// How a release's grpc-go fills `:authority`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Authority {
    /// grpc-go before 1.64 with a path as target.
    RawPath,
    /// Later ones with a path as target: the registration socket of every release.
    EncodedPath,
    /// The `unix:` scheme: the data socket since 1.34.
    Localhost,
}

impl Authority {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RawPath, Self::EncodedPath, Self::Localhost];

    /// What is sent for a socket at `path`.
    pub fn of(self, path: &str) -> Vec<u8> {
        match self {
            Self::RawPath => path.as_bytes().to_vec(),
            Self::EncodedPath => path.replace('/', "%2F").into_bytes(),
            Self::Localhost => b"localhost".to_vec(),
        }
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The stream was reset with this HTTP/2 error code; 1 is PROTOCOL_ERROR.
    #[error("the stream was reset with code {0}")]
    Reset(u32),
    /// A gRPC status and its message.
    #[error("status {0}: {1}")]
    Status(u32, String),
    /// Nothing came in time; the call was cancelled.
    #[error("deadline exceeded")]
    DeadlineExceeded,
    /// The connection ended.
    #[error("the connection was lost")]
    ConnectionLost,
    /// The answer is not the message that it should be.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
}

/// The status for a method that does not exist.
pub const UNIMPLEMENTED: u32 = 12;

enum Event {
    Headers(Vec<(Vec<u8>, Vec<u8>)>, bool),
    Data(Vec<u8>, bool),
    Reset(u32),
}

type Streams = Arc<Lock<BTreeMap<u32, mpsc::UnboundedSender<Event>>>>;
type Writer = Arc<Mutex<Box<dyn AsyncWrite + Send + Unpin>>>;

fn lock(streams: &Streams) -> MutexGuard<'_, BTreeMap<u32, mpsc::UnboundedSender<Event>>> {
    streams.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One HTTP/2 connection.
pub struct Connection {
    writer: Writer,
    encoder: Mutex<(fluke_hpack::Encoder<'static>, u32)>,
    streams: Streams,
    authority: Vec<u8>,
    lost: watch::Receiver<bool>,
    reading: tokio::task::AbortHandle,
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = String::from_utf8_lossy(&self.authority);
        formatter.debug_struct("Connection").field("authority", &authority).finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Reader and writer are halves of one stream, which is closed when both are gone.
        self.reading.abort();
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    // What is sent here is shorter than the 16 KiB that every server accepts.
    let mut octets = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

/// `DATA` frames of at most 16 KiB with one message.
fn data_frames(stream: u32, message: &[u8]) -> Vec<u8> {
    let mut data = vec![0];
    data.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    data.extend(message);
    let mut octets = Vec::new();
    let pieces = data.chunks(16 * 1024);
    let last = pieces.len().saturating_sub(1);
    for (place, piece) in pieces.enumerate() {
        octets.extend(frame(0, u8::from(place == last), stream, piece));
    }
    octets
}

impl Connection {
    /// Begins HTTP/2 on a stream to the socket at `path`. Must be called in a Tokio runtime.
    pub async fn open<S>(stream: S, path: &str, authority: Authority) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, writer) = tokio::io::split(stream);
        let writer: Writer = Arc::new(Mutex::new(Box::new(writer)));
        let streams = Streams::default();
        let (sender, lost) = watch::channel(false);
        let mut start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        start.extend(frame(4, 0, 0, &[]));
        // A refused connection shows at the first call.
        let _ = writer.lock().await.write_all(&start).await;
        // Not before: an acknowledgement of the server's settings may not come before the preface.
        let reading = tokio::spawn(read(reader, Arc::clone(&writer), Arc::clone(&streams), sender));
        let encoder = Mutex::new((fluke_hpack::Encoder::new(), 1));
        let authority = authority.of(path);
        Self { writer, encoder, streams, authority, lost, reading: reading.abort_handle() }
    }

    /// Whether the server has closed the connection.
    pub fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Waits until the server closes the connection.
    pub async fn lost(&self) {
        // An error means that the reader is gone, and with it the connection.
        let _ = self.lost.clone().wait_for(|lost| *lost).await;
    }

    async fn start(
        &self,
        method: &str,
        message: &[u8],
        deadline: Option<Duration>,
    ) -> (u32, mpsc::UnboundedReceiver<Event>) {
        let mut encoder = self.encoder.lock().await;
        let stream = encoder.1;
        encoder.1 += 2;
        let (sender, receiver) = mpsc::unbounded_channel();
        if !self.is_lost() {
            lock(&self.streams).insert(stream, sender);
        }
        let timeout = deadline.map(|deadline| format!("{}u", deadline.as_micros()));
        let mut fields: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", method.as_bytes()),
            (b":authority", &self.authority),
            (b"content-type", b"application/grpc"),
            (b"user-agent", b"grpc-go/1.79.3"),
            (b"te", b"trailers"),
        ];
        if let Some(timeout) = &timeout {
            fields.push((b"grpc-timeout", timeout.as_bytes()));
        }
        let mut octets = frame(1, 4, stream, &encoder.0.encode(fields));
        octets.extend(data_frames(stream, message));
        let _ = self.writer.lock().await.write_all(&octets).await;
        (stream, receiver)
    }

    async fn cancel(&self, stream: u32) {
        lock(&self.streams).remove(&stream);
        let _ = self.writer.lock().await.write_all(&frame(3, 0, stream, &8_u32.to_be_bytes())).await;
    }

    /// A call with one message each way, as octets. At the deadline the stream is cancelled, as grpc-go does.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn call(&self, method: &str, message: &[u8], deadline: Duration) -> Result<Vec<u8>, CallError> {
        let (stream, events) = self.start(method, message, Some(deadline)).await;
        if let Ok(answer) = timeout(deadline, unary_answer(events)).await {
            return answer;
        }
        self.cancel(stream).await;
        Err(CallError::DeadlineExceeded)
    }

    /// As [`Connection::call`], with messages.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn ask<Q: Message, A: Message + Default>(
        &self,
        method: &str,
        question: &Q,
        deadline: Duration,
    ) -> Result<A, CallError> {
        let answer = self.call(method, &question.encode_to_vec(), deadline).await?;
        A::decode(&answer[..]).map_err(|error| CallError::Unreadable(error.to_string()))
    }

    /// A call with a stream of messages for an empty one.
    pub async fn watch<A: Message + Default + 'static>(&self, method: &str) -> Messages<A> {
        let (_, mut events) = self.start(method, &[], None).await;
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut buffer = Vec::new();
            let error = loop {
                let Some(event) = events.recv().await else { break Some(CallError::ConnectionLost) };
                let end = match event {
                    Event::Headers(fields, ended) => {
                        status(&fields).map(Result::err).or(ended.then_some(None))
                    }
                    Event::Data(data, ended) => {
                        buffer.extend(data);
                        ended.then_some(None)
                    }
                    Event::Reset(code) => Some(Some(CallError::Reset(code))),
                };
                while let Some(message) = next_message(&mut buffer) {
                    let read = A::decode(&message[..]);
                    if sender.send(read.map_err(|error| CallError::Unreadable(error.to_string()))).is_err() {
                        return;
                    }
                }
                if let Some(end) = end {
                    break end;
                }
            };
            if let Some(error) = error {
                // Nobody may be left to hear of it.
                let _ = sender.send(Err(error));
            }
        });
        Messages(receiver)
    }
}

/// The messages of a stream.
#[derive(Debug)]
pub struct Messages<A>(mpsc::UnboundedReceiver<Result<A, CallError>>);

impl<A> Messages<A> {
    /// The next message; none after the server has ended the stream.
    ///
    /// # Errors
    ///
    /// The stream ended with an error; nothing follows.
    pub async fn next(&mut self) -> Result<Option<A>, CallError> {
        self.0.recv().await.transpose()
    }
}

fn next_message(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::try_from(u32::from_be_bytes(buffer.get(1..5)?.try_into().ok()?)).ok()?;
    let message = buffer.get(5..length.checked_add(5)?)?.to_vec();
    buffer.drain(..5 + length);
    Some(message)
}

/// The gRPC status in a header list, if it has one.
fn status(fields: &[(Vec<u8>, Vec<u8>)]) -> Option<Result<(), CallError>> {
    let field = |wanted: &[u8]| {
        let found = fields.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    let code = field(b"grpc-status")?.parse().unwrap_or(2);
    Some(match code {
        0 => Ok(()),
        code => Err(CallError::Status(code, field(b"grpc-message").unwrap_or_default())),
    })
}

async fn unary_answer(mut events: mpsc::UnboundedReceiver<Event>) -> Result<Vec<u8>, CallError> {
    let mut buffer = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Headers(fields, ended) => match status(&fields) {
                Some(status) => {
                    status?;
                    let missing = || CallError::Unreadable("no message".to_owned());
                    return next_message(&mut buffer).ok_or_else(missing);
                }
                None if ended => return Err(CallError::Status(2, "no status".to_owned())),
                None => {}
            },
            Event::Data(data, _) => buffer.extend(data),
            Event::Reset(code) => return Err(CallError::Reset(code)),
        }
    }
    Err(CallError::ConnectionLost)
}

async fn read<R: AsyncRead + Unpin>(
    mut reader: R,
    writer: Writer,
    streams: Streams,
    lost: watch::Sender<bool>,
) {
    let mut decoder = fluke_hpack::Decoder::new();
    let mut header = [0; 9];
    while reader.read_exact(&mut header).await.is_ok() {
        let [a, b, c, kind, flags, stream @ ..] = header;
        let length = u32::from_be_bytes([0, a, b, c]);
        let stream = u32::from_be_bytes(stream);
        // 24 bits.
        let mut payload = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        if reader.read_exact(&mut payload).await.is_err() {
            break;
        }
        let (event, answer) = match kind {
            0 => {
                let size = length.to_be_bytes();
                let update = if length > 0 {
                    [frame(8, 0, 0, &size), frame(8, 0, stream, &size)].concat()
                } else {
                    Vec::new()
                };
                (Some(Event::Data(payload, flags & 1 != 0)), update)
            }
            1 => {
                let Ok(fields) = decoder.decode(&payload) else { break };
                (Some(Event::Headers(fields, flags & 1 != 0)), Vec::new())
            }
            3 => {
                let code = payload.try_into().map_or(0, u32::from_be_bytes);
                (Some(Event::Reset(code)), Vec::new())
            }
            4 if flags & 1 == 0 => (None, frame(4, 1, 0, &[])),
            6 if flags & 1 == 0 => (None, frame(6, 1, 0, &payload)),
            _ => (None, Vec::new()),
        };
        if let Some(event) = event {
            let mut streams = lock(&streams);
            if streams.get(&stream).is_some_and(|sender| sender.send(event).is_err()) {
                streams.remove(&stream);
            }
        }
        if !answer.is_empty() {
            let _ = writer.lock().await.write_all(&answer).await;
        }
    }
    lost.send_replace(true);
    lock(&streams).clear();
}
