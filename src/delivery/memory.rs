//! How many bytes are in memory at once: whoever reads or inflates an object takes room for it first, and waits for it.
//!
//! A quarter of the bytes is for objects as they are stored, the rest for what they inflate to; message bodies have another
//! quarter on top. Room is taken in the order message, stored, inflated and never the other way around, so nobody waits in a
//! circle. What is larger than its part takes the whole part: it is worked on alone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::core::gzip::{self, BadGzip, Caps, Inflated};
use crate::env::Env;
use crate::error::Result;
use crate::seam::{Bucket, Got};

/// What an object of unknown size is first asked for with; log files are mostly smaller.
const UNKNOWN: u64 = 256 << 10;
/// Up to this many bytes are worked through where they are, more of them on a blocking thread.
pub const INLINE: usize = 2 << 20;

/// Room that is held; free again when dropped.
#[derive(Debug)]
pub struct Room(#[expect(dead_code, reason = "held, not asked")] Option<OwnedSemaphorePermit>);

pub struct Memory {
    bodies: Part,
    stored: Part,
    inflated: Part,
    env: Env,
}

struct Part {
    free: Arc<Semaphore>,
    /// In kibibytes.
    whole: u32,
}

impl Part {
    fn new(bytes: u64) -> Self {
        let whole = u32::try_from(bytes >> 10).unwrap_or(u32::MAX >> 4).clamp(1, u32::MAX >> 4);
        Self { free: Arc::new(Semaphore::new(whole as usize)), whole }
    }

    async fn take(&self, bytes: u64) -> Room {
        let wanted = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, self.whole);
        // Nobody closes it; if somebody did, there would be no limit rather than no work.
        Room(self.free.clone().acquire_many_owned(wanted).await.ok())
    }
}

impl Memory {
    pub fn new(bytes: u64, env: Env) -> Self {
        Self { bodies: Part::new(bytes / 4), stored: Part::new(bytes / 4), inflated: Part::new(bytes - bytes / 4), env }
    }

    /// Room for a message's body, which is there already. Whoever comes later waits behind those who wait, so room for nothing
    /// is had when all bodies have theirs.
    pub async fn body(&self, bytes: usize) -> Room {
        self.bodies.take(bytes as u64).await
    }

    /// Whether message bodies take more than half of their room.
    pub fn crowded(&self) -> bool {
        self.bodies.free.available_permits() < self.bodies.whole as usize / 2
    }

    /// As [`Bucket::get`] with `most` bytes at most; `expected` is what somebody said of its size. If that was too little, the
    /// object is asked for once more: nobody's word makes us read more than there is room for.
    pub async fn get(
        &self,
        bucket: &dyn Bucket,
        key: &str,
        version: Option<&str>,
        expected: Option<u64>,
        most: u64,
    ) -> Result<(Got, Room)> {
        let mut wanted = expected.filter(|size| *size > 0).unwrap_or(UNKNOWN).min(most);
        loop {
            let room = self.stored.take(wanted).await;
            match bucket.get(key, version, wanted).await? {
                Got::TooLarge(size) if wanted < most && size <= most => wanted = size.max(wanted + 1),
                got => return Ok((got, room)),
            }
        }
    }

    /// As [`gzip::inflate`]. The stored bytes are dropped; the room is for the inflated ones.
    pub async fn inflate(&self, stored: Vec<u8>, caps: Caps) -> Result<(Result<Inflated, BadGzip>, Room)> {
        let (limit, mut wanted) = (gzip::limit(&stored, caps), gzip::claim(&stored, caps));
        let mut stored = stored;
        loop {
            let room = self.inflated.take(wanted as u64).await;
            let within = Caps { inflated: wanted.min(caps.inflated), ..caps };
            let outcome;
            (stored, outcome) = if wanted <= INLINE {
                let outcome = gzip::inflate(&stored, within);
                (stored, outcome)
            } else {
                let inflate = move || {
                    let outcome = gzip::inflate(&stored, within);
                    (stored, outcome)
                };
                self.env.blocking(inflate).await?
            };
            match outcome {
                Err(BadGzip::TooLarge(_)) if wanted < limit => wanted = wanted.saturating_mul(4).min(limit),
                Err(BadGzip::TooLarge(_)) if limit < caps.inflated => {
                    return Ok((Err(BadGzip::Bomb(caps.ratio)), room));
                }
                outcome => return Ok((outcome, room)),
            }
        }
    }

