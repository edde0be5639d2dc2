//! A gRPC client that dials as kubelets do, byte by byte: libraries refuse to send a path as authority.
//!
//! The header compression is another crate's, with a dynamic table, so that second calls arrive as indices.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex as Lock, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{Mutex, mpsc},
    time::timeout,
};

/// How a release's grpc-go fills `:authority`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authority {
    /// grpc-go before 1.64 with a path as target.
    RawPath,
    /// Later ones with a path as target: the registration socket of every release.
    EncodedPath,
    /// The `unix:` scheme: the data socket since 1.34.
    Localhost,
}

impl Authority {
    fn of(self, path: &str) -> Vec<u8> {
        match self {
            Self::RawPath => path.as_bytes().to_vec(),
            Self::EncodedPath => path.replace('/', "%2F").into_bytes(),
            Self::Localhost => b"localhost".to_vec(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The stream was reset with this HTTP/2 error code; 1 is PROTOCOL_ERROR.
    Reset(u32),
    Status(u32, String),
    DeadlineExceeded,
    ConnectionLost,
}

enum Event {
    Headers(Vec<(Vec<u8>, Vec<u8>)>, bool),
    Data(Vec<u8>, bool),
    Reset(u32),
}

type Streams = Arc<Lock<BTreeMap<u32, mpsc::UnboundedSender<Event>>>>;
type Writer = Arc<Mutex<Box<dyn AsyncWrite + Send + Unpin>>>;

/// One HTTP/2 connection.
pub(crate) struct Connection {
    writer: Writer,
    encoder: Mutex<(fluke_hpack::Encoder<'static>, u32)>,
    streams: Streams,
    authority: Vec<u8>,
    lost: Arc<AtomicBool>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut octets = u32::try_from(payload.len()).expect("a short payload").to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

impl Connection {
    pub(crate) async fn open<S>(stream: S, path: &str, authority: Authority) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, writer) = tokio::io::split(stream);
        let writer: Writer = Arc::new(Mutex::new(Box::new(writer)));
        let streams = Streams::default();
        let lost = Arc::new(AtomicBool::new(false));
        let mut start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        start.extend(frame(4, 0, 0, &[]));
        // A refused connection shows at the first call.
        let _ = writer.lock().await.write_all(&start).await;
        // Not before: an acknowledgement of the server's settings may not come before the preface.
        tokio::spawn(read(reader, Arc::clone(&writer), Arc::clone(&streams), Arc::clone(&lost)));
        let encoder = Mutex::new((fluke_hpack::Encoder::new(), 1));
        Self { writer, encoder, streams, authority: authority.of(path), lost }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
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
        self.streams.lock().expect("no panic").insert(stream, sender);
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
        let mut data = vec![0];
        data.extend(u32::try_from(message.len()).expect("a short message").to_be_bytes());
        data.extend(message);
        octets.extend(frame(0, 1, stream, &data));
        let _ = self.writer.lock().await.write_all(&octets).await;
        (stream, receiver)
    }

    async fn cancel(&self, stream: u32) {
        self.streams.lock().expect("no panic").remove(&stream);
        let _ = self.writer.lock().await.write_all(&frame(3, 0, stream, &8_u32.to_be_bytes())).await;
    }

    /// A unary call. At the deadline the stream is cancelled, as grpc-go does.
    pub(crate) async fn call(
        &self,
        method: &str,
        message: &[u8],
        deadline: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let (stream, events) = self.start(method, message, Some(deadline)).await;
        if let Ok(answer) = timeout(deadline, unary_answer(events)).await {
            return answer;
        }
        self.cancel(stream).await;
        Err(CallError::DeadlineExceeded)
    }

    /// A call with a stream of messages; its end shows as the end of the channel.
    pub(crate) async fn watch(&self, method: &str) -> mpsc::UnboundedReceiver<Vec<u8>> {
        let (_, mut events) = self.start(method, &[], None).await;
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut buffer = Vec::new();
            while let Some(event) = events.recv().await {
                let ended = match event {
                    Event::Headers(_, ended) => ended,
                    Event::Data(data, ended) => {
                        buffer.extend(data);
                        ended
                    }
                    Event::Reset(_) => return,
                };
                while let Some(message) = next_message(&mut buffer) {
                    if sender.send(message).is_err() {
                        return;
                    }
                }
                if ended {
                    return;
                }
            }
        });
        receiver
    }
}

fn next_message(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = u32::from_be_bytes(buffer.get(1..5)?.try_into().ok()?) as usize;
    if buffer.len() < 5 + length {
        return None;
    }
    let message = buffer[5..5 + length].to_vec();
    buffer.drain(..5 + length);
    Some(message)
}

async fn unary_answer(mut events: mpsc::UnboundedReceiver<Event>) -> Result<Vec<u8>, CallError> {
    let mut buffer = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Headers(fields, ended) => {
                let field = |wanted: &str| {
                    let found = fields.iter().find(|(name, _)| name == wanted.as_bytes());
                    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
                };
                if ended || field("grpc-status").is_some() {
                    let status = field("grpc-status").and_then(|text| text.parse().ok()).unwrap_or(2);
                    if status != 0 {
                        return Err(CallError::Status(status, field("grpc-message").unwrap_or_default()));
                    }
                    return next_message(&mut buffer).ok_or(CallError::ConnectionLost);
                }
            }
            Event::Data(data, _) => buffer.extend(data),
            Event::Reset(code) => return Err(CallError::Reset(code)),
        }
    }
    Err(CallError::ConnectionLost)
}

async fn read<R: AsyncRead + Unpin>(mut reader: R, writer: Writer, streams: Streams, lost: Arc<AtomicBool>) {
    let mut decoder = fluke_hpack::Decoder::new();
    let mut header = [0; 9];
    while reader.read_exact(&mut header).await.is_ok() {
        let [a, b, c, kind, flags, stream @ ..] = header;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let stream = u32::from_be_bytes(stream);
        let mut payload = vec![0; length];
        if reader.read_exact(&mut payload).await.is_err() {
            break;
        }
        let (event, answer) = match kind {
            0 => {
                let size = u32::try_from(length).expect("a short frame").to_be_bytes();
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
            let mut streams = streams.lock().expect("no panic");
            if streams.get(&stream).is_some_and(|sender| sender.send(event).is_err()) {
                streams.remove(&stream);
            }
        }
        if !answer.is_empty() {
            let _ = writer.lock().await.write_all(&answer).await;
        }
    }
    lost.store(true, Ordering::SeqCst);
    streams.lock().expect("no panic").clear();
}
