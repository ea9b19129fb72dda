# What cargo built on the host, as the BUILD_IMAGE of the others. The context is a folder with the programs.
ARG BASE_IMAGE=docker.io/library/debian:trixie-slim
FROM ${BASE_IMAGE}
COPY . /out/
