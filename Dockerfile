# Everbrook in a container: no root, one volume (/data), told healthy when it can make lists.
#
#   docker build -t everbrook .
#   docker run -v shop:/data everbrook keys new --scope admin
#   docker run -v shop:/data -p 8000:8000 everbrook
FROM node:20-slim AS page
WORKDIR /src
COPY web web
RUN mkdir -p src/everbrook && cd web && npm ci --no-audit --no-fund && npm run build

FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
COPY --from=page /src/src/everbrook/page src/everbrook/page
RUN python -m venv /opt/everbrook \
 && /opt/everbrook/bin/pip install --no-cache-dir torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu \
 && /opt/everbrook/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /data everbrook && install -d -o everbrook -g everbrook /data /cache
COPY --from=build /opt/everbrook /opt/everbrook
ENV PATH=/opt/everbrook/bin:$PATH EVERBROOK_DATA_DIR=/data/shop EVERBROOK_SERVE_HOST=0.0.0.0 \
    NUMBA_CACHE_DIR=/cache PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
USER everbrook
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD \
    ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["everbrook"]
CMD ["serve"]
