//! Accounts that left: the note of their late files ends with the time for which those are believed.

use jiff::Timestamp;

use super::Sweep;
use crate::core::admit::Membership;
use crate::core::finding::Kind;
use crate::core::id::AccountId;
use crate::error::Result;
use crate::store::findings;
use crate::trail::Trail;

impl Sweep {
    pub(super) async fn departed(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        let (grace, ours) = (trail.rules().departed_grace, format!("{}/", trail.name_or("")));
        let open = self.deliveries.store.read(|conn| findings::open_of(conn, Kind::AccountDeparted)).await?;
        let over = self.deliveries.roster.look(|membership| {
            let is_over = |subject: &str| {
                let account = subject.strip_prefix(&ours).and_then(|account| AccountId::parse(account).ok());
                matches!(account.map(membership), Some(Membership::Departed(last)) if last + grace < now)
            };
            open.into_iter().filter(|(_, subject)| is_over(subject)).map(|(id, _)| id).collect::<Vec<_>>()
        });
        if over.is_empty() {
            return Ok(());
        }
        self.commit(move |tx| {
            for id in over {
                findings::resolve_id(tx, &id)?;
            }
            Ok(vec![])
        })
        .await
    }
}
