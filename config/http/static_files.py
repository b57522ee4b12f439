"""Serves static files from the apps' folders, however the engine is run. No `collectstatic`.

WhiteNoise was tried. Under ASGI its middleware gives Django sync iterators, so Django warns at
every file, and no file is served faster.
"""

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.exceptions import SuspiciousFileOperation
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase


class StaticFiles(ASGIStaticFilesHandler):
    def serve(self, request: HttpRequest) -> HttpResponse | FileResponse:
        """Return the file; a browser may keep it, but asks each time whether it is still the same.

        Else it would guess, and an upgraded page run on old scripts.
        """
        try:
            response = super().serve(request)
        except (SuspiciousFileOperation, ValueError):  # a path that leads out, or is none
            raise Http404 from None
        response.headers["Cache-Control"] = "no-cache"
        return response

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Return the file, or a 404; a browser must not guess its content type."""
        response = await super().get_response_async(request)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
