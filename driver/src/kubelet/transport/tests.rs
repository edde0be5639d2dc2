use std::io;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{AuthorityStream, Rewriter, TransportError};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const BOUND: usize = 64 * 1024;

type Field = (Vec<u8>, Vec<u8>);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut octets = length[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

fn fields(list: &[(&str, &str)]) -> Vec<Field> {
    list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// Everything through a rewriter in pieces of `sizes`, with the bound on memory checked after every piece.
fn rewrite(input: &[u8], sizes: &[usize]) -> Result<Vec<u8>, TransportError> {
    let mut rewriter = Rewriter::default();
    let mut all = Vec::new();
    let mut sizes = sizes.iter().copied().cycle();
    let mut rest = input;
    while !rest.is_empty() {
        let (mut piece, later) = rest.split_at(sizes.next().unwrap_or(4096).clamp(1, 4096).min(rest.len()));
        rest = later;
        while !piece.is_empty() {
            let mut output = Vec::new();
            let taken = rewriter.rewrite(piece, &mut output)?;
            assert!(taken > 0);
            assert!(rewriter.held() + output.capacity() + 4096 <= BOUND);
            piece = &piece[taken..];
            all.extend(output);
        }
    }
    Ok(all)
}

/// (kind, flags, stream, payload) of the frames after the preface.
fn frames(octets: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut rest = octets.strip_prefix(PREFACE).expect("the preface");
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        let stream = u32::from_be_bytes([rest[5], rest[6], rest[7], rest[8]]);
        frames.push((rest[3], rest[4], stream, rest[9..9 + length].to_vec()));
        rest = &rest[9 + length..];
    }
    frames
}

/// The header lists in `octets`, decoded by the other HPACK.
fn decode(octets: &[u8]) -> Vec<Vec<Field>> {
    let mut decoder = fluke_hpack::Decoder::new();
    let mut lists = Vec::new();
    let mut block = Vec::new();
    for (kind, flags, _, payload) in frames(octets) {
        if kind == HEADERS || kind == CONTINUATION {
            assert!(payload.len() <= 16_384);
            block.extend_from_slice(if flags & 0x20 != 0 { &payload[5..] } else { &payload });
            if flags & 4 != 0 {
                let fields = decoder.decode(&std::mem::take(&mut block)).expect("a block that decodes");
                lists.push(fields);
            }
        }
    }
    lists
}

fn expected(list: &[Field]) -> Vec<Field> {
    list.iter()
        .map(|(name, value)| {
            let host = !value.is_empty() && http::uri::Authority::try_from(value.as_slice()).is_ok();
            let value = if name == b":authority" && !host { b"localhost".to_vec() } else { value.clone() };
            (name.clone(), value)
        })
        .collect()
}

/// RFC 7541 appendix C.4 and friends encode like this; a second, small encoder with the choices in the test's hand.
fn literal(kind: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut octets = vec![kind];
    for text in [name, value] {
        octets.extend(fluke_hpack::encoder::encode_integer(text.len(), 7));
        octets.extend(text);
    }
    octets
}

fn arbitrary_field() -> impl Strategy<Value = Field> {
    let authority = prop_oneof![
        Just("localhost".to_owned()),
        Just(String::new()),
        Just("/var/lib/kubelet/plugins_registry/gpu.example.com-reg.sock".to_owned()),
        Just("%2Fvar%2Flib%2Fkubelet%2Fplugins%2Fgpu%2Fdra.sock".to_owned()),
        "[!-~]{0,40}",
    ];
    prop_oneof![
        2 => authority.prop_map(|value| (b":authority".to_vec(), value.into_bytes())),
        1 => Just((b":method".to_vec(), b"POST".to_vec())),
        1 => Just((b"te".to_vec(), b"trailers".to_vec())),
        3 => ("[a-z-]{1,12}", prop::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(name, value)| (name.into_bytes(), value)),
        1 => ("[a-c]", prop::collection::vec(any::<u8>(), 900..2_000))
            .prop_map(|(name, value)| (name.into_bytes(), value)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// The peer's encoder indexes, compresses and evicts; the blocks are padded, prioritised and cut into frames, with
    /// data in between, and arrive in any pieces. Decoded by another HPACK, only the authority differs.
    #[test]
    fn only_the_authority_changes(
        lists in prop::collection::vec(prop::collection::vec(arbitrary_field(), 0..9), 1..9),
        cuts in prop::collection::vec(1_usize..700, 1..9),
        padding in prop::option::of(any::<u8>()),
        priority in prop::option::of(any::<[u8; 5]>()),
        data in prop::collection::vec(any::<u8>(), 0..300),
        sizes in prop::collection::vec(1_usize..5_000, 1..9),
        table in prop::option::of(0_usize..4_096),
    ) {
        let mut encoder = fluke_hpack::Encoder::new();
        if let Some(size) = table {
            encoder.set_max_table_size(size);
        }
        let mut cuts = cuts.into_iter().cycle();
        let mut input = PREFACE.to_vec();
        let mut others = Vec::new();
        for (place, list) in lists.iter().enumerate() {
            let stream = u32::try_from(2 * place + 1).expect("a small number");
            let mut block = Vec::new();
            if let Some(size) = table {
                let mut update = fluke_hpack::encoder::encode_integer(size, 5);
                update[0] |= 0x20;
                block.extend(update);
            }
            block.extend(encoder.encode(list.iter().map(|(name, value)| (&name[..], &value[..]))));
            let mut parts: Vec<Vec<u8>> = Vec::new();
            while parts.len() < 20 && !block.is_empty() {
                let rest = block.split_off(cuts.next().unwrap_or(1).min(block.len()));
                parts.push(std::mem::replace(&mut block, rest));
            }
            parts.push(block);
            let last = parts.len() - 1;
            for (number, part) in parts.into_iter().enumerate() {
                let (mut payload, mut flags) = (Vec::new(), if number == last { 4 } else { 0 });
                if number > 0 {
                    input.extend(frame(CONTINUATION, flags, stream, &part));
                    continue;
                }
                flags |= 1;
                if let Some(padding) = padding {
                    flags |= 8;
                    payload.push(padding);
                }
                if let Some(priority) = priority {
                    flags |= 0x20;
                    payload.extend(priority);
                }
                payload.extend(part);
                payload.extend(vec![0; usize::from(padding.unwrap_or(0))]);
                input.extend(frame(HEADERS, flags, stream, &payload));
            }
            others.push((0_u8, 0_u8, stream, data.clone()));
            input.extend(frame(0, 0, stream, &data));
        }
        let output = match rewrite(&input, &sizes) {
            Ok(output) => output,
            // Some of these lists are longer than a block may be.
            Err(error) => {
                prop_assert_eq!(error, TransportError::HeaderTooLong);
                prop_assert!(lists.iter().any(|list| list.iter().map(|(_, value)| value.len()).sum::<usize>() > 8_000));
                return Ok(());
            }
        };
        let wanted: Vec<_> = lists.iter().map(|list| expected(list)).collect();
        prop_assert_eq!(decode(&output), wanted);
        let passed: Vec<_> = frames(&output).into_iter().filter(|frame| frame.0 == 0).collect();
        prop_assert_eq!(passed, others);
        for (kind, flags, _, payload) in frames(&output) {
            if kind == HEADERS {
                prop_assert_eq!(flags & 0x29, 1 | if priority.is_some() { 0x20 } else { 0 });
                if let Some(priority) = priority {
                    prop_assert_eq!(&payload[..5], &priority[..]);
                }
            }
        }
    }

    /// Whatever arrives, in whatever pieces: no panic, bounded memory, and the pieces make no difference.
    #[test]
    fn any_octets_in_any_pieces(
        preface in any::<bool>(),
        parts in prop::collection::vec(
            (0_u8..12, any::<u8>(), 0_u32..4, prop::collection::vec(any::<u8>(), 0..200)), 0..12),
        garbage in prop::collection::vec(any::<u8>(), 0..40),
        sizes in prop::collection::vec(1_usize..50, 1..9),
    ) {
        let mut input = if preface { PREFACE.to_vec() } else { Vec::new() };
        for (kind, flags, stream, payload) in parts {
            input.extend(frame(kind, flags, stream, &payload));
        }
        input.extend(garbage);
        prop_assert_eq!(rewrite(&input, &sizes), rewrite(&input, &[4096]));
    }

    /// Our Huffman decoder against the other one.
    #[test]
    fn huffman_strings(raw in prop::collection::vec(any::<u8>(), 0..24)) {
        let mut block = vec![0, 1, b'a'];
        let mut length = fluke_hpack::encoder::encode_integer(raw.len(), 7);
        length[0] |= 0x80;
        block.extend(length);
        block.extend(&raw);
        let mut input = PREFACE.to_vec();
        input.extend(frame(HEADERS, 4, 1, &block));
        if let Ok(output) = rewrite(&input, &[4096]) {
            let theirs = fluke_hpack::Decoder::new().decode(&block).expect("a block that decodes");
            let theirs: Vec<Field> = theirs;
            prop_assert_eq!(decode(&output), vec![theirs]);
        }
    }
}

fn one_block(block: &[u8]) -> Result<Vec<u8>, TransportError> {
    let mut input = PREFACE.to_vec();
    input.extend(frame(HEADERS, 4, 1, block));
    rewrite(&input, &[4096])
}

#[test]
fn an_indexed_path_is_replaced_every_time_it_is_used() {
    let mut input = PREFACE.to_vec();
    // With incremental indexing by static name, then by the entry it made: as grpc-go sends its second call.
    let mut first = vec![0x41];
    first.extend(fluke_hpack::encoder::encode_integer(10, 7));
    first.extend(b"/some/path");
    input.extend(frame(HEADERS, 5, 1, &first));
    input.extend(frame(HEADERS, 5, 3, &[0xbe]));
    // By the name of that entry, with another value.
    input.extend(frame(HEADERS, 5, 5, &[0x0f, 62 - 15, 1, b'/']));
    let wanted = fields(&[(":authority", "localhost")]);
    assert_eq!(decode(&rewrite(&input, &[1]).expect("a sound stream")), vec![wanted; 3]);
}

#[test]
fn a_host_stays_as_it_is() {
    for host in ["localhost", "node-1.example.com:8080", "[::1]:50051", "user@host"] {
        let output = one_block(&literal(0, b":authority", host.as_bytes())).expect("a sound stream");
        assert_eq!(decode(&output), vec![fields(&[(":authority", host)])]);
    }
}

#[test]
fn the_static_entry_without_a_value_becomes_localhost() {
    assert_eq!(
        decode(&one_block(&[0x81]).expect("a sound stream")),
        vec![fields(&[(":authority", "localhost")])]
    );
}

#[test]
fn never_indexed_stays_never_indexed() {
    let output = one_block(&literal(0x10, b"authorization", b"secret")).expect("a sound stream");
    assert_eq!(frames(&output)[0].3[0], 0x10);
}

#[test]
fn trailers_without_an_authority_get_none() {
    let mut input = PREFACE.to_vec();
    input.extend(frame(HEADERS, 4, 1, &literal(0, b":authority", b"/path")));
    input.extend(frame(0, 0, 1, b"data"));
    input.extend(frame(HEADERS, 5, 1, &literal(0, b"grpc-status", b"0")));
    let output = rewrite(&input, &[7]).expect("a sound stream");
    assert_eq!(decode(&output)[1], fields(&[("grpc-status", "0")]));
    assert_eq!(frames(&output)[2].1, 5, "end of stream and of headers");
}

#[test]
fn a_block_over_sixteen_kibibytes_is_split() {
    let value = vec![b'x'; 17_000];
    let block = literal(0, b"long", &value);
    let mut input = PREFACE.to_vec();
    input.extend(frame(HEADERS, 0, 1, &block[..16_000]));
    input.extend(frame(CONTINUATION, 4, 1, &block[16_000..]));
    let output = rewrite(&input, &[4096]).expect("a sound stream");
    let shapes: Vec<_> = frames(&output).iter().map(|frame| (frame.0, frame.1, frame.3.len())).collect();
    assert_eq!(shapes[..1], [(HEADERS, 0, 16_384)]);
    assert_eq!((shapes[1].0, shapes[1].1, shapes.len()), (CONTINUATION, 4, 2));
    assert_eq!(decode(&output), vec![vec![(b"long".to_vec(), value)]]);
}

#[test]
fn one_octet_that_stands_for_four_kibibytes_is_bounded() {
    let mut input = PREFACE.to_vec();
    let mut block = literal(0x40, b"bomb", &[b'x'; 4_000]);
    block.extend([0xbe; 1_000]);
    input.extend(frame(HEADERS, 4, 1, &block));
    assert_eq!(rewrite(&input, &[4096]), Err(TransportError::HeaderTooLong));
}

#[test]
fn frames_that_break_the_order_end_the_connection() {
    let refused = |parts: &[Vec<u8>]| {
        let mut input = PREFACE.to_vec();
        input.extend(parts.concat());
        assert!(matches!(rewrite(&input, &[4096]), Err(TransportError::Frame(_))), "{parts:?}");
    };
    refused(&[frame(CONTINUATION, 4, 1, &[])]);
    refused(&[frame(HEADERS, 0, 1, &[]), frame(0, 0, 1, &[])]);
    refused(&[frame(HEADERS, 0, 1, &[]), frame(CONTINUATION, 4, 3, &[])]);
    refused(&[frame(HEADERS, 0, 1, &[]), frame(HEADERS, 4, 3, &[])]);
    refused(&[frame(HEADERS, 12, 1, &[])]);
    refused(&[frame(HEADERS, 12, 1, &[1])]);
    refused(&[frame(HEADERS, 0x24, 1, &[0; 4])]);
}

#[test]
fn a_hundred_continuations_end_the_connection() {
    let mut input = PREFACE.to_vec();
    input.extend(frame(HEADERS, 0, 1, &[]));
    (0..100).for_each(|_| input.extend(frame(CONTINUATION, 0, 1, &[])));
    assert_eq!(rewrite(&input, &[4096]), Err(TransportError::HeaderTooLong));
}

#[test]
fn what_rfc_7541_forbids_ends_the_connection() {
    let blocks: [&[u8]; 9] = [
        &[0x80],                            // index 0
        &[0xbe],                            // beyond the empty table
        &[0x3f, 0xe2, 0x1f],                // a table of 4097 octets
        &[0x82, 0x20],                      // size after a field
        &[0xff, 0xff, 0xff, 0xff, 0xff, 1], // an integer that does not end in time
        &[0, 5, b'a'],                      // a cut string
        &[0, 0x81, 0x00, 0],                // Huffman padding of zeroes
        &[0, 0x84, 0xff, 0xff, 0xff, 0xff], // the end-of-string symbol
        &[0, 1, b'a', 0x81, 0xff],          // eight bits of padding
    ];
    for block in blocks {
        assert!(matches!(one_block(block), Err(TransportError::Compression(_))), "{block:?}");
    }
}

#[test]
fn what_is_not_http_2_passes_unchanged() {
    let input = b"PRI * HTTP/1.1\r\nHost: /path\r\n\r\n";
    assert_eq!(rewrite(input, &[3]), Ok(input.to_vec()));
}

#[tokio::test]
async fn a_stream_reads_through_the_rewriter_and_writes_past_it() {
    let (mut client, server) = tokio::io::duplex(100);
    let mut input = PREFACE.to_vec();
    for stream in [1, 3, 5] {
        input.extend(frame(HEADERS, 4, stream, &literal(0x40, b":authority", b"/path")));
        input.extend(frame(0, 1, stream, &[7; 9_000]));
    }
    let wanted = rewrite(&input, &[4096]).expect("a sound stream");
    let writer = tokio::spawn(async move {
        client.write_all(&input).await?;
        client.shutdown().await?;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    });
    let mut stream = AuthorityStream::new(server);
    let mut output = Vec::new();
    let mut piece = [0; 777];
    loop {
        let length = stream.read(&mut piece).await.expect("a sound stream");
        assert!(stream.held() <= BOUND);
        if length == 0 {
            break;
        }
        output.extend_from_slice(&piece[..length]);
    }
    assert_eq!(output, wanted);
    stream.write_all(b"answer").await.expect("an open stream");
    stream.shutdown().await.expect("an open stream");
    assert_eq!(writer.await.expect("no panic").expect("an open stream"), b"answer");
}

#[tokio::test]
async fn a_broken_stream_ends_with_an_error_and_stays_ended() {
    let mut input = PREFACE.to_vec();
    input.extend(frame(HEADERS, 4, 1, &[0x80]));
    let mut stream = AuthorityStream::new(&input[..]);
    let mut output = Vec::new();
    let error = stream.read_to_end(&mut output).await.expect_err("index 0 is refused");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(output, PREFACE);
    assert_eq!(stream.read(&mut [0; 9]).await.expect("the end"), 0);
}
