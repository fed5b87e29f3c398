# One image for all steps: base image of the KFP components, image of TrainJobs, or standalone:
#   docker run --rm -v "$PWD:/data" dgunet:local dgunet restore /data/in.png --out /data/restored ...
#
# The torch wheel, not the base image, decides between CUDA and CPU. The default wheel of the public
# index is for CUDA: it depends on the CUDA runtime (cuBLAS, cuDNN, NCCL) and needs only the driver of
# the host. A CUDA base image would contain these libraries a second time, and NVIDIA's images have no
# Python 3.11. TORCH=cpu selects the small CPU build, from build/wheels or from PyTorch's own index;
# `make image` provides it. BASE may be any image with Python 3.11 and its venv module.
ARG BASE=python:3.11-slim-bookworm

# 1. Third-party packages. They change only with the lock files.
FROM ${BASE} AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python3 -m venv /opt/venv && /opt/venv/bin/python -m pip install --quiet "pip>=26"
COPY requirements.image.lock ./
RUN /opt/venv/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements.image.lock
# The CUDA build is the same file everywhere and has a hash. The CPU build is identified by its version.
ARG TORCH=
ARG TORCH_INDEX=
COPY requirements.lock requirements.cuda.lock build/wheel[s]/*.whl ./
RUN version="$(sed -n 's/^torch==//p' requirements.lock)" \
 && if [ -z "$TORCH" ]; then set -- --require-hashes -r requirements.cuda.lock; \
    else set -- --find-links . ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "torch==$version+$TORCH"; fi \
 && /opt/venv/bin/python -m pip install --quiet --no-deps "$@" \
 && /opt/venv/bin/python -m pip check

# 2. The dgunet package, in a separate tree that is copied over the packages.
FROM packages AS code
COPY pyproject.toml setup.py README.md LICENSE ./
COPY dgunet ./dgunet
RUN /opt/venv/bin/python -m pip install --quiet --no-deps --prefix /opt/code .

# 3. The final image: no source tree, cache or compiler, and no root user. Only the layers below change
# with a commit.
FROM ${BASE}
# /etc/profile.d is for login shells, which the Trainer's SDK starts. /etc/gitconfig lets DVC read a
# mounted repository that belongs to a different user.
RUN useradd --uid 1000 --home-dir /work --shell /bin/sh dgunet \
 && mkdir --mode 1777 /work \
 && echo 'PATH=/opt/venv/bin:$PATH' > /etc/profile.d/dgunet.sh \
 && printf '[safe]\n\tdirectory = *\n' > /etc/gitconfig
COPY --from=packages /opt/venv /opt/venv
COPY params.yaml /work/
COPY --from=code /opt/code /opt/venv
# USER and HOME are valid for any user ID, so that `--user "$(id -u)"` writes files that
# belong to the caller.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/work \
    USER=dgunet \
    DGUNET_HOME=/work \
    DVC_NO_ANALYTICS=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=true \
    PYTHONUNBUFFERED=1
WORKDIR /work
USER 1000
HEALTHCHECK --interval=5m --timeout=60s --start-period=1m CMD ["dgunet", "--version"]
CMD ["dgunet", "--help"]
# These are last because they change with every commit.
ARG COMMIT=unknown
ARG DIRTY=unknown
ARG LOCK_SHA256=unknown
ENV DGUNET_GIT_COMMIT=${COMMIT} DGUNET_GIT_DIRTY=${DIRTY}
LABEL org.opencontainers.image.title="dgunet" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${COMMIT}" \
      dgunet.dirty="${DIRTY}" \
      dgunet.lock.sha256="${LOCK_SHA256}"
