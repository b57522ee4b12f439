"""Serves static files from the apps' folders, however the engine is run. No `collectstatic`.

A file whose path names this state of all files (`static_version`) is kept by browsers for as long
as they like. Texts are compressed once in each process.

WhiteNoise was tried. Under ASGI its middleware gives Django sync iterators, so Django warns at
every file, and no file is served faster.
"""

import gzip
import re
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.exceptions import SuspiciousFileOperation
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

BASE = "/static/"
VERSIONED = re.compile(r"v-[0-9a-f]{12}/")
TEXTS = (".css", ".js", ".svg", ".json", ".txt", ".map")
LEAST_BYTES = 500  # a smaller text fits into one packet as it is
KEPT = "public, max-age=31536000, immutable"
ASKED_FOR = "no-cache"


class StaticFiles(ASGIStaticFilesHandler):
    def get_base_url(self) -> str:
        return BASE

    def file_path(self, url: str) -> str:
        """Return the file's name; whichever state of the files a path names, there is only one."""
        name: str = super().file_path(url)
        return VERSIONED.sub("", name, count=1) if VERSIONED.match(name) else name

    def serve(self, request: HttpRequest) -> HttpResponse | FileResponse:
        """Return the file. By the name of this state a browser keeps it.

        Else a browser may keep it, but asks each time whether it is still the same. It would guess
        otherwise, and an upgraded page run on old scripts.
        """
        try:
            response = super().serve(request)
        except (SuspiciousFileOperation, ValueError):  # a path that leads out, or is none
            raise Http404 from None
        of_this_state = settings.STATIC_URL
        is_kept = of_this_state != BASE and request.path.startswith(of_this_state)
        response.headers["Cache-Control"] = KEPT if is_kept else ASKED_FOR
        name = self.file_path(request.path)
        if name.endswith(TEXTS) and response.status_code == 200:
            patch_vary_headers(response, ["Accept-Encoding"])
            if "gzip" in request.headers.get("Accept-Encoding", ""):
                return compressed(response, name)
        return response

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Return the file, or a 404; a browser must not guess its content type."""
        response = await super().get_response_async(request)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def compressed(response: HttpResponse | FileResponse, name: str) -> HttpResponse | FileResponse:
    """Return the answer with its file compressed, if that makes it smaller."""
    path = finders.find(name)
    if not isinstance(path, str):
        return response
    body = packed(path, Path(path).stat().st_mtime_ns)
    if body is None:
        return response
    response.close()
    headers = dict(response.items()) | {"Content-Length": str(len(body))}
    return HttpResponse(body, headers=headers | {"Content-Encoding": "gzip"})


@lru_cache(maxsize=256)
def packed(path: str, changed_at: int) -> bytes | None:
    """Return a file compressed; None if it is small. `changed_at` tells its states apart."""
    whole = Path(path).read_bytes()
    return gzip.compress(whole, mtime=0) if len(whole) > LEAST_BYTES else None
