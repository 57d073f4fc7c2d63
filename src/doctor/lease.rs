//! Whether the lease's place keeps what two wardens rely on: that a write over what is not there any more fails.

use std::sync::Arc;

use super::{Doctor, Line, PATIENCE};
use crate::aws::Aws;
use crate::config::{self, Place};
use crate::core::grant::{On, Role};
use crate::core::lease::LARGEST;
use crate::error::Result;
use crate::local::register::FileRegister;
use crate::seam::{DynRegister, Written};

/// A register of the doctor's own, which it leaves there: it may delete nothing.
/// No warden's lease begins with a dot.
const OWN: &str = ".doctor.lease";

impl Doctor<'_> {
    pub(super) async fn lease(&self) -> Vec<Line> {
        let Some(lease) = &self.config.lease else { return Vec::new() };
        let mut lines = match &lease.location {
            Place::Aws(bucket) => {
                self.own_bucket(bucket, lease.region.as_ref(), &lease.prefix, &[On::LeaseBuckets, On::Leases]).await
            }
            Place::Dir(_) => Vec::new(),
        };
        if self.wants(Role::Reader) {
            lines.push(self.conditional(lease).await);
        }
        lines
    }

    async fn conditional(&self, lease: &config::Lease) -> Line {
        let (on, register): (_, DynRegister) = match &lease.location {
            Place::Dir(path) => (path.display().to_string(), Arc::new(FileRegister::new(path, OWN, &self.env))),
            Place::Aws(bucket) => {
                let aws = Aws::session(lease.region.as_ref(), None).await;
                let key = format!("{}{OWN}", lease.prefix);
                (format!("s3://{bucket}/{key}"), Arc::new(aws.register(bucket, key)))
            }
        };
        let line = Line::new(Role::Reader, "lease", &on);
        let without = "no warden takes the lease, and nothing is received";
        match tokio::time::timeout(PATIENCE, keeps_conditions(&register, &self.env.token())).await {
            Ok(Ok(true)) => line.ok("a write over what is not there any more is refused"),
            Ok(Ok(false)) => line
                .bad("a write over what is not there any more succeeds", "two wardens may work at once")
                .remedy("put the lease on S3 itself, or on a file system that keeps link(2) atomic"),
            Ok(Err(error)) => line.bad(error.to_string(), without),
            Err(_) => line.unchecked(format!("no answer within {} seconds", PATIENCE.as_secs())),
        }
    }
}

/// Writes twice over the same value: the first is won, the second must not be.
async fn keeps_conditions(register: &DynRegister, token: &str) -> Result<bool> {
    let before = register.read(LARGEST).await?.map(|(_, tag)| tag);
    let first = register.write(format!("first {token}").into_bytes(), before.as_deref()).await?;
    let second = register.write(format!("second {token}").into_bytes(), before.as_deref()).await?;
    // Another doctor may have been quicker; then both are lost, and that is as it should be.
    Ok(second == Written::Lost && (first != Written::Lost || register.read(LARGEST).await?.is_some()))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::env::Env;
    use crate::seam::Register;

    /// Takes every write, as storage that only looks like S3 does.
    #[derive(Default)]
    struct Careless(Mutex<Vec<u8>>);

    #[async_trait]
    impl Register for Careless {
        async fn read(&self, _: usize) -> Result<Option<(Vec<u8>, String)>> {
            Ok(Some((self.0.lock().unwrap().clone(), "tag".into())))
        }

        async fn write(&self, value: Vec<u8>, _: Option<&str>) -> Result<Written> {
            *self.0.lock().unwrap() = value;
            Ok(Written::Won("tag".into()))
        }
    }

    #[tokio::test]
    async fn storage_that_does_not_keep_conditions_is_found_out() {
        let careless: DynRegister = Arc::new(Careless::default());
        assert!(!keeps_conditions(&careless, "t").await.unwrap());
        let dir = tempfile::tempdir().unwrap();
        let careful: DynRegister = Arc::new(FileRegister::new(dir.path(), OWN, &Env::system()));
        for token in ["a", "b"] {
            assert!(keeps_conditions(&careful, token).await.unwrap(), "also the second time");
        }
    }
}
