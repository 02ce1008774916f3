# orderd and orderctl on Debian. scripts/image builds and tries it; docs/deploy.md says how to run it.
#
#   docker build -t orderd .                        on debian:bookworm-slim
#   docker build --build-arg BASE=IMAGE -t orderd . on another Debian 12
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
ENV CCACHE_DIR=/root/.cache/ccache
WORKDIR /src
# First, because they change rarely: later builds start behind this layer.
COPY scripts/setup scripts/packages.txt scripts/
RUN scripts/setup build
COPY CMakeLists.txt CMakePresets.json ./
COPY cmake cmake
COPY proto proto
COPY storage storage
COPY server server
COPY client client
RUN --mount=type=cache,target=/root/.cache/ccache \
    export LANG=C.UTF-8 \
    && cmake --preset release -DBUILD_TESTING=OFF \
    && cmake --build build/release --target orderd orderctl \
    && mkdir /out \
    && strip -o /out/orderd build/release/orderd \
    && strip -o /out/orderctl build/release/orderctl
# The packages of the libraries that they are linked with (dpkg knows a library by its path with or
# without /usr), and those that only a list can tell.
RUN ldd /out/orderd /out/orderctl | awk '$2 == "=>" { print $3 }' | sort -u \
    | while read -r library; do \
        path=$(realpath "$library"); \
        dpkg-query --search "$path" "${path#/usr}" 2> /dev/null | cut -d : -f 1; \
      done > /tmp/packages \
    && sed -n 's/^run  *//p' scripts/packages.txt >> /tmp/packages \
    && sort -u /tmp/packages > /out/packages \
    && cat /out/packages

FROM ${BASE}
RUN --mount=type=bind,from=build,source=/out,target=/out \
    apt-get update \
    && DEBIAN_FRONTEND=noninteractive xargs apt-get install -y --no-install-recommends < /out/packages \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/* /var/cache/debconf/*-old \
    && groupadd --gid 10001 orderd \
    && useradd --uid 10001 --gid orderd --no-create-home --home-dir /var/lib/orderd \
       --shell /usr/sbin/nologin orderd \
    && install -d -o orderd -g orderd -m 0750 /var/lib/orderd
COPY --from=build /out/orderd /out/orderctl /usr/local/bin/
# A number, so that Kubernetes can tell that it is not root.
USER 10001:10001
WORKDIR /var/lib/orderd
VOLUME /var/lib/orderd
# The root may be read-only: all that orderd writes is in its volume.
ENV ORDERD_DATABASE=sqlite:/var/lib/orderd/orders.db \
    ORDERD_LISTEN=0.0.0.0:50051 \
    SQLITE_TMPDIR=/var/lib/orderd
EXPOSE 50051
# orderctl also ends with codes that are not Docker's.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD orderctl --timeout 4 health || exit 1
# orderd ends cleanly on SIGTERM; wait longer for it than it waits for the calls that run.
STOPSIGNAL SIGTERM
ENTRYPOINT ["orderd"]
