"""The example bot goes on through its own death and the engine's, with the engine's books."""

from pathlib import Path

from order_engine_client import Client
from tests.support.accounts import make_account
from tests.support.engine import PATIENCE, engine, listen, wait_for
from tests.support.grid import Grid, books_of, swinging


def test_the_grids_books_are_the_engines_whatever_is_killed(
    process_database: str, tmp_path: Path
) -> None:
    with engine(process_database, tmp_path, **swinging(PATIENCE)) as running, listen() as listener:
        running.worker()
        running.scheduler()
        account = make_account(running.conninfo)
        web = running.web_on(listener)
        url = f"http://{web.address}"
        grid = Grid(url, account.key, tmp_path)

        def wait_for_fills(count: int) -> None:
            wanted = grid.fills + count
            wait_for(lambda: grid.fills >= wanted or grid.process.poll(), what="the grid fills")
            assert grid.process.poll() is None, grid.output

        try:
            for _ in range(3):
                wait_for_fills(2)
                grid.kill()
                grid.start()
                wait_for_fills(2)
                web.kill()
                web = running.web_on(listener)
            with Client(url, account.key, give_up_after=PATIENCE) as client:
                wait_for(lambda: grid.read() == books_of(client), what="the books are equal")
            assert grid.fills >= 12
        finally:
            grid.kill()
