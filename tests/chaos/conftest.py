import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "e2e"):
    sys.path.insert(0, str(folder))
import support  # noqa: E402


@pytest.fixture
def postgres():
    """One for each fault: some of them leave it in a bad way."""
    server = support.Postgres()
    server.sql("create table item(id text primary key, body text)")
    server.sql("insert into item select i::text, 'item ' || i from generate_series(0, 1999) i")
    server.sql("create table note(id text primary key, body text)")
    yield server
    if not server.process.alive():
        server.start()
    server.stop()
