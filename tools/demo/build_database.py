#!/usr/bin/env python3
"""Builds the demo's SQLite database: tools/demo/build_database.py FILE. An existing file of this layout is kept.
Beside it stands FILE's folder/words.txt, the keys of `word`, one a line.

word     every word of Debian's wordnet-base with its definitions: large, read only
profile  people with a nickname and a city: read often, changed now and then
balance  money: must not be old
session  written as often as read
price    half of the articles asked for have none: negative results, and bursts of changes

Everything but the words is made up from a fixed seed, so that two machines have the same rows.
"""
import json
import os
import random
import sqlite3
import sys
from pathlib import Path

WORDNET = Path("/usr/share/wordnet")
PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
LAYOUT = 1  # raised when tables change: an older file is built anew
PROFILES = 20_000
BALANCES = 20_000
SESSIONS = 5_000
ARTICLES = 20_000  # every second one has a price
SEED = 20240229

SCHEMA = """
create table word(lemma text primary key, senses integer not null, body text not null) without rowid;
create table profile(id integer primary key, body text not null, seen_at integer not null);
create table balance(id integer primary key, cents integer not null);
create table session(id text primary key, body text not null) without rowid;
create table price(article integer primary key, cents integer not null);
create index profile_by_seen on profile(seen_at);
"""


def glosses(part):
    """Offset of a synset -> its definition. Lines that start with a blank are the licence."""
    found = {}
    with open(WORDNET / f"data.{part}", encoding="latin-1") as lines:
        for line in lines:
            if not line.startswith(" "):
                found[line[:8]] = line.rpartition(" | ")[2].strip()
    return found


def words():
    """lemma -> [(part of speech, definition), ...]"""
    entries = {}
    for part, letter in PARTS.items():
        meaning = glosses(part)
        with open(WORDNET / f"index.{part}", encoding="latin-1") as lines:
            for line in lines:
                if line.startswith(" "):
                    continue
                fields = line.split()
                count = int(fields[2])  # synsets of this word; their offsets end the line
                lemma = fields[0].replace("_", " ")
                entries.setdefault(lemma, []).extend((letter, meaning[offset]) for offset in fields[-count:])
    return entries


def word_rows():
    for lemma, senses in words().items():
        body = json.dumps({"word": lemma, "senses": [{"part": p, "means": m} for p, m in senses]}, ensure_ascii=False)
        yield lemma, len(senses), body


def made_up_rows(database, chance):
    cities = ["Aarhus", "Bergen", "Cork", "Delft", "Evora", "Ghent", "Izmir", "Lodz", "Malmo", "Turku"]
    profile = lambda i: json.dumps({"id": i, "nick": f"reader{chance.randrange(10**6)}", "city": chance.choice(cities)})
    database.executemany("insert into profile values (?, ?, ?)",
                         ((i, profile(i), chance.randrange(10**6)) for i in range(PROFILES)))
    database.executemany("insert into balance values (?, ?)", ((i, chance.randrange(10**6)) for i in range(BALANCES)))
    database.executemany("insert into session values (?, ?)",
                         ((f"s{i}", json.dumps({"cart": [], "step": 0})) for i in range(SESSIONS)))
    database.executemany("insert into price values (?, ?)",
                         ((i, 100 + chance.randrange(10**5)) for i in range(0, ARTICLES, 2)))


def is_current(path):
    if not path.exists() or not (path.parent / "words.txt").exists():
        return False
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            return database.execute("pragma user_version").fetchone()[0] == LAYOUT
    except sqlite3.Error:
        return False


def build(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".building")
    unfinished.unlink(missing_ok=True)
    rows = sorted(word_rows())
    (path.parent / "words.txt").write_text("\n".join(row[0] for row in rows) + "\n", encoding="utf-8")
    database = sqlite3.connect(unfinished)
    database.executescript("pragma journal_mode = off; pragma synchronous = off;" + SCHEMA)
    with database:
        database.executemany("insert into word values (?, ?, ?)", rows)
        made_up_rows(database, random.Random(SEED))
    database.execute(f"pragma user_version = {LAYOUT}")
    database.commit()
    # Readers and writers in several processes do not wait for each other in this mode.
    database.execute("pragma journal_mode = wal")
    count = database.execute("select count(*) from word").fetchone()[0]
    database.close()
    for leftover in (f"{path}-wal", f"{path}-shm"):
        Path(leftover).unlink(missing_ok=True)
    os.replace(unfinished, path)
    print(f"built {path}: {count} words, {PROFILES} profiles, {BALANCES} balances, {SESSIONS} sessions, {ARTICLES // 2} prices")


def main():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FILE")
    path = Path(sys.argv[1])
    if is_current(path):
        return
    if not (WORDNET / "data.noun").exists():
        sys.exit("error: the words are not installed; scripts/install demo brings them (Debian's wordnet-base)")
    build(path)


if __name__ == "__main__":
    main()
