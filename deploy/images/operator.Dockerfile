# The operator. Built from the root of the source tree, by deploy/images/build.sh (make images) or by hand:
#
#   docker build -f deploy/images/operator.Dockerfile -t vision-operator/operator:0.1.0 .
#
# BUILD_IMAGE has either Rust, and the operator is compiled in it, or what was compiled before, in /out.
ARG BUILD_IMAGE=docker.io/library/rust:1.92-trixie
ARG BASE_IMAGE=docker.io/library/debian:trixie-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
RUN deploy/images/compile.sh operator

FROM ${BASE_IMAGE} AS libraries
COPY deploy/images/closure.sh /usr/local/bin/
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates
COPY --from=build /out/operator /usr/local/bin/operator
RUN closure.sh copy /out /usr/local/bin/operator /etc/ssl/certs/ca-certificates.crt

FROM scratch
COPY --from=libraries /out/ /
COPY --from=build /out/operator /usr/local/bin/operator

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="vision-operator/operator" \
      org.opencontainers.image.description="Gives every video source to an analytics pod" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/operator"]
