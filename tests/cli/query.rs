//! `query` as people and scripts meet it.

use crate::common::warden::{run, stderr};

#[cfg(not(feature = "sql"))]
#[test]
fn a_build_without_the_engine_says_how_to_get_it() {
    let output = run(&["query", "SELECT 1"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("--features sql") && said.lines().count() == 1, "{said}");
}

#[test]
fn query_refuses_what_makes_no_sense() {
    for args in [
        &[][..],
        &["SELECT 1", "--list"],
        &["SELECT 1", "--saved", "root"],
        &["--saved", "root", "-f", "x.sql"],
        &["SELECT 1", "--param", "a"],
        &["SELECT 1", "--memory", "much"],
        &["SELECT 1", "--format", "xml"],
        &["SELECT 1", "--raw-region", "eu-west-1"],
    ] {
        let output = run(&[&["query", "--config", "/nonexistent.toml"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
    }
}

#[cfg(feature = "sql")]
mod asked {
    use std::fs::File;
    use std::io::Read;
    use std::path::Path;
    use std::process::{Command, Output, Stdio};

    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use serde_json::Value;

    use crate::common::warden::{command, run, stderr, stdout, verb};
    use crate::lookup::{Ground, steady, three};

    fn query(ground: &Ground, args: &[&str]) -> Output {
        verb(&ground.config, &[&["query"], args].concat())
    }

    fn lines(output: &Output) -> Vec<Value> {
        stdout(output).lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
    }

    const WHO: &str = "SELECT eventid, integrity, useridentity.username AS who, errorcode, 1.5 * -1 AS number FROM cloudtrail ORDER BY eventid";

    #[test]
    fn a_table_of_sql_ends_with_its_horizon() {
        let ground = three();
        let output = query(&ground, &[WHO]);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
        insta::assert_snapshot!(steady(&stdout(&output)), @r#"
        eventid  integrity  who                 errorcode  number
        id-1     pending    alice               -          -1.5
        id-2     pending    =cmd|' /C calc'!A0  @x         -1.5
        id-3     imported   -                   -          -1.5
        3 rows
        no log that the warden knows of waits for the archive; the ledger was last written at TIME: what a queue still held then is not known
        it begins with 2026-03-01: nothing of the days before was archived, or it has expired
        "#);
        let cut = query(&ground, &[WHO, "--limit", "2", "--explain"]);
        assert!(stdout(&cut).contains("2 rows\n") && stdout(&cut).contains("there may be more rows: --limit"));
        assert!(stderr(&cut).contains("files: 2; left out by date 0"), "{}", stderr(&cut));
        let none = query(&ground, &["SELECT * FROM cloudtrail WHERE eventid = 'none'"]);
        assert_eq!(none.status.code(), Some(0), "{}", stderr(&none));
        assert!(stdout(&none).contains("\n0 rows\n"), "{}", stdout(&none));
    }

    #[test]
    fn json_and_csv_of_sql_are_for_programs() {
        let ground = three();
        let found = lines(&query(&ground, &[WHO, "--format", "json"]));
        assert_eq!(found.len(), 3);
        assert_eq!(found[1]["who"], "=cmd|' /C calc'!A0");
        assert_eq!((&found[0]["integrity"], &found[2]["integrity"]), (&"pending".into(), &"imported".into()));
        assert_eq!((&found[2]["who"], &found[2]["number"]), (&Value::Null, &(-1.5).into()));
        let csv = query(&ground, &[WHO, "--format", "csv"]);
        insta::assert_snapshot!(stdout(&csv).replace('\r', ""), @r#"
        eventid,integrity,who,errorcode,number
        id-1,pending,alice,,-1.5
        id-2,pending,"'=cmd|' /C calc'!A0","'@x",-1.5
        id-3,imported,,,-1.5
        "#);
        assert!(stderr(&csv).starts_with("3 rows\nno log that the warden knows of waits"), "{}", stderr(&csv));
    }

    #[test]
    fn an_answer_in_a_file_is_there_whole_or_not_at_all() {
        let ground = three();
        let path = ground.dir.path().join("answer.parquet");
        let to = path.to_str().expect("text");
        let output = query(&ground, &["SELECT *, record FROM cloudtrail", "--format", "parquet", "--output", to]);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), String::new()), "two columns of one name");
        assert!(!path.exists());
        let output = query(&ground, &["SELECT * FROM cloudtrail", "--format", "parquet", "--output", to]);
        assert_eq!((output.status.code(), stdout(&output)), (Some(0), String::new()), "{}", stderr(&output));
        let read = |path: &std::path::Path| -> usize {
            let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("a file")).expect("Parquet");
            assert!(builder.schema().column_with_name("record").is_some());
            builder.build().expect("rows").map(|batch| batch.expect("rows").num_rows()).sum()
        };
        assert_eq!(read(&path), 3);
        let failed =
            query(&ground, &["SELECT 1 / (count(*) - 3) FROM cloudtrail", "--format", "parquet", "--output", to]);
        assert_ne!(failed.status.code(), Some(0));
        assert_eq!(read(&path), 3, "what was there stays");
        let left: Vec<_> =
            std::fs::read_dir(ground.dir.path()).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".t")), "{left:?}");
    }

    #[test]
    fn questions_that_come_with_the_program_are_listed_and_answered() {
        let ground = three();
        let list = stdout(&run(&["query", "--list", "--config", "/nonexistent"]));
        assert!(list.contains("access-key: What an access key was used for\n"), "{list}");
        assert!(list.contains("  --param key=…: the key's id, such as AKIA… or ASIA…\n"), "{list}");
        let found = lines(&query(&ground, &["--saved", "access-key", "--param", "key=AKIA1", "--format", "json"]));
        assert_eq!((found.len(), &found[0]["calls"]), (1, &1.into()));
        for args in [&["--saved", "access-key"][..], &["--saved", "nothing"], &["--saved", "root", "--param", "a=b"]] {
            assert_eq!(query(&ground, args).status.code(), Some(2), "{args:?}");
        }
        let free = "SELECT count(*) AS n FROM cloudtrail WHERE useridentity.accesskeyid = $key";
        let found = lines(&query(&ground, &[free, "--param", "key=AKIA1", "--format", "json"]));
        assert_eq!(found[0]["n"], 1);
        let path = ground.dir.path().join("mine.sql");
        std::fs::write(&path, "-- mine\nSELECT count(*) AS n FROM cloudtrail_logs;\n").expect("a file");
        let found = lines(&query(&ground, &["-f", path.to_str().expect("text"), "--format", "json"]));
        assert_eq!(found[0]["n"], 3);
    }

    #[test]
    fn sql_over_raw_logs_needs_no_warden() {
        let ground = three();
        let bucket = ground.dir.path().join("bucket");
        let args =
            ["query", WHO, "--raw", bucket.to_str().expect("text"), "--config", "/nonexistent", "--format", "json"];
        let output = run(&args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let found = lines(&output);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|row| row["integrity"] == "unchecked"));
        assert!(
            stderr(&output)
                .contains("raw logs: 2 records of 1 log (0 of Insights); nothing was checked against digests")
        );
    }

    #[test]
    fn a_damaged_file_fails_the_sql_that_needs_it_and_no_other() {
        let ground = three();
        let day = ground.dir.path().join("archive/date=2026-03-01");
        let file = std::fs::read_dir(&day).expect("a folder").flatten().next().expect("a file").path();
        let whole = std::fs::read(&file).expect("a file");
        let mut cut = whole.clone();
        let middle = cut.len() / 3..cut.len() / 2;
        cut[middle].fill(0xff);
        for bytes in [vec![7; whole.len()], cut] {
            std::fs::write(&file, bytes).expect("a file");
            let output = query(&ground, &["SELECT * FROM cloudtrail", "--format", "json"]);
            assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
            assert!(
                stderr(&output).starts_with("error: ") && stderr(&output).lines().count() == 1,
                "{}",
                stderr(&output)
            );
            let other =
                query(&ground, &["SELECT count(*) FROM cloudtrail WHERE date < '2026-03-01'", "--format", "json"]);
            assert_eq!(other.status.code(), Some(0), "{}", stderr(&other));
        }
        std::fs::remove_file(&file).expect("gone");
        let gone = query(&ground, &["SELECT eventid FROM cloudtrail"]);
        assert!(stderr(&gone).contains("is not there"), "{}", stderr(&gone));
    }

    #[test]
    fn whoever_reads_no_more_of_sql_is_no_error() {
        let ground = three();
        let mut child = command(&[])
            .args(["query", "SELECT a.* FROM generate_series(1, 100000000) a", "--format", "csv", "--config"])
            .arg(&ground.config)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut some = [0; 64];
        child.stdout.take().expect("a pipe").read_exact(&mut some).expect("an answer");
        let ended = child.wait_with_output().expect("it ends");
        assert_eq!((ended.status.code(), stderr(&ended)), (Some(0), String::new()));
    }

    #[test]
    fn a_question_that_takes_too_long_is_given_up() {
        let ground = three();
        let endless = "SELECT count(*) FROM generate_series(1, 1000000000000) a";
        let output = query(&ground, &[endless, "--timeout", "1s"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("longer than --timeout"), "{}", stderr(&output));
    }

    #[test]
    fn a_sql_question_of_many_steps_is_answered_and_one_of_too_many_refused() {
        let ground = three();
        let sum = |steps: usize| format!("SELECT count(*) + {} AS n FROM cloudtrail", vec!["1"; steps].join(" + "));
        let either = |steps: usize| {
            let names: Vec<String> = (0..steps / 2).map(|number| format!("eventname = 'n{number}'")).collect();
            format!("SELECT count(*) AS n FROM cloudtrail WHERE {}", names.join(" OR "))
        };
        assert_eq!(lines(&query(&ground, &[&sum(700), "--format", "json"]))[0]["n"], 703);
        assert_eq!(lines(&query(&ground, &[&either(700), "--format", "json"]))[0]["n"], 0);
        for sql in [sum(1_000), either(1_000), format!("SELECT {}1{}", "(".repeat(1_000), ")".repeat(1_000))] {
            assert_eq!(query(&ground, &[&sql]).status.code(), Some(2), "{sql:.40}");
        }
        let names: Vec<String> = (0..5_000).map(|number| format!("'n{number}'")).collect();
        let wide = format!("SELECT count(*) AS n FROM cloudtrail WHERE eventname IN ({})", names.join(", "));
        assert_eq!(lines(&query(&ground, &[&wide, "--format", "json"]))[0]["n"], 0);
    }

    #[test]
    fn an_interrupted_question_says_that_it_is_not_all() {
        let ground = three();
        let folder = ground.config.parent().expect("a folder");
        for signal in ["-INT", "-TERM"] {
            let mut child = command(&[])
                .args([
                    "query",
                    "SELECT a.value FROM generate_series(1, 1000000000000) a",
                    "--format",
                    "json",
                    "--config",
                ])
                .arg(&ground.config)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it starts");
            let mut out = child.stdout.take().expect("a pipe");
            let mut some = [0; 64];
            out.read_exact(&mut some).expect("an answer");
            assert_eq!(scratches(folder).len(), 1);
            let stopped = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
            assert!(stopped.success());
            std::io::copy(&mut out, &mut std::io::sink()).expect("the rest");
            let ended = child.wait_with_output().expect("it ends");
            assert_eq!(ended.status.code(), Some(130), "{signal}");
            assert!(stderr(&ended).contains("interrupted: this is not all"), "{}", stderr(&ended));
            assert!(scratches(folder).is_empty(), "{signal}");
        }
    }

    #[test]
    fn a_question_of_sql_that_has_no_room_for_many_parts_is_answered_in_one() {
        let ground = three();
        let sort = "SELECT value, repeat('x', 100) || value AS text FROM generate_series(1, 200000) ORDER BY value % 1000, value";
        let args = [sort, "--format", "csv", "--memory", "12MiB", "--threads"];
        for threads in ["1", "16"] {
            let output = query(&ground, &[&args[..], &[threads]].concat());
            assert_eq!(output.status.code(), Some(0), "{threads}: {}", stderr(&output));
            assert_eq!(stdout(&output).lines().count(), 200_001);
            assert!(
                stdout(&output).lines().nth(1).is_some_and(|row| row.starts_with("1000,x")),
                "{:.60}",
                stdout(&output)
            );
        }
    }

    fn scratches(folder: &Path) -> Vec<String> {
        let entries = folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry").file_name());
        entries.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with(".trailwarden-")).collect()
    }

    #[test]
    fn what_a_killed_question_left_goes_with_the_next_query_and_nobody_elses_does() {
        let ground = three();
        let folder = ground.config.parent().expect("a folder");
        let left = |name: &str| {
            let dir = folder.join(name);
            std::fs::create_dir(&dir).expect("a folder");
            std::fs::write(dir.join("rows"), [0; 100]).expect("a file");
            File::create(dir.join("lock")).expect("a file")
        };
        drop(left(".trailwarden-query-killed"));
        let asked = left(".trailwarden-query-asked");
        asked.lock().expect("locked");
        assert_eq!(query(&ground, &["SELECT 1"]).status.code(), Some(0));
        assert_eq!(scratches(folder), [".trailwarden-query-asked"]);
    }
}
