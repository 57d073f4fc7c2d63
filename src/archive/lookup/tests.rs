use super::*;

fn hit(when: i64, id: &str, bytes: usize) -> Hit {
    Hit { rank: Rank::new(Some(when), Some(id), None), record: "x".repeat(bytes), object: "o".into(), trail: None }
}

fn kept(newest: Newest) -> Vec<i64> {
    newest.into_hits().iter().filter_map(|hit| hit.rank.when()).collect()
}

#[test]
fn the_newest_are_kept_in_whatever_order_they_come() {
    for order in [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 5, 1, 4, 2]] {
        let mut newest = Newest::new(3, 1 << 20);
        order.into_iter().for_each(|when| newest.push(hit(when, "a", 10)));
        assert!(newest.is_full() && !newest.is_cut);
        assert!(newest.accepts(Some(3)) && !newest.accepts(Some(2)) && !newest.accepts(None));
        assert_eq!(kept(newest), [5, 4, 3]);
    }
}

#[test]
fn where_bytes_run_out_the_older_are_left_out_without_holes() {
    let mut newest = Newest::new(100, 3_000);
    for (when, bytes) in [(5, 1_000), (3, 1_000), (4, 1_500), (2, 10), (6, 10)] {
        newest.push(hit(when, "a", bytes));
    }
    assert!(newest.is_cut && newest.is_full());
    assert_eq!(kept(newest), [6, 5, 4], "what is older than what had no room does not come after it");
    let mut newest = Newest::new(100, 10);
    newest.push(hit(1, "a", 1_000));
    assert_eq!(kept(newest), [1], "one is always told");
}

#[test]
fn of_one_second_all_are_kept_until_their_ids_decide() {
    let found = |when, row| Match { group: 0, row, when };
    let mut matches = vec![found(1, 0), found(9, 1), found(7, 2), found(7, 3), found(7, 4), found(i64::MIN, 5)];
    keep_newest(&mut matches, 2);
    let mut rows: Vec<u32> = matches.iter().map(|found| found.row).collect();
    rows.sort_unstable();
    assert_eq!(rows, [1, 2, 3, 4]);
}

#[test]
fn a_file_with_records_without_a_time_reaches_to_the_end_of_its_day() {
    let file = |oldest, newest| ArchiveFile {
        id: 1,
        name: "f".into(),
        date: "1970-01-02".into(),
        rows: 1,
        bytes: 1,
        oldest,
        newest,
        level: 0,
        made: jiff::Timestamp::UNIX_EPOCH,
    };
    assert_eq!(span(&file(90_000, 90_005)), (90_000, 90_005));
    assert_eq!(span(&file(i64::MIN, i64::MIN)), (i64::MIN, 2 * 86_400 - 1));
    assert_eq!(span(&file(i64::MIN, 999_999)), (i64::MIN, 999_999));
    let asked = |from, to| overlaps(&Question { from, to, ..Question::default() }, &file(90_000, 90_005));
    assert!(asked(Some(90_005), None) && asked(None, Some(90_001)) && asked(None, None));
    assert!(!asked(Some(90_006), None) && !asked(None, Some(90_000)));
}
