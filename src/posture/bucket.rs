//! The bucket, and the key that it encrypts with.

use super::Posture;
use crate::core::policy::Expected;
use crate::core::posture::{Input, Look, key_of, of_bucket};
use crate::core::protection::Part;

/// `announces`: whether it is the bucket that announces its objects.
pub async fn look(posture: &Posture, expected: &Expected, announces: bool) -> Look {
    let parts: Vec<Part> = Part::ALL.into_iter().filter(|part| !part.is_of_lifecycle()).collect();
    let protection = posture.vault.describe(&parts).await;
    let key = match key_of(&protection) {
        Some(name) => Some(posture.vault.key(&name).await),
        None => None,
    };
    of_bucket(&Input { expected, protection: &protection, key: key.as_ref(), promised: posture.promised, announces })
}
