"""Rounds of kill -9 against a daemon that writes behind: nothing acknowledged is lost, nothing is applied twice, and of each key nothing
older follows something newer. The database itself says what was applied, by a trigger that notes every change in the transaction that made it.

As a test: test_write_behind.py runs a few dozen rounds. By hand: python3 tests/e2e/write_behind_crash.py --rounds 1000 [--origin postgres]
"""
import argparse
import random
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import support  # noqa: E402

KEYS_PER_WRITER = 12
WRITERS = 4


class SqliteDatabase:
    def __init__(self, folder):
        self.path = Path(folder) / "crash.db"
        self.url = f"sqlite:{self.path}"
        self.db = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        self.db.execute("pragma journal_mode = wal")
        self.db.executescript("""
            create table item(id text primary key, body text);
            create table applied(n integer primary key autoincrement, id text, body text);
            create trigger made after insert on item begin insert into applied(id, body) values (new.id, new.body); end;
            create trigger changed after update on item begin insert into applied(id, body) values (new.id, new.body); end;""")

    def rows(self, sql, *values):
        return self.db.execute(sql, values).fetchall()

    def applied_after(self, number):
        return self.rows("select n, id, body from applied where n > ? order by n", number)

    def hold(self, seconds):
        """Somebody else's transaction: batches wait for its lock."""
        self.db.execute("begin immediate")
        time.sleep(seconds)
        self.db.execute("rollback")

    def close(self):
        self.db.close()


class PostgresDatabase:
    def __init__(self, server):
        import psycopg2
        self.url = server.url
        self.db = psycopg2.connect(self.url)
        self.db.autocommit = True
        self.cursor = self.db.cursor()
        self.cursor.execute("""
            drop table if exists crash_item, applied, candor_write_behind;
            create table crash_item(id text primary key, body text);
            create table applied(n bigserial primary key, id text, body text);
            create or replace function note() returns trigger language plpgsql as
              $$ begin insert into applied(id, body) values (new.id, new.body); return new; end $$;
            create trigger noted after insert or update on crash_item for each row execute function note();""")

    def rows(self, sql, *values):
        self.cursor.execute(sql.replace("?", "%s").replace("from item", "from crash_item"), values)
        return self.cursor.fetchall()

    def applied_after(self, number):
        return self.rows("select n, id, body from applied where n > ? order by n", number)

    def hold(self, seconds):
        self.cursor.execute("begin; lock table crash_item in exclusive mode")
        time.sleep(seconds)
        self.cursor.execute("rollback")

    def close(self):
        self.db.close()


def config(database, window, extra=""):
    table = "item" if database.url.startswith("sqlite:") else "crash_item"
    return f"""
{extra}
[origins.shop]
url = "{database.url}"
[features.item]
origin = "shop"
load = "select body from {table} where id = :key"
store = "insert into {table}(id, body) values (:key, :value) on conflict (id) do update set body = excluded.body"
erase = "delete from {table} where id = :key"
write = "behind"
write_behind = {{ window = "{window}", batch = 20 }}
"""


class Writer(threading.Thread):
    """Writes rising numbers to its own keys, the first ones most; remembers what was sent and what was acknowledged."""

    def __init__(self, port, number, state, seed):
        super().__init__(daemon=True)
        self.port, self.number, self.state, self.random = port, number, state, random.Random(seed)
        self.acknowledged = 0

    def run(self):
        try:
            raw = support.Raw(self.port, timeout=10)
            while True:
                batch = []
                for _ in range(self.random.randint(1, 20)):
                    key = f"w{self.number}k{min(KEYS_PER_WRITER, int(self.random.paretovariate(1)))}"
                    value = self.state[key][0] + 1
                    self.state[key][0] = value
                    batch.append((key, value))
                raw.send(b"".join(raw.encode("SET", f"item:{key}", value) for key, value in batch))
                for key, value in batch:
                    if raw.reply() == "OK":
                        self.state[key][1] = value
                        self.acknowledged += 1
        except (OSError, ConnectionError):
            return


