//! How deep a JSON text nests. Skipping unknown parts costs `serde_json` no stack and so knows no limit; whoever reads the same text as a tree does.

/// Whether brackets outside of strings nest deeper than `limit`. The text need not be valid JSON.
pub fn exceeds(text: &str, limit: usize) -> bool {
    // counting is much cheaper than following strings, and settles nearly every text
    opened(text) > limit && deepest(text) > limit
}

/// How many `[` and `{` there are. They differ in one bit, and sums that fit a byte let the compiler use whole registers.
fn opened(text: &str) -> usize {
    let count = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>();
    text.as_bytes().chunks(128).map(|chunk| usize::from(count(chunk))).sum()
}

fn deepest(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_brackets_outside_of_strings_count() {
        assert!(!exceeds(r#"{"a":[[1]]}"#, 3));
        assert!(exceeds(r#"{"a":[[1]]}"#, 2));
        assert!(!exceeds(r#"{"a":"[[[[[[\"[[[[\\"}"#, 1));
        assert!(!exceeds("[[],[],[],[],[]]", 2));
        assert!(exceeds(&"[".repeat(100_000), 99_999));
        assert_eq!(opened(&"x[y{z]};}\u{5b}é".repeat(1000)), 3000);
    }
}
