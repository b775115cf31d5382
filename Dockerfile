# The three commands in an image, for a CPU or for CUDA; examples/containers/README.md has the commands to build and run it.
# Python's own image, pinned: the same on x86_64 and arm64. CUDA comes with torch's wheels, the driver from the host.
ARG BASE=docker.io/library/python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

FROM ${BASE} AS build
# An index with torch alone; empty for PyPI, whose wheels for Linux hold CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=evaluate,croissant,dicom,page,cluster
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/visionclip
ENV PATH=/opt/visionclip/bin:$PATH
WORKDIR /src
COPY constraints.txt ./
RUN test -z "$TORCH_INDEX" || pip install --no-deps --index-url "$TORCH_INDEX" $(grep -E '^torch(vision)?==' constraints.txt)
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY synth synth
COPY clip clip
COPY privacy privacy
RUN pip install -c constraints.txt ".[${EXTRAS}]"

FROM ${BASE}
COPY --from=build /opt/visionclip /opt/visionclip
RUN useradd --uid 1000 --create-home visionclip && mkdir /data && chown visionclip /data
# Nothing is fetched from a model hub unless somebody sets these otherwise; caches go where any user may write.
ENV PATH=/opt/visionclip/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    HF_HOME=/tmp/huggingface \
    MPLCONFIGDIR=/tmp/matplotlib
USER visionclip
WORKDIR /data
CMD ["synth", "--help"]
