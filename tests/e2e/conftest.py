import pytest

from harness import DATA, MariaDb, ORDERCTL, ORDERD, Server


def pytest_configure(config):
    for binary in (ORDERD, ORDERCTL):
        if not binary.exists():
            pytest.exit(f"{binary} is missing; run scripts/build first", returncode=2)


@pytest.fixture(scope="session")
def mariadb():
    server = MariaDb()
    yield server
    server.close()


def empty_database(request, tmp_path_factory):
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path_factory.mktemp('database') / 'orders.db'}"
    else:
        with request.getfixturevalue("mariadb").database() as url:
            yield url


@pytest.fixture(scope="module", params=["sqlite", "mysql"])
def shared_database(request, tmp_path_factory):
    """The URL of the database behind `server`, one of each kind per module."""
    yield from empty_database(request, tmp_path_factory)


@pytest.fixture(params=["sqlite", "mysql"])
def database(request, tmp_path_factory):
    """The URL of an empty database for one test."""
    yield from empty_database(request, tmp_path_factory)


@pytest.fixture(scope="module")
def server(shared_database):
    server = Server(shared_database)
    yield server
    assert server.stop() == 0, server.log()[-3000:]


@pytest.fixture(scope="session")
def data():
    """The folder of the real data sets."""
    if not DATA.is_dir():
        pytest.skip(f"no data sets in {DATA}")
    return DATA
