"""Debian's nginx in front of an engine, with the file that the deployment guide names."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from config.environment.data_folder import PROJECT
from config.stack.child import Child
from tests.support.engine import short_folder, wait_for
from tests.support.installed import free_port, program

SITE = PROJECT / "docs/deployment/nginx.conf"
FRAME = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/*.site;
}}
"""


def is_listening(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextmanager
def nginx_before(port: int) -> Iterator[int]:
    """Run nginx before the engine on this port; yields the port on which it listens."""
    nginx = program("nginx", "nginx-light")
    with short_folder() as folder:
        own = free_port()
        site = SITE.read_text().replace("listen 80;", f"listen 127.0.0.1:{own};")
        site = site.replace("server 127.0.0.1:8000;", f"server 127.0.0.1:{port};")
        (folder / "engine.site").write_text(site)
        (folder / "nginx.conf").write_text(FRAME.format(folder=folder))
        command = [nginx, "-p", str(folder), "-e", str(folder / "error.log")]
        running = Child(
            "nginx",
            [*command, "-c", str(folder / "nginx.conf")],
            environment={"PATH": "/usr/bin:/bin"},
            folder=folder,
            log=folder / "log",
        )
        running.start()
        try:
            wait_for(lambda: is_listening(own) or not running.is_running(), what="nginx listens")
            assert running.is_running(), (folder / "log").read_text()
            yield own
        finally:
            running.kill()
