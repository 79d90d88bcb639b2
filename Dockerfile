# docker build -t promptclimb .
# docker run --rm -it -v promptclimb:/data -v "$PWD/images:/images:ro" promptclimb search --data /images --method combine ...
# For a GPU: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128, and docker run --gpus all.
FROM python:3.11-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=local
WORKDIR /source
COPY . .
RUN python -m venv /opt/promptclimb \
    && /opt/promptclimb/bin/pip install --no-cache-dir --index-url "${TORCH_INDEX}" torch torchvision \
    && /opt/promptclimb/bin/pip install --no-cache-dir ".[${EXTRAS}]"

FROM python:3.11-slim
# llama.cpp's server, of the local language model, is linked with OpenMP. Debian's own version is the one that fits.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 climber \
    && install -d -o climber -g climber /data
COPY --from=build /opt/promptclimb /opt/promptclimb
ENV PATH=/opt/promptclimb/bin:$PATH PROMPTCLIMB_CACHE=/data/cache
USER 1000
# Runs (/data/runs) and what is fetched and reckoned once (/data/cache) outlive the container.
WORKDIR /data
VOLUME /data
ENTRYPOINT ["promptclimb"]
CMD ["--help"]
