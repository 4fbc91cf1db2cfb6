#!/usr/bin/env python3
"""The demo's other writer: changes rows straight in SQLite, as a batch job or a colleague would, past Candor.

Usage: write_directly.py DATABASE REPORT. Runs until SIGTERM, then writes REPORT: feature -> {key: changes}, as JSON.
"""
import collections
import json
import random
import signal
import sqlite3
import sys
import time

CHANGES_PER_SECOND = {"profile": 5, "balance": 100, "session": 5}
BURST_EVERY_S = 5   # and then so many prices change at once, in one transaction
BURST_PRICES = 50
RECENT_KEYS = 2_000  # changes go to the first rows, so that a short demo shows some of them being read
TICK_S = 0.1

STATEMENTS = {
    "profile": "update profile set body = json_set(body, '$.city', 'moved ' || ?2) where id = ?1",
    "balance": "update balance set cents = cents + ?2 % 100 where id = ?1",
    "session": "update session set body = json_set(body, '$.step', ?2) where id = 's' || ?1",
    "price": "update price set cents = 100 + ?2 % 100000 where article = ?1",
}

stopping = False


def stop(_signal, _frame):
    global stopping
    stopping = True


def main():
    database = sqlite3.connect(sys.argv[1], timeout=5, isolation_level=None)
    chance = random.Random(42)
    counts = collections.defaultdict(collections.Counter)
    credit = collections.Counter()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    count, next_burst = 0, time.monotonic() + 1
    while not stopping:
        time.sleep(TICK_S)
        work = []
        for feature, rate in CHANGES_PER_SECOND.items():
            credit[feature] += rate * TICK_S
            while credit[feature] >= 1:
                credit[feature] -= 1
                work.append((feature, chance.randrange(RECENT_KEYS)))
        if time.monotonic() >= next_burst:
            next_burst += BURST_EVERY_S
            work += [("price", 2 * chance.randrange(RECENT_KEYS // 2)) for _ in range(BURST_PRICES)]
        try:
            database.execute("begin immediate")
            for feature, key in work:
                count += 1
                database.execute(STATEMENTS[feature], (key, count))
            database.execute("commit")
        except sqlite3.OperationalError as problem:  # busy for longer than the timeout
            if database.in_transaction:
                database.execute("rollback")
            print(f"write_directly: {problem}", file=sys.stderr)
            continue
        for feature, key in work:
            counts[feature][f"s{key}" if feature == "session" else str(key)] += 1
    with open(sys.argv[2], "w", encoding="utf-8") as report:
        json.dump(counts, report)


if __name__ == "__main__":
    main()
