# The analytics pod with the native engine. Built from the root of the source tree, by deploy/images/build.sh (make images)
# or by hand:
#
#   docker build -f deploy/images/analytics-pod.Dockerfile -t vision-operator/analytics-pod:0.1.0 .
#
# BUILD_IMAGE has either Rust, and the pod is compiled in it, or what was compiled before, in /out.
ARG BUILD_IMAGE=docker.io/library/rust:1.92-trixie
ARG BASE_IMAGE=docker.io/library/debian:trixie-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
RUN deploy/images/compile.sh analytics-pod libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev

# The wheel's library: the packaged one is older, and slower. It is fetched where the source tree does not have it.
FROM ${BASE_IMAGE} AS onnxruntime
WORKDIR /src
COPY scripts/onnxruntime.sh .cach[e] .cache/
RUN mkdir scripts && mv .cache/onnxruntime.sh scripts/ \
    && if [ ! -d .cache/onnxruntime ]; then \
        apt-get update -qq && \
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates python3-pip; \
    fi \
    && library=$(scripts/onnxruntime.sh) \
    && install -D -m 0644 "$library" /out/usr/lib/vision/libonnxruntime.so \
    && install -D -m 0644 -t /out/usr/share/doc/onnxruntime "${library%/*}/LICENSE" "${library%/*}/ThirdPartyNotices.txt"

# The plug-ins that the pod uses and what they are linked with. The packages alone weigh 1.2 GB.
FROM ${BASE_IMAGE} AS gstreamer
COPY deploy/images/closure.sh /usr/local/bin/
RUN closure.sh remember
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates glib-networking \
        gstreamer1.0-libav gstreamer1.0-plugins-bad gstreamer1.0-plugins-base gstreamer1.0-plugins-good
COPY deploy/images/libraries.txt /tmp/
COPY --from=build /out/analytics-pod /usr/local/bin/analytics-pod
RUN closure.sh copy /out $(sed 's/#.*//' /tmp/libraries.txt) /usr/local/bin/analytics-pod

FROM ${BASE_IMAGE}
COPY --from=gstreamer /out/ /
COPY --from=onnxruntime /out/ /
COPY --from=build /out/analytics-pod /usr/local/bin/analytics-pod
ENV VISION_ONNXRUNTIME=/usr/lib/vision/libonnxruntime.so \
    ORT_DISABLE_TELEMETRY=1 \
    GST_REGISTRY=/usr/lib/vision/gstreamer-registry.bin \
    GST_REGISTRY_FORK=no
# Writes GStreamer's list of plug-ins, so that no pod has to, and fails where an input misses an element.
COPY deploy/images/inputs.yaml /tmp/
RUN VISION_STATE_FOLDER=/tmp/state VISION_CACHE_DIR=/tmp/cache analytics-pod check -f /tmp/inputs.yaml \
    && chmod 0644 "$GST_REGISTRY" \
    && rm -rf /tmp/* /var/cache/* /var/log/*
ENV GST_REGISTRY_UPDATE=no

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="vision-operator/analytics-pod" \
      org.opencontainers.image.description="Decodes video sources, detects and tracks objects" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
EXPOSE 8080 8443
ENTRYPOINT ["/usr/local/bin/analytics-pod"]
