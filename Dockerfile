# A finished run, served: no training package, no network after the build, no root.
#
#   docker build -t score-rag .
#   docker run --rm -e SCORE_RAG_API_KEY=... -p 127.0.0.1:8765:8765 -v "$PWD/runs:/home/app/runs:ro" score-rag
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md ./
COPY scripts scripts
COPY score_rag score_rag
COPY prompts prompts
COPY pipelines pipelines
RUN python -m venv /opt/app && scripts/install_serving.sh /opt/app/bin/python /source

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 app
COPY --from=build /opt/app /opt/app
COPY scripts/healthy.sh /opt/app/bin/healthy
ENV PATH=/opt/app/bin:$PATH PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 ANONYMIZED_TELEMETRY=False OMP_NUM_THREADS=1 PORT=8765
USER app
WORKDIR /home/app
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["healthy"]
# Reached from outside the container, so a key is asked for: SCORE_RAG_API_KEY.
ENTRYPOINT ["score-rag"]
CMD ["mcp", "sample", "--http", "--host", "0.0.0.0", "--port", "8765"]
