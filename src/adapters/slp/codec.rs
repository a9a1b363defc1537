//! Encodes and decodes the Server List Ping. Pure and total: no input causes a panic or unbounded reading.

/// The longest status is 32767 characters of at most four bytes.
const MAX_STATUS: usize = 4 * 32_767;
/// The longest packet that can hold it.
const MAX_FRAME: usize = MAX_STATUS + 16;
/// The longest answer to a legacy ping, in UTF-16 units.
const MAX_LEGACY: usize = 1024;
/// The longest host name in a handshake.
const MAX_HOST: usize = 255;
/// The packet id of a status and of the handshake.
const STATUS: i32 = 0;
/// Any protocol: the server answers with its own.
const ANY_PROTOCOL: i32 = -1;
const NEXT_STATUS: i32 = 1;
/// The protocol of 1.6.4, the last version with the legacy ping.
const LEGACY_PROTOCOL: u8 = 78;

/// The bytes are not an answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// A number has more than 32 bits.
    #[error("a number is longer than 32 bits")]
    VarInt,
    /// A length is negative, zero, or more than is accepted.
    #[error("a length of {0} is out of bounds")]
    Length(i64),
    /// A packet of another type than requested.
    #[error("packet {0} instead of a status")]
    Packet(i32),
    /// The first byte does not begin an answer.
    #[error("it begins with byte {0:#04x}")]
    Beginning(u8),
    /// The packet ends before its content does.
    #[error("the packet is shorter than its content")]
    Short,
}

/// Handshake and status request, sent together.
pub(super) fn status_request(host: &str, port: u16) -> Vec<u8> {
    let host = cut(host);
    let mut handshake = Vec::new();
    put_var_int(&mut handshake, STATUS);
    put_var_int(&mut handshake, ANY_PROTOCOL);
    put_var_int(&mut handshake, length(host.len()));
    handshake.extend_from_slice(host.as_bytes());
    handshake.extend(port.to_be_bytes());
    put_var_int(&mut handshake, NEXT_STATUS);
    let mut request = Vec::new();
    put_var_int(&mut request, length(handshake.len()));
    request.extend(handshake);
    request.extend([1, 0]);
    request
}

/// The ping of 1.6, which 1.4 and 1.5 also understand.
pub(super) fn legacy_request(host: &str, port: u16) -> Vec<u8> {
    let host: Vec<u16> = cut(host).encode_utf16().collect();
    let channel: Vec<u16> = "MC|PingHost".encode_utf16().collect();
    let mut request = vec![0xfe, 0x01, 0xfa];
    put_utf16(&mut request, &channel);
    request.extend(short(7 + 2 * host.len()).to_be_bytes());
    request.push(LEGACY_PROTOCOL);
    put_utf16(&mut request, &host);
    request.extend(u32::from(port).to_be_bytes());
    request
}

/// The status document at the beginning of `bytes`; `None` when more bytes are needed. What is not UTF-8 counts as U+FFFD.
pub(super) fn status_answer(bytes: &[u8]) -> Result<Option<String>, Malformed> {
    let Some((size, rest)) = take_var_int(bytes)? else { return Ok(None) };
    let size = bounded(size, MAX_FRAME)?;
    let Some(packet) = rest.get(..size) else { return Ok(None) };
    let (id, rest) = take_var_int(packet)?.ok_or(Malformed::Short)?;
    if id != STATUS {
        return Err(Malformed::Packet(id));
    }
    let (size, rest) = take_var_int(rest)?.ok_or(Malformed::Short)?;
    let text = rest.get(..bounded(size, MAX_STATUS)?).ok_or(Malformed::Short)?;
    Ok(Some(String::from_utf8_lossy(text).into_owned()))
}

/// The text of the answer to a legacy ping; `None` when more bytes are needed.
pub(super) fn legacy_answer(bytes: &[u8]) -> Result<Option<String>, Malformed> {
    match bytes {
        [] | [0xff] | [0xff, _] => Ok(None),
        [0xff, high, low, rest @ ..] => {
            let size = bounded(i32::from(u16::from_be_bytes([*high, *low])), MAX_LEGACY)?;
            let Some(text) = rest.get(..2 * size) else { return Ok(None) };
            let units: Vec<u16> = text.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            Ok(Some(String::from_utf16_lossy(&units)))
        }
        [first, ..] => Err(Malformed::Beginning(*first)),
    }
}

/// Takes a VarInt off the front: groups of seven bits, least significant first; `None` when more bytes are needed.
fn take_var_int(bytes: &[u8]) -> Result<Option<(i32, &[u8])>, Malformed> {
    let mut value = 0u32;
    for (index, shift) in [0u32, 7, 14, 21, 28].into_iter().enumerate() {
        let Some((&byte, rest)) = bytes.get(index..).and_then(<[u8]>::split_first) else { return Ok(None) };
        // The fifth group has room for four bits, and there is no sixth.
        if shift == 28 && byte > 0x0f {
            break;
        }
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some((value.cast_signed(), rest)));
        }
    }
    Err(Malformed::VarInt)
}