class CrashRounds:
    def __init__(self, folder, database, seed, window="30ms", extra=""):
        self.random = random.Random(seed)
        self.database = database
        self.state = {f"w{w}k{k}": [0, 0] for w in range(WRITERS) for k in range(1, KEYS_PER_WRITER + 1)}  # sent, acknowledged
        self.daemon = support.Candord(folder, config(database, window, extra), name="crash", ready=False)
        self.looked_up_to, self.last = 0, {}
        self.acknowledged = self.applied = self.rounds = self.left_for_replay = 0

    def start(self):
        self.daemon.process = support.Process([support.BUILD / "candord", "--config", self.daemon.config], self.daemon.folder, "crash")

    def wait_for_port(self):
        end = time.monotonic() + support.START_TIMEOUT_S
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.daemon.port), timeout=1).close()
                return
            except OSError:
                assert self.daemon.process.alive(), self.daemon.log()
                time.sleep(0.005)
        raise AssertionError("candord does not listen:\n" + self.daemon.log())

    def kill(self):
        self.daemon.process.kill()
        self.daemon.process.log_file.close()

    def check(self, everything):
        """What was applied, in its order; with `everything` also that nothing acknowledged is missing."""
        for number, key, body in self.database.applied_after(self.looked_up_to):
            value = int(body)
            assert value > self.last.get(key, 0), f"round {self.rounds}: {key} = {value} was applied after {self.last[key]}"
            assert value <= self.state[key][0], f"round {self.rounds}: {key} = {value} was never sent"
            self.last[key], self.looked_up_to = value, number
            self.applied += 1
        if not everything:
            return
        rows = dict(self.database.rows("select id, body from item"))
        for key, (sent, acknowledged) in self.state.items():
            value = int(rows.get(key, 0))
            assert acknowledged <= value <= sent, f"round {self.rounds}: {key} is {value}; acknowledged {acknowledged}, sent {sent}"

    def round(self):
        self.rounds += 1
        self.start()
        if self.random.random() < 0.15:  # while it starts: in the middle of a replay, perhaps
            time.sleep(self.random.random() * 0.12)
            self.kill()
            self.check(everything=False)
            return
        self.wait_for_port()
        self.check(everything=True)  # what was left is replayed before traffic
        writers = [Writer(self.daemon.port, w, self.state, self.random.random()) for w in range(WRITERS)]
        for writer in writers:
            writer.start()
        if self.random.random() < 0.2:
            self.database.hold(self.random.random() * 0.1)
        time.sleep(self.random.random() * 0.12)
        self.kill()
        for writer in writers:
            writer.join()
            self.acknowledged += writer.acknowledged
        self.check(everything=False)
        self.left_for_replay += sum(1 for key, (_, acknowledged) in self.state.items() if self.last.get(key, 0) < acknowledged)

    def finish(self):
        self.start()
        self.wait_for_port()
        self.check(everything=True)
        letters = self.daemon.metric("candor_write_behind_dead_letters", feature="item")
        lost = self.daemon.metric("candor_write_behind_lost_total", feature="item")
        self.daemon.stop()
        assert letters == 0 and lost == 0, self.daemon.log()
        assert self.acknowledged > 0 and self.left_for_replay > 0, "these rounds proved nothing"

    def summary(self):
        return (f"{self.rounds} rounds of kill -9: {self.acknowledged} writes acknowledged, {self.applied} applied after merging, "
                f"{self.left_for_replay} keys left in the log by a kill and replayed; 0 lost, 0 applied twice, 0 out of order")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--origin", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--window", default="30ms")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="candor-crash-") as folder:
        server = support.Postgres() if arguments.origin == "postgres" else None
        database = PostgresDatabase(server) if server else SqliteDatabase(folder)
        rounds = CrashRounds(folder, database, arguments.seed, arguments.window)
        began = time.monotonic()
        try:
            for number in range(arguments.rounds):
                rounds.round()
                if (number + 1) % 50 == 0:
                    print(f"  {number + 1} rounds, {time.monotonic() - began:.0f} s", flush=True)
            rounds.finish()
            print(rounds.summary() + f"; seed {arguments.seed}, {time.monotonic() - began:.0f} s")
        finally:
            if rounds.daemon.process and rounds.daemon.process.alive():
                rounds.daemon.process.kill()
            database.close()
            if server:
                server.stop()


if __name__ == "__main__":
    main()
