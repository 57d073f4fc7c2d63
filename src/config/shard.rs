//! `[shard]`: which accounts this warden answers for, where several share an organization.

use super::raw::{self, At};
use super::read::{Read, Reader};
use crate::core::shard::{MOST, Shard};

impl Reader<'_> {
    pub(super) fn shard(&self, raw: Option<&At<raw::Shard>>) -> Read<Shard> {
        let Some(entry) = raw else { return Ok(Shard::WHOLE) };
        let raw = entry.get_ref();
        self.needed(&raw.count, entry, "[shard] has no `count`: how many wardens divide the accounts")?;
        let index = self.needed(&raw.index, entry, "[shard] has no `index`: which of them this is, from 0 on")?;
        let count = self.number(&raw.count, 1, 1, MOST.into())?;
        let number = self.number(&raw.index, 0, 0, count - 1)?;
        let whole = |number: u64| u8::try_from(number).unwrap_or(MOST);
        Shard::new(whole(number), whole(count)).ok_or_else(|| self.at(index, "this is no shard"))
    }
}

pub(super) fn tell(shard: Shard) -> String {
    if shard.is_whole() {
        return "none: all accounts".into();
    }
    format!("{shard}: accounts that end in {}", shard.digits())
}

/// What is allowed and uneven.
pub(super) fn warning(shard: Shard) -> Option<String> {
    (!MOST.is_multiple_of(shard.count())).then(|| {
        format!(
            "shard.count is {}, which does not divide ten: some shards have more last digits than others",
            shard.count()
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::core::shard::Shard;

    const TRAIL: &str = "[organization]\nmembers = \"m.toml\"\n[[trail]]\nname = \"org\"\nbucket = \"file:///b\"\nqueue = \"file:///q\"\nkeys = \"k\"\n";

    fn read(text: &str) -> Result<Config, String> {
        Config::from_text(&format!("{TRAIL}{text}"), "here").map_err(|error| error.to_string())
    }

    #[test]
    fn a_shard_is_one_of_so_many() {
        assert_eq!(read("").unwrap().shard, Shard::WHOLE);
        let config = read("[shard]\nindex = 3\ncount = 5\n").unwrap();
        assert_eq!(Some(config.shard), Shard::new(3, 5));
        let told = config.meaning().into_iter().find(|(name, _)| name == "shard").map(|(_, told)| told);
        assert_eq!(told.as_deref(), Some("3 of 5: accounts that end in 3, 8"));
        assert!(!config.warnings.iter().any(|warning| warning.contains("shard")));
        let uneven = read("[shard]\nindex = 0\ncount = 4\n").unwrap();
        assert!(uneven.warnings.iter().any(|warning| warning.contains("does not divide ten")), "{:?}", uneven.warnings);
    }

    #[test]
    fn wardens_of_one_host_have_names_of_their_own() {
        let name = |text: &str| read(text).unwrap().name;
        let host = name("");
        assert_eq!(name("[shard]\nindex = 3\ncount = 5\n"), format!("{host}-3"));
        // Whoever was alone goes on under its name.
        assert_eq!(name("[shard]\nindex = 0\ncount = 5\n"), host);
        assert_eq!(name("[warden]\nname = \"w\"\n[shard]\nindex = 3\ncount = 5\n"), "w");
    }

    #[test]
    fn what_is_no_shard_is_said_with_its_place() {
        for (text, wanted, line) in [
            ("index = 4\ncount = 4", "4 is out of bounds: 0 to 3", "here:9"),
            ("index = -1\ncount = 4", "-1 is out of bounds: 0 to 3", "here:9"),
            ("index = 0\ncount = 11", "11 is out of bounds: 1 to 10", "here:10"),
            ("index = 0\ncount = 0", "0 is out of bounds: 1 to 10", "here:10"),
            ("index = 0", "no `count`", "here:8"),
            ("count = 2", "no `index`", "here:8"),
            ("index = 0\ncount = 2\ndigit = 7", "unknown field `digit`", "here:11"),
        ] {
            let told = read(&format!("[shard]\n{text}")).unwrap_err();
            assert!(told.contains(wanted) && told.contains(line), "{told}");
        }
    }
}
