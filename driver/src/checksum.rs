//! A checksum against damage, and a short name for a long one. Nothing here resists an attacker.

/// FNV-1a with 64 bits. A change of any one octet always changes it, since every step is a bijection of the state.
pub(crate) fn checksum(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |state, octet| {
        (state ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// CRC-32 as Ethernet has it, and the kubelet in its checkpoint.
pub(crate) fn crc32(octets: &[u8]) -> u32 {
    !octets.iter().fold(!0, |state, octet| {
        (0..8).fold(state ^ u32::from(*octet), |state, _| {
            if state & 1 == 1 { (state >> 1) ^ 0xedb8_8320 } else { state >> 1 }
        })
    })
}

/// Eleven characters that can be part of a file name, for a text of any length.
pub(crate) fn short_name(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let hash = checksum(text.as_bytes());
    (0..11)
        .map(|place| {
            let shifted = u128::from(hash) << 2 >> (60 - 6 * place);
            char::from(ALPHABET[usize::try_from(shifted & 0x3f).unwrap_or(0)])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values_of_fnv_1a() {
        assert_eq!(checksum(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(checksum(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn known_value_of_crc_32() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    proptest! {
        #[test]
        fn a_changed_octet_changes_it(
            mut octets in prop::collection::vec(any::<u8>(), 1..99), place: prop::sample::Index, change in 1_u8..,
        ) {
            let before = checksum(&octets);
            let place = place.index(octets.len());
            octets[place] ^= change;
            prop_assert_ne!(checksum(&octets), before);
        }

        #[test]
        fn short_names_tell_all_bits_apart(one in "[a-f0-9-]{36}", other in "[a-f0-9-]{36}") {
            prop_assert_eq!(short_name(&one).len(), 11);
            prop_assert_eq!(short_name(&one) == short_name(&other), checksum(one.as_bytes()) == checksum(other.as_bytes()));
        }
    }
}
