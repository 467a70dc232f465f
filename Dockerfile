# One image for every role: ROLE (api, relay, consumer or all) decides what a container does.
#   docker build -t reco:dev .
ARG PYTHON_VERSION=3.13
# ops/compose/pinned.yaml names it by its digest.
ARG PYTHON_IMAGE=python:${PYTHON_VERSION}-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# No pip in the image that runs: what is installed is what the lock names, and nothing adds to it later.
RUN python -m venv --without-pip /opt/reco
COPY requirements.lock requirements-dev.lock ./
RUN python -m pip --python /opt/reco/bin/python install --require-hashes --only-binary :all: -r requirements.lock
# The build backend at its locked version as well; the development lock has it among much that is not needed here.
RUN python -m venv /opt/backend \
 && awk '/^[a-z]/ { keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } keep' requirements-dev.lock >backend.lock \
 && /opt/backend/bin/python -m pip install --require-hashes -r backend.lock
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY workers workers
COPY migrations migrations
RUN /opt/backend/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && python -m pip --python /opt/reco/bin/python install --no-deps dist/reco-*.whl \
 && find /opt/reco -name '*.py' -exec touch -d "@$(date +%s)" {} + \
 && /opt/reco/bin/python -m compileall -q /opt/reco
# The root of a container is read-only: what is not compiled here, each start would compile. For any processor, as the
# image may start on another one than it was built on. What is compiled is known by the time of its source, of which a
# layer keeps the seconds. Without `-I` the copy in this folder would be compiled.
RUN NUMBA_CPU_NAME=generic /opt/reco/bin/python -I -c "import app.core.accumulators, app.core.pairing, app.core.vsknn"

FROM ${PYTHON_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
# `reco --version`, the log, /readyz and reco_build_info tell it.
ENV RECO_REVISION=${REVISION}
LABEL org.opencontainers.image.title="reco" \
      org.opencontainers.image.description="A real-time recommendation backend" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /app
COPY --from=build /opt/reco /opt/reco
COPY src src
COPY ops/docker/healthcheck.py ops/docker/healthcheck.py
# LOGNAME, because a numeric user has no name and yoyo notes who applied a migration.
ENV PATH=/opt/reco/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LOGNAME=reco NUMBA_CPU_NAME=generic
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=4s --start-period=30s --retries=3 CMD ["python", "ops/docker/healthcheck.py"]
# No shell in between: SIGTERM reaches the process, which drains by itself.
STOPSIGNAL SIGTERM
ENTRYPOINT ["reco"]
CMD ["serve"]
