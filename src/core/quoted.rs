//! Where a JSON string ends, and what holds strings. Most are short: to look at eight bytes at a time costs less than a call that is quick with long ones.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const QUOTES: u64 = LOW * b'"' as u64;
const BACKSLASHES: u64 = LOW * b'\\' as u64;

/// The place of the quote that ends the string which begins at `start`, and whether anything in it is escaped.
pub fn end(bytes: &[u8], start: usize) -> Option<(usize, bool)> {
    let (mut at, mut escaped) = (start + 1, false);
    loop {
        at = stop::<false>(bytes, at)?;
        if bytes.get(at) == Some(&b'"') {
            return Some((at, escaped));
        }
        escaped = true;
        at += 2;
    }
}

/// The same of a text that nobody has parsed: none where it is no JSON string.
pub fn valid(bytes: &[u8], start: usize) -> Option<(usize, bool)> {
    let (mut at, mut escaped) = (start + 1, false);
    loop {
        at = stop::<true>(bytes, at)?;
        match bytes.get(at)? {
            b'"' => return Some((at, escaped)),
            b'\\' => at += escape(bytes, at)?,
            _ => return None,
        }
        escaped = true;
    }
}

/// Bytes of what a backslash begins.
fn escape(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

/// After the object or array that begins at `start`.
pub fn nested(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut open) = (start, 0_usize);
    loop {
        match bytes.get(at)? {
            b'"' => at = end(bytes, at)?.0,
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.checked_sub(1)?,
            _ => {}
        }
        at += 1;
        if open == 0 {
            return Some(at);
        }
    }
}

/// The next quote or backslash, or what must not stand in a string: a control character.
fn stop<const CONTROLS: bool>(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let (words, tail) = rest.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let mut found = zero(word ^ QUOTES) | zero(word ^ BACKSLASHES);
        if CONTROLS {
            found |= word.wrapping_sub(LOW * 0x20) & !word & HIGH;
        }
        if found != 0 {
            return Some(from + number * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = tail.iter().position(|byte| matches!(byte, b'"' | b'\\') || CONTROLS && *byte < 0x20)?;
    Some(from + words.len() * 8 + at)
}

/// A bit for each byte that is zero; the lowest one is sure.
fn zero(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_ends_where_it_ends(text in "[a\"\\\\\u{1}\u{7f}#!é]{0,40}", before in 0_usize..20) {
            let mut text = format!("{}\"{text}", "\"\\".repeat(before));
            let start = 2 * before;
            for _ in 0..2 {
                let (mut escaped, mut escapes, mut found) = (false, false, None);
                for (at, byte) in text.bytes().enumerate().skip(start + 1) {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => (escaped, escapes) = (true, true),
                        b'"' => {
                            found = Some((at, escapes));
                            break;
                        }
                        _ => {}
                    }
                }
                prop_assert_eq!(end(text.as_bytes(), start), found);
                text.push('"');
            }
        }
    }
}
