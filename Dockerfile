# One image for every step: KFP components, plain `docker run ... dgunet ...`, CPU by default.
# What decides CPU or GPU is the torch wheel, which brings its own CUDA: the public index gives the
# CUDA build; for the small CPU one add --build-arg PIP_EXTRA_INDEX_URL=<PyTorch's CPU index>.
# Any base with Python 3.11 will do (--build-arg BASE=...), one with a CUDA runtime too.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG PIP_EXTRA_INDEX_URL=
WORKDIR /src
RUN python3 -m venv /opt/venv && /opt/venv/bin/python -m pip install --no-cache-dir --upgrade "pip>=26"
# The lock changes seldom and comes first, so that a change of code does not reinstall it.
COPY requirements.lock ./
RUN /opt/venv/bin/python -m pip install --no-cache-dir -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY dgunet ./dgunet
RUN /opt/venv/bin/python -m pip install --no-cache-dir --no-deps .

FROM ${BASE}
ARG COMMIT=unknown
ARG LOCK_SHA256=unknown
LABEL org.opencontainers.image.title="dgunet" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${COMMIT}" \
      dgunet.requirements.sha256="${LOCK_SHA256}"
RUN useradd --create-home --uid 1000 dgunet && mkdir /work && chown dgunet /work
COPY --from=build /opt/venv /opt/venv
COPY --chown=dgunet params.yaml /work/
ENV PATH=/opt/venv/bin:$PATH \
    DGUNET_HOME=/work \
    DGUNET_GIT_COMMIT=${COMMIT} \
    DVC_NO_ANALYTICS=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=true \
    PYTHONUNBUFFERED=1
WORKDIR /work
USER dgunet
HEALTHCHECK --interval=5m --timeout=30s CMD ["dgunet", "--version"]
CMD ["dgunet", "--help"]
