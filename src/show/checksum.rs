//! Castagnoli's cyclic redundancy check, which event files use.

const fn table() -> [u32; 256] {
    let mut t = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut c = i as u32;
        let mut k = 0;
        while k < 8 {
            c = if c & 1 == 1 { 0x82f6_3b78 ^ (c >> 1) } else { c >> 1 };
            k += 1;
        }
        t[i] = c;
        i += 1;
    }
    t
}
static TABLE: [u32; 256] = table();

/// CRC-32C (RFC 3720, appendix B.4).
pub fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |c, b| TABLE[((c ^ *b as u32) & 255) as usize] ^ (c >> 8))
}

/// The same, rotated and shifted as TFRecord files have it.
pub fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[test]
fn known_value() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
