# Everbrook in a container: no root, one volume (/data), told healthy when it can make lists.
#
#   docker build -t everbrook .
#   docker run -v shop:/data everbrook keys new --scope admin
#   docker run -v shop:/data -p 8000:8000 everbrook
#
# Behind a mirror, or with PyTorch for a GPU, say so: --build-arg PYTHON=mirror.example/python:3.12-slim, --build-arg NODE=...,
# --build-arg TORCH=torch==2.13.0. Any Python from 3.11 on will do, whose image is Debian's.
ARG NODE=node:20-slim
ARG PYTHON=python:3.12-slim

FROM ${NODE} AS page
WORKDIR /src
COPY web web
RUN mkdir -p src/everbrook && cd web && npm ci --no-audit --no-fund && npm run build

FROM ${PYTHON} AS build
ARG TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
WORKDIR /src
RUN python -m venv /opt/everbrook && /opt/everbrook/bin/pip install --no-cache-dir ${TORCH}
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
COPY --from=page /src/src/everbrook/page src/everbrook/page
RUN /opt/everbrook/bin/pip install --no-cache-dir -c constraints.txt .

FROM ${PYTHON}
RUN groupadd --gid 10001 everbrook \
 && useradd --uid 10001 --gid everbrook --home-dir /data --no-create-home --shell /usr/sbin/nologin everbrook \
 && install -d -o everbrook -g everbrook /data /cache
COPY --from=build /opt/everbrook /opt/everbrook
COPY deploy/kernels.py /opt/everbrook/kernels.py
ENV PATH=/opt/everbrook/bin:$PATH EVERBROOK_DATA_DIR=/data/shop EVERBROOK_SERVE_HOST=0.0.0.0 \
    NUMBA_CACHE_DIR=/cache PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
# By number, so that whoever lets no root run can see that this is none.
USER 10001:10001
# Compiled for this machine's processor; elsewhere they compile at first use, see the file.
RUN python /opt/everbrook/kernels.py
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD ["python", "-c", "import os, urllib.request as r; \
    r.urlopen(f'http://127.0.0.1:{os.environ.get(\"EVERBROOK_SERVE_PORT\", 8000)}/readyz', timeout=4)"]
ENTRYPOINT ["everbrook"]
CMD ["serve"]
