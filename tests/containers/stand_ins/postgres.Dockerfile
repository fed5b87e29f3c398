# Stands in for the image `postgres` where no image registry can be reached: Debian's PostgreSQL with
# the same user, folders and start as far as compose.yaml depends on them.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}
RUN groupadd --system --gid 999 postgres \
 && useradd --system --uid 999 --gid 999 --home-dir /var/lib/postgresql postgres \
 && apt-get update \
 && apt-get install --yes --no-install-recommends postgresql \
 && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/* \
 && ln -s /usr/lib/postgresql/*/bin /opt/postgresql \
 && install --directory --owner postgres --group postgres --mode 1777 /var/lib/postgresql/data \
 && install --directory --owner postgres --group postgres --mode 3777 /var/run/postgresql
ENV PATH=/opt/postgresql:$PATH PGDATA=/var/lib/postgresql/data
COPY postgres.sh /usr/local/bin/
ENTRYPOINT ["sh", "/usr/local/bin/postgres.sh"]
STOPSIGNAL SIGINT
CMD ["postgres", "-c", "listen_addresses=*"]
