# The service, from a wheel of these sources. It is meant for a TimescaleDB beside it.

FROM python:3.13-slim AS build
WORKDIR /sources
COPY requirements requirements
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY . .
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN useradd --system --create-home vigia && install -d -o vigia -g vigia /data
COPY --from=build /venv /venv
WORKDIR /vigia
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 VIGIA_DATA_DIR=/data
USER vigia
VOLUME /data
EXPOSE 3001
ENTRYPOINT ["vigia"]
CMD ["serve"]