fn put_var_int(bytes: &mut Vec<u8>, value: i32) {
    let mut rest = value.cast_unsigned();
    while rest > 0x7f {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
}

fn put_utf16(bytes: &mut Vec<u8>, units: &[u16]) {
    bytes.extend(short(units.len()).to_be_bytes());
    bytes.extend(units.iter().flat_map(|unit| unit.to_be_bytes()));
}

fn bounded(size: i32, most: usize) -> Result<usize, Malformed> {
    let fits = usize::try_from(size).ok().filter(|size| (1..=most).contains(size));
    fits.ok_or(Malformed::Length(i64::from(size)))
}

fn cut(host: &str) -> String {
    host.chars().take(MAX_HOST).collect()
}

fn length(size: usize) -> i32 {
    i32::try_from(size).unwrap_or(i32::MAX)
}

fn short(size: usize) -> u16 {
    u16::try_from(size).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn var_int(value: i32) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_var_int(&mut bytes, value);
        bytes
    }

    fn framed(text: &str) -> Vec<u8> {
        let content = [var_int(STATUS), var_int(length(text.len())), text.as_bytes().to_vec()].concat();
        [var_int(length(content.len())), content].concat()
    }

    #[test]
    fn numbers_are_encoded_as_in_the_protocol() {
        let known: [(i32, &[u8]); 7] = [
            (0, &[0]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (25_565, &[0xdd, 0xc7, 1]),
            (i32::MAX, &[0xff, 0xff, 0xff, 0xff, 7]),
            (-1, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0x80, 0x80, 0x80, 0x80, 8]),
        ];
        for (value, bytes) in known {
            assert_eq!(var_int(value), bytes);
            assert_eq!(take_var_int(bytes), Ok(Some((value, &[][..]))));
        }
    }

    #[test]
    fn oversized_numbers_are_refused() {
        for bytes in [[0xff, 0xff, 0xff, 0xff, 0x1f], [0x80, 0x80, 0x80, 0x80, 0x80], [0xff; 5]] {
            assert_eq!(take_var_int(&bytes), Err(Malformed::VarInt));
        }
        assert_eq!(take_var_int(&[0x80, 0x80]), Ok(None));
    }

    #[test]
    fn requests_are_encoded_as_in_the_protocol() {
        let expected = [&[18, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 8][..], b"mc-1.tld", &[0x63, 0xdd, 1, 1, 0]].concat();
        assert_eq!(status_request("mc-1.tld", 25_565), expected);
        let legacy = legacy_request("ab", 25_565);
        assert_eq!(legacy[..5], [0xfe, 1, 0xfa, 0, 11]);
        assert_eq!(legacy[27..], [0, 11, 78, 0, 2, 0, b'a', 0, b'b', 0, 0, 0x63, 0xdd]);
    }

    #[test]
    fn lengths_out_of_bounds_are_refused_at_once() {
        for size in [0, -1, i32::MIN, i32::MAX, length(MAX_FRAME) + 1] {
            assert_eq!(status_answer(&var_int(size)), Err(Malformed::Length(i64::from(size))), "{size}");
        }
        assert_eq!(legacy_answer(&[0xff, 0xff, 0xff]), Err(Malformed::Length(0xffff)));
        assert_eq!(legacy_answer(&[0x15]), Err(Malformed::Beginning(0x15)));
        assert_eq!(status_answer(&[2, 1, 0]), Err(Malformed::Packet(1)));
        assert_eq!(status_answer(&[3, 0, 9, b'x']), Err(Malformed::Short));
    }

    proptest! {
        #[test]
        fn a_number_survives(value in any::<i32>()) {
            let bytes = var_int(value);
            prop_assert_eq!(take_var_int(&bytes), Ok(Some((value, &[][..]))));
        }

        #[test]
        fn a_status_is_read_once_it_is_whole_and_never_before(text in "\\PC{1,200}", after in prop::collection::vec(any::<u8>(), 0..9)) {
            let whole = framed(&text);
            for end in 0..whole.len() {
                prop_assert_eq!(status_answer(&whole[..end]), Ok(None));
            }
            prop_assert_eq!(status_answer(&[whole, after].concat()), Ok(Some(text)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = (status_answer(&bytes), legacy_answer(&bytes), take_var_int(&bytes));
            let _ = legacy_answer(&[&[0xff, 0, 40][..], &bytes].concat());
        }

        #[test]
        fn a_damaged_status_does_not_make_it_panic(text in "\\PC{1,200}", at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = framed(&text);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = status_answer(&bytes);
        }

        #[test]
        fn a_request_is_bounded_whatever_the_host(host in "\\PC{0,2000}", port in any::<u16>()) {
            prop_assert!(status_request(&host, port).len() <= 4 * MAX_HOST + 20);
            prop_assert!(legacy_request(&host, port).len() <= 4 * MAX_HOST + 50);
        }
    }
}
