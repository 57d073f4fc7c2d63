//! One gzip member, inflated whole and bounded; says whether anything follows it.

use std::cell::RefCell;

use libdeflate_sys as sys;

/// How far an object may grow.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    /// Most bytes after inflating.
    pub inflated: usize,
    /// Most inflated bytes per stored byte, once an object inflates to more than a mebibyte.
    pub ratio: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { inflated: 96 << 20, ratio: 400 }
    }
}

/// What the stored bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inflated {
    /// The bytes of the first member.
    pub bytes: Vec<u8>,
    /// Stored bytes after the first member; a lenient reader would read them, the digest's hash does not cover them.
    pub trailing: usize,
}

/// Why the bytes are not one gzip member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadGzip {
    #[error("not gzip: the magic number is missing")]
    NotGzip,
    #[error("the gzip stream is cut off or damaged")]
    Damaged,
    #[error("inflates to more than {0} bytes")]
    TooLarge(usize),
    #[error("inflates to more than {0} times its size")]
    Bomb(usize),
}

impl BadGzip {
    /// The cap was hit: nothing is known about the content.
    pub fn is_cap(self) -> bool {
        matches!(self, Self::TooLarge(_) | Self::Bomb(_))
    }
}

const MEBIBYTE: usize = 1 << 20;

/// Inflates the first gzip member of `stored`.
pub fn inflate(stored: &[u8], caps: Caps) -> Result<Inflated, BadGzip> {
    if !stored.starts_with(&[0x1f, 0x8b]) {
        return Err(BadGzip::NotGzip);
    }
    let limit = limit(stored, caps);
    let mut room = claim(stored, caps);
    let mut bytes = vec![0; room];
    loop {
        match member(stored, &mut bytes) {
            Member::Done { read, written } => {
                bytes.truncate(written);
                return Ok(Inflated { bytes, trailing: stored.len() - read });
            }
            Member::Damaged => return Err(BadGzip::Damaged),
            Member::NoRoom if room >= caps.inflated => return Err(BadGzip::TooLarge(caps.inflated)),
            Member::NoRoom if room >= limit => return Err(BadGzip::Bomb(caps.ratio)),
            Member::NoRoom => {
                room = room.saturating_mul(4).min(limit);
                // It begins anew: the smaller room is given back before the larger one is taken.
                drop(std::mem::take(&mut bytes));
                bytes = vec![0; room];
            }
        }
    }
}

/// The most that the bytes may inflate to.
pub fn limit(stored: &[u8], caps: Caps) -> usize {
    caps.inflated.min(stored.len().saturating_mul(caps.ratio).max(MEBIBYTE))
}

/// What the bytes inflate to if they are honest; never more than their limit.
pub fn claim(stored: &[u8], caps: Caps) -> usize {
    let limit = limit(stored, caps);
    hint(stored).clamp(limit.min(4096), limit)
}

/// The size that the trailer claims; only a first guess, since whoever wrote the object wrote the trailer.
fn hint(stored: &[u8]) -> usize {
    match stored.last_chunk::<4>() {
        Some(size) if u32::from_le_bytes(*size) as usize / 64 < stored.len() => u32::from_le_bytes(*size) as usize + 1,
        _ => stored.len().saturating_mul(8),
    }
}

enum Member {
    Done { read: usize, written: usize },
    NoRoom,
    Damaged,
}

struct Decompressor(std::ptr::NonNull<sys::libdeflate_decompressor>);

#[expect(unsafe_code, reason = "libdeflate's safe wrapper does not say where the member ended")]
impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: the pointer came from libdeflate_alloc_decompressor and is freed once.
        unsafe { sys::libdeflate_free_decompressor(self.0.as_ptr()) }
    }
}

thread_local! {
    static DECOMPRESSOR: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
}

#[expect(unsafe_code, reason = "libdeflate's safe wrapper does not say where the member ended")]
fn member(stored: &[u8], out: &mut [u8]) -> Member {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            // SAFETY: no arguments; null means out of memory and is checked.
            *slot = std::ptr::NonNull::new(unsafe { sys::libdeflate_alloc_decompressor() }).map(Decompressor);
        }
        let Some(decompressor) = slot else { return Member::NoRoom };
        let (mut read, mut written) = (0usize, 0usize);
        // SAFETY: both slices are valid for their lengths for the whole call, `out` is exclusive, the two counters
        // outlive it, and the decompressor belongs to this thread.
        let result = unsafe {
            sys::libdeflate_gzip_decompress_ex(
                decompressor.0.as_ptr(),
                stored.as_ptr().cast(),
                stored.len(),
                out.as_mut_ptr().cast(),
                out.len(),
                &mut read,
                &mut written,
            )
        };
        match result {
            sys::libdeflate_result_LIBDEFLATE_SUCCESS => Member::Done { read, written },
            sys::libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => Member::NoRoom,
            _ => Member::Damaged,
        }
    })
}

/// Packs bytes as one gzip member, as CloudTrail stores them; for made worlds and tests.
pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut out = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let written = compressor.gzip_compress(bytes, &mut out).unwrap_or(0);
    out.truncate(written);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_comes_back_whole() {
        for size in [0, 1, 4095, 4096, 70_000, 3_000_000] {
            let raw: Vec<u8> = (0..size).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 16) as u8).collect();
            let inflated = inflate(&deflate(&raw), Caps::default()).unwrap();
            assert_eq!((inflated.bytes == raw, inflated.trailing), (true, 0), "{size}");
        }
    }

    #[test]
    fn whatever_follows_the_member_is_counted_even_if_it_ends_in_the_same_trailer() {
        let mut stored = deflate(b"{\"Records\":[]}");
        let trailer = stored[stored.len() - 8..].to_vec();
        stored.extend(b"junk");
        stored.extend(trailer);
        assert_eq!(inflate(&stored, Caps::default()).unwrap().trailing, 12);
    }

    #[test]
    fn every_cut_is_damage() {
        let stored = deflate(&b"abcdefgh".repeat(500));
        for cut in [1, 4, 8, 9, 20] {
            assert_eq!(inflate(&stored[..stored.len() - cut], Caps::default()), Err(BadGzip::Damaged), "{cut}");
        }
        assert_eq!(inflate(b"plain text", Caps::default()), Err(BadGzip::NotGzip));
    }

    #[test]
    fn bombs_stop_at_size_and_ratio() {
        let stored = deflate(&vec![0; 8 << 20]);
        let small = Caps { inflated: 2 << 20, ratio: 100_000 };
        assert_eq!(inflate(&stored, small), Err(BadGzip::TooLarge(2 << 20)));
        let tight = Caps { inflated: 64 << 20, ratio: 200 };
        assert_eq!(inflate(&stored, tight), Err(BadGzip::Bomb(200)));
    }
}
