//! Any octets as a connection to a plugin's socket: no panic, at most 64 KiB held, pieces make no difference, and
//! frames that carry no header block pass octet by octet.
#![no_main]

use drayage_driver::kubelet::transport::{Rewriter, TransportError};
use libfuzzer_sys::fuzz_target;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn rewrite(input: &[u8], size: usize) -> (Vec<u8>, Option<TransportError>) {
    let mut rewriter = Rewriter::default();
    let mut all = Vec::new();
    for mut piece in input.chunks(size) {
        while !piece.is_empty() {
            let mut output = Vec::new();
            match rewriter.rewrite(piece, &mut output) {
                Ok(taken) => piece = &piece[taken..],
                Err(error) => {
                    all.extend(output);
                    return (all, Some(error));
                }
            }
            assert!(rewriter.held() + output.capacity() + 4096 <= 64 * 1024);
            all.extend(output);
        }
    }
    (all, None)
}

/// The frames without those of header blocks, cut where the octets end.
fn others(octets: &[u8]) -> Vec<u8> {
    let mut rest = octets;
    let mut others = Vec::new();
    while rest.len() >= 9 {
        let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        let (frame, later) = rest.split_at((9 + length).min(rest.len()));
        if !matches!(frame[3], 1 | 9) {
            others.extend_from_slice(frame);
        }
        rest = later;
    }
    others
}

fuzz_target!(|data: (u8, bool, &[u8])| {
    let (size, preface, octets) = data;
    let input = if preface { [PREFACE, octets].concat() } else { octets.to_vec() };
    let whole = rewrite(&input, 4096);
    assert_eq!(rewrite(&input, usize::from(size).max(1)), whole);
    if preface {
        let output = whole.0.strip_prefix(PREFACE).expect("the preface passes");
        let passed = others(output);
        assert!(others(octets).starts_with(&passed));
        if whole.1.is_none() {
            assert_eq!(others(octets), passed);
        }
    }
});
