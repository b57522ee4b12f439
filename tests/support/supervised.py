"""`python -m tests.support.supervised --fd N`: web and worker under their supervisor, as in `up`.

N is the listener of web. Each hangs in its first life at a point of its own, and in no other.
"""

import os
import socket
import sys

from config.stack.processes import engine
from config.stack.supervisor import Supervisor

HANGS = {"web": "after_accept", "worker": "after_claim"}


def main(descriptor: int) -> None:
    found = dict(os.environ)
    with socket.socket(fileno=descriptor) as listener, Supervisor() as supervisor:
        for child in engine(found, listener):
            if point := HANGS.get(child.name):
                child.environment = found | {"HANG_AT": point}
                supervisor.start(child)
                child.environment = found
        supervisor.watch()


if __name__ == "__main__":
    main(int(sys.argv[-1]))