    /// Room for whatever the bytes may inflate to.
    pub async fn most(&self, stored: &[u8], caps: Caps) -> Room {
        self.inflated.take(gzip::limit(stored, caps) as u64).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::seam::{Head, Listed, Metadata, Object, Page};

    /// One object of a size, and the largest size it was asked for with.
    struct One(u64, AtomicUsize);

    #[async_trait]
    impl Bucket for One {
        async fn get(&self, _: &str, _: Option<&str>, max_bytes: u64) -> Result<Got> {
            self.1.fetch_add(1, Ordering::Relaxed);
            if self.0 > max_bytes {
                return Ok(Got::TooLarge(self.0));
            }
            let body = vec![0; usize::try_from(self.0).unwrap()];
            Ok(Got::Found(Object { head: Head::default(), body }))
        }
        async fn head(&self, _: &str, _: Option<&str>) -> Result<Option<Head>> {
            Ok(None)
        }
        async fn list(&self, _: &str, _: Option<&str>) -> Result<Page> {
            Ok(Page { objects: Vec::<Listed>::new(), more: false })
        }
        async fn folders(&self, _: &str) -> Result<Vec<String>> {
            Ok(vec![])
        }
        async fn put(&self, _: &str, _: Vec<u8>, _: Metadata) -> Result<()> {
            Ok(())
        }
        async fn has_metadata(&self) -> Result<bool> {
            Ok(true)
        }
    }

    fn free(memory: &Memory) -> (usize, usize) {
        (memory.stored.free.available_permits(), memory.inflated.free.available_permits())
    }

    #[tokio::test]
    async fn an_object_larger_than_it_was_said_to_be_is_asked_for_with_room_for_it() {
        let memory = Memory::new(16 << 20, Env::system());
        for (size, said, asked) in [(900, Some(900), 1), (900, Some(20), 2), (900, None, 1), (1 << 20, None, 2)] {
            let bucket = One(size, AtomicUsize::new(0));
            let (got, room) = memory.get(&bucket, "k", None, said, 2 << 20).await.unwrap();
            assert!(matches!(got, Got::Found(object) if object.body.len() as u64 == size), "{size} {said:?}");
            assert_eq!(bucket.1.into_inner(), asked, "{size} {said:?}");
            let held = usize::try_from(said.unwrap_or(UNKNOWN).max(size).div_ceil(1024)).unwrap();
            assert_eq!(free(&memory), (4096 - held, 12 << 10), "{size} {said:?}");
            drop(room);
        }
        let bucket = One(3 << 20, AtomicUsize::new(0));
        let (got, _) = memory.get(&bucket, "k", None, Some(7), 2 << 20).await.unwrap();
        assert!(matches!(got, Got::TooLarge(size) if size == 3 << 20));
        assert_eq!(bucket.1.into_inner(), 1);
        assert_eq!(free(&memory), (4096, 12 << 10));
    }

    #[tokio::test]
    async fn what_lies_about_its_size_gets_no_more_room_than_it_holds() {
        let memory = Memory::new(16 << 20, Env::system());
        let raw = vec![b'x'; 3 << 20];
        let mut stored = gzip::deflate(&raw);
        let (inflated, room) = memory.inflate(stored.clone(), Caps { ratio: 2000, ..Caps::default() }).await.unwrap();
        assert_eq!(inflated.unwrap().bytes, raw);
        assert!(free(&memory).1 < (12 << 10) - (3 << 10));
        drop(room);
        // the trailer now claims nearly nothing; libdeflate finds out at the end
        let at = stored.len() - 4;
        stored[at..].copy_from_slice(&9_u32.to_le_bytes());
        let (inflated, _) = memory.inflate(stored.clone(), Caps { ratio: 2000, ..Caps::default() }).await.unwrap();
        assert_eq!(inflated, Err(BadGzip::Damaged));
        let (inflated, _) = memory.inflate(stored.clone(), Caps { inflated: 2 << 20, ratio: 2000 }).await.unwrap();
        assert_eq!(inflated, Err(BadGzip::TooLarge(2 << 20)));
        let (inflated, _) = memory.inflate(stored, Caps { inflated: 2 << 20, ratio: 2 }).await.unwrap();
        assert_eq!(inflated, Err(BadGzip::Bomb(2)));
        assert_eq!(free(&memory), (4096, 12 << 10));
    }

    #[tokio::test]
    async fn an_object_larger_than_all_room_is_worked_on_alone_and_others_wait() {
        let memory = Memory::new(4 << 20, Env::system());
        let raw = vec![b'x'; 5 << 20];
        let stored = gzip::deflate(&raw);
        let caps = Caps { ratio: 2000, ..Caps::default() };
        let (inflated, room) = memory.inflate(stored.clone(), caps).await.unwrap();
        assert_eq!(inflated.unwrap().bytes.len(), raw.len());
        assert_eq!(free(&memory), (1024, 0));
        let small = memory.inflate(gzip::deflate(b"{}"), caps);
        tokio::pin!(small);
        let mut at_once = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(small.as_mut().poll(&mut at_once).is_pending());
        drop(room);
        assert_eq!(small.await.unwrap().0.unwrap().bytes, b"{}");
    }
}
