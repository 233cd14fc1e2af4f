# The operator and the public CAs: no shell, no package manager, nothing to write to.
#
#   docker build --tag authentik-stage-operator .
#   docker buildx build --platform linux/amd64,linux/arm64 --tag registry.example.com/authentik-stage-operator --push .
#
# Podman and buildah take it too. `make image` runs the same script outside of containers, and gives what it made
# in place of the first stage.
FROM --platform=$BUILDPLATFORM docker.io/library/rust:1.95 AS build
ARG TARGETARCH
RUN [ "$(dpkg --print-architecture)" = "$TARGETARCH" ] || { apt-get update \
    && apt-get install --yes --no-install-recommends "crossbuild-essential-$TARGETARCH"; }
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    dev/image/build "$TARGETARCH" /files

FROM scratch
COPY --from=build /files /
USER 65532:65532
ENTRYPOINT ["/authentik-stage-operator"]
