//! Patterns with `*` (any run) and `?` (any one character), against texts and against each other.

/// Whether a pattern matches a text.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (wanted, given) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stood, and how much of the text it has swallowed so far.
    let mut star: Option<(usize, usize)> = None;
    while t < given.len() {
        match (wanted.get(p), star) {
            (Some(b'*'), _) => {
                star = Some((p, t));
                p += 1;
            }
            (Some(b'?'), _) => {
                p += 1;
                t += 1;
                // One character, of however many bytes.
                while !text.is_char_boundary(t) {
                    t += 1;
                }
            }
            (Some(byte), _) if *byte == given[t] => {
                p += 1;
                t += 1;
            }
            (_, Some((at, swallowed))) => {
                star = Some((at, swallowed + 1));
                p = at + 1;
                t = swallowed + 1;
                while !text.is_char_boundary(t) {
                    t += 1;
                }
            }
            _ => return false,
        }
    }
    wanted[p..].iter().all(|byte| *byte == b'*')
}

/// Whether some text fits both patterns.
pub fn intersect(one: &str, other: &str) -> bool {
    compare(one, other, |a, b| a == b || a == '?' || b == '?', true)
}

/// Whether every text that fits `inner` fits `outer`. May say no where only a closer look would see it; never yes wrongly.
pub fn covers(outer: &str, inner: &str) -> bool {
    compare(outer, inner, |a, b| b != '*' && (a == '?' || a == b), false)
}

/// Walks both patterns at once. A `*` of `one` swallows whatever stands in `other`; with `both`, also the reverse.
fn compare(one: &str, other: &str, same: impl Fn(char, char) -> bool, both: bool) -> bool {
    // Most patterns begin alike, or differ before the first wildcard.
    let (one, other) = after_common(one, other);
    let plain = |text: &str| text.bytes().next().is_some_and(|byte| !matches!(byte, b'*' | b'?'));
    if plain(one) && plain(other) {
        return false;
    }
    let (one, other) = (chars(one), chars(other));
    // reachable[j]: what was walked of `one` can stand against the first j of `other`.
    let mut reachable = vec![false; other.len() + 1];
    reachable[0] = true;
    for j in 0..other.len() {
        reachable[j + 1] = both && reachable[j] && other[j] == '*';
    }
    for a in one {
        let mut next = vec![false; other.len() + 1];
        next[0] = reachable[0] && a == '*';
        for (j, &b) in other.iter().enumerate() {
            let swallowed = a == '*' && (next[j] || reachable[j + 1]);
            let swallows = both && b == '*' && (next[j] || reachable[j + 1]);
            next[j + 1] = swallowed || swallows || (a != '*' && reachable[j] && same(a, b));
        }
        reachable = next;
    }
    reachable[other.len()]
}

/// Both without what they have in common before the first wildcard of either.
fn after_common<'t>(one: &'t str, other: &'t str) -> (&'t str, &'t str) {
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b && !matches!(a, '*' | '?'));
    let length: usize = same.map(|(c, _)| c.len_utf8()).sum();
    (&one[length..], &other[length..])
}

fn chars(text: &str) -> Vec<char> {
    text.chars().collect()
}

pub fn is_wild(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every text of up to four letters of a small alphabet.
    fn texts() -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..4 {
            last = last.iter().flat_map(|text| ["a", "b", "/"].map(|c| format!("{text}{c}"))).collect();
            all.extend(last.clone());
        }
        all
    }

    fn patterns() -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..3 {
            last = last.iter().flat_map(|text| ["a", "b", "*", "?"].map(|c| format!("{text}{c}"))).collect();
            all.extend(last.clone());
        }
        all
    }

    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some(b'*'), _) => slowly(&pattern[1..], text) || (!text.is_empty() && slowly(pattern, &text[1..])),
            (Some(p), Some(t)) => (*p == b'?' || p == t) && slowly(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    #[test]
    fn patterns_match_as_a_slow_reading_of_the_rule_says() {
        for pattern in patterns() {
            for text in texts() {
                let wanted = slowly(pattern.as_bytes(), text.as_bytes());
                assert_eq!(matches(&pattern, &text), wanted, "{pattern} {text}");
            }
        }
        assert!(matches("?*é", "日本é") && matches("*?é", "日本é") && !matches("???", "日本"));
        assert!(!matches(&format!("{}b", "*a".repeat(60)), &"a".repeat(2_000)), "this must end");
    }

    #[test]
    fn patterns_compare_as_the_texts_that_fit_them() {
        let texts = texts();
        for one in patterns() {
            let fits: Vec<&String> = texts.iter().filter(|text| matches(&one, text)).collect();
            for other in patterns() {
                let both = fits.iter().any(|text| matches(&other, text));
                // Three letters of pattern meet in four letters of text, if at all.
                assert_eq!(intersect(&one, &other), both, "{one} {other}");
                if covers(&other, &one) {
                    assert!(fits.iter().all(|text| matches(&other, text)), "{other} does not cover {one}");
                }
            }
        }
        assert!(covers("arn:aws:s3:::b/*", "arn:aws:s3:::b/AWSLogs/*"));
        assert!(covers("*", "a?*"));
        assert!(!covers("b/AWSLogs/*", "b/*"));
        assert!(!covers("b/?", "b/*"));
    }
}
