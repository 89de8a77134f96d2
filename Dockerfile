# Two images from one file:
#   docker build --target api .       HTTP only, without torch
#   docker build --target worker .    training and the inference engine
# BASE_IMAGE is any Debian image whose `python` and `pip` are 3.11 or newer: a mirror's, or one pinned by its digest.
# TORCH_PIP gives pip options for torch alone, such as the index of a CPU build; pip's default is a CUDA build on x86.
# The secret `pip` is a pip.conf for the build alone: an index's address and password reach no layer.

ARG BASE_IMAGE=python:3.11.15-slim-bookworm
FROM ${BASE_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    FETTLE_DATA=/data
WORKDIR /app
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data fettle \
    && install --directory --owner fettle --group fettle --mode 0700 /data
# The dependencies come before the code, so that a change of code does not fetch them again.
COPY pyproject.toml constraints.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
open('/tmp/base.txt', 'w').write('\n'.join(project['dependencies'])); \
extras = [project['optional-dependencies'][name] for name in ('train', 'integrations', 'quantization')]; \
open('/tmp/train.txt', 'w').write('\n'.join(sum(extras, [])))" \
    && pip install --constraint constraints.txt --requirement /tmp/base.txt

# Written once, copied into both images.
FROM scratch AS code
WORKDIR /app
COPY README.md LICENSE ./
COPY assets assets
COPY migrations migrations
COPY models models
COPY fettle fettle
COPY worker worker
COPY api api

FROM base AS api
COPY --from=code /app /app
# Editable: the code that runs is the code in /app, wherever a process is started from. The builder's umask may have kept
# files for itself (safetensors writes 0600), and the service is another user.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    chmod --recursive a+rX /app && pip install --no-deps --editable .
USER 10001:10001
VOLUME /data
EXPOSE 8000
ENV FETTLE_HOST=0.0.0.0
# Patient: on a host whose cores are all training, the start of Python alone takes seconds.
HEALTHCHECK --interval=10s --timeout=30s --start-period=120s --retries=6 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=20)"]
CMD ["python", "-m", "fettle", "api"]

FROM base AS worker
ARG TORCH_PIP=""
# --no-deps: an index that holds only torch must not have to serve the rest.
# hadolint ignore=SC2086
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    pip install --constraint constraints.txt --no-deps ${TORCH_PIP} torch
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    pip install --constraint constraints.txt --requirement /tmp/train.txt
COPY --from=code /app /app
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    chmod --recursive a+rX /app && pip install --no-deps --editable .
USER 10001:10001
VOLUME /data
# Weights that a catalog entry names on the hub are fetched once and kept.
ENV HF_HOME=/data/huggingface
CMD ["python", "-m", "fettle", "worker"]
