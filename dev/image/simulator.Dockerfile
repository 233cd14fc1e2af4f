# The simulated authentik, for tests on a cluster.
FROM scratch
COPY . /
USER 65532:65532
ENTRYPOINT ["/simulator", "simulator"]
