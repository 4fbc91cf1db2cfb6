import sqlite3
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import support  # noqa: E402


@pytest.fixture
def start(tmp_path):
    """start(body, **options) -> Candord; all are stopped at the end, and must still have been alive or ended well."""
    daemons = []

    def make(body=support.SHOP, **options):
        options.setdefault("name", f"candord{len(daemons)}")
        daemons.append(support.Candord(tmp_path, body, **options))
        return daemons[-1]

    yield make
    for daemon in daemons:
        died = daemon.process is not None and not daemon.process.alive() and daemon.process.child.returncode not in (0, 1, 2, -9)
        daemon.stop()
        assert not died, f"candord died on the way:\n{daemon.log()}"


@pytest.fixture
def shop(tmp_path):
    support.make_shop(tmp_path / "shop.db")
    database = sqlite3.connect(tmp_path / "shop.db", isolation_level=None, timeout=10)
    yield database
    database.close()


@pytest.fixture
def node(start, shop):
    return start()


@pytest.fixture
def redis_server(tmp_path):
    server = support.RedisServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_server():
    server = support.Postgres()
    yield server
    server.stop()


@pytest.fixture
def postgres(postgres_server):
    """The session's PostgreSQL, running, with a fresh table `item`."""
    postgres_server.sql("drop table if exists item")
    postgres_server.sql("create table item(id text primary key, body text)")
    postgres_server.sql("insert into item select i::text, 'item ' || i from generate_series(0, 99) i")
    yield postgres_server
    if not postgres_server.process.alive():
        postgres_server.start()
