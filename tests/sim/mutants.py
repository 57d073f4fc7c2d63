#!/usr/bin/env python3
"""Does the simulation notice? Each mutant breaks one rule of the commit, delete, dedup, heartbeat, fold or outbox logic in a
copy of the tree; the test named beside it must fail. A mutant that no longer applies, or that lives, fails this script.

    python3 tests/sim/mutants.py            all of them
    python3 tests/sim/mutants.py NAME ...   some of them
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPY = ROOT / "target" / "mutants"
BUILD = ROOT / "target" / "mutants-build"

# name, file, what stands there, what stands there instead, seeds of the simulation to play (first, how many), or what `cargo test` is told
MUTANTS = [
    ("delete before the fate is durable", "src/ingest.rs",
     "        let outcome = self.settle(&message).await;\n",
     "        let _ = self.done.send(receipt.clone()).await;\n        let outcome = self.settle(&message).await;\n",
     (0, 20)),
    ("delete though an object could not be settled", "src/ingest.rs",
     "            first_error.map_or(Ok(()), Err)\n", "            let _ = first_error;\n            Ok(())\n", (0, 20)),
    ("say durable though the commit failed", "src/store/mod.rs",
     "        reply(failure.clone());\n", "        reply(None);\n", "--lib store::tests"),
    ("go on when the transaction was given up", "src/store/mod.rs",
     "if failure.is_none() && conn.is_autocommit() {", "if false {", "--lib store::tests"),
    ("count a repeat again", "src/store/objects.rs",
     "    if fresh {\n        tx.count(\"objects.seen\", 1);", "    if true {\n        tx.count(\"objects.seen\", 1);", (0, 20)),
    ("poison vanishes", "src/ingest.rs",
     "        Opened::Unintelligible { reason } => quarantine(deliveries, trail, id, body, &reason).await,\n",
     "        Opened::Unintelligible { reason } => {\n            let _ = reason;\n            Ok(())\n        }\n", (62, 1)),
    ("held messages are not extended", "src/ingest.rs",
     ".filter(|(_, held)| held.since.elapsed() >= visibility / 2)", ".filter(|(_, held)| held.since.elapsed() >= visibility * 90)",
     (0, 40)),
    ("held messages are extended too late", "src/ingest.rs",
     ".filter(|(_, held)| held.since.elapsed() >= visibility / 2)", ".filter(|(_, held)| held.since.elapsed() >= visibility)",
     (0, 40)),
    ("a finding without its alert", "src/store/findings.rs",
     "tell(tx, id.as_str(), Reason::First)?;", "let _ = Reason::First;", (0, 20)),
    ("stamp an alert that was not taken", "src/alert/outlet.rs",
     "                outbox::later(tx, due.id, tx.now + delay, &text)?;\n",
     "                let _ = delay;\n                outbox::sent(tx, due.id, None)?;\n", (0, 40)),
    ("another key for each try", "src/alert/outlet.rs",
     "let key = format!(\"{}-{}-{}\", due.finding, due.reason, due.id);",
     "let key = format!(\"{}-{}-{}-{}\", due.finding, due.reason, due.id, due.attempts);", (0, 20)),
    ("resolved overtakes first", "src/store/outbox.rs", "AND earlier.id < outbox.id)", "AND earlier.id < 0)", (0, 20)),
    ("forget what a digest promised", "src/delivery/digest.rs",
     "        objects::await_log(tx, source, &log.key, &log.sha, &self.row.key, self.key.end + self.grace)?;\n", "", (0, 80)),
    ("a refused listing is an answer", "src/verify/sweep/late.rs",
     "            let Some(listed) = self.tolerate(asked)? else { return Ok(None) };\n",
     "            let listed = self.tolerate(asked)?.unwrap_or_default();\n", "--lib verify::tests"),
    ("ask for nothing that lies before what came early", "src/verify/sweep/late.rs",
     "        hours.retain(|hour| !slots.contains(hour));\n", "        hours.clear();\n", (260, 10)),
    ("accuse accounts while the organization does not answer", "src/delivery/roster.rs",
     "            Some(_) => later(\"the members could not be asked for a moment ago\"),\n",
     "            Some(_) => Ok(()),\n", "--lib roster"),
    ("fold, and forget to take the row away", "src/store/fold.rs",
     "DELETE FROM deliveries WHERE place = ?1 AND name = ?2 AND version = ?3\"",
     "DELETE FROM deliveries WHERE place = ?1 AND name = ?2 AND version = ?3 AND false\"", "--test flow folded"),
    ("take whatever lies at a folded key for what was folded", "src/store/days.rs",
     "Self::Half(half) => sha.0.starts_with(half),", "Self::Half(half) => half.len() <= sha.0.len(),", "--test flow folded"),
]


def main(wanted):
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir(parents=True)
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, COPY / name)
    alive = []
    for name, file, before, after, test in MUTANTS:
        if wanted and name not in wanted:
            continue
        verdict = try_out(COPY / file, before, after, test)
        print(f"{verdict:<40} {name} ({file})", flush=True)
        if not verdict.startswith("dies"):
            alive.append(name)
    if alive:
        sys.exit(f"{len(alive)} mutants live: {', '.join(alive)}")


def try_out(path, before, after, test):
    text = path.read_text()
    if text.count(before) != 1:
        return f"DOES NOT APPLY ({text.count(before)} places)"
    path.write_text(text.replace(before, after))
    try:
        return run(test)
    finally:
        path.write_text(text)


def run(test):
    env = dict(os.environ, CARGO_TARGET_DIR=str(BUILD), RUST_BACKTRACE="0")
    if isinstance(test, str):
        command = ["cargo", "test", *test.split()]
    else:
        env.update(TRAILWARDEN_SEED=str(test[0]), TRAILWARDEN_SEEDS=str(test[1]))
        command = ["cargo", "test", "--test", "sim", "many", "--", "--ignored"]
    done = subprocess.run(command, cwd=COPY, env=env, capture_output=True, text=True)
    output = done.stdout + done.stderr
    if done.returncode == 0:
        return "LIVES"
    if "could not compile" in output:
        return "DOES NOT COMPILE"
    killer = re.search(r"^seed (\d+):", output, re.M)
    if killer:
        return f"dies at seed {killer.group(1)}"
    return f"dies of {test}" if isinstance(test, str) else "dies"


main(sys.argv[1:])
